//! Packing at its edges: wrong cursors, narrow types, long documents, repeated rows.

mod pack_cases;

use pack_cases::{lengths, numbered, row_id_of, run, straight};
use rowmill_core::Error;
use rowmill_core::text::pack::{Labels, PackMode, PackStats, Packer, Place, Sample};

const MODES: [PackMode; 2] = [PackMode::Concat, PackMode::BestFit];

#[test]
fn names_are_read_and_written() {
    for mode in MODES {
        assert_eq!(mode.to_string().parse::<PackMode>().unwrap(), mode);
    }
    let error = "first_fit".parse::<PackMode>().unwrap_err();
    assert_eq!(error.to_string(), r#"mode is "concat", "best_fit" or "best_fit_windows", not "first_fit""#);
    assert_eq!("copy".parse::<Labels>().unwrap(), Labels::Copy);
    let error = "none".parse::<Labels>().unwrap_err();
    assert_eq!(error.to_string(), r#"labels is "shifted", "copy" or None, not "none""#);
}

#[test]
fn a_sequence_has_a_length() {
    for seq_len in [0, 1 << 31, usize::MAX] {
        let error = Packer::try_new(PackMode::Concat, seq_len).unwrap_err();
        assert!(
            matches!(&error, Error::InvalidArgument(text) if text.contains(&seq_len.to_string())),
            "{error}"
        );
    }
}

#[test]
fn a_sample_comes_as_soon_as_it_is_known_how_it_ends() {
    for mode in MODES {
        let mut packer = Packer::try_new(mode, 3).unwrap();
        packer.begin(9, 0);
        packer.tokens(&[1_u16, 2, 3]);
        assert!(packer.pop().is_none(), "the document may go on");
        packer.tokens(&[4_u16]);
        let first = packer.pop().unwrap();
        assert_eq!((first.tokens(), first.next()), (&[1, 2, 3][..], Some(4)));
        packer.tokens(&[5_u16, 6]);
        packer.end().unwrap();
        let second = packer.pop().unwrap();
        assert_eq!((second.tokens(), second.next()), (&[4, 5, 6][..], None));
        assert_eq!(second.segments()[0].offset, 3);
    }
}

#[test]
fn a_cursor_of_other_data_is_refused() {
    let mut concat = Packer::resume(PackMode::Concat, 4, 5).unwrap();
    let error = concat.document(3, 0, &[1_u32, 2, 3, 4, 5]).unwrap_err();
    assert!(matches!(error, Error::StateMismatch(_)), "{error}");
    assert!(
        error.to_string().starts_with("the cursor was taken after 5 tokens of row 3, which now has 5"),
        "{error}"
    );

    let mut best_fit = Packer::resume(PackMode::BestFit, 4, 2).unwrap();
    best_fit.document(3, 0, &[1_u32, 2]).unwrap();
    let error = best_fit.finish().unwrap_err();
    assert!(matches!(error, Error::StateMismatch(_)), "{error}");
    assert!(
        error.to_string().contains("after 2 sequences of a group of documents that now gives 1"),
        "{error}"
    );
}

#[test]
fn a_row_that_follows_itself_is_cut() {
    let mut packer = Packer::try_new(PackMode::Concat, 4).unwrap();
    for epoch in 0..2 {
        packer.document(5, epoch, &[1_u32, 2]).unwrap();
    }
    let sample = packer.pop().unwrap();
    assert_eq!(sample.cu_seqlens().cuts, [0, 2, 4]);
    let mut labels = [0_i32; 4];
    sample.write_labels(Labels::Shifted, &mut labels).unwrap();
    assert_eq!(labels, [2, -100, 2, -100]);
    assert_eq!(sample.place(), Place { element: 2, taken: 0 });
}

#[test]
fn types_that_cannot_hold_a_column_are_refused() {
    let samples = straight(PackMode::Concat, 4, &[vec![1, 70_000, 3]]);
    let texts = [
        samples[0].write_input_ids(0, &mut [0_u16; 4]).unwrap_err().to_string(),
        samples[0].write_labels(Labels::Copy, &mut [0_u16; 4]).unwrap_err().to_string(),
        samples[0].write_labels(Labels::Copy, &mut [0_i16; 4]).unwrap_err().to_string(),
        samples[0].write_input_ids(u32::MAX, &mut [0_i32; 4]).unwrap_err().to_string(),
        samples[0].write_document_ids(&mut [0_u64; 4]).unwrap_err().to_string(),
        samples[0].write_document_ids(&mut [0_i8; 4]).unwrap_err().to_string(),
    ];
    assert_eq!(
        texts,
        [
            "token id 70000 does not fit uint16; ask for a wider dtype (int64 always fits)",
            "labels cannot be uint16: they hold -100 where there is no loss; ask for a signed dtype such as int64",
            "token id 70000 does not fit int16; ask for a wider dtype (int64 always fits)",
            "token id 4294967295 does not fit int32; ask for a wider dtype (int64 always fits)",
            "document_ids cannot be uint64: they hold -1 where padded; ask for a signed dtype such as int64",
            "row id 1000000 does not fit int8; ask for int64",
        ]
    );
}

#[test]
fn a_group_is_of_at_least_64_documents() {
    // 63 documents of 2,500 sequences and a token: more tokens than a group needs, one document too few.
    let lengths = [vec![5_001; 63], vec![1; 65]].concat();
    let samples = straight(PackMode::BestFit, 2, &numbered(lengths));
    let whole = samples.iter().position(|sample| sample.place().taken == 0).unwrap();
    assert_eq!(samples[whole].place(), Place { element: 64, taken: 0 });
    let rows: Vec<_> = samples[..=whole].iter().flat_map(Sample::segments).collect();
    assert!((0..64).all(|element| rows.iter().any(|segment| segment.row_id == row_id_of(element))));
}

#[test]
fn a_document_of_many_sequences_is_not_held() {
    for mode in MODES {
        let mut packer = Packer::try_new(mode, 1_000).unwrap();
        packer.begin(0, 0);
        let (mut num_samples, mut held) = (0, 0);
        for _ in 0..10_000 {
            packer.tokens(&[7_u16; 999]);
            let samples: Vec<_> = std::iter::from_fn(|| packer.pop()).collect();
            num_samples += samples.len();
            held = held.max(samples.iter().map(Sample::num_bytes).sum::<usize>());
        }
        packer.end().unwrap();
        packer.finish().unwrap();
        num_samples += std::iter::from_fn(|| packer.pop()).count();
        assert_eq!(num_samples, 9_990);
        assert!(held < 10_000, "{held} bytes of samples at a time");
    }
}

#[test]
fn a_lane_of_several_groups_goes_on_from_any_sample() {
    let documents = numbered(lengths(400, 3_000));
    for mode in MODES {
        let straight = straight(mode, 1_000, &documents);
        let groups = straight.iter().filter(|sample| sample.place().taken == 0).count();
        assert!(mode == PackMode::Concat || groups > 2, "{groups} groups");
        for index in (0..straight.len()).step_by(11) {
            let resumed = run(mode, 1_000, &documents, straight[index].place(), 333, 20);
            let end = straight.len().min(index + 21);
            assert_eq!(resumed, straight[index + 1..end], "{mode} from sample {index}");
        }
    }
}

#[test]
fn best_fit_pads_less_than_one_place_in_a_hundred() {
    // Products are many short and a few long, as texts are.
    let pairs = lengths(20_000, 60);
    let lengths: Vec<_> = pairs.chunks(2).map(|pair| 1 + pair[0] * pair[1]).collect();
    for seq_len in [256, 2_048, 8_192] {
        let samples = straight(PackMode::BestFit, seq_len, &numbered(lengths.clone()));
        let mut stats = PackStats::default();
        for sample in &samples {
            stats += sample.stats();
        }
        assert!(stats.padding_share() < 0.01, "{} at {seq_len}", stats.padding_share());
        assert!(stats.padding > 0 && stats.documents == 10_000);
    }
}
