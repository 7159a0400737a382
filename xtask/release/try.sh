#!/bin/sh
# Tries the packages of a release in fresh Debian roots without a network: each is installed or unpacked, runs its demo
# as an ordinary user, and is removed if it has a package manager.
#   try.sh KIT SUITE     such as target/release-kit/0.2.0 bookworm; needs root, mmdebstrap, unshare and ip; cleans up
set -eu
kit=$(realpath "$1")
suite=$2
directory=$(mktemp -d "${TMPDIR:-/var/tmp}/release-$suite.XXXXXX")
trap 'rm -rf --one-file-system "$directory"' EXIT
trap 'exit 1' INT TERM
root=$directory/root

say() { echo "try: $suite: $*" >&2; }

fail() {
    say "FAILED: $*"
    exit 1
}

# Runs a program in the root, with a loopback interface only: within USER PROGRAM [ARGUMENT]...
within() {
    # shellcheck disable=SC2016 # the inner shell expands its own parameters
    unshare --mount --pid --net --fork --kill-child sh -ec '
        root=$1 user=$2
        shift 2
        mount --bind "$root" "$root"  # rpm has to find a mount at /
        mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && ip link set lo up
        exec env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/tmp DEBIAN_FRONTEND=noninteractive \
            chroot --userspec="$user" "$root" "$@"
    ' sh "$root" "$@"
}

as_root() { within root:root "$@" >"$directory/output" 2>&1 || fail "$* exited with $?: $(cat "$directory/output")"; }

# Runs the demo of a program as the user nobody.
run_demo() {
    within 65534:65534 "$1" demo --exit >"$directory/output" 2>&1 ||
        fail "demo --exit exited with $?: $(cat "$directory/output")"
    say "$2: $(within 65534:65534 "$1" --version) runs its demo"
}

fresh_root() {
    rm -rf --one-file-system "$root"
    mkdir "$root"
    "$@"
}

debian() { tar --extract --file "$directory/debian.tar" --directory "$root"; }

# A root with certificates of authorities only: not even a C library.
nothing() {
    mkdir -p "$root/proc" "$root/dev" "$root/etc/ssl/certs"
    mkdir --mode=1777 "$root/tmp"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
}

mmdebstrap --quiet --variant=minbase --include=rpm,ca-certificates "$suite" "$directory/debian.tar"

fresh_root debian
cp "$kit"/*.deb "$root/tmp/gatepost.deb"
as_root apt-get install --yes --no-install-recommends /tmp/gatepost.deb
run_demo /usr/bin/gatepost deb
as_root test -s /usr/share/doc/gatepost/THIRD-PARTY.txt.gz
as_root apt-get purge --yes gatepost
[ ! -e "$root/usr/bin/gatepost" ] || fail "the deb leaves its program"

fresh_root debian
cp "$kit"/*.rpm "$root/tmp/gatepost.rpm"
as_root rpm --install --nodeps /tmp/gatepost.rpm  # glibc is there, but not from an rpm
run_demo /usr/bin/gatepost rpm
as_root test -s /usr/share/licenses/gatepost/LICENSE
as_root rpm --erase gatepost
[ ! -e "$root/usr/bin/gatepost" ] || fail "the rpm leaves its program"

fresh_root debian
tar --extract --file "$(echo "$kit"/*.tar.gz)" --directory "$root/opt" --strip-components=1
run_demo /opt/gatepost "tarball on Debian"

fresh_root nothing
tar --extract --file "$(echo "$kit"/*.tar.gz)" --directory "$root" --strip-components=1
run_demo /gatepost "tarball in an empty root"

# Unpacked only: no apk is to be had on Debian. It is three archives behind each other.
fresh_root nothing
tar --extract --gzip --warning=no-unknown-keyword --file "$(echo "$kit"/*.apk)" --directory "$root"
grep -qx "pkgname = gatepost" "$root/.PKGINFO" || fail "the apk has no name"
run_demo /usr/bin/gatepost "apk, unpacked"
say "passed"
