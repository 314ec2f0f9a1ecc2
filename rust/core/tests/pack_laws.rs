//! The laws of packing over random lanes: no token is lost, no restart shows, and columns say what they promise.

mod pack_cases;

use std::collections::{BTreeMap, HashMap};

use pack_cases::{Documents, lane, modes, row_id_of, run, straight};
use proptest::prelude::*;
use rowmill_core::text::pack::{
    Labels, PackMode, PackStats, Place, Sample, SampleCounter, Unpacker, flatten,
};

/// What every column must hold, worked out token by token from the documents alone.
struct Expected {
    input_ids: Vec<i64>,
    shifted: Vec<i64>,
    copied: Vec<i64>,
    position_ids: Vec<i64>,
    document_ids: Vec<i64>,
    cuts: Vec<i32>,
}

const PAD: u32 = 7_000_000;

/// Tokens are numbered through all documents, so each one says where it is from.
fn expected(sample: &Sample, documents: &Documents) -> Expected {
    let mut place_of = HashMap::new();
    for (element, tokens) in documents.iter().enumerate() {
        let row_id = row_id_of(element as u64) as i64;
        for (index, token) in tokens.iter().enumerate() {
            place_of.insert(*token, (row_id, tokens.get(index + 1).copied()));
        }
    }
    let num_padded = sample.seq_len() - sample.tokens().len();
    let padded = |fill: i64| std::iter::repeat_n(fill, num_padded);
    let real = |value: &dyn Fn(u32) -> i64, fill| {
        let real = sample.tokens().iter().map(|token| value(*token));
        real.chain(padded(fill)).collect::<Vec<_>>()
    };
    let document_ids = real(&|token| place_of[&token].0, -1);
    let (mut position_ids, mut cuts) = (Vec::new(), vec![0]);
    for index in 0..sample.tokens().len() {
        let goes_on = index > 0 && document_ids[index] == document_ids[index - 1];
        position_ids.push(if goes_on { position_ids[index - 1] + 1 } else { 0 });
        if index > 0 && !goes_on {
            cuts.push(index as i32);
        }
    }
    position_ids.extend(padded(0));
    if !sample.tokens().is_empty() {
        cuts.push(sample.tokens().len() as i32);
    }
    Expected {
        input_ids: real(&i64::from, i64::from(PAD)),
        shifted: real(&|token| place_of[&token].1.map_or(-100, i64::from), -100),
        copied: real(&i64::from, -100),
        position_ids,
        document_ids,
        cuts,
    }
}

fn column(sample: &Sample, write: impl FnOnce(&Sample, &mut [i64])) -> Vec<i64> {
    let mut out = vec![-55; sample.seq_len()];
    write(sample, &mut out);
    out
}

fn input_ids(sample: &Sample) -> Vec<i64> {
    column(sample, |sample, out| sample.write_input_ids(PAD, out).unwrap())
}

fn document_ids(sample: &Sample) -> Vec<i64> {
    column(sample, |sample, out| sample.write_document_ids(out).unwrap())
}

fn labels(sample: &Sample, labels: Labels) -> Vec<i64> {
    column(sample, |sample, out| sample.write_labels(labels, out).unwrap())
}

