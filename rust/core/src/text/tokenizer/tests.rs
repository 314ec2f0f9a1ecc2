//! The tokenizer as its callers see it, over the small file that ships with the package.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A byte-level BPE of 4096 tokens, in GPT-2's shape.
fn file() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/rowmill/data/tokenizer.json");
    std::fs::read(path).expect("the package's own tokenizer")
}

fn edited(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut root = serde_json::from_slice(&file()).expect("JSON");
    edit(&mut root);
    root.to_string().into_bytes()
}

fn with(engine: EngineChoice) -> TokenizerOptions {
    TokenizerOptions { engine, ..TokenizerOptions::default() }
}

fn load(json: &[u8]) -> Result<Tokenizer> {
    Tokenizer::from_json(json, "tokenizer.json", &TokenizerOptions::default(), &[])
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    tokenizer.encode(text, &mut ids).expect("encodable");
    ids
}

#[test]
fn the_shipped_tokenizer_is_served_by_the_fast_engine_with_the_reference_s_ids() {
    let fast = Tokenizer::from_json(&file(), "t", &with(EngineChoice::Fast), &["a probe"]).expect("fast");
    let reference = Tokenizer::from_json(&file(), "t", &with(EngineChoice::Reference), &[]).expect("sound");
    assert_eq!((fast.engine().name, fast.engine().reason.as_deref()), ("fast", None));
    assert_eq!(fast.vocab_size(), 4096);
    assert_eq!(fast.token_to_id("<|endoftext|>"), Some(0));
    for text in
        ["", "Welcome to the mill.", " \n\n  x 12345's ß水車🦀\u{301}", "new: \u{16EA0}\u{323B0} letters"]
    {
        assert_eq!(ids(&fast, text), ids(&reference, text), "{text:?}");
    }
    assert_ne!(fast.fingerprint(), reference.fingerprint());
}

#[test]
fn special_tokens_in_a_text_are_plain_text_unless_allowed() {
    let text = "a<|endoftext|>b";
    let plain = load(&file()).expect("sound");
    assert!(!ids(&plain, text).contains(&0));
    let options = TokenizerOptions { allow_special: true, ..TokenizerOptions::default() };
    let special = Tokenizer::from_json(&file(), "t", &options, &[]).expect("sound");
    assert_eq!(special.engine().name, "fast");
    assert!(ids(&special, text).contains(&0));
    assert_ne!(special.fingerprint(), plain.fingerprint());
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let json = edited(|root| {
        root["truncation"] =
            json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
        root["padding"] = json!({"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    });
    let text = "Some more than two tokens.";
    let expected = ids(&load(&file()).expect("sound"), text);
    for engine in [EngineChoice::Fast, EngineChoice::Reference] {
        let tokenizer = Tokenizer::from_json(&json, "t", &with(engine), &[]).expect("sound");
        assert_eq!(ids(&tokenizer, text), expected);
    }
    assert_eq!(load(&json).expect("sound").fingerprint(), load(&file()).expect("sound").fingerprint());
}

#[test]
fn what_the_post_processor_adds_stands_around_the_whole_text() {
    let json = edited(|root| {
        root["post_processor"] = json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "B", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"A": {"id": "A", "ids": [0, 5], "tokens": ["<|endoftext|>", "x"]},
                "B": {"id": "B", "ids": [0], "tokens": ["<|endoftext|>"]}}});
    });
    let tokenizer = Tokenizer::from_json(&json, "t", &with(EngineChoice::Fast), &[]).expect("sound");
    assert_eq!(*tokenizer.frame(), Frame { prefix: vec![0, 5], suffix: vec![0] });
    let bare = ids(&load(&file()).expect("sound"), "ground flour");
    assert_eq!(ids(&tokenizer, "ground flour"), [&[0, 5], &bare[..], &[0]].concat());
}

#[test]
fn a_file_that_the_fast_engine_cannot_read_falls_back_with_the_reason() {
    let prefixed = edited(|root| root["pre_tokenizer"]["add_prefix_space"] = json!(true));
    let tokenizer = load(&prefixed).expect("sound");
    assert_eq!(tokenizer.engine().name, "reference");
    let reason = tokenizer.engine().reason.clone().expect("a reason");
    assert!(reason.contains("add_prefix_space"), "{reason}");
    assert_eq!(ids(&tokenizer, "mill"), ids(&tokenizer, " mill"));
    let error =
        Tokenizer::from_json(&prefixed, "t.json", &with(EngineChoice::Fast), &[]).expect_err("not fast");
    assert!(error.to_string().contains("t.json: the fast engine cannot serve it"), "{error}");
}

#[test]
fn dropout_and_ids_without_bounds_are_refused() {
    let random = load(&edited(|root| root["model"]["dropout"] = json!(0.1))).expect_err("random");
    assert!(
        matches!(random, Error::Unsupported { .. }) && random.to_string().contains("dropout 0.1"),
        "{random}"
    );
    let sparse =
        load(&edited(|root| root["model"]["vocab"]["the"] = json!(2_000_000_000))).expect_err("sparse");
    assert!(sparse.to_string().contains("an id of 2000000000"), "{sparse}");
}

#[test]
fn damaged_files_are_typed_errors() {
    let sound = file();
    for end in (0..sound.len()).step_by(4099) {
        assert!(matches!(load(&sound[..end]), Err(Error::CorruptShard { .. })), "cut at {end}");
    }
    for edit in [
        |root: &mut Value| root["model"] = json!(null),
        |root: &mut Value| root["model"]["vocab"] = json!([1, 2]),
        |root: &mut Value| root["pre_tokenizer"] = json!({"type": "Nonsense"}),
        |root: &mut Value| root["added_tokens"] = json!({"a": 1}),
        |root: &mut Value| root["model"]["merges"] = json!(["no such merge", "q"]),
    ] {
        let error = load(&edited(edit)).expect_err("damaged");
        assert!(
            error.to_string().starts_with("tokenizer.json is damaged: it is no tokenizer.json"),
            "{error}"
        );
    }
}

#[test]
fn a_text_without_ids_is_an_error_that_names_tokenizer_and_text() {
    let json = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"x": 0, "the": 1, "mill": 2}, "unk_token": "?"}});
    let error = load(json.to_string().as_bytes()).map(|tokenizer| {
        let mut out = vec![7];
        let error = tokenizer.encode("x unknown", &mut out).expect_err("no ids");
        assert_eq!(out, [7]);
        error
    });
    let text = error.map_or_else(|error| error.to_string(), |error| error.to_string());
    assert!(text.contains("tokenizer.json"), "{text}");
}

