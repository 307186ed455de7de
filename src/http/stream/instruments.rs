//! What the streams count of themselves.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of the streams. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Instruments {
    open: Family<Transport, Gauge>,
    events: Family<Transport, Counter>,
    closed: Family<Reason, Counter>,
    refused: Family<Reason, Counter>,
    resets: Family<Reason, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Transport {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Counts one stream; when it is dropped, the stream is over.
#[derive(Debug)]
pub(super) struct Open {
    open: Gauge,
    events: Counter,
    closed: Family<Reason, Counter>,
    reason: &'static str,
}

impl Instruments {
    /// Registers the metrics under their full names: `registry` must not add a prefix.
    pub(in crate::http) fn register(registry: &mut Registry) -> Self {
        let res = Self::default();
        for transport in ["sse", "websocket"] {
            // There from the start, at 0.
            drop(res.open.get_or_create(&Transport { transport }));
            drop(res.events.get_or_create(&Transport { transport }));
        }
        for reason in ["client", "slow", "stopping", "unauthorized", "failed"] {
            drop(res.closed.get_or_create(&Reason { reason }));
        }
        for reason in ["busy", "share"] {
            drop(res.refused.get_or_create(&Reason { reason }));
        }
        for reason in ["retention", "ahead"] {
            drop(res.resets.get_or_create(&Reason { reason }));
        }
        registry.register(
            "observatory_stream_open",
            "Streams that are open, by transport",
            res.open.clone(),
        );
        registry.register(
            "observatory_stream_events_sent",
            "Events sent to streams, by transport; an event counts once for each stream",
            res.events.clone(),
        );
        registry.register(
            "observatory_stream_closed",
            "Streams that ended, by reason: the client went away, or why the server closed it",
            res.closed.clone(),
        );
        registry.register(
            "observatory_stream_refused",
            "Streams that were refused: too many in all (busy), or of one client (share)",
            res.refused.clone(),
        );
        registry.register(
            "observatory_stream_resets",
            "Streams that could not go on where the client was: events were deleted (retention), or the journal does not go that far (ahead)",
            res.resets.clone(),
        );
        res
    }

    pub(super) fn open(&self, transport: &'static str) -> Open {
        let label = Transport { transport };
        let open = self.open.get_or_create_owned(&label);
        open.inc();
        let events = self.events.get_or_create_owned(&label);
        Open { open, events, closed: self.closed.clone(), reason: "client" }
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn reset(&self, reason: &'static str) {
        self.resets.get_or_create(&Reason { reason }).inc();
    }
}

impl Open {
    pub(super) fn sent(&self, events: usize) {
        self.events.inc_by(events as u64);
    }

    /// The server ends it.
    pub(super) fn closing(&mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.dec();
        self.closed.get_or_create(&Reason { reason: self.reason }).inc();
    }
}