fn total(samples: &[Sample]) -> PackStats {
    samples.iter().fold(PackStats::default(), |mut sum, sample| {
        sum += sample.stats();
        sum
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unpacking_gives_every_document_back((seq_len, documents) in lane(), mode in modes(), with_cuts: bool) {
        let mut unpacker = Unpacker::default();
        for sample in straight(mode, seq_len, &documents) {
            let cuts = with_cuts.then(|| sample.cu_seqlens().cuts);
            unpacker.push(&input_ids(&sample), &document_ids(&sample), cuts.as_deref()).unwrap();
        }
        let found: BTreeMap<_, _> = unpacker.finish().into_iter().collect();
        let given: BTreeMap<_, _> = (0..).zip(&documents).filter(|(_, tokens)| !tokens.is_empty())
            .map(|(element, tokens)| (row_id_of(element), tokens.iter().copied().map(i64::from).collect()))
            .collect();
        prop_assert_eq!(found, given);
    }

    #[test]
    fn no_restart_shows(
        (seq_len, documents) in lane(), mode in modes(), runs in prop::collection::vec((0..9_usize, 1..40_usize), 1..8),
    ) {
        let straight = straight(mode, seq_len, &documents);
        let (mut resumed, mut place) = (Vec::<Sample>::new(), Place::default());
        for (max, piece) in runs.into_iter().chain([(usize::MAX, 7)]) {
            resumed.extend(run(mode, seq_len, &documents, place, piece, max));
            place = resumed.last().map_or(place, Sample::place);
        }
        prop_assert_eq!(total(&resumed), total(&straight));
        prop_assert_eq!(resumed, straight);
    }

    #[test]
    fn columns_say_what_the_documents_say((seq_len, documents) in lane(), mode in modes()) {
        prop_assume!(seq_len < 1_000);
        for sample in straight(mode, seq_len, &documents) {
            let expected = expected(&sample, &documents);
            let mask = |labels: &[i64]| labels.iter().map(|label| i64::from(*label != -100)).collect::<Vec<_>>();
            let written = |labels| column(&sample, |sample, out| sample.write_loss_mask(labels, out));
            prop_assert_eq!(input_ids(&sample), expected.input_ids);
            prop_assert_eq!(labels(&sample, Labels::Shifted), &expected.shifted[..]);
            prop_assert_eq!(labels(&sample, Labels::Copy), &expected.copied[..]);
            prop_assert_eq!(written(Some(Labels::Shifted)), mask(&expected.shifted));
            prop_assert_eq!(written(Some(Labels::Copy)), mask(&expected.copied));
            prop_assert_eq!(written(None), mask(&expected.copied));
            prop_assert_eq!(document_ids(&sample), expected.document_ids);
            let positions = column(&sample, |sample, out| sample.write_position_ids(out).unwrap());
            prop_assert_eq!(positions, expected.position_ids);
            let cuts = sample.cu_seqlens();
            prop_assert_eq!(cuts.max_seqlen, expected.cuts.windows(2).map(|cut| cut[1] - cut[0]).max().unwrap_or(0));
            prop_assert_eq!(cuts.cuts, expected.cuts);
        }
    }

    #[test]
    fn concat_is_the_stream_cut_every_seq_len((seq_len, documents) in lane()) {
        let samples = straight(PackMode::Concat, seq_len, &documents);
        let stream = documents.concat();
        prop_assert_eq!(samples.iter().map(Sample::tokens).collect::<Vec<_>>(), stream.chunks(seq_len).collect::<Vec<_>>());
    }

    #[test]
    fn best_fit_cuts_only_what_is_longer_than_a_sequence((seq_len, documents) in lane()) {
        for sample in straight(PackMode::BestFit, seq_len, &documents) {
            for segment in sample.segments() {
                let len = documents[(1_000_000 - segment.row_id) as usize].len();
                let left = len - segment.offset as usize;
                prop_assert_eq!(segment.len, left.min(seq_len));
                prop_assert_eq!(segment.offset as usize % seq_len, 0);
            }
        }
    }

    #[test]
    fn counts_are_those_of_the_documents((seq_len, documents) in lane(), mode in modes()) {
        let samples = straight(mode, seq_len, &documents);
        let stats = total(&samples);
        let mut sequences_of = HashMap::<u64, u64>::new();
        for segment in samples.iter().flat_map(Sample::segments) {
            *sequences_of.entry(segment.row_id).or_default() += 1;
        }
        prop_assert_eq!(stats.samples, samples.len() as u64);
        prop_assert_eq!(stats.tokens, documents.iter().map(|tokens| tokens.len() as u64).sum::<u64>());
        prop_assert_eq!(stats.tokens + stats.padding, (samples.len() * seq_len) as u64);
        prop_assert_eq!(stats.documents, sequences_of.len() as u64);
        prop_assert_eq!(stats.cut_documents, sequences_of.values().filter(|count| **count > 1).count() as u64);
    }

    #[test]
    fn a_flattened_batch_is_covered_from_end_to_end((seq_len, documents) in lane(), mode in modes()) {
        let samples = straight(mode, seq_len, &documents);
        let batch = &samples[..samples.len().min(8)];
        let cuts: Vec<_> = batch.iter().map(Sample::cu_seqlens).collect();
        let joined = flatten(&cuts, seq_len).unwrap();
        let ids: Vec<_> = batch.iter().flat_map(document_ids).collect();
        prop_assert_eq!(joined.cuts.first(), Some(&0));
        prop_assert_eq!(joined.cuts.last().map(|end| *end as usize), Some(ids.len()));
        prop_assert_eq!(joined.cuts.windows(2).map(|cut| cut[1] - cut[0]).max().unwrap_or(0), joined.max_seqlen);
        for cut in joined.cuts.windows(2) {
            let (start, end) = (cut[0] as usize, cut[1] as usize);
            prop_assert!(start < end && ids[start..end].iter().all(|id| *id == ids[start]));
            prop_assert!(end == ids.len() || end % seq_len == 0 || ids[end] != ids[end - 1]);
        }
    }
}

proptest! {
    #[test]
    fn lengths_alone_tell_how_many_samples_there_are(mode in modes(), (seq_len, documents) in lane()) {
        let mut counter = SampleCounter::try_new(mode, seq_len).unwrap();
        for document in &documents {
            counter.document(document.len() as u64);
        }
        prop_assert_eq!(counter.finish(), straight(mode, seq_len, &documents).len() as u64);
    }
}
