//! Rows of a run dealt to its steps by length, so that little of a step is padding.

use super::key::{Key, Level};

/// The places of a run's rows in the order in which they are dealt: each step of `step` rows holds rows of about one
/// length, and the steps come in an order that the seed and the number of the run decide.
///
/// The rows of a step ascend by length, so that ranks which take every R-th of them have equally long ones. A last step
/// that is short stays the last, and holds the longest rows.
pub fn deal_by_length(lengths: &[u64], step: usize, seed: u64, run: u64) -> Vec<u32> {
    let mut places: Vec<u32> = (0..lengths.len() as u32).collect();
    // Stable: rows of one length stay in the order that they had.
    places.sort_by_key(|place| lengths[*place as usize]);
    let step = step.max(1);
    let full = lengths.len() / step;
    let mut steps: Vec<usize> = (0..full).collect();
    Key::new(seed, 0, Level::LengthGroups, run).stream().shuffle(&mut steps);
    let of_step = |at: usize| places[at * step..((at + 1) * step).min(places.len())].iter().copied();
    steps.into_iter().chain(std::iter::once(full)).flat_map(of_step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_dealt_once_and_steps_hold_neighbours() {
        let lengths: Vec<u64> = (0..103).map(|at| at * 37 % 61).collect();
        let dealt = deal_by_length(&lengths, 8, 7, 3);
        let mut places = dealt.clone();
        places.sort_unstable();
        assert_eq!(places, (0..103).collect::<Vec<_>>());
        let mut spans: Vec<(u64, u64)> = dealt
            .chunks(8)
            .map(|step| (lengths[step[0] as usize], lengths[step[step.len() - 1] as usize]))
            .collect();
        assert!(spans.windows(2).any(|pair| pair[0] > pair[1]), "steps do not come by length");
        assert_eq!(spans.last().unwrap().1, *lengths.iter().max().unwrap(), "the short step is the last");
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    }

    #[test]
    fn the_deal_is_pinned() {
        let lengths = [5, 1, 4, 1, 3, 9, 2, 6, 5, 3];
        assert_eq!(deal_by_length(&lengths, 3, 0, 0), GOLDEN);
        assert!(deal_by_length(&[], 3, 0, 0).is_empty());
        assert_ne!(
            (0..9).map(|run| deal_by_length(&lengths, 1, 0, run)[0]).collect::<Vec<_>>(),
            vec![deal_by_length(&lengths, 1, 0, 0)[0]; 9]
        );
    }

    const GOLDEN: [u32; 10] = [4, 9, 2, 1, 3, 6, 0, 8, 7, 5];
}
