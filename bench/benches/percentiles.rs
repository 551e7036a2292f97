//! What measurements share: the percentiles of many durations, and this process' memory.

use std::time::Duration;

/// Sorts `durations` and gives their median, 99th and 99.9th percentile.
pub fn percentiles(durations: &mut [Duration]) -> [Duration; 3] {
    durations.sort_unstable();
    [500, 990, 999].map(|permille| {
        let index = durations.len().saturating_sub(1) * permille / 1_000;
        durations.get(index).copied().unwrap_or_default()
    })
}

/// Resident memory of this process in bytes, as Linux tells it; 0 elsewhere.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1_024
}
