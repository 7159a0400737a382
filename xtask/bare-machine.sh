#!/bin/sh
# Tries ./demo and ./test in a fresh Debian root that has Rust and nothing else.
#   bare-machine.sh SUITE     such as bookworm; needs root, mmdebstrap, unshare and a Rust of rustup; leaves nothing
# The root gets this tree, the toolchain in use, and the certificates that this machine trusts. First a plain user
# tries, who may install nothing, then root.
set -eu
suite=$1
cd "$(dirname "$0")/.."
tree=$PWD
root=$(mktemp -d "${TMPDIR:-/var/tmp}/bare-$suite.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 1' INT TERM

say() { echo "bare-machine: $suite: $*" >&2; }

fail() {
    say "FAILED: $*"
    exit 1
}

# What programs in the root need to reach the network as this machine does.
network=''
for name in http_proxy https_proxy no_proxy; do
    value=$(printenv "$name" || true)
    network="$network${value:+ $name=$value}"
done
if [ -n "${SSL_CERT_FILE:-}" ]; then network="$network SSL_CERT_FILE=/opt/trusted.crt CARGO_HTTP_CAINFO=/opt/trusted.crt"; fi

# Runs a shell command in the root, as a user and in its copy of the tree: within USER HOME COMMAND.
within() {
    # shellcheck disable=SC2086,SC2016 # several variables; the inner shell expands its own parameters
    unshare --mount --pid --fork sh -c '
        root=$1
        shift
        mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@"
    ' sh "$root" env -i $network USER="$1" HOME="$2" PATH="$2/.cargo/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
        setpriv --reuid "$1" --regid "$1" --init-groups sh -c "cd $2 && cd gatepost 2>/dev/null; $3"
}

say "making the root"
mmdebstrap --quiet --variant=minbase "$suite" "$root"
if [ -n "${SSL_CERT_FILE:-}" ]; then cp "$SSL_CERT_FILE" "$root/opt/trusted.crt"; fi
chroot "$root" useradd --create-home guest
home=$root/home/guest
toolchain=$(basename "$(rustc --print sysroot)")
mkdir -p "$home/.cargo" "$home/.rustup/toolchains"
cp -a "${CARGO_HOME:-$HOME/.cargo}/bin" "$home/.cargo/"
cp -a "$(rustc --print sysroot)" "$home/.rustup/toolchains/"
git clone --quiet "$tree" "$home/gatepost"
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from - | tar --extract --directory "$home/gatepost"
chroot "$root" chown -R guest:guest /home/guest
within guest /home/guest "rustup --quiet default $toolchain"

say "a plain user is told what to type"
answer=0
told=$(within guest /home/guest './demo --exit' 2>&1) || answer=$?
echo "$told"
[ "$answer" = 2 ] || fail "./demo ended with $answer, not 2"
[ ! -e "$home/gatepost/target" ] || fail "something was compiled"
echo "$told" | grep -q "apt-get install -y build-essential cmake curl ca-certificates'\$" || fail "no line to type"

mv "$home/.cargo" "$home/.rustup" "$home/gatepost" "$root/root/"
chown -R 0:0 "$root/root"
say "root runs the demo"
within root /root './demo --exit' || fail "./demo --exit ended with $?"
say "root begins the tests"
within root /root './test --only tidy' || fail "./test --only tidy ended with $?"
within root /root './test --only install' || fail "./test --only install ended with $?"
within root /root './test --only fmt' || fail "./test --only fmt ended with $?"
say "passed"
