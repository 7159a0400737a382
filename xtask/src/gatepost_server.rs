//! Server on a new store, for tools that test the admin API.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::run::{create_empty_directory, root, run};

/// Number of attempts until the start fails, and interval between two.
const MAX_TRIES: u32 = 600;
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// Running server, killed when dropped.
pub(crate) struct GatepostServer {
    child: Child,
    /// Address of the admin API.
    pub(crate) address: String,
    /// Address of the gateway, whose upstream does not exist.
    pub(crate) gateway: String,
    /// Access key with the role admin.
    pub(crate) access_key: String,
}

impl Drop for GatepostServer {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl GatepostServer {
    /// Builds the program, and starts it in an empty directory of the given name below target.
    pub(crate) fn start(name: &str) -> anyhow::Result<Self> {
        run("cargo", &["build", "--package", "gatepost", "--locked"])?;
        let directory = root().join("target").join(name);
        create_empty_directory(&directory)?;
        // Another process could take the port before the server listens. Then the start fails.
        let (address, gateway) = (free_address()?, free_address()?);
        let child = Command::new(root().join("target/debug/gatepost"))
            .args(["up", "--upstream", "http://127.0.0.1:9", "--listen", &gateway, "--ops-listen", "127.0.0.1:0"])
            .args(["--admin-listen", &address])
            .env("GATEPOST_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "true")
            .current_dir(&directory)
            .stderr(Stdio::from(std::fs::File::create(directory.join("log"))?))
            .spawn()
            .context("cannot start the server")?;
        let mut server = Self { child, address, gateway, access_key: String::new() };
        server.access_key = await_start(&directory, &server.address)?;
        Ok(server)
    }
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Waits until the server listens and has written the first access key to a file, and returns the key.
fn await_start(directory: &Path, address: &str) -> anyhow::Result<String> {
    let file = directory.join("gatepost-data/first-access-key");
    for _ in 0..MAX_TRIES {
        match std::fs::read_to_string(&file) {
            Ok(text) if !text.is_empty() && TcpStream::connect(address).is_ok() => return Ok(text.trim().to_owned()),
            Ok(_) | Err(_) => std::thread::sleep(TRY_INTERVAL),
        }
    }
    bail!("the server did not start, see its log: {}", directory.join("log").display())
}
