//! The machine: how busy its processors are, and how much of its memory is used.

use std::sync::{Mutex, PoisonError};

/// Looks at the machine, whose processors were busy since the look before.
#[derive(Debug, Default)]
pub struct Host {
    /// Busy and all ticks at the last look.
    last: Mutex<(u64, u64)>,
}

/// One look. What cannot be read is 0, as its clients want numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Percent of the processors' time that was used since the look before; since the machine's start at the first.
    pub cpu_percent: f64,
    /// Memory that is used and cannot be had back without swapping.
    pub memory_bytes: u64,
}

impl Host {
    /// Looks now.
    #[must_use]
    pub fn look(&self) -> Load {
        let (busy, all) = ticks().unwrap_or_default();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu_percent = share(busy.saturating_sub(last.0), all.saturating_sub(last.1));
        *last = (busy, all);
        Load { cpu_percent, memory_bytes: memory().unwrap_or_default() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn share(busy: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * busy as f64 / all as f64 }
}

#[cfg(target_os = "linux")]
fn ticks() -> Option<(u64, u64)> {
    use procfs::{CurrentSI, KernelStats};
    let it = KernelStats::current().ok()?.total;
    let idle = it.idle + it.iowait.unwrap_or_default();
    // Time of guests is in that of users already.
    let busy = it.user
        + it.nice
        + it.system
        + it.irq.unwrap_or_default()
        + it.softirq.unwrap_or_default()
        + it.steal.unwrap_or_default();
    Some((busy, busy + idle))
}

#[cfg(target_os = "linux")]
fn memory() -> Option<u64> {
    use procfs::{Current, Meminfo};
    let it = Meminfo::current().ok()?;
    Some(it.mem_total.saturating_sub(it.mem_available.unwrap_or(it.mem_free)))
}

#[cfg(not(target_os = "linux"))]
fn ticks() -> Option<(u64, u64)> {
    None
}

#[cfg(not(target_os = "linux"))]
fn memory() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_somewhat_busy() {
        let host = Host::default();
        for _ in 0..2 {
            let it = host.look();
            assert!((0.0..=100.0).contains(&it.cpu_percent), "{it:?}");
            assert!(it.memory_bytes > 1 << 20, "{it:?}");
        }
        assert!((share(1, 4) - 25.0).abs() < f64::EPSILON);
        assert!(share(0, 0).abs() < f64::EPSILON);
    }
}
