//! A server on an empty store of its own, for tools that call the admin API from outside.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::run::{root, run};

/// How often the starting server is asked, and the pause between.
const MAX_TRIES: u32 = 600;
const TRY_INTERVAL: Duration = Duration::from_millis(100);

/// A server that is killed when dropped.
pub(crate) struct GatepostServer {
    child: Child,
    /// Where its admin API listens.
    pub(crate) address: String,
    /// An admin's access key.
    pub(crate) access_key: String,
}

impl Drop for GatepostServer {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has told.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl GatepostServer {
    /// Builds the program and starts it in a directory of that name below target, which is emptied before.
    pub(crate) fn start(name: &str) -> anyhow::Result<Self> {
        run("cargo", &["build", "--package", "gatepost", "--locked"])?;
        let directory = create_empty_directory(name)?;
        // Between here and its use somebody else could take it, which the run would tell.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = Command::new(root().join("target/debug/gatepost"))
            .args(["up", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(["--admin-listen", &address])
            .current_dir(&directory)
            .stderr(Stdio::from(std::fs::File::create(directory.join("log"))?))
            .spawn()
            .context("cannot start the server")?;
        let mut server = Self { child, address, access_key: String::new() };
        server.access_key = await_access_key(&directory)?;
        Ok(server)
    }
}

fn create_empty_directory(name: &str) -> anyhow::Result<PathBuf> {
    let directory = root().join("target").join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The access key that the server makes for its empty store.
fn await_access_key(directory: &Path) -> anyhow::Result<String> {
    let file = directory.join("gatepost-data/first-access-key");
    for _ in 0..MAX_TRIES {
        match std::fs::read_to_string(&file) {
            Ok(text) if !text.is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) | Err(_) => std::thread::sleep(TRY_INTERVAL),
        }
    }
    bail!("the server did not start; its log is {}", directory.join("log").display())
}
