//! One series: its labels and its value.

use super::histogram::Histogram;
use crate::codec::DecodeError;
use crate::codec::Reader;
use crate::codec::Writer;
use crate::event::{Time, TraceContext};

/// A series of a family. An empty slot has `used: false` and nothing else of meaning.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// The label block.
    pub(super) labels: Box<str>,
    /// The value of a counter or gauge.
    pub(super) value: f64,
    /// When the last event that touched it arrived, in milliseconds since the epoch.
    pub(super) updated_ms: i64,
    /// When it began to count, in milliseconds since the epoch.
    pub(super) created_ms: i64,
    /// Whether each Prometheus is still to see it at 0.
    pub(super) held: bool,
    pub(super) used: bool,
    /// What few series have.
    pub(super) extra: Option<Box<Extra>>,
}

/// What only histograms and series with exemplars have.
#[derive(Clone, Debug)]
pub(super) enum Extra {
    Exemplar(Exemplar),
    Histogram(Histogram),
}

/// The trace of the last event that changed a counter or hit a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceContext,
    pub(super) value: f64,
    pub(super) time: Time,
}

// === impl Series ===

impl Series {
    /// Whether it is to be left out of a page at `now_ms`.
    pub(super) fn is_hidden(&self, ttl_ms: Option<i64>, now_ms: i64) -> bool {
        !self.used || ttl_ms.is_some_and(|ttl| now_ms.saturating_sub(self.updated_ms) > ttl)
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.text(&self.labels);
        writer.f64(self.value);
        writer.signed(self.updated_ms);
        writer.signed(self.created_ms);
        match self.extra.as_deref() {
            None => writer.u8(0),
            Some(Extra::Exemplar(it)) => {
                writer.u8(1);
                it.encode(writer);
            }
            Some(Extra::Histogram(it)) => {
                writer.u8(2);
                it.encode(writer);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            labels: reader.text()?.into(),
            value: reader.f64()?,
            updated_ms: reader.signed()?,
            created_ms: reader.signed()?,
            held: false,
            used: true,
            extra: match reader.u8()? {
                0 => None,
                1 => Some(Box::new(Extra::Exemplar(Exemplar::decode(reader)?))),
                2 => Some(Box::new(Extra::Histogram(Histogram::decode(reader)?))),
                _ => return Err(DecodeError::Malformed),
            },
        })
    }
}

// === impl Exemplar ===

impl Exemplar {
    /// Its labels as a block.
    pub(super) fn labels(&self) -> String {
        let trace = self.trace.trace_id;
        match self.trace.span_id {
            Some(span) => format!("{{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}}"),
            None => format!("{{trace_id=\"{trace:032x}\"}}"),
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.trace.trace_id.to_le_bytes());
        writer.u64(self.trace.span_id.unwrap_or(0));
        writer.f64(self.value);
        writer.i64(self.time.as_nanos());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let low = u128::from(reader.u64()?);
        let trace_id = u128::from(reader.u64()?) << 64 | low;
        let span_id = Some(reader.u64()?).filter(|it| *it != 0);
        let value = reader.f64()?;
        let time = Time::from_nanos(reader.i64()?);
        Ok(Self { trace: TraceContext { trace_id, span_id }, value, time })
    }
}
