//! The parts of one object that are wanted: which are there, which are on their way, and who still needs them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;

use super::trouble::Trouble;

/// How far a part is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Waits to be fetched.
    Queued { is_urgent: bool },
    /// Is being fetched.
    Running,
    /// Is there.
    Ready(Bytes),
    /// Could not be had.
    Failed(Trouble),
}

/// A piece of an object that is fetched at once.
#[derive(Debug)]
pub(super) struct Part {
    pub id: u64,
    pub len: u64,
    pub state: State,
    /// How many blocks and reads need it.
    pub holders: u32,
    /// Whether it counts as fetched ahead.
    pub is_ahead: bool,
    /// Whether it is of a block, not of headers.
    pub is_block: bool,
}

/// What is to be fetched: (start, id, length).
pub(super) type Wanted = (u64, u64, u64);

/// The parts by where they begin; none overlaps another.
#[derive(Debug, Default)]
pub(super) struct Parts {
    by_start: BTreeMap<u64, Part>,
    /// The parts that each block holds.
    held: HashMap<u64, Vec<(u64, u64)>>,
    next_id: u64,
}

impl Parts {
    /// Holds all parts under `ranges`, and makes those that there are not; says which are to be fetched.
    pub fn take(
        &mut self,
        ranges: &[Range<u64>],
        is_urgent: bool,
        is_block: bool,
    ) -> (Vec<(u64, u64)>, Vec<Wanted>) {
        let (mut taken, mut wanted) = (Vec::new(), Vec::new());
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                if let Some((start, end)) = self.covering(at) {
                    let Some(part) = self.by_start.get_mut(&start) else { break };
                    part.holders += 1;
                    taken.push((start, part.id));
                    wanted.extend(promote(start, part, is_urgent));
                    at = end;
                    continue;
                }
                let next = self.by_start.range(at..).next().map_or(range.end, |(start, _)| *start);
                let end = next.min(range.end);
                let (id, len) = (self.next_id, end - at);
                self.next_id += 1;
                let state = State::Queued { is_urgent };
                self.by_start.insert(at, Part { id, len, state, holders: 1, is_ahead: false, is_block });
                taken.push((at, id));
                wanted.push((at, id, len));
                at = end;
            }
        }
        (taken, wanted)
    }

    /// The same for a block, once; again it only hurries what is not there yet.
    pub fn hold(&mut self, key: u64, ranges: &[Range<u64>], is_urgent: bool, is_block: bool) -> Vec<Wanted> {
        if let Some(held) = self.held.get(&key) {
            let held = held.clone();
            let mut wanted = Vec::new();
            for (start, id) in held {
                if let Some(part) = self.by_start.get_mut(&start).filter(|part| part.id == id) {
                    wanted.extend(promote(start, part, is_urgent));
                }
            }
            return wanted;
        }
        let (taken, wanted) = self.take(ranges, is_urgent, is_block);
        self.held.insert(key, taken);
        wanted
    }

    /// Lets go of what a block holds; says how many bytes that were fetched ahead are gone.
    pub fn release(&mut self, key: u64) -> u64 {
        let held = self.held.remove(&key).unwrap_or_default();
        self.let_go(&held)
    }

    /// The same of all blocks.
    pub fn release_all(&mut self) -> u64 {
        let all: Vec<_> = std::mem::take(&mut self.held).into_values().flatten().collect();
        self.let_go(&all)
    }

    /// The same of parts that a read holds.
    pub fn let_go(&mut self, taken: &[(u64, u64)]) -> u64 {
        let mut freed = 0;
        for (start, id) in taken {
            let Some(part) = self.by_start.get_mut(start).filter(|part| part.id == *id) else { continue };
            part.holders -= 1;
            if part.holders == 0 {
                freed += if part.is_ahead { part.len } else { 0 };
                self.by_start.remove(start);
            }
        }
        freed
    }

    /// The part that was asked for, where it is still wanted.
    pub fn get(&mut self, start: u64, id: u64) -> Option<&mut Part> {
        self.by_start.get_mut(&start).filter(|part| part.id == id)
    }

    /// Whether no block and no read holds anything.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty() && self.held.is_empty()
    }

    /// Where the part that `at` lies in begins and ends.
    fn covering(&self, at: u64) -> Option<(u64, u64)> {
        let (start, part) = self.by_start.range(..=at).next_back()?;
        (at < start + part.len).then_some((*start, start + part.len))
    }
}

/// Hurries a part that waits, and has one fetched again that could not be had while nobody needed it.
fn promote(start: u64, part: &mut Part, is_urgent: bool) -> Option<Wanted> {
    let is_due = match &part.state {
        State::Queued { is_urgent: false } | State::Failed(_) => is_urgent,
        State::Queued { is_urgent: true } | State::Running | State::Ready(_) => false,
    };
    if !is_due {
        return None;
    }
    part.state = State::Queued { is_urgent: true };
    Some((start, part.id, part.len))
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
mod tests {
    use super::*;

    #[test]
    fn parts_are_shared_and_go_with_their_last_holder() {
        let mut parts = Parts::default();
        assert_eq!(parts.hold(1, &[0..100, 200..300], false, true).len(), 2);
        // Only what is not on its way already.
        assert_eq!(parts.hold(2, &[50..250], false, true), [(100, 2, 100)]);
        assert_eq!(parts.release(1), 0);
        assert_eq!(parts.hold(3, &[0..300], false, true), []);
        parts.release(3);
        parts.release(2);
        assert!(parts.is_empty());
    }

    #[test]
    fn what_is_needed_now_is_hurried_once() {
        let mut parts = Parts::default();
        assert_eq!(parts.hold(1, &[0..100], false, true), [(0, 0, 100)]);
        assert_eq!(parts.hold(1, &[0..100], true, true), [(0, 0, 100)]);
        assert_eq!(parts.hold(1, &[0..100], true, true), []);
        parts.get(0, 0).unwrap().state = State::Failed(Trouble::Stopped);
        assert_eq!(parts.hold(1, &[0..100], false, true), []);
        assert_eq!(parts.hold(1, &[0..100], true, true), [(0, 0, 100)]);
    }

    #[test]
    fn bytes_ahead_are_given_back_once() {
        let mut parts = Parts::default();
        parts.hold(1, &[0..100], false, true);
        parts.get(0, 0).unwrap().is_ahead = true;
        let (taken, wanted) = parts.take(&[50..120], true, false);
        assert_eq!(wanted, [(0, 0, 100), (100, 1, 20)]);
        assert_eq!(parts.release(1), 0);
        assert_eq!(parts.let_go(&taken), 100);
        assert!(parts.is_empty());
    }
}
