//! Fuzz target of the configuration: an error says where it is, and what is accepted can be started with. The input is
//! a file, or a file and environment variables with a NUL before each of them.
#![no_main]

// The program is no library.
#[path = "../../gatepost/src"]
mod gatepost {
    #[expect(dead_code, unused_imports, reason = "the program uses all of it")]
    pub(crate) mod config;
}

use std::ffi::OsString;
use std::path::Path;

use gatepost::config::{Config, Overrides, parse};
use gatepost_domain::path::CanonicalPath;
use libfuzzer_sys::fuzz_target;

const FILE: &str = "gatepost.toml";

fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let text = parts.next().unwrap_or_default();
    let variables: Vec<(OsString, OsString)> = parts
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    // No file of this machine is read: each contains its own path.
    let read = |path: &Path| Ok(path.display().to_string());
    match parse(FILE, text, variables.clone().into_iter(), &Overrides::default(), &read) {
        Ok(config) => check(&config),
        Err(errors) => check_error(&errors.to_string(), text, &variables),
    }
});

/// The first error begins with a line of the file or with a variable, which may have any name.
fn check_error(errors: &str, text: &str, variables: &[(OsString, OsString)]) {
    let is_of = |place: &str| errors.strip_prefix(place).is_some_and(|rest| rest.starts_with(": "));
    let line = errors.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
    if let Some((line, what)) = line {
        let line: usize = line.parse().expect("the place is a line");
        assert!((1..=text.split('\n').count()).contains(&line) && !what.is_empty(), "{errors}");
    } else {
        let variables = variables.iter().map(|(name, _)| name.to_str().expect("the input is UTF-8"));
        assert!(variables.chain(["configuration"]).any(is_of), "{errors}");
    }
}

fn check(config: &Config) {
    let gateway = &config.gateway;
    for route in &gateway.routes {
        let upstream = gateway.upstreams.iter().find(|upstream| upstream.options.name == route.upstream);
        let has_server = upstream.is_some_and(|upstream| !upstream.options.servers.is_empty());
        assert!(has_server || route.respond.is_some(), "{route:?} leads nowhere");
        assert!(CanonicalPath::parse(&route.path).is_ok_and(|path| path.is_unchanged()), "{route:?}");
        let host = route.host.as_deref().unwrap_or("host");
        assert!(!host.is_empty() && !host.contains(char::is_uppercase), "{route:?}");
    }
    let admin = &config.control_plane;
    assert!(admin.is_behind_proxy || admin.listen.ip().is_loopback(), "{admin:?}");
    assert!(config.store.namespace.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
}
