//! Network and mount namespaces of a test: it has its own loopback interface with public addresses, its own resolver
//! configuration, and no way to the network of the machine.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::fair_share::report;

/// Environment variable that is set inside.
const MARK: &str = "GATEPOST_TEST_NAMESPACE";
/// Gives the interface its addresses, mounts a resolver configuration over the system's, and runs the test. Two queries
/// that fail are a failure of the lookup, after a second each.
const SCRIPT: &str = r#"
set -e
ip link set lo up
for address in $ADDRESSES; do ip address add "$address/32" dev lo; done
mount -t tmpfs tmpfs /mnt
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:2\n' > /mnt/resolv.conf
mount --bind /mnt/resolv.conf "$(realpath /etc/resolv.conf)"
exec "$@"
"#;

/// Returns whether this process runs inside. If not, runs a test of this program again inside, and fails if it fails.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration that could read it")]
pub(crate) fn enter(test: &str, addresses: &[Ipv4Addr]) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let addresses: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
    let program = std::env::current_exe().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--map-root-user", "sh", "-c", SCRIPT, "sh"]).arg(program);
    unshare.args(["--exact", test, "--nocapture"]).env(MARK, "1").env("ADDRESSES", addresses.join(" "));
    let output = unshare.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    report(String::from_utf8_lossy(&output.stderr).trim());
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "{test} was not found: {printed}");
    false
}
