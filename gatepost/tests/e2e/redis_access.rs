//! Redis with TLS, passwords in files, and sentinels with users of their own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gatepost_test_support::{RedisServer, SentinelSet, free_port};
use tempfile::TempDir;

use crate::certificates::{Authority, Files};
use crate::listen::outcome;
use crate::process::run;

const ACL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/redis/gatepost.acl"));
/// A password with characters that mean something in a URL.
const PASSWORD: &str = "p@ss:/#?%41";

/// A directory with a configuration.
struct Operator {
    directory: TempDir,
}

impl Operator {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Creates an access key with a `[store]` of these lines, and returns the exit code and standard error.
    fn create_access_key(&self, store: &str) -> (Option<i32>, String) {
        self.write("gatepost.toml", &format!("[store]\n{store}"));
        let (code, stdout, stderr) = outcome(&run(self.path(), &["access-key", "create"]));
        assert_eq!(code == Some(0), stdout.starts_with("live_access_"), "{stderr}");
        assert!(!stderr.contains(PASSWORD), "{stderr}");
        (code, stderr)
    }
}

/// Starts a server that also listens with TLS, and returns the port of it.
fn start_with_tls(authority: &Authority, files: &Files, extra_arguments: &[&str]) -> (RedisServer, u16) {
    let port = free_port();
    let path = |path: &Path| path.display().to_string();
    let mut arguments =
        vec!["--tls-port".to_owned(), port.to_string(), "--tls-cert-file".to_owned(), path(&files.cert)];
    arguments.extend(["--tls-key-file".to_owned(), path(&files.key)]);
    arguments.extend(["--tls-ca-cert-file".to_owned(), path(&authority.ca_file)]);
    arguments.extend(extra_arguments.iter().map(|argument| (*argument).to_owned()));
    (RedisServer::start_with(&arguments), port)
}

/// Returns the lines of `[store.tls]`.
fn tls(entries: &[(&str, &Path)]) -> String {
    let mut text = "[store.tls]\n".to_owned();
    for (key, path) in entries {
        writeln!(text, "{key} = {:?}", path.display().to_string()).unwrap();
    }
    text
}

#[test]
fn redis_over_tls_is_used_with_the_configured_authority_and_client_certificate_only() {
    let operator = Operator::new();
    let authority = Authority::create(operator.path(), "ca");
    let stranger = Authority::create(operator.path(), "stranger");
    let client = authority.issue("client", &["client"]);
    let server = authority.issue("server", &["localhost"]);
    let (_redis, port) = start_with_tls(&authority, &server, &["--tls-auth-clients", "yes"]);
    let url = format!("url = \"rediss://localhost:{port}\"\n");
    let certificate = [("cert_file", client.cert.as_path()), ("key_file", client.key.as_path())];

    let untrusted = "the certificate of the server is not accepted";
    for (store, expected) in [
        (url.clone(), untrusted),
        (format!("{url}{}", tls(&[("ca_file", &stranger.ca_file)])), untrusted),
        (format!("{url}{}", tls(&[("ca_file", &authority.ca_file)])), "store.tls.cert_file"),
        (
            format!(
                "url = \"rediss://127.0.0.1:{port}\"\n{}",
                tls(&[("ca_file", &authority.ca_file), certificate[0], certificate[1]])
            ),
            untrusted,
        ),
    ] {
        let (code, stderr) = operator.create_access_key(&store);
        assert!(code == Some(1) && stderr.contains(expected), "{store}\n{stderr}");
    }
    let store = format!("{url}{}", tls(&[("ca_file", &authority.ca_file), certificate[0], certificate[1]]));
    assert_eq!(operator.create_access_key(&store), (Some(0), String::new()));
}

#[test]
fn a_cluster_over_tls_is_used() {
    let operator = Operator::new();
    let authority = Authority::create(operator.path(), "ca");
    let server = authority.issue("server", &["localhost"]);
    let bus = free_port().to_string();
    let arguments =
        ["--tls-auth-clients", "no", "--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    let (redis, port) = start_with_tls(&authority, &server, &arguments);
    assert_eq!(redis.redis_cli(&["cluster", "addslotsrange", "0", "16383"]), "OK");
    while !redis.redis_cli(&["cluster", "info"]).contains("cluster_state:ok") {}
    let url = format!("url = \"rediss+cluster://localhost:{port}\"\n");
    let store = format!("{url}{}", tls(&[("ca_file", &authority.ca_file)]));
    assert_eq!(operator.create_access_key(&store), (Some(0), String::new()));
}

#[test]
fn url_and_password_are_read_from_files() {
    let operator = Operator::new();
    let redis = RedisServer::start_with_acl(&ACL.replace("CHANGE-ME", PASSWORD));
    operator.write("url", &format!("redis://gatepost@127.0.0.1:{}\n", redis.port()));
    operator.write("password", &format!("{PASSWORD}\n"));
    let files = "url_file = \"url\"\npassword_file = \"password\"\n";
    assert_eq!(operator.create_access_key(files), (Some(0), String::new()));
    let (code, stderr) = operator.create_access_key("url_file = \"url\"\n");
    assert!(code == Some(1) && stderr.contains("the server requires a login: store.url has the user"), "{stderr}");
    operator.write("password", "wrong\n");
    let (code, stderr) = operator.create_access_key(files);
    assert!(code == Some(1) && stderr.contains("the server does not accept the user and password"), "{stderr}");
}

#[test]
fn sentinels_are_asked_with_a_user_of_their_own() {
    let operator = Operator::new();
    let set = SentinelSet::start();
    let password = format!(">{PASSWORD}");
    for sentinel in &set.sentinels {
        let user = ["acl", "setuser", "watcher", "on", &password, "-@all", "+role", "+sentinel|masters"];
        assert_eq!(sentinel.redis_cli(&user), "OK");
        assert_eq!(sentinel.redis_cli(&["acl", "setuser", "default", "off"]), "OK");
    }
    operator.write("password", PASSWORD);
    let url = format!("url = \"{}\"\n", set.url());
    let (code, stderr) = operator.create_access_key(&url);
    assert!(code == Some(1) && stderr.contains("the server requires a login: store.url has the user"), "{stderr}");
    let login = format!("{url}sentinel_user = \"watcher\"\nsentinel_password_file = \"password\"\n");
    assert_eq!(operator.create_access_key(&login), (Some(0), String::new()));
    let (code, stderr) = operator.create_access_key(&format!("{url}sentinel_password = \"wrong\"\n"));
    assert!(code == Some(1) && stderr.contains("the server does not accept the user and password"), "{stderr}");
}
