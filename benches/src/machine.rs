//! Cores, and the processor time and memory of processes, as /proc tells them.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Ticks of /proc in a second: what Linux shows to programs on every machine.
const TICKS_A_SECOND: u64 = 100;

/// Where something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// What is measured.
    Proxy,
    /// Load generator, upstream and store.
    Load,
    /// Wherever the system puts it.
    Any,
}

impl Core {
    fn number(self) -> Option<usize> {
        match self {
            Core::Load => Some(0),
            Core::Proxy => Some(1),
            Core::Any => None,
        }
    }

    /// The calling thread runs there from now on.
    pub(crate) fn pin_thread(self) -> anyhow::Result<()> {
        let mut cores = CpuSet::new();
        match self.number() {
            Some(number) => cores.set(number),
            None => (0..core_count()).for_each(|number| cores.set(number)),
        }
        sched_setaffinity(None, &cores).context("cannot choose a core")
    }

    /// A command that runs there.
    pub(crate) fn command(self, program: &str) -> Command {
        match self.number() {
            None => Command::new(program),
            Some(number) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &number.to_string(), program]);
                command
            }
        }
    }

    /// Moves a running process with all its threads.
    pub(crate) fn pin_process(self, pid: u32) -> anyhow::Result<()> {
        let cores = self.number().map_or_else(|| format!("0-{}", core_count() - 1), |number| number.to_string());
        let arguments = ["--all-tasks", "--cpu-list", "--pid", &cores, &pid.to_string()];
        let output = Command::new("taskset").args(arguments).output().context("cannot run taskset")?;
        anyhow::ensure!(output.status.success(), "cannot move process {pid} to core {cores}");
        Ok(())
    }
}

/// Cores of this machine.
pub(crate) fn core_count() -> usize {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// What it is, for reports.
pub(crate) fn description() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    format!("{} cores, {model}", core_count())
}

/// User and system time of a process and all that it has started.
pub(crate) fn process_cpu_time(pid: u32) -> Duration {
    let stats = read_stats();
    let ticks = process_tree(pid, &stats).iter().filter_map(|pid| stats.get(pid)).map(|stat| stat.ticks).sum::<u64>();
    Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn read_stats() -> HashMap<u32, Stat> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, read_stat(pid)?))).collect()
}

fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

fn process_tree(root: u32, stats: &HashMap<u32, Stat>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(stats.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// What all cores did up to a moment: how a run was disturbed is seen from two of these.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuSnapshot {
    busy: u64,
    stolen: u64,
}

impl CpuSnapshot {
    /// Now.
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let of = |index: usize| fields.get(index).copied().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal
        Self { busy: of(0) + of(1) + of(2) + of(5) + of(6), stolen: of(7) }
    }

    /// Core seconds since then: busy, and taken away by the host.
    pub(crate) fn since(self, earlier: Self) -> (f64, f64) {
        let seconds = |ticks: u64| ticks as f64 / TICKS_A_SECOND as f64;
        (seconds(self.busy - earlier.busy), seconds(self.stolen - earlier.stolen))
    }
}
