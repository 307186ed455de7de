//! Blocks that cover the same sequence numbers.
//!
//! A merge replaces blocks in one step. But where sled cut what it cannot read, pages of different age are left, and
//! a block and those that it replaced can both be there. Only one of them can be used.

use crate::journal::header::Form;
use crate::store::verify::Verdict;
use std::cmp::Reverse;

/// A block that can be used, whole or in part.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) first: u64,
    /// The sequence numbers that it covers.
    pub(super) span: u64,
    pub(super) events: u64,
    pub(super) form: Form,
    pub(super) keys: Vec<Vec<u8>>,
    /// What is wrong with it, and what to do about it.
    pub(super) verdict: Verdict,
}

/// What is chosen for some blocks: sequence numbers for which is known what there was, few blocks, the newest form.
type Score = (u64, Reverse<usize>, usize);

impl Usable {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.span)
    }

    /// `before` and this one.
    fn score(&self, before: Score) -> Score {
        // What is not in a whole block was pruned; what is not in a damaged one is lost.
        let known = if self.verdict.remove.is_empty() { self.span } else { self.events };
        let form = match self.form {
            Form::Small => 0,
            Form::Rows => 1,
            Form::Sealed => 2,
        };
        (before.0.saturating_add(known), Reverse(before.1.0 + 1), before.2 + form)
    }

    /// What is lost if `kept` are used and this one is not.
    pub(super) fn lost_beside(&self, kept: &[Self]) -> &'static str {
        let shared = |it: &Self| it.end().min(self.end()).saturating_sub(it.first.max(self.first));
        if kept.iter().map(shared).sum::<u64>() == self.span {
            "nothing: other blocks have its events as well"
        } else {
            "what else is reported"
        }
    }
}

/// Which of `blocks` to use, such that none overlaps with another one, in order; and the others.
pub(super) fn choose(mut blocks: Vec<Usable>) -> (Vec<Usable>, Vec<Usable>) {
    blocks.sort_by_key(|it| (it.end(), it.first));
    // The best of the blocks up to each, and, if that one is among them, how many come before it.
    let mut best: Vec<Score> = vec![(0, Reverse(0), 0)];
    let mut taken = Vec::new();
    for (at, it) in blocks.iter().enumerate() {
        let before = blocks.partition_point(|other| other.end() <= it.first).min(at);
        let score_of = |n: usize| best.get(n).copied().unwrap_or_default();
        let (with, without) = (it.score(score_of(before)), score_of(at));
        taken.push((with > without).then_some(before));
        best.push(with.max(without));
    }
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    let mut up_to = blocks.len();
    while let Some(it) = blocks.pop() {
        let at = blocks.len();
        match taken.get(at).copied().flatten().filter(|_| at < up_to) {
            Some(before) => {
                up_to = before;
                kept.push(it);
            }
            None => others.push(it),
        }
    }
    kept.reverse();
    others.reverse();
    (kept, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lost` events are damaged.
    fn block(first: u64, span: u64, form: Form, lost: u64) -> Usable {
        let mut verdict = Verdict::default();
        if lost > 0 {
            verdict.add(String::new(), String::new(), String::new(), vec![vec![1]]);
        }
        Usable { first, span, events: span - lost, form, keys: Vec::new(), verdict }
    }

    #[track_caller]
    fn check(blocks: Vec<Usable>, wanted: &[(u64, u64)], lost: &str) {
        let all = blocks.len();
        let (kept, others) = choose(blocks);
        let spans: Vec<_> = kept.iter().map(|it| (it.first, it.span)).collect();
        assert_eq!(spans, wanted);
        assert_eq!(kept.len() + others.len(), all);
        for it in others {
            assert_eq!(it.lost_beside(&kept).split(':').next(), Some(lost), "{it:?}");
        }
    }

    #[test]
    fn the_merged_block_is_used() {
        use Form::{Rows, Sealed, Small};
        // Neighbours do not overlap.
        check(vec![block(4, 2, Small, 0), block(1, 3, Small, 0)], &[(1, 3), (4, 2)], "");
        let small = || [block(1, 3, Small, 0), block(4, 2, Small, 0), block(6, 1, Small, 0)];
        let all = small().into_iter().chain([block(1, 6, Rows, 0)]).collect();
        check(all, &[(1, 6)], "nothing");
        // It was sealed with what followed, and only some of the old ones are left.
        let [one, _, three] = small();
        let after = block(11, 2, Small, 0);
        check(vec![block(1, 10, Sealed, 0), one, three, after], &[(1, 10), (11, 2)], "nothing");
        // The same in two forms: the newer one.
        let (kept, _) = choose(vec![block(1, 3, Rows, 0), block(1, 3, Small, 0)]);
        assert_eq!(kept[0].form, Rows);
    }

    #[test]
    fn of_a_damaged_block_the_parts_that_have_more_are_used() {
        use Form::{Sealed, Small};
        let beside = |damaged| vec![block(1, 3, Small, 0), block(4, 2, Small, 0), damaged];
        check(beside(block(1, 5, Sealed, 1)), &[(1, 3), (4, 2)], "nothing");
        check(beside(block(1, 100, Sealed, 1)), &[(1, 100)], "nothing");
        check(beside(block(1, 100, Sealed, 99)), &[(1, 3), (4, 2)], "what else is reported");
    }
}
