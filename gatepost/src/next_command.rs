//! Commands to try next, as a person can paste them into another terminal in the same directory.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;

use gatepost_store::StoreUrl;

use crate::admin_url::{AdminUrl, reachable_address};

/// Ports that commands use unless they are told otherwise.
const USUAL_GATEWAY_PORT: u16 = 8080;
const USUAL_ADMIN_PORT: u16 = 8081;
/// File with the first access key of an embedded store.
pub(crate) const FIRST_ACCESS_KEY_FILE: &str = "first-access-key";
/// Where commands look for an access key by themselves.
const USUAL_STORE: &str = "gatepost-data";

/// Where a command that creates a key finds what it needs.
#[derive(Debug)]
pub(crate) struct NextCommand<'a> {
    /// What comes before the command: an assignment of the access key, or nothing.
    pub(crate) access_key: Cow<'a, str>,
    pub(crate) admin: SocketAddr,
    /// The only address at which plain HTTP is served, if there is one.
    pub(crate) gateway: Option<SocketAddr>,
}

impl NextCommand<'_> {
    /// Returns a command that creates a key. `options` are those of the key.
    pub(crate) fn create_key(&self, options: &str) -> String {
        let mut command = format!("{}{} key create {options}", self.access_key, program());
        if self.admin != SocketAddr::from(([127, 0, 0, 1], USUAL_ADMIN_PORT)) {
            command.push_str(&format!(" --admin-url {}", AdminUrl::of_listener(self.admin)));
        }
        // For the curl command that it prints.
        let usual = SocketAddr::from(([127, 0, 0, 1], USUAL_GATEWAY_PORT));
        if let Some(gateway) = self.gateway.map(reachable_address).filter(|gateway| *gateway != usual) {
            command.push_str(&format!(" --listen {gateway}"));
        }
        command
    }
}

/// Returns what assigns the first access key of a store to the environment of a command: nothing if the command finds
/// it by itself.
pub(crate) fn first_access_key_of(store: &StoreUrl) -> Cow<'static, str> {
    if let StoreUrl::Embedded(directory) = store {
        let file = directory.join(FIRST_ACCESS_KEY_FILE);
        if is_same(directory, Path::new(USUAL_STORE)) && file.exists() {
            return Cow::Borrowed("");
        }
        if file.exists() {
            return Cow::Owned(format!("GATEPOST_ACCESS_KEY=$(cat {}) ", quoted(&file.display().to_string())));
        }
    }
    Cow::Borrowed("GATEPOST_ACCESS_KEY=YOUR_ACCESS_KEY ")
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Returns this program as it was called, if that was by a path.
fn program() -> String {
    let called = std::env::args().next().filter(|called| called.contains('/'));
    called.map_or_else(|| "gatepost".to_owned(), |called| quoted(&called))
}

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unusual_is_named() {
        let command = |admin: &str, gateway: Option<&str>| {
            let gateway = gateway.map(|gateway| gateway.parse().unwrap());
            let next = NextCommand { access_key: "".into(), admin: admin.parse().unwrap(), gateway };
            let command = next.create_key("--name Jane");
            command.split_once(" key ").unwrap().1.to_owned()
        };
        assert_eq!(command("127.0.0.1:8081", Some("0.0.0.0:8080")), "create --name Jane");
        assert_eq!(command("127.0.0.1:8081", None), "create --name Jane");
        let all = "create --name Jane --admin-url http://127.0.0.1:9000 --listen [::1]:80";
        assert_eq!(command("0.0.0.0:9000", Some("[::]:80")), all);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        assert_eq!(quoted("target/debug/gatepost"), "target/debug/gatepost");
        assert_eq!(quoted("my dir/it's $HOME"), "'my dir/it'\\''s $HOME'");
    }
}
