//! TLS in front of a receiver, with a certificate of an authority that is made for the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Time that one direction waits for bytes before the other gets its turn.
const TURN: Duration = Duration::from_millis(5);
/// Makes an authority, and a certificate that it signs for the names in `$NAMES`.
const SCRIPT: &str = r#"
set -e
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "$@"; }
make -keyout ca.key -out ca.pem -subj "/CN=Authority of a test"
make -keyout receiver.key -out receiver.pem -subj "/CN=Receiver of a test" -CA ca.pem -CAkey ca.key \
  -addext "subjectAltName=DNS:$NAMES" -addext basicConstraints=critical,CA:FALSE
"#;

/// Authority with one certificate, whose files are in a directory of the test.
pub(super) struct Authority {
    directory: PathBuf,
    config: Arc<ServerConfig>,
}

impl Authority {
    /// Makes an authority and its certificate, for names such as `*.example.com`.
    pub(super) fn create(directory: &Path, names: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).env("NAMES", names).current_dir(directory);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = CertificateDer::from_pem_file(directory.join("receiver.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.join("receiver.key")).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        Self { directory: directory.to_owned(), config: Arc::new(config) }
    }

    /// Returns the file of the authority's own certificate, which clients must trust.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Terminates TLS on an address, and forwards each connection to a receiver.
    pub(super) fn listen(&self, address: SocketAddr, receiver: SocketAddr) {
        let listener = TcpListener::bind(address).unwrap();
        let config = Arc::clone(&self.config);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let receiver = TcpStream::connect(receiver).unwrap();
                std::thread::spawn(move || forward(StreamOwned::new(tls, client), receiver));
            }
        });
    }
}

/// Forwards in both directions, in turns, until one side closes.
fn forward(mut client: StreamOwned<ServerConnection, TcpStream>, mut receiver: TcpStream) {
    let _ = client.sock.set_read_timeout(Some(TURN));
    let _ = receiver.set_read_timeout(Some(TURN));
    loop {
        let is_open = copy_turn(&mut client, &mut receiver) && copy_turn(&mut receiver, &mut client);
        if !is_open {
            client.conn.send_close_notify();
            let _ = client.flush();
            return;
        }
    }
}

/// Copies what arrives within a turn. Returns whether the connection is still open.
fn copy_turn(from: &mut impl Read, to: &mut impl Write) -> bool {
    let mut chunk = [0; 16 * 1024];
    match from.read(&mut chunk) {
        Ok(0) => false,
        Ok(read) => to.write_all(&chunk[..read]).and_then(|()| to.flush()).is_ok(),
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
