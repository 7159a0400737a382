#!/bin/sh
# Makes packages of a program that was built on this machine: build.sh PROGRAM DIRECTORY
# Needs nfpm 2 (https://nfpm.goreleaser.com), binutils and gzip. VERSION overrides the version of the program.
# SOURCE_DATE_EPOCH is the time of all files, by default that of the last commit: packages of the same program are equal.
set -eu
program=$(realpath "$1")
packages=$(realpath "$2")
cd "$(dirname "$0")/../.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
VERSION=${VERSION:-$("$program" --version | cut -d ' ' -f 2)}
case $(uname -m) in
    x86_64) ARCH=amd64 ;;
    aarch64) ARCH=arm64 ;;
    *)
        echo "no packages are made for $(uname -m)" >&2
        exit 1
        ;;
esac
# The newest version of a symbol that the program needs.
GLIBC=$(objdump --dynamic-syms "$program" | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\)).*/\1/p' | sort -uV | tail -n 1)
export SOURCE_DATE_EPOCH VERSION ARCH GLIBC

staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
mkdir "$staged/bin" "$staged/man" "$staged/completions" "$staged/doc"
# Names of functions stay, for backtraces.
strip --strip-debug -o "$staged/bin/gatepost" "$program"
cp -R deploy/systemd deploy/packages/scripts deploy/packages/gatepost.toml "$staged"
"$program" man "$staged/man"
gzip -9n "$staged"/man/*
"$program" completions bash >"$staged/completions/gatepost.bash"
"$program" completions zsh >"$staged/completions/_gatepost"
"$program" completions fish >"$staged/completions/gatepost.fish"
cp LICENSE CHANGELOG.md gatepost/gatepost.default.toml deploy/redis/gatepost.acl deploy/packages/copyright \
    deploy/packages/lintian-overrides "$staged/doc"
cat >"$staged/doc/changelog" <<END
gatepost ($VERSION) stable; urgency=medium

  * CHANGELOG.md in this directory lists the changes.

 -- The Gatepost maintainers <maintainers@gatepost.invalid>  $(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
END
gzip -9n "$staged/doc/changelog" "$staged/doc/CHANGELOG.md"

cd "$staged"
for packager in deb rpm; do
    nfpm package --config "$OLDPWD/deploy/packages/nfpm.yaml" --packager "$packager" --target "$packages"
done
