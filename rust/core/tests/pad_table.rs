//! Padding beside a transformers tokenizer, case by case, and what only we promise.

use rowmill_core::text::pack::{PadSpec, Padding, Side};

const TABLE: &str = include_str!("pad_cases/transformers.txt");
const BODIES: [&[u32]; 4] = [&[10, 11, 12, 13, 14, 15, 16], &[20, 21], &[], &[30, 31, 32, 33]];

/// Settings as the table writes them: padding, limits, padding side, truncation side, special tokens.
fn spec(settings: &str) -> PadSpec {
    let words: Vec<&str> = settings.split(' ').collect();
    let number = |prefix: &str| words.iter().find_map(|word| word.strip_prefix(prefix)?.parse().ok());
    let side = |from_end: usize| words[words.len() - from_end].parse::<Side>().unwrap();
    PadSpec {
        padding: if words[0] == "longest" { Padding::Longest } else { Padding::MaxLength },
        max_length: number("max="),
        truncation: words.contains(&"cut"),
        multiple_of: number("of="),
        padding_side: side(3),
        truncation_side: side(2),
        special: match words[words.len() - 1] {
            "plain" => (0, 0),
            "eos" => (0, 1),
            _ => (1, 1),
        },
        pad_id: 0,
    }
}

fn rows(spec: &PadSpec) -> Vec<Vec<u32>> {
    let (first, last) = spec.special;
    BODIES.iter().map(|body| [&[1][..first], body, &[2][..last]].concat()).collect()
}

fn slices(rows: &[Vec<u32>]) -> Vec<&[u32]> {
    rows.iter().map(Vec::as_slice).collect()
}

fn padded(spec: &PadSpec, rows: &[Vec<u32>]) -> (usize, Vec<i64>, Vec<u8>, Vec<i16>) {
    let rows = slices(rows);
    let width = spec.width(rows.iter().map(|row| row.len())).unwrap();
    let places = width * rows.len();
    let (mut ids, mut mask, mut labels) = (vec![-7; places], vec![7; places], vec![-7; places]);
    spec.write_input_ids(&rows, width, &mut ids).unwrap();
    spec.write_attention_mask(&rows, width, &mut mask).unwrap();
    spec.write_labels(&rows, width, &mut labels).unwrap();
    (width, ids, mask, labels)
}

#[test]
fn rows_come_out_as_from_a_transformers_tokenizer() {
    let mut num_cases = 0;
    for (settings, expected) in TABLE.lines().filter_map(|line| line.split_once(" => ")) {
        let spec = spec(settings);
        let (width, ids, mask, labels) = padded(&spec, &rows(&spec));
        let found: Vec<_> = ids.chunks(width).map(<[i64]>::to_vec).collect();
        let numbers = |row: &str| row.split(' ').map(|id| id.parse().unwrap()).collect::<Vec<i64>>();
        assert_eq!(found, expected.split(" | ").map(numbers).collect::<Vec<_>>(), "{settings}");
        // No body holds the padding's id, so the ids themselves say where the padding is.
        assert_eq!(mask, ids.iter().map(|id| u8::from(*id != 0)).collect::<Vec<_>>(), "{settings}");
        let label = |id: &i64| if *id == 0 { -100 } else { *id as i16 };
        assert_eq!(labels, ids.iter().map(label).collect::<Vec<_>>(), "{settings}");
        num_cases += 1;
    }
    assert_eq!(num_cases, 120);
}

#[test]
fn a_token_that_is_also_the_padding_keeps_its_label() {
    let spec = PadSpec { pad_id: 2, ..PadSpec::default() };
    let (_, ids, mask, labels) = padded(&spec, &[vec![5, 2], vec![5, 6, 2]]);
    assert_eq!(ids, [5, 2, 2, 5, 6, 2]);
    assert_eq!(mask, [1, 1, 0, 1, 1, 1]);
    assert_eq!(labels, [5, 2, -100, 5, 6, 2]);
}

#[test]
fn labels_of_the_users_own_are_cut_and_padded_alike() {
    let spec = PadSpec { max_length: Some(3), truncation: true, special: (1, 1), ..PadSpec::default() };
    let mut out = [0; 6];
    spec.write_own_labels(&[&[-100, 8, 9, 10, 2], &[-100, 2]], 3, &mut out).unwrap();
    assert_eq!(out, [-100, 8, 2, -100, 2, -100]);
}

#[test]
fn rows_are_cut_to_max_length_before_the_width_is_rounded() {
    let spec = PadSpec { max_length: Some(3), truncation: true, multiple_of: Some(2), ..PadSpec::default() };
    let (width, ids, ..) = padded(&spec, &[vec![5, 6, 7, 8]]);
    assert_eq!((width, ids), (4, vec![5, 6, 7, 0]));
}

#[test]
fn a_batch_of_nothing_is_of_no_width() {
    let (width, ids, ..) = padded(&PadSpec::default(), &[]);
    assert_eq!((width, ids.len()), (0, 0));
    let (width, ids, ..) = padded(&PadSpec { multiple_of: Some(8), ..PadSpec::default() }, &[vec![], vec![]]);
    assert_eq!((width, ids.len()), (0, 0));
}

#[test]
fn settings_that_cannot_hold_are_refused() {
    let max = |max_length| PadSpec { max_length, padding: Padding::MaxLength, ..PadSpec::default() };
    for (spec, message) in [
        (max(None), "padding=\"max_length\" needs a max_length"),
        (
            max(Some(4)),
            "a row of 5 tokens is longer than max_length=4; ask for truncation, or for padding=\"longest\"",
        ),
        (
            PadSpec { truncation: true, special: (1, 1), ..max(Some(1)) },
            "max_length=1 has no room for the 2 special tokens of each row",
        ),
        (
            PadSpec { multiple_of: Some(0), ..PadSpec::default() },
            "rows are padded to a multiple of at least 1, not 0",
        ),
    ] {
        assert_eq!(spec.width([5]).unwrap_err().to_string(), message);
    }
    let spec = PadSpec::default();
    let error = spec.write_labels(&[&[5]], 1, &mut [0_u16]).unwrap_err();
    assert!(error.to_string().starts_with("labels cannot be uint16"), "{error}");
    let error = spec.write_input_ids(&[&[70_000]], 1, &mut [0_u16]).unwrap_err();
    assert!(error.to_string().starts_with("token id 70000 does not fit uint16"), "{error}");
}
