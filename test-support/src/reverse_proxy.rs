//! nginx or HAProxy process.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::free_port;

/// Number of attempts, 20 ms apart, until the start fails.
const MAX_TRIES: u32 = 500;

/// Reverse proxy on the loopback interface, killed when dropped.
#[derive(Debug)]
pub struct ReverseProxy {
    address: SocketAddr,
    process: Child,
    _directory: TempDir,
}

impl ReverseProxy {
    /// Starts an nginx that proxies all requests to an address, with additional directives.
    ///
    /// # Panics
    /// If nginx is not installed or does not start.
    pub fn nginx(target: SocketAddr, directives: &str) -> Self {
        Self::start("nginx.conf", |listen| nginx_conf(listen, target, directives), nginx)
    }

    /// Starts an nginx with TLS that responds to all requests by itself, and names in `x-connection` the connection on
    /// which each came.
    ///
    /// # Panics
    /// If nginx is not installed or does not start.
    pub fn https(certificate: &Path, key: &Path) -> Self {
        Self::start("nginx.conf", |listen| https_conf(listen, certificate, key), nginx)
    }

    /// Starts an HAProxy that reports the state of the backends at `/;csv`.
    ///
    /// # Panics
    /// If HAProxy is not installed or does not start.
    pub fn haproxy(backends: &str) -> Self {
        Self::start("haproxy.cfg", |listen| haproxy_cfg(listen, backends), haproxy)
    }

    fn start(
        file: &str,
        configuration: impl FnOnce(SocketAddr) -> String,
        command: impl FnOnce(&Path, &Path) -> Command,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let path = directory.path().join(file);
        std::fs::write(&path, configuration(address)).expect("our own file can be written");
        let mut command = command(directory.path(), &path);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the proxy is installed");
        let mut proxy = Self { address, process, _directory: directory };
        proxy.await_listening();
        proxy
    }

    /// Returns the address on which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn await_listening(&mut self) {
        for _ in 0..MAX_TRIES {
            // If another process has taken the port, ours has exited.
            let has_ended = self.process.try_wait().expect("our own child can be waited for").is_some();
            assert!(!has_ended, "the proxy did not start on {}", self.address);
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the proxy did not listen on {}", self.address);
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn nginx(directory: &Path, file: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(directory).arg("-c").arg(file);
    command
}

/// Returns a configuration with a single process, so that killing it leaves none behind, and with all files in its own
/// directory.
fn nginx_conf(listen: SocketAddr, target: SocketAddr, directives: &str) -> String {
    nginx_server(&format!("listen {listen}; location / {{ proxy_pass http://{target}; {directives} }}"))
}

fn https_conf(listen: SocketAddr, certificate: &Path, key: &Path) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    nginx_server(&format!(
        "listen {listen} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    location / {{ add_header x-connection $connection; return 200; }}"
    ))
}

fn nginx_server(directives: &str) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{
    {directives}
  }}
}}
"
    )
}

fn haproxy(_directory: &Path, file: &Path) -> Command {
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    command
}

fn haproxy_cfg(listen: SocketAddr, backends: &str) -> String {
    format!(
        "defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  timeout check 5s
frontend state
  bind {listen}
  stats enable
  stats uri /
{backends}"
    )
}
