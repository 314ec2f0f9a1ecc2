//! Documents for packing, and a lane that is killed and resumed.
#![allow(dead_code, reason = "each test file takes what it needs")]

use proptest::prelude::*;
use rowmill_core::text::pack::{PackMode, Packer, Place, Sample};

/// Tokens by element of the lane; the row id of each is `row_id_of(element)`.
pub type Documents = Vec<Vec<u32>>;

/// Row ids are no elements: a shuffled lane.
pub fn row_id_of(element: u64) -> u64 {
    1_000_000 - element
}

pub fn modes() -> impl Strategy<Value = PackMode> {
    prop_oneof![Just(PackMode::Concat), Just(PackMode::BestFit)]
}

/// Lengths that hit the seams: empty, short, exact sequences, a little more, and many sequences long.
pub fn lane() -> impl Strategy<Value = (usize, Documents)> {
    let seq_len = prop_oneof![3 => 1..9_usize, 2 => 9..70_usize, 1 => Just(1_000_000_usize)];
    seq_len.prop_flat_map(|seq_len| {
        let step = seq_len.min(50);
        let length = prop_oneof![
            1 => Just(0), 6 => 0..=step, 1 => Just(step), 1 => Just(2 * step),
            1 => Just(step + 1), 1 => 0..6 * step,
        ];
        let lengths = prop_oneof![
            prop::collection::vec(length.clone(), 0..12),
            prop::collection::vec(length, 60..400),
        ];
        (Just(seq_len), lengths.prop_map(numbered))
    })
}

/// Documents of these lengths, no token twice.
pub fn numbered(lengths: Vec<usize>) -> Documents {
    let mut tokens = 0..;
    lengths.into_iter().map(|len| tokens.by_ref().take(len).collect()).collect()
}

/// Lengths from 0 to `longest`, each as likely.
pub fn lengths(num_documents: usize, longest: u64) -> Vec<usize> {
    let mut state = 7_u64;
    let mut random = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % limit
    };
    (0..num_documents).map(|_| random(longest) as usize).collect()
}

/// Gives documents from `place` on in pieces of `piece` tokens, until `max` samples are there or the lane ends.
pub fn run(
    mode: PackMode,
    seq_len: usize,
    documents: &[Vec<u32>],
    place: Place,
    piece: usize,
    max: usize,
) -> Vec<Sample> {
    let mut packer = Packer::resume(mode, seq_len, place.taken).unwrap();
    let mut samples = Vec::new();
    for (element, tokens) in documents.iter().enumerate().skip(place.element as usize) {
        packer.begin(row_id_of(element as u64), element as u64);
        tokens.chunks(piece).for_each(|piece| packer.tokens(piece));
        packer.end().unwrap();
        samples.extend(std::iter::from_fn(|| packer.pop()));
        if samples.len() >= max {
            samples.truncate(max);
            return samples;
        }
    }
    packer.finish().unwrap();
    samples.extend(std::iter::from_fn(|| packer.pop()));
    samples.truncate(max);
    samples
}

/// The whole lane in one go.
pub fn straight(mode: PackMode, seq_len: usize, documents: &[Vec<u32>]) -> Vec<Sample> {
    run(mode, seq_len, documents, Place::default(), usize::MAX, usize::MAX)
}
