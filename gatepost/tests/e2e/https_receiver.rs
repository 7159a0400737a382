//! Receivers of webhooks over HTTPS, each a program that verifies requests with a library of another language.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::test_cluster::DEADLINE;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
/// Where `cargo xtask test --only packages` installs the PyPI packages.
pub(crate) const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python-packages/bin/python");
/// Maximum number of lines of a receiver that wait for the test.
const MAX_LINES: usize = 100;

/// Certificate authority of a test, with the certificate of a server at 127.0.0.1.
pub(crate) struct TestCa {
    pub(crate) ca_file: PathBuf,
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl TestCa {
    pub(crate) fn create(directory: &Path) -> Self {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca_params = CertificateParams::new([]).unwrap();
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca_params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca_params, ca_key);
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let write = |name: &str, pem: String| {
            let file = directory.join(name);
            std::fs::write(&file, pem).unwrap();
            file
        };
        Self {
            ca_file: write("ca.pem", ca.pem()),
            certificate_file: write("server.pem", certificate.pem()),
            key_file: write("server.key", key.serialize_pem()),
        }
    }

    /// Returns a client that trusts this authority alone.
    pub(crate) fn client(&self) -> Client {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = Certificate::from_pem(&std::fs::read(&self.ca_file).unwrap()).unwrap();
        Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap()
    }
}

/// Running receiver, killed when dropped.
pub(crate) struct HttpsReceiver {
    /// Language and library.
    pub(crate) name: String,
    pub(crate) url: String,
    process: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl HttpsReceiver {
    /// Starts a receiver in Node with an npm package.
    pub(crate) fn node(package: &str, ca: &TestCa) -> Self {
        let mut command = Command::new("node");
        command.arg("receiver.mjs").arg(package).current_dir(Path::new(TESTS).join("npm"));
        Self::start(format!("Node, {package}"), command, ca)
    }

    /// Starts a receiver in Python with a module.
    pub(crate) fn python(module: &str, ca: &TestCa) -> Self {
        let mut command = Command::new(PYTHON);
        command.arg("receiver.py").arg(module).current_dir(Path::new(TESTS).join("python"));
        Self::start(format!("Python, {module}"), command, ca)
    }

    fn start(name: String, mut command: Command, ca: &TestCa) -> Self {
        command.arg(&ca.certificate_file).arg(&ca.key_file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{name}: {error}: packages are missing? Run: cargo xtask test --only packages");
        });
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(MAX_LINES);
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut receiver = Self { name, url: String::new(), process, input, lines };
        receiver.url = format!("https://127.0.0.1:{}/", receiver.next_line());
        receiver
    }

    /// Sets what the next requests are verified with.
    pub(crate) fn set(&mut self, secret: &Value, public_key: &Value) {
        writeln!(self.input, "{}", json!({"secret": secret, "publicKey": public_key})).unwrap();
        assert_eq!(self.next_line(), "set");
    }

    /// Waits for the next request, and returns it with what was verified.
    pub(crate) fn next_request(&self) -> Value {
        serde_json::from_str(&self.next_line()).unwrap()
    }

    fn next_line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap_or_else(|error| panic!("{} prints nothing: {error}", self.name))
    }
}

impl Drop for HttpsReceiver {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
