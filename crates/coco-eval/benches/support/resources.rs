//! What a process has used so far.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Time that a piece of work took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall_seconds: f64,
    /// User and system time of all threads together.
    pub(crate) cpu_seconds: f64,
}

/// Does a piece of work and tells what it cost the process.
pub(crate) fn timed<R, E>(work: impl FnOnce() -> Result<R, E>) -> Result<(R, Cost), Failure>
where
    Failure: From<E>,
{
    let (wall, cpu) = (Instant::now(), process_cpu_seconds()?);
    let result = work()?;
    let wall_seconds = wall.elapsed().as_secs_f64();
    Ok((result, Cost { wall_seconds, cpu_seconds: process_cpu_seconds()? - cpu }))
}

/// User and system time of this process since its start, ended threads included.
///
/// Read from the process's CPU clock, in nanoseconds; `/proc/self/stat` counts in ticks of 10 ms, and
/// `/proc/self/task` forgets threads that have ended.
#[cfg(target_os = "linux")]
pub(crate) fn process_cpu_seconds() -> Result<f64, Failure> {
    use rustix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn process_cpu_seconds() -> Result<f64, Failure> {
    Err("CPU time and memory are measured on Linux only".into())
}

/// The most memory that was resident at once (`VmHWM`), bytes.
pub(crate) fn peak_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
        .ok_or("/proc/self/status has no `VmHWM` in kB")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

/// The processor's name and the number of threads it runs at once.
pub(crate) fn machine() -> String {
    let description = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = description
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cpus} CPUs")
}
