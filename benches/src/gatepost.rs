//! Processes of Gatepost, built as for packages, on their own Redis.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::machine::Core;
use crate::process::Process;

/// Master key of the benchmarks: the base64 of 32 bytes.
pub(crate) const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Log message of a process that has started.
const STARTED_MESSAGE: &str = "started";

#[derive(Debug)]
pub(crate) struct GatepostProcess {
    pub(crate) process: Process,
    /// Address of the gateway, if the process has one.
    pub(crate) gateway: Option<SocketAddr>,
    /// Address of the admin API, if the process has one.
    pub(crate) admin: Option<SocketAddr>,
    /// Address of its metrics.
    pub(crate) ops: Option<SocketAddr>,
    /// Time from the start until the process was ready.
    pub(crate) ready_after: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct StartOptions<'a> {
    /// Program to start. `None` for the one that was built together with this one.
    pub(crate) program: Option<&'a Path>,
    pub(crate) directory: &'a Path,
    /// Name of the log file, which must be unique in the directory.
    pub(crate) name: &'a str,
    /// Arguments such as `gateway --upstream …`.
    pub(crate) arguments: Vec<String>,
    pub(crate) store: String,
    pub(crate) core: Core,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl GatepostProcess {
    /// Starts a process, and waits until it has logged that it is ready.
    pub(crate) fn start(options: StartOptions<'_>) -> anyhow::Result<Self> {
        let program = options.program.map_or_else(|| built_program("gatepost"), |program| Ok(program.to_owned()))?;
        let mut command = options.core.command(&program.display().to_string());
        command.args(&options.arguments).args(["--store", &options.store]);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        command.env("GATEPOST_MASTER_KEY", MASTER_KEY).env("GATEPOST_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "true");
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        let started_at = tokio::time::Instant::now();
        let mut process = Process::start(command, options.directory, options.name)?;
        let mut addresses_by_message = HashMap::new();
        let log = options.directory.join(format!("{}.log", options.name));
        process.await_condition(|| {
            addresses_by_message = parse_addresses(&std::fs::read_to_string(&log).unwrap_or_default());
            addresses_by_message.contains_key(STARTED_MESSAGE)
        })?;
        let ready_after = started_at.elapsed();
        let address = |message: &str| addresses_by_message.get(message).copied();
        let (gateway, admin) = (address("the gateway listens"), address("the admin API listens"));
        Ok(Self { process, gateway, admin, ops: address(STARTED_MESSAGE), ready_after })
    }
}

/// Returns the addresses that a process logs at its start, by log message.
fn parse_addresses(log: &str) -> HashMap<String, SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let address = |line: &Value| {
        let text = line["address"].as_str().or(line["ops"].as_str())?;
        Some((line["message"].as_str()?.to_owned(), text.parse().ok()?))
    };
    lines.filter_map(|line| address(&line)).collect()
}

/// Creates an access key of the first account of a store, and returns its value.
pub(crate) fn create_access_key(store: &str) -> anyhow::Result<String> {
    let output = Command::new(built_program("gatepost")?)
        .args(["access-key", "create", "--output", "json", "--store", store])
        .env("GATEPOST_MASTER_KEY", MASTER_KEY)
        .output()?;
    ensure!(output.status.success(), "no access key: {}", String::from_utf8_lossy(&output.stderr));
    let created: Value = serde_json::from_slice(&output.stdout)?;
    Ok(created["key"].as_str().context("the command prints no key")?.to_owned())
}

/// Returns the path of a program that was built together with this one.
pub(crate) fn built_program(name: &str) -> anyhow::Result<PathBuf> {
    built_program_in(&executable_directory()?, name)
}

/// Returns the directory of this program.
pub(crate) fn executable_directory() -> anyhow::Result<PathBuf> {
    let mut path = std::env::current_exe().context("cannot find the path of this program")?;
    path.pop();
    Ok(path)
}

/// Returns the path of a program that was built into a directory.
pub(crate) fn built_program_in(directory: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let program = directory.join(name);
    if !program.exists() {
        bail!("{} is not built: use cargo xtask bench", program.display());
    }
    Ok(program)
}

/// Returns the path of a program from a Python package that `cargo xtask bench` has installed.
pub(crate) fn find_python_peer(name: &str) -> Option<PathBuf> {
    let program = results_directory().ok()?.join("venv").join("bin").join(name);
    program.exists().then_some(program)
}

/// Returns the directory of results, in the workspace in which `cargo xtask bench` runs.
pub(crate) fn results_directory() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_dir().context("cannot find the working directory")?.join("target/bench"))
}
