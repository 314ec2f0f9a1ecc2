//! Packings of released versions: where one of these changes, so must `PACK_VERSION`.

mod pack_cases;

use pack_cases::{lengths, numbered, straight};
use rowmill_core::text::pack::{PACK_VERSION, PackMode, Sample, WindowGroup};
use xxhash_rust::xxh3::Xxh3;

/// Which tokens stand where, and where each sample's cursor is.
fn digest(samples: &[Sample]) -> u64 {
    let mut hash = Xxh3::new();
    for sample in samples {
        let mut number = |value: u64| hash.update(&value.to_le_bytes());
        number(sample.tokens().len() as u64);
        sample.tokens().iter().for_each(|token| number(u64::from(*token)));
        number(sample.place().element);
        number(sample.place().taken);
    }
    hash.digest()
}

#[test]
fn a_small_group_by_hand() {
    let documents = numbered(vec![3, 9, 2, 0, 1, 4]);
    let samples = straight(PackMode::BestFit, 4, &documents);
    let tokens: Vec<_> = samples.iter().map(Sample::tokens).collect();
    // Whole sequences as they come; then those of 3, 2, 1 and 1 left over, by their earliest piece.
    assert_eq!(tokens[0], [3, 4, 5, 6]);
    assert_eq!(tokens[1], [7, 8, 9, 10]);
    assert_eq!(tokens[2], [15, 16, 17, 18]);
    assert_eq!(tokens[3], [0, 1, 2, 11]);
    assert_eq!(tokens[4], [12, 13, 14]);
    let places: Vec<_> =
        samples.iter().map(|sample| (sample.place().element, sample.place().taken)).collect();
    assert_eq!(places, [(0, 1), (0, 2), (0, 3), (0, 4), (6, 0)]);
}

#[test]
fn versions_stay_as_they_were() {
    assert_eq!(PACK_VERSION, 1);
    let mut found = Vec::new();
    for mode in [PackMode::Concat, PackMode::BestFit] {
        for (seq_len, longest) in [(1, 2_000), (16, 600), (2_048, 6_000)] {
            let samples = straight(mode, seq_len, &numbered(lengths(800, longest)));
            found.push((mode.to_string(), seq_len, samples.len(), format!("{:016x}", digest(&samples))));
        }
    }
    let found: Vec<_> = found
        .iter()
        .map(|(mode, seq_len, len, digest)| (mode.as_str(), *seq_len, *len, digest.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("concat", 1, 783_393, "f1a34eb670112de2"),
            ("concat", 16, 14_963, "427ae2fe8c613a45"),
            ("concat", 2_048, 1_125, "82ba4a8fe861d742"),
            ("best_fit", 1, 783_393, "fd537b5d21959c44"),
            ("best_fit", 16, 14_964, "274ae3d367b5ed9d"),
            ("best_fit", 2_048, 1_145, "3a70e81a62ce70ab"),
        ]
    );
}

#[test]
fn units_of_windows_stay_as_they_were() {
    let found = [(16, 600), (2_048, 6_000)].map(|(seq_len, longest)| {
        let mut group = WindowGroup::default();
        for len in lengths(800, longest) {
            group.push(len as u64);
        }
        let units = group.units(seq_len);
        let mut hash = Xxh3::new();
        for documents in (0..).map_while(|unit| units.documents(unit)) {
            for document in documents {
                hash.update(&document.to_le_bytes());
            }
            hash.update(&u32::MAX.to_le_bytes());
        }
        (units.num_samples(), format!("{:016x}", hash.digest()))
    });
    let found = found.each_ref().map(|(samples, digest)| (*samples, digest.as_str()));
    assert_eq!(found, [(14_964, "b5869c6f4407628d"), (1_131, "0b8976c8abff4f55")]);
}
