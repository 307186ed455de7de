//! The window in which an event with an id counts once.

use crate::event::Time;
use hashbrown::HashSet;
use std::{collections::VecDeque, hash::BuildHasherDefault, hash::Hasher, time::Duration};

/// How far back an id is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long. Default 24 hours.
    pub window: Duration,
    /// How many ids at most, newest first; about 24 bytes each. Default 1 000 000.
    pub max_ids: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { window: Duration::from_secs(86_400), max_ids: 1_000_000 }
    }
}

/// The identities that were seen within the window.
#[derive(Debug)]
pub(super) struct Window {
    config: Config,
    known: HashSet<u64, BuildHasherDefault<Identity>>,
    /// The same, in the order of arrival.
    order: VecDeque<(Time, u64)>,
}

/// Identities are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, it: u64) {
        self.0 = it;
    }
}

impl Window {
    pub(super) fn new(config: Config) -> Self {
        Self { config, known: HashSet::default(), order: VecDeque::new() }
    }

    /// How many ids it remembers at most.
    pub(super) fn max_ids(&self) -> usize {
        self.config.max_ids
    }

    pub(super) fn contains(&self, identity: u64) -> bool {
        self.known.contains(&identity)
    }

    /// Remembers an identity that arrived at `at`; forgets what is older than the window, seen from
    /// there, and the oldest beyond the bound. A clock that steps back forgets nothing.
    pub(super) fn insert(&mut self, at: Time, identity: u64) {
        if !self.known.insert(identity) {
            return;
        }
        self.order.push_back((at, identity));
        let oldest = at.saturating_sub(self.config.window);
        while let Some((seen, old)) = self.order.front().copied() {
            if seen >= oldest && self.order.len() <= self.config.max_ids {
                break;
            }
            self.order.pop_front();
            self.known.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_forgets_nothing_and_stays_within_the_bound() {
        let config = Config { window: Duration::from_secs(7200), max_ids: 1000 };
        let mut window = Window::new(config);
        let at = |seconds: i64| Time::from_millis(seconds * 1000);
        for id in 0..500 {
            window.insert(at(10_000), id);
        }
        // An hour back, again and again.
        for id in 500..1000 {
            window.insert(at(6400), id);
        }
        assert!((0..1000).all(|it| window.contains(it)));
        for id in 1000..50_000 {
            window.insert(at(if id % 2 == 0 { 6400 } else { 10_000 }), id);
        }
        assert_eq!((window.order.len(), window.known.len()), (1000, 1000));
        // When the clock has caught up, what is too old goes whatever its order.
        window.insert(at(30_000), 50_000);
        assert_eq!((window.order.len(), window.known.len()), (1, 1));
    }

    #[test]
    fn forgets_by_age_and_by_number() {
        let config = Config { window: Duration::from_secs(10), max_ids: 3 };
        let mut window = Window::new(config);
        let at = |seconds: i64| Time::from_millis(seconds * 1000);
        for (second, id) in [(0, 1), (5, 2), (5, 3), (10, 4)] {
            window.insert(at(second), id);
        }
        assert_eq!([1, 2, 3, 4].map(|it| window.contains(it)), [false, true, true, true]);
        window.insert(at(16), 5);
        assert_eq!([2, 3, 4, 5].map(|it| window.contains(it)), [false, false, true, true]);
        assert_eq!(window.order.len(), 2);
    }
}
