//! Documents whose lengths are known, fitted before one of them is read.
//!
//! What waits for a group's end is then a number a document, not its tokens: a group may be a whole window of the
//! order. Its sequences are made unit by unit, each of the documents that share one: their full sequences, then the
//! one that their rests are in, so that each document is read once, and a resume reads those of one unit again.

use super::bins::Bins;
use super::group::Seen;

/// A group is no larger than this, wherever its window ends: its lengths are kept.
const MAX_DOCUMENTS: usize = 1 << 16;

/// Consecutive documents of a lane that are fitted together, by their lengths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowGroup {
    lengths: Vec<u64>,
    seen: Seen,
}

impl WindowGroup {
    /// The next document has so many tokens; one that is left out for damage has none.
    pub fn push(&mut self, num_tokens: u64) {
        self.lengths.push(num_tokens);
        self.seen.add(num_tokens);
    }

    /// The tokens of each document.
    pub fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// Whether the group ends wherever this is.
    pub fn is_largest(&self) -> bool {
        self.lengths.len() >= MAX_DOCUMENTS
    }

    /// Whether the group ends where a window does.
    pub fn ends_with_window(&self, seq_len: usize) -> bool {
        self.seen.is_full(seq_len)
    }

    /// Whether the group ends where an epoch does.
    pub fn ends_with_epoch(&self) -> bool {
        self.seen.has_enough_documents()
    }

    /// How many samples its documents make.
    pub fn num_samples(&self, seq_len: usize) -> u64 {
        let full: u64 = self.lengths.iter().map(|len| len / seq_len as u64).sum();
        let rests: Vec<usize> = self.lengths.iter().filter_map(|len| rest(*len, seq_len)).collect();
        full + Bins::count(&rests, seq_len)
    }

    /// What its samples are made of.
    pub fn units(&self, seq_len: usize) -> Units {
        Units::of(&self.lengths, seq_len)
    }
}

/// The units of a group, in the order of their first documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    documents: Vec<u32>,
    /// Where in `documents` each unit ends, and how many samples there are up to there.
    ends: Vec<(u32, u64)>,
}

impl Units {
    fn of(lengths: &[u64], seq_len: usize) -> Self {
        let with_rest = (0..lengths.len() as u32)
            .filter_map(|document| Some((document, rest(lengths[document as usize], seq_len)?)));
        let (documents, rests): (Vec<u32>, Vec<usize>) = with_rest.unzip();
        let bins = Bins::fit(&rests, seq_len);
        let mut shared =
            bins.iter().map(|pieces| pieces.iter().map(|piece| documents[*piece as usize])).peekable();
        let mut units = Self { documents: Vec::with_capacity(lengths.len()), ends: Vec::new() };
        for (document, len) in lengths.iter().enumerate() {
            while let Some(unit) = shared.next_if(|unit| unit.clone().next() == Some(document as u32)) {
                units.push(unit, lengths, seq_len, 1);
            }
            if *len > 0 && rest(*len, seq_len).is_none() {
                units.push(std::iter::once(document as u32), lengths, seq_len, 0);
            }
        }
        units
    }

    fn push(&mut self, documents: impl Iterator<Item = u32>, lengths: &[u64], seq_len: usize, shared: u64) {
        let mut samples = self.num_samples() + shared;
        for document in documents {
            samples += lengths[document as usize] / seq_len as u64;
            self.documents.push(document);
        }
        self.ends.push((self.documents.len() as u32, samples));
    }

    /// The samples of all units.
    pub fn num_samples(&self) -> u64 {
        self.ends.last().map_or(0, |(_, samples)| *samples)
    }

    /// The unit that a sample is of, and the samples before that unit; `None` behind the last one.
    pub fn of_sample(&self, sample: u64) -> Option<(usize, u64)> {
        let unit = self.ends.partition_point(|(_, samples)| *samples <= sample);
        (unit < self.ends.len()).then(|| (unit, self.before(unit).1))
    }

    /// The documents of a unit, by their places in the group; `None` behind the last one.
    pub fn documents(&self, unit: usize) -> Option<&[u32]> {
        let (end, _) = *self.ends.get(unit)?;
        Some(&self.documents[self.before(unit).0 as usize..end as usize])
    }

    fn before(&self, unit: usize) -> (u32, u64) {
        unit.checked_sub(1).map_or((0, 0), |before| self.ends[before])
    }
}

/// What of a document is no full sequence, if anything.
fn rest(num_tokens: u64, seq_len: usize) -> Option<usize> {
    let rest = (num_tokens % seq_len as u64) as usize;
    (rest > 0).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(lengths: &[u64], seq_len: usize) -> Vec<Vec<u32>> {
        let units = Units::of(lengths, seq_len);
        (0..).map_while(|unit| units.documents(unit).map(<[u32]>::to_vec)).collect()
    }

    #[test]
    fn documents_whose_rests_share_a_sequence_are_a_unit() {
        // Rests of 6, 3, 7 and 4 as the bins' own test has them; 20 is two full sequences and has none.
        assert_eq!(units(&[6, 13, 20, 27, 0, 4], 10), [vec![0, 5], vec![1, 3], vec![2]]);
        assert!(units(&[0, 0], 10).is_empty() && units(&[], 10).is_empty());
    }

    #[test]
    fn a_sample_is_found_in_its_unit() {
        let units = Units::of(&[6, 13, 20, 27, 0, 4], 10);
        let found: Vec<_> = (0..8).map(|sample| units.of_sample(sample)).collect();
        let second = Some((1, 1));
        let third = Some((2, 5));
        assert_eq!(found, [Some((0, 0)), second, second, second, second, third, third, None]);
    }

    proptest! {
        #[test]
        fn every_document_with_a_token_is_in_one_unit_that_fits(
            seq_len in 1_usize..40,
            lengths in proptest::collection::vec(0_u64..100, 0..60),
        ) {
            let group = lengths.iter().fold(WindowGroup::default(), |mut group, len| {
                group.push(*len);
                group
            });
            let units = group.units(seq_len);
            let mut seen = Vec::new();
            let mut first = None;
            for unit in 0.. {
                let Some(documents) = units.documents(unit) else { break };
                prop_assert!(documents.is_sorted() && first < documents.first().copied());
                first = documents.first().copied();
                let rests: usize = documents.iter().filter_map(|at| rest(lengths[*at as usize], seq_len)).sum();
                prop_assert!(rests <= seq_len);
                seen.extend_from_slice(documents);
            }
            seen.sort_unstable();
            let with_tokens: Vec<u32> = (0..lengths.len() as u32).filter(|at| lengths[*at as usize] > 0).collect();
            prop_assert_eq!(seen, with_tokens);
            prop_assert_eq!(units.num_samples(), group.num_samples(seq_len));
        }
    }
}
