#!/bin/sh
# Checks that this machine has everything that a build needs, before anything compiles, then runs cargo xtask.
#   prepare.sh demo|test [ARGUMENT]...   called by ./demo and ./test
#   prepare.sh only SCOPE                only checks and installs the packages of a scope of needs.txt
# Installs missing packages with apt-get as root or with sudo. If that is not possible, prints the command to run, and
# exits with 2.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
case "$*" in
    only*) scopes=$2 wanted_mb=0 ;;
    test*--only* | test*--help*) scopes='build step' wanted_mb=1000 ;;
    test*) scopes='build step test' wanted_mb=14000 ;;
    *) scopes=build wanted_mb=2000 ;;
esac

# Sets `packages` and `missing`: the packages to install, and a line for each missing program.
check_packages() {
    packages='' missing=''
    while read -r scope package check; do
        case " $scopes " in *" $scope "*) ;; *) continue ;; esac
        sh -c "$check" </dev/null >/dev/null 2>&1 && continue
        packages="$packages $(echo "$package" | tr , ' ')"
        missing="$missing  $package: ${check##*\# }\n"
    done <xtask/needs.txt
}

fail() {
    printf '%b' "$1\n" >&2
    exit 2
}

as_root='' line='apt-get install -y' end=''
if [ "$(id -u)" != 0 ]; then
    as_root='sudo -n' line='sudo apt-get install -y'
    command -v sudo >/dev/null || { line="su -c 'apt-get install -y" end="'"; }
fi
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >/dev/null; }
check_packages
if [ -n "$packages" ] && command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
    echo "prepare: installing$packages" >&2
    # shellcheck disable=SC2086 # several packages
    if apt update && apt install -y --no-install-recommends $packages; then check_packages; fi
fi
line=${packages:+$line$packages$end}

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(cargo --version 2>/dev/null | cut -d' ' -f2)
if [ "$(echo "${found:-0.0}" | cut -d. -f2)" -lt "${wanted#1.}" ]; then
    missing="$missing  Rust $wanted or later: ${found:-none} is installed\n"
    rust="curl -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain $wanted"
    command -v rustup >/dev/null && rust="rustup toolchain install $wanted && rustup override set $wanted"
    line="${line:+$line && }$rust"
fi
[ -z "$missing" ] || fail "Missing:\n${missing}Run this (Debian package names), then repeat the command:\n  $line"

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
free_mb=$((($(df -Pk "$target" | awk 'END { print $4 }') + $(du -sk "$target" | cut -f1)) / 1024))
[ "$free_mb" -ge "$wanted_mb" ] || fail "The build takes $wanted_mb MB of disk, and $free_mb MB are free in $target."
[ "$1" = only ] || exec cargo xtask "$@"
