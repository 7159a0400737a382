#!/bin/sh
# Makes packages of a program that was built for this machine: build.sh PROGRAM DIRECTORY
# A static program, which runs on any Linux, becomes a tarball and an apk; a program that needs glibc a deb and an rpm.
# Needs nfpm 2 (https://nfpm.goreleaser.com), binutils and gzip. VERSION overrides the version of the program.
# SOURCE_DATE_EPOCH is the time of all files, by default that of the last commit: packages of the same program are equal.
set -eu
program=$(realpath "$1")
mkdir -p "$2"
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
# The newest version of a symbol that the program needs; none if it is static.
GLIBC=$(objdump --dynamic-syms "$program" 2>/dev/null | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\)).*/\1/p' | sort -uV | tail -n 1)
export SOURCE_DATE_EPOCH VERSION ARCH GLIBC

staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
mkdir "$staged/bin" "$staged/man" "$staged/completions" "$staged/doc"
# Names of functions stay, for backtraces.
strip --strip-debug -o "$staged/bin/gatepost" "$program"
cp -R deploy/systemd deploy/packages/scripts deploy/packages/gatepost.toml "$staged"
"$program" man "$staged/man"
"$program" completions bash >"$staged/completions/gatepost.bash"
"$program" completions zsh >"$staged/completions/_gatepost"
"$program" completions fish >"$staged/completions/gatepost.fish"
cp LICENSE THIRD-PARTY.txt CHANGELOG.md gatepost/gatepost.default.toml deploy/redis/gatepost.acl deploy/packages/copyright \
    deploy/packages/lintian-overrides "$staged/doc"
cat >"$staged/doc/changelog" <<END
gatepost ($VERSION) stable; urgency=medium

  * CHANGELOG.md in this directory lists the changes.

 -- The Gatepost maintainers <maintainers@gatepost.invalid>  $(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
END

# The tree of the static program, as it is, in a directory of its name.
make_tarball() {
    tree=gatepost-$VERSION-$(uname -m)-linux-musl
    mkdir "$staged/$tree"
    cp -R "$staged/bin/gatepost" "$staged/gatepost.toml" "$staged/systemd" "$staged/man" "$staged/completions" \
        "$staged/doc/LICENSE" "$staged/doc/THIRD-PARTY.txt" "$staged/doc/CHANGELOG.md" \
        "$staged/doc/gatepost.default.toml" "$staged/doc/gatepost.acl" "$staged/$tree"
    chmod -R u=rwX,go=rX "$staged/$tree"
    tar --create --directory "$staged" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
        --owner=root:0 --group=root:0 "$tree" | gzip -9n >"$packages/$tree.tar.gz"
}

packagers='deb rpm'
if [ -z "$GLIBC" ]; then
    make_tarball
    packagers=apk
fi
gzip -9n "$staged"/man/* "$staged/doc/changelog" "$staged/doc/CHANGELOG.md" "$staged/doc/THIRD-PARTY.txt"
cd "$staged"
# Packages have the times of some files, although SOURCE_DATE_EPOCH is set.
find . -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
for packager in $packagers; do
    nfpm package --config "$OLDPWD/deploy/packages/nfpm.yaml" --packager "$packager" --target "$packages"
done
