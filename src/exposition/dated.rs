//! OpenMetrics of which every sample says when it was so: what `promtool tsdb create-blocks-from openmetrics`
//! reads.

use super::{Encoder, FamilyHead, HistogramView, Options, negotiate};

/// Writes families whose samples have times. The families stand one after the other, and the times of a
/// series ascend; both is up to the caller.
#[derive(Debug)]
pub struct Dated {
    /// Writes the samples without times.
    encoder: Encoder,
    /// Memory for what it wrote.
    plain: Vec<u8>,
    out: Vec<u8>,
}

impl Default for Dated {
    fn default() -> Self {
        Self::new()
    }
}

impl Dated {
    /// A writer of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let format = negotiate(Some("application/openmetrics-text;version=1.0.0"));
        let encoder = Encoder::new(format, Options::default());
        Self { encoder, plain: Vec::new(), out: Vec::new() }
    }

    /// Begins a family.
    pub fn begin_family(&mut self, head: &FamilyHead<'_>) {
        self.encoder.begin_family(head);
        self.out.append(&mut self.encoder.take());
    }

    /// Writes a counter as it was at `at_ms`, in milliseconds since the epoch.
    pub fn counter(&mut self, labels: &str, value: f64, at_ms: i64) {
        self.encoder.counter(labels, value, None, None);
        self.date(at_ms);
    }

    /// Writes a gauge as it was at `at_ms`.
    pub fn gauge(&mut self, labels: &str, value: f64, at_ms: i64) {
        self.encoder.gauge(labels, value);
        self.date(at_ms);
    }

    /// Writes the classic buckets of a histogram as they were at `at_ms`.
    pub fn histogram(&mut self, labels: &str, view: &HistogramView<'_>, at_ms: i64) {
        self.encoder.histogram(labels, view);
        self.date(at_ms);
    }

    /// Writes what ends a file.
    pub fn finish(&mut self) {
        self.encoder.finish();
        self.out.append(&mut self.encoder.take());
    }

    /// Bytes that [`take`](Self::take) would give.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.out.len()
    }

    /// Drains what was written so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends each line that the encoder wrote with the time, in seconds.
    fn date(&mut self, at_ms: i64) {
        let memory = std::mem::take(&mut self.plain);
        self.plain = self.encoder.replace(memory);
        let mut seconds = itoa::Buffer::new();
        let seconds = seconds.format(at_ms.div_euclid(1000)).as_bytes();
        let millis = at_ms.rem_euclid(1000);
        let mut rest = self.plain.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.out.extend_from_slice(line);
            self.out.push(b' ');
            self.out.extend_from_slice(seconds);
            if millis != 0 {
                self.out.extend_from_slice(format!(".{millis:03}").as_bytes());
            }
            self.out.push(b'\n');
            rest = after.get(1..).unwrap_or_default();
        }
        self.plain.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Kind;

    #[test]
    fn every_sample_has_its_time() {
        let mut it = Dated::new();
        it.begin_family(&FamilyHead::new("a_total", "A.", Kind::Counter));
        it.counter("{x=\"line\\nbreak\"}", 0.0, 1_000_001);
        it.counter("{x=\"line\\nbreak\"}", 2.0, 1_060_000);
        it.begin_family(&FamilyHead::new("b", "B.", Kind::Gauge));
        it.gauge("", -1.5, 60_500);
        it.begin_family(&FamilyHead::new("c_seconds", "C.", Kind::Histogram));
        let view = HistogramView {
            count: 3,
            sum: 4.5,
            bounds: &[1.0, 2.5],
            counts: &[1, 1, 1],
            created_ms: None,
            exemplars: &[],
            native: None,
        };
        it.histogram("", &view, 60_000);
        it.finish();
        let text = String::from_utf8(it.take()).unwrap();
        let expected = "\
# HELP a A.
# TYPE a counter
a_total{x=\"line\\nbreak\"} 0 1000.001
a_total{x=\"line\\nbreak\"} 2 1060
# HELP b B.
# TYPE b gauge
b -1.5 60.500
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_bucket{le=\"1.0\"} 1 60
c_seconds_bucket{le=\"2.5\"} 2 60
c_seconds_bucket{le=\"+Inf\"} 3 60
c_seconds_sum 4.5 60
c_seconds_count 3 60
# EOF
";
        assert_eq!(text, expected);
    }
}