#[test]
fn pieces_have_the_ids_of_the_whole_and_are_cut_after_letters() {
    let tokenizer = load(&file()).expect("sound");
    let text = "Grind, grind  on 12 mills\nOne's own\tx水車 y\r\n".repeat(50);
    let whole = ids(&tokenizer, &text);
    for max_bytes in [1, 7, 64, 1000, usize::MAX] {
        let mut out = Vec::new();
        let pieces: Vec<&str> = tokenizer.pieces(&text, max_bytes).collect();
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.len() > 1, max_bytes < text.len());
        for piece in pieces {
            tokenizer.encode_piece(piece, &mut out).expect("encodable");
        }
        assert_eq!(out, whole, "{max_bytes}");
    }
    assert_eq!(tokenizer.pieces("1234567890 +-*/ 1234", 4).count(), 1);
}

#[test]
fn nothing_is_cut_where_nothing_is_proved() {
    let other = edited(|root| {
        root["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{L}+ ?"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]});
    });
    let spaced = edited(|root| {
        root["added_tokens"]
            .as_array_mut()
            .expect("a list")
            .push(json!({"id": 4096, "content": "end of", "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": false}));
    });
    for json in [other, spaced] {
        assert_eq!(load(&json).expect("sound").pieces("a mill and a mill", 4).count(), 1);
    }
}

#[test]
fn the_bytes_need_no_file() {
    let tokenizer = Tokenizer::bytes();
    assert_eq!(ids(&tokenizer, "aß\0"), [97, 195, 159, 0]);
    assert_eq!((tokenizer.vocab_size(), tokenizer.engine().name), (257, "bytes"));
    let pieces: Vec<&str> = tokenizer.pieces("aß水車", 3).collect();
    assert_eq!(pieces, ["aß", "水", "車"]);
    assert_ne!(tokenizer.fingerprint(), load(&file()).expect("sound").fingerprint());
}

#[test]
fn texts_of_words_that_were_met_before_have_the_reference_s_ids() {
    let fast = Tokenizer::from_json(&file(), "t", &with(EngineChoice::Fast), &[]).expect("fast");
    let reference = Tokenizer::from_json(&file(), "t", &with(EngineChoice::Reference), &[]).expect("loads");
    // Words of few letters come again and again, in one text and from text to text.
    let text = prop_oneof!["[ab. \n\u{e9}\u{6c34}']{0,200}", "( {0,40}[a-e]{0,20}){0,30}"];
    proptest!(|(texts in prop::collection::vec(text, 1..8))| {
        for text in texts.iter().chain(&texts) {
            prop_assert_eq!(ids(&fast, text), ids(&reference, text));
        }
    });
}

#[test]
fn one_tokenizer_serves_many_threads() {
    let tokenizer = load(&file()).expect("sound");
    let texts: Vec<String> =
        (0..200).map(|n| format!("document {n} of the mill, \u{16EA0} {}", "ab ".repeat(n))).collect();
    let expected: Vec<_> = texts.iter().map(|text| ids(&tokenizer, text)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let tokenizer = tokenizer.clone();
            let (texts, expected) = (&texts, &expected);
            scope.spawn(move || {
                for (text, expected) in texts.iter().zip(expected) {
                    assert_eq!(ids(&tokenizer, text), *expected);
                }
            });
        }
    });
}
