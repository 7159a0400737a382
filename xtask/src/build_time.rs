//! Estimates of build times, for progress messages.

/// Time of a build: a serial part, and a part that is distributed over all cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuildTime {
    /// Seconds of serial work, such as linking.
    pub(crate) serial_s: u64,
    /// Core seconds of parallel work.
    pub(crate) parallel_core_s: u64,
}

impl BuildTime {
    /// Returns an estimate such as "about 5 minutes on 2 cores".
    pub(crate) fn estimate(self) -> String {
        let cores = cores();
        let minutes = self.seconds_on(cores).div_ceil(60);
        let (minute_word, core_word) = (plural(minutes, "minute"), plural(cores, "core"));
        format!("about {minutes} {minute_word} on {cores} {core_word}, longer if the machine is busy")
    }

    /// Returns the seconds on a number of cores.
    fn seconds_on(self, cores: u64) -> u64 {
        self.serial_s + self.parallel_core_s / cores.max(1)
    }
}

/// Returns the number of cores that this process may use.
pub(crate) fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_cores_shorten_the_parallel_part_only() {
        let build = BuildTime { serial_s: 60, parallel_core_s: 600 };
        assert_eq!([0, 1, 2, 10].map(|cores| build.seconds_on(cores)), [660, 660, 360, 120]);
    }
}
