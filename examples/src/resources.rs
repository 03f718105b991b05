//! What a run cost: CPU time and memory of this process, where the system tells (Linux).

/// CPU seconds, user and system, of all threads so far, those that have ended included.
#[cfg(target_os = "linux")]
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    None
}

/// The largest resident size so far, in bytes.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
