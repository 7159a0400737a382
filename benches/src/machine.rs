//! Cores, and CPU time and memory of processes from /proc.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Ticks per second in /proc, which are the same on all Linux systems.
const TICKS_A_SECOND: u64 = 100;

/// Core on which something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    Proxy,
    /// The load generator, the upstream and the store.
    Load,
    /// Any core that the system chooses.
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

    /// Pins the calling thread to the core.
    pub(crate) fn pin_thread(self) -> anyhow::Result<()> {
        let mut cores = CpuSet::new();
        match self.number() {
            Some(number) => cores.set(number),
            None => (0..core_count()).for_each(|number| cores.set(number)),
        }
        sched_setaffinity(None, &cores).context("cannot pin the thread to a core")
    }

    /// Returns a command that runs on the core.
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

    /// Pins a running process with all its threads to the core.
    pub(crate) fn pin_process(self, pid: u32) -> anyhow::Result<()> {
        let cores = self.number().map_or_else(|| format!("0-{}", core_count() - 1), |number| number.to_string());
        let arguments = ["--all-tasks", "--cpu-list", "--pid", &cores, &pid.to_string()];
        let output = Command::new("taskset").args(arguments).output().context("cannot run taskset")?;
        anyhow::ensure!(output.status.success(), "cannot pin process {pid} to core {cores}");
        Ok(())
    }
}

/// Returns the number of cores of this machine.
pub(crate) fn core_count() -> usize {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// Returns a description of the machine for reports.
pub(crate) fn description() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    format!("{} cores, {model}", core_count())
}

/// Returns the user and system time of a process and its descendants.
pub(crate) fn process_cpu_time(pid: u32) -> Duration {
    let stats = read_stats();
    let ticks = process_tree(pid, &stats).iter().filter_map(|pid| stats.get(pid)).map(|stat| stat.ticks).sum::<u64>();
    Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
}

/// Returns the resident memory of a process and its descendants in bytes. What they share counts for each.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    process_tree(pid, &read_stats()).into_iter().map(resident_bytes_of_one).sum()
}

fn resident_bytes_of_one(pid: u32) -> u64 {
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
    // The name, in parentheses, may contain any character.
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

/// CPU time of all cores since boot. The difference of two snapshots shows how much a run was disturbed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuSnapshot {
    busy: u64,
    stolen: u64,
}

impl CpuSnapshot {
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let ticks = |index: usize| fields.get(index).copied().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal
        Self { busy: ticks(0) + ticks(1) + ticks(2) + ticks(5) + ticks(6), stolen: ticks(7) }
    }

    /// Returns the core seconds since an earlier snapshot: busy, and stolen by the host.
    pub(crate) fn since(self, earlier: Self) -> (f64, f64) {
        let seconds = |ticks: u64| ticks as f64 / TICKS_A_SECOND as f64;
        (seconds(self.busy - earlier.busy), seconds(self.stolen - earlier.stolen))
    }
}
