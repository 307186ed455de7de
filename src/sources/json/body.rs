//! The outer shape of a body: an event, an array, or an object around an array.

use super::Reader;
use super::envelope::Members;
use crate::event::{NewEvent, Text};
use crate::sources::Invalid;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A body, taken apart.
pub(super) enum Body<'a> {
    /// An event.
    One(Result<NewEvent<'a>, Invalid>),
    /// A batch.
    Many(Vec<Result<NewEvent<'a>, Invalid>>),
    /// An object with `events` that is no batch: it must be read again, as an event.
    Ambiguous,
    /// A batch with more events than allowed.
    TooMany,
    /// A number, a string or the like.
    Scalar,
}

/// A place in the document, and what to make of what stands there.
pub(super) trait Node<'de>: Sized {
    type Out;

    fn object<A: MapAccess<'de>>(self, map: A) -> Result<Self::Out, A::Error>;
    fn array<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Out, A::Error>;
    fn scalar(self) -> Self::Out;
}

/// Reads a [`Node`].
pub(super) struct Seed<N>(pub(super) N);

/// The whole body; it may be `{"events": [...]}` unless it was found to be an event.
pub(super) struct Batch<'r, 'l> {
    pub(super) reader: &'r Reader<'l>,
    pub(super) batch_allowed: bool,
}

/// The value of `events`.
struct Events<'r, 'l>(&'r Reader<'l>);

/// One event.
pub(super) struct Element<'r, 'l>(pub(super) &'r Reader<'l>);

impl<'de> Node<'de> for Batch<'_, '_> {
    type Out = Body<'de>;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(Text(name)) = map.next_key()? {
            if name == "events" && self.batch_allowed && !members.has_type() {
                let batch = map.next_value_seed(Seed(Events(self.reader)))?;
                return finish_batch(batch, map);
            }
            members.put(name, map.next_value::<&'de RawValue>()?.get());
        }
        Ok(Body::One(members.into_event(self.reader)))
    }

    fn array<A: SeqAccess<'de>>(self, seq: A) -> Result<Body<'de>, A::Error> {
        Events(self.reader).array(seq)
    }

    fn scalar(self) -> Body<'de> {
        Body::Scalar
    }
}

/// Skips the other members of a batch object; one of them may tell that it was an event after all.
fn finish_batch<'de, A: MapAccess<'de>>(
    batch: Body<'de>,
    mut map: A,
) -> Result<Body<'de>, A::Error> {
    let mut ambiguous = matches!(batch, Body::Scalar);
    while let Some(Text(name)) = map.next_key()? {
        map.next_value::<IgnoredAny>()?;
        ambiguous |= matches!(name.as_ref(), "event_type" | "type");
    }
    Ok(if ambiguous { Body::Ambiguous } else { batch })
}

impl<'de> Node<'de> for Events<'_, '_> {
    type Out = Body<'de>;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Body::Scalar)
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Body<'de>, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = seq.next_element_seed(Seed(Element(self.0)))? {
            if events.len() == self.0.limits.events {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Body::TooMany);
            }
            events.push(event);
        }
        Ok(Body::Many(events))
    }

    fn scalar(self) -> Body<'de> {
        Body::Scalar
    }
}

impl<'de> Node<'de> for Element<'_, '_> {
    type Out = Result<NewEvent<'de>, Invalid>;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Out, A::Error> {
        let mut members = Members::default();
        while let Some(Text(name)) = map.next_key()? {
            members.put(name, map.next_value::<&'de RawValue>()?.get());
        }
        Ok(members.into_event(self.0))
    }

    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Out, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.scalar())
    }

    fn scalar(self) -> Self::Out {
        Err(Invalid::new("body", "must be a JSON object"))
    }
}

impl<'de, N: Node<'de>> DeserializeSeed<'de> for Seed<N> {
    type Value = N::Out;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<N::Out, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, N: Node<'de>> Visitor<'de> for Seed<N> {
    type Value = N::Out;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event or a batch of events")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<N::Out, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<N::Out, A::Error> {
        self.0.array(seq)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<N::Out, E> {
        Ok(self.0.scalar())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<N::Out, E> {
        Ok(self.0.scalar())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<N::Out, E> {
        Ok(self.0.scalar())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<N::Out, E> {
        Ok(self.0.scalar())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<N::Out, E> {
        Ok(self.0.scalar())
    }

    fn visit_unit<E: Error>(self) -> Result<N::Out, E> {
        Ok(self.0.scalar())
    }
}
