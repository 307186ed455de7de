//! The settings of the live stream.

use super::node::Node;
use super::settings::Size;
use super::value::{Context, Fault, Value, quoted, read_list, show_list};
use crate::http::StreamConfig;
use std::time::Duration;

/// How streams behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Streams in all.
    pub max: usize,
    /// Streams of one token or address.
    pub max_per_client: usize,
    /// How often a stream says that it lives.
    pub heartbeat: Duration,
    /// Events kept in memory for all streams.
    pub buffer_events: usize,
    /// Bytes of them.
    pub buffer_bytes: Size,
    /// How long a stream may be behind what is kept in memory.
    pub max_lag: Duration,
}

/// Origins of pages: scheme, host and perhaps port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl Stream {
    pub(super) fn http(&self) -> StreamConfig {
        StreamConfig {
            max: self.max,
            max_per_client: self.max_per_client,
            heartbeat: self.heartbeat,
            buffer_events: self.buffer_events,
            buffer_bytes: self.buffer_bytes.get(),
            max_lag: self.max_lag,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        let StreamConfig { max, max_per_client, heartbeat, buffer_events, buffer_bytes, max_lag } =
            StreamConfig::default();
        let buffer_bytes = Size(buffer_bytes as u64);
        Self { max, max_per_client, heartbeat, buffer_events, buffer_bytes, max_lag }
    }
}

impl Value for Origins {
    fn read(node: &Node, context: &Context<'_>) -> Result<Self, Vec<Fault>> {
        let origin = |node: &Node, _: &Context<'_>| {
            node.parse_as("an origin such as https://wall.example:8443", |it| {
                let it = it.trim().trim_end_matches('/');
                let host = it.strip_prefix("https://").or_else(|| it.strip_prefix("http://"))?;
                let plain = |it: u8| it.is_ascii_graphic() && !b"/?#@\"*".contains(&it);
                (!host.is_empty() && host.bytes().all(plain)).then(|| it.to_ascii_lowercase())
            })
        };
        read_list(node, context, origin).map(Self)
    }

    fn show(&self) -> String {
        show_list(self.0.iter().map(|it| quoted(it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn origins() {
        let read = |text: &str| {
            let node = Node::parse(text).unwrap();
            Origins::read(&node, &Context { base: Path::new("") }).map(|it| it.0)
        };
        let two = read("[https://Wall.example/, http://10.0.0.1:3000]").unwrap();
        assert_eq!(two, ["https://wall.example", "http://10.0.0.1:3000"]);
        for bad in ["wall.example", "https://", "https://a/b", "'*'", "ftp://a"] {
            let faults = read(bad).unwrap_err();
            assert!(faults[0].message.contains("such as https://wall.example:8443"), "{bad}");
        }
    }
}
