#!/bin/sh
# Tests ./demo and ./test in a fresh Debian root with only Rust installed.
#   bare-machine.sh SUITE     such as bookworm; needs root, mmdebstrap, unshare and a Rust of rustup; cleans up
# This tree, the current toolchain and this machine's trusted certificates are copied into the root. The test first runs
# as an ordinary user, who cannot install packages, then as root.
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

# Environment with which programs in the root reach the network.
network=''
for name in http_proxy https_proxy no_proxy; do
    value=$(printenv "$name" || true)
    network="$network${value:+ $name=$value}"
done
if [ -n "${SSL_CERT_FILE:-}" ]; then network="$network SSL_CERT_FILE=/opt/trusted.crt CARGO_HTTP_CAINFO=/opt/trusted.crt"; fi

# Runs a shell command in the root, as a user and in the user's copy of the tree: within USER HOME COMMAND. If `own_network`
# is set, the command has a loopback interface of its own, and no other network.
own_network=''
within() {
    # shellcheck disable=SC2086,SC2016 # several variables; the inner shell expands its own parameters
    unshare --mount --pid --fork ${own_network:+--net} sh -c '
        root=$1
        shift
        ip link set lo up
        mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@"
    ' sh "$root" env -i $network USER="$1" HOME="$2" PATH="$2/.cargo/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
        setpriv --reuid "$1" --regid "$1" --init-groups sh -c "cd $2 && cd gatepost 2>/dev/null; $3"
}

say "creating the root"
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

say "an ordinary user gets the command to run"
status=0
output=$(within guest /home/guest './demo --exit' 2>&1) || status=$?
echo "$output"
[ "$status" = 2 ] || fail "./demo exited with $status, not 2"
[ ! -e "$home/gatepost/target" ] || fail "something was compiled"
echo "$output" | grep -q "apt-get install -y build-essential cmake curl ca-certificates'\$" || fail "the command to run is missing"

mv "$home/.cargo" "$home/.rustup" "$home/gatepost" "$root/root/"
chown -R 0:0 "$root/root"
say "root runs the demo"
begin=$(date +%s)
# shellcheck disable=SC2016 # the shell in the root expands them
within root /root '
    { ./demo --exit || echo $? >/tmp/failed; } | { read -r line; date +%s >/tmp/first-line; echo "$line"; cat; }
    [ ! -e /tmp/failed ] || exit "$(cat /tmp/failed)"' || fail "./demo --exit exited with $?"
say "the demo's first line came $(($(cat "$root/tmp/first-line") - begin)) s after ./demo was typed in a new clone"
say "root protects an API"
own_network=yes
within root /root 'sh xtask/first-key.sh' || fail "xtask/first-key.sh exited with $?"
own_network=''
say "root runs some steps of the tests"  # without time limits: another step may run at the same time
within root /root './test --no-time-limits --only tidy' || fail "./test --only tidy exited with $?"
within root /root './test --no-time-limits --only install' || fail "./test --only install exited with $?"
within root /root './test --no-time-limits --only fmt' || fail "./test --only fmt exited with $?"
say "passed"
