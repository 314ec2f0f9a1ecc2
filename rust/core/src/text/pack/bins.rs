//! Best-fit-decreasing: which pieces share a sequence.
//!
//! The longest piece first, each into the fullest sequence that has room for it (Ding et al. 2024, "Fewer
//! Truncations Improve Language Modeling", arXiv 2404.10830). Ties go to the piece that came first and to the
//! sequence that was begun first, so that the same pieces always fall alike.

use std::collections::BTreeSet;

/// Pieces by sequence: the sequences in the order of their earliest piece, the pieces of each as they came.
///
/// Sizes alone decide what shares a sequence; this order undoes the sort by size, so that a lane's samples do
/// not run from long documents to short ones in every group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bins {
    pieces: Vec<u32>,
    /// Where in `pieces` each sequence ends.
    ends: Vec<u32>,
}

impl Bins {
    /// Fits pieces of these lengths, each from 1 to `seq_len`.
    pub fn fit(lengths: &[usize], seq_len: usize) -> Self {
        let (bin_of, num_bins) = assign(lengths, seq_len);
        Self::sorted(&bin_of, num_bins)
    }

    /// How many sequences pieces of these lengths take.
    pub fn count(lengths: &[usize], seq_len: usize) -> u64 {
        assign(lengths, seq_len).1 as u64
    }

    /// The pieces of each sequence.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.pieces[start as usize..*end as usize])
    }

    fn sorted(bin_of: &[u32], num_bins: usize) -> Self {
        let mut rank_of = vec![u32::MAX; num_bins];
        let mut ends = Vec::with_capacity(num_bins);
        for bin in bin_of {
            let rank = &mut rank_of[*bin as usize];
            if *rank == u32::MAX {
                *rank = ends.len() as u32;
                ends.push(0);
            }
            ends[*rank as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            (*end, total) = (total, total + *end);
        }
        let mut pieces = vec![0; bin_of.len()];
        for (piece, bin) in bin_of.iter().enumerate() {
            let slot = &mut ends[rank_of[*bin as usize] as usize];
            pieces[*slot as usize] = piece as u32;
            *slot += 1;
        }
        Self { pieces, ends }
    }
}

/// The sequence of each piece, numbered as they are begun, and their number.
fn assign(lengths: &[usize], seq_len: usize) -> (Vec<u32>, usize) {
    let mut longest_first: Vec<u32> = (0..lengths.len() as u32).collect();
    longest_first.sort_by_key(|piece| std::cmp::Reverse(lengths[*piece as usize]));
    let mut bin_of = vec![0; lengths.len()];
    let mut num_bins = 0;
    // By room, then by age.
    let mut open = BTreeSet::<(usize, u32)>::new();
    for piece in longest_first {
        let len = lengths[piece as usize];
        let fullest = open.range((len, 0)..).next().copied();
        let (room, bin) = fullest.unwrap_or_else(|| {
            num_bins += 1;
            (seq_len, num_bins - 1)
        });
        open.remove(&(room, bin));
        if room > len {
            open.insert((room - len, bin));
        }
        bin_of[piece as usize] = bin;
    }
    (bin_of, num_bins as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(lengths: &[usize], seq_len: usize) -> Vec<Vec<usize>> {
        let bins = Bins::fit(lengths, seq_len);
        bins.iter().map(|pieces| pieces.iter().map(|piece| lengths[*piece as usize]).collect()).collect()
    }

    #[test]
    fn each_piece_goes_to_the_fullest_sequence_with_room() {
        // 7 and 6 open two; 3 fits the room of 3 left by 7 rather than the 4 left by 6; 4 fills the other.
        assert_eq!(fitted(&[6, 3, 7, 4], 10), [vec![6, 4], vec![3, 7]]);
        assert_eq!(fitted(&[5, 5, 5], 10), [vec![5, 5], vec![5]]);
        assert!(fitted(&[], 10).is_empty());
        assert_eq!(fitted(&[1; 5], 2), [vec![1, 1], vec![1, 1], vec![1]]);
    }

    #[test]
    fn the_same_sequences_as_a_search_through_all_of_them() {
        let mut state = 1_u64;
        let mut random = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        };
        for _ in 0..200 {
            let seq_len = 1 + random(40);
            let lengths: Vec<usize> = (0..random(80)).map(|_| 1 + random(seq_len) as usize).collect();
            let (bin_of, num_bins) = assign(&lengths, seq_len as usize);
            assert_eq!((bin_of, num_bins), searched(&lengths, seq_len as usize));
        }
    }

    fn searched(lengths: &[usize], seq_len: usize) -> (Vec<u32>, usize) {
        let mut pieces: Vec<usize> = (0..lengths.len()).collect();
        pieces.sort_by_key(|piece| std::cmp::Reverse(lengths[*piece]));
        let (mut rooms, mut bin_of) = (Vec::<usize>::new(), vec![0; lengths.len()]);
        for piece in pieces {
            let len = lengths[piece];
            let fitting = (0..rooms.len()).filter(|bin| rooms[*bin] >= len).min_by_key(|bin| rooms[*bin]);
            let bin = fitting.unwrap_or_else(|| {
                rooms.push(seq_len);
                rooms.len() - 1
            });
            rooms[bin] -= len;
            bin_of[piece] = bin as u32;
        }
        (bin_of, rooms.len())
    }
}
