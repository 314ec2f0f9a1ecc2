//! Text to ids: our tokenizer against a bare loop over the library that it calls.
//!
//! Reads the files that ship with the package, or `ROWMILL_BENCH_TOKENIZER` (a `tokenizer.json`) and
//! `ROWMILL_BENCH_TEXTS` (a file of texts, each ended by a zero byte).
#![allow(missing_docs, reason = "criterion's macros make public items of their own")]

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rowmill_core::text::tokenizer::{EngineChoice, Tokenizer, TokenizerOptions};
use tokenizers_fast::pipeline::{EncodeOptions, Override};

/// Where nothing else is named: a file of ours is text, too.
fn input(variable: &str, shipped: &str) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(shipped);
    std::env::var_os(variable).map_or(shipped, PathBuf::from)
}

fn texts() -> Vec<String> {
    let path = input("ROWMILL_BENCH_TEXTS", "rust/core/src/text/tokenizer/mod.rs");
    let text = std::fs::read_to_string(path).expect("a file of UTF-8");
    text.split('\0').filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn encode(criterion: &mut Criterion) {
    let path = input("ROWMILL_BENCH_TOKENIZER", "python/rowmill/data/tokenizer.json");
    let json = std::fs::read(&path).expect("a tokenizer.json");
    let texts = texts();
    let mut group = criterion.benchmark_group("tokenizer");
    group.sample_size(10).throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));

    let canonical = tokenizers_fast::canonicalize_str(&String::from_utf8_lossy(&json)).expect("known parts");
    let bare = tokenizers_fast::from_json(&canonical).expect("a sound tokenizer");
    let options = EncodeOptions {
        add_special_tokens: false,
        encode_special_tokens: true,
        padding: Override::Off,
        truncation: Override::Off,
    };
    let mut tokens = Vec::new();
    group.bench_function("bare loop", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                tokens.clear();
                bare.encode_into(text, &options, &mut tokens).expect("encodable");
                black_box(&tokens);
            }
        });
    });

    let choice = TokenizerOptions { engine: EngineChoice::Fast, ..TokenizerOptions::default() };
    let ours = Tokenizer::from_json(&json, &path.to_string_lossy(), &choice, &[]).expect("a sound tokenizer");
    let mut ids = Vec::new();
    group.bench_function("rowmill", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                ids.clear();
                ours.encode(text, &mut ids).expect("encodable");
                black_box(&ids);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
