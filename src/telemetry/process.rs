//! The `process_*` metrics that every Prometheus client exposes, read from `/proc` at each scrape.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;

/// The metrics of this process. Where there is no `/proc`, it exposes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessMetrics {}

/// One moment of this process, in base units. What cannot be read is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sample {
    cpu_seconds: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    virtual_max_bytes: Option<f64>,
    start_time_seconds: Option<f64>,
    threads: Option<f64>,
    received_bytes: Option<f64>,
    transmitted_bytes: Option<f64>,
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sample = sample();
        let counters = [
            ("cpu_seconds", "Total user and system CPU time spent in seconds", sample.cpu_seconds),
            (
                "network_receive_bytes",
                "Number of bytes received by the network namespace of the process, loopback excluded",
                sample.received_bytes,
            ),
            (
                "network_transmit_bytes",
                "Number of bytes sent by the network namespace of the process, loopback excluded",
                sample.transmitted_bytes,
            ),
        ];
        for (name, help, value) in counters {
            if let Some(value) = value {
                metric(&mut encoder, name, help, &ConstCounter::new(value))?;
            }
        }
        for (name, help, value) in gauges(&sample) {
            if let Some(value) = value {
                metric(&mut encoder, name, help, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

fn metric(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let name = format!("process_{name}");
    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)
}

fn gauges(sample: &Sample) -> [(&'static str, &'static str, Option<f64>); 7] {
    [
        ("open_fds", "Number of open file descriptors", sample.open_fds),
        ("max_fds", "Maximum number of open file descriptors", sample.max_fds),
        ("resident_memory_bytes", "Resident memory size in bytes", sample.resident_bytes),
        ("virtual_memory_bytes", "Virtual memory size in bytes", sample.virtual_bytes),
        (
            "virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes",
            sample.virtual_max_bytes,
        ),
        (
            "start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            sample.start_time_seconds,
        ),
        ("threads", "Number of operating system threads in the process", sample.threads),
    ]
}

#[cfg(target_os = "linux")]
fn sample() -> Sample {
    use procfs::{WithCurrentSystemInfo, process::LimitValue, process::Process};

    let Ok(process) = Process::myself() else { return Sample::default() };
    let stat = process.stat().ok();
    let stat = stat.as_ref();
    let limits = process.limits().ok();
    let limit = |it: LimitValue| match it {
        LimitValue::Value(it) => float(it),
        // What `client_golang` shows for no limit.
        LimitValue::Unlimited => float(u64::MAX),
    };
    let ticks = float(procfs::ticks_per_second());
    let start = |ticks_since_boot| {
        let boot = procfs::boot_time_secs().ok()?;
        Some(float(boot) + float(ticks_since_boot) / ticks)
    };
    let network = network_bytes(&process);
    Sample {
        cpu_seconds: stat.map(|it| float(it.utime + it.stime) / ticks),
        open_fds: process.fd_count().ok().and_then(|it| u64::try_from(it).ok()).map(float),
        max_fds: limits.as_ref().map(|it| limit(it.max_open_files.soft_limit)),
        resident_bytes: stat.map(|it| float(it.rss_bytes().get())),
        virtual_bytes: stat.map(|it| float(it.vsize)),
        virtual_max_bytes: limits.as_ref().map(|it| limit(it.max_address_space.soft_limit)),
        start_time_seconds: stat.and_then(|it| start(it.starttime)),
        threads: stat.and_then(|it| u64::try_from(it.num_threads).ok()).map(float),
        received_bytes: network.map(|it| it.0),
        transmitted_bytes: network.map(|it| it.1),
    }
}

#[cfg(target_os = "linux")]
fn network_bytes(process: &procfs::process::Process) -> Option<(f64, f64)> {
    let devices = process.dev_status().ok()?;
    let outside = devices.values().filter(|it| it.name != "lo");
    let (received, sent) =
        outside.fold((0, 0), |sum, it| (sum.0 + it.recv_bytes, sum.1 + it.sent_bytes));
    Some((float(received), float(sent)))
}

#[cfg(not(target_os = "linux"))]
fn sample() -> Sample {
    Sample::default()
}

#[expect(clippy::cast_precision_loss, reason = "a sample is a float")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use prometheus_client::{encoding::text, registry::Registry};

    /// The standard names (Prometheus, "Writing client libraries").
    const NAMES: [&str; 10] = [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
        "process_start_time_seconds",
        "process_threads",
        "process_network_receive_bytes_total",
        "process_network_transmit_bytes_total",
    ];

    #[test]
    fn every_standard_name_has_a_sample() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics::default()));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        for name in NAMES {
            let value = page.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
            let value: f64 = value.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap();
            assert!(value >= 0.0, "{name} {value}");
        }
        let samples = page.lines().filter(|it| !it.starts_with('#')).count();
        assert_eq!(samples, NAMES.len(), "{page}");
    }

    #[test]
    fn the_figures_are_plausible() {
        let sample = sample();
        assert!(sample.threads.unwrap() >= 1.0);
        assert!(sample.resident_bytes.unwrap() > 100_000.0);
        assert!(sample.virtual_bytes > sample.resident_bytes);
        assert!(sample.start_time_seconds.unwrap() > 1_500_000_000.0);
    }
}
