#!/bin/sh
# Puts etcd, kubectl and kube-apiserver into a directory: build-api-server.sh DIRECTORY
# The first two are unpacked from packages of Debian, which has no package of the last one. It is built from Debian's source
# (Kubernetes 1.20.2, Apache-2.0, 34 MB with all that it depends on), which takes 6 minutes of processor time and 2 GB.
set -eu
suite=bookworm
mirror=http://deb.debian.org/debian
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
version=1.20.2

mkdir -p "$1"
cd "$1"
directory=$(pwd)
# What a run that was stopped has left is not used.
rm -rf build
mkdir -p build/lists/partial build/archives/partial build/unpacked build/go/src/k8s.io

# Of its own, so that the lists of this machine stay as they are.
cat >build/apt.conf <<END
Dir::Etc::sourcelist "$directory/build/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$directory/build/lists";
Dir::Cache "$directory/build";
APT::Sandbox::User "root";
END
for kind in deb deb-src; do
    echo "$kind [signed-by=$keyring] $mirror $suite main"
done >build/sources.list
export APT_CONFIG="$directory/build/apt.conf"
apt-get -qq update

(
    cd build
    apt-get -qq download etcd-server kubernetes-client
    for package in *.deb; do dpkg --extract "$package" unpacked; done
    apt-get -qq source kubernetes >source.log 2>&1 || { cat source.log >&2; exit 1; }
    mv kubernetes-*/ go/src/k8s.io/kubernetes
)

(
    cd build/go/src/k8s.io/kubernetes
    export GOPATH="$directory/build/go" GOPROXY=off GOFLAGS=
    make all WHAT=cmd/kube-apiserver KUBE_BUILD_PLATFORMS=linux/amd64 KUBE_GIT_VERSION=v$version KUBE_GIT_COMMIT=debian \
        KUBE_GIT_TREE_STATE=clean KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 >"$directory/build.log" 2>&1 ||
        { tail -n 30 "$directory/build.log" >&2; exit 1; }
)

cp build/unpacked/usr/bin/etcd build/unpacked/usr/bin/kubectl .
# Last, and whole or not at all: it says that the others are there.
cp build/go/src/k8s.io/kubernetes/_output/local/bin/linux/amd64/kube-apiserver unfinished
mv unfinished kube-apiserver
chmod -R u+w build
rm -rf build
