//! From a file to a tokenizer: both engines, what they agree on, and what is to be known of the ids.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::code_points::CodePoints;
use super::cuts::Cuts;
use super::definition::Definition;
use super::engines::{Both, Engines};
use super::fast::Fast;
use super::frame::Frame;
use super::info::EngineInfo;
use super::options::{EngineChoice, TokenizerOptions};
use super::reference::Reference;
use super::{BYTES_EOS, Inner, gate};
use crate::error::{Error, Result};

/// Stands in every fingerprint; a change here refuses every cursor of a tokenised dataset.
const DOMAIN: &[u8] = b"rowmill tokenizer 1";

/// Parts that know characters by tables that never changed, or by the expressions of the model's file.
const PLAIN: [&str; 9] = [
    "ByteLevel",
    "Digits",
    "Lowercase",
    "Metaspace",
    "Prepend",
    "Replace",
    "Split",
    "Strip",
    "WhitespaceSplit",
];

/// Normalisers whose tables differ in new characters only.
const NORMAL_FORMS: [&str; 4] = ["NFC", "NFD", "NFKC", "NFKD"];

pub(super) fn bytes() -> Inner {
    let info = EngineInfo::bytes();
    Inner {
        engines: Engines::Bytes,
        origin: "bytes".to_owned(),
        frame: Frame::default(),
        cuts: Cuts::Anywhere,
        vocab_size: BYTES_EOS + 1,
        pad_token: None,
        fingerprint: fingerprint("", &TokenizerOptions::default(), &info),
        info,
    }
}

pub(super) fn from_json(
    json: &[u8],
    origin: &str,
    options: &TokenizerOptions,
    probes: &[&str],
) -> Result<Inner> {
    let path = Path::new(origin);
    let damaged = |problem: String| Error::corrupt(path, format!("it is no tokenizer.json: {problem}"));
    let unsupported = |message: String| Error::Unsupported { path: path.to_owned(), message };
    // Before an engine sees the file: what it refuses may be a table of two billion entries.
    let definition = Definition::parse(json, origin)?;
    let cuts = Cuts::of(&definition, options.allow_special);
    let (doubtful, added) = (doubtful(&definition), definition.added.clone());
    let pad_token = definition.root["padding"]["pad_token"].as_str().map(str::to_owned);
    let wants_fast = options.engine != EngineChoice::Reference;
    let (known, fast) = beside(
        || Known::load(json, options.allow_special),
        || wants_fast.then(|| Fast::load(definition, options.allow_special)),
    );
    let Known { reference, frame, vocab_size, canonical } = known.map_err(damaged)?;
    let frame = frame.map_err(unsupported)?;
    let fast = fast.map(|fast| {
        fast.and_then(|fast| gate::compare(&fast, &reference, doubtful, &added, probes).map(|()| fast))
    });
    let (engines, info) = choose(fast, reference, doubtful, options.engine).map_err(unsupported)?;
    let fingerprint = fingerprint(&canonical, options, &info);
    Ok(Inner { engines, origin: origin.to_owned(), frame, cuts, vocab_size, pad_token, fingerprint, info })
}

/// The reference engine, and what only it knows of the file.
struct Known {
    reference: Reference,
    frame: std::result::Result<Frame, String>,
    vocab_size: u32,
    canonical: String,
}

impl Known {
    fn load(json: &[u8], allow_special: bool) -> std::result::Result<Self, String> {
        let reference = Reference::load(json, allow_special)?;
        let frame = Frame::find(&reference);
        let vocab_size = reference.vocab_size().ok_or_else(|| "it has no tokens".to_owned())?;
        let canonical = reference.canonical()?;
        Ok(Self { reference, frame, vocab_size, canonical })
    }
}

/// Does the first on a thread of its own, if the system has one to give, while the second is done here.
///
/// The thread has ended when this returns: a fork meets none.
fn beside<A: Send, B>(first: impl Fn() -> A + Sync, second: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let name = "rowmill-load".to_owned();
        let begun = thread::Builder::new().name(name).spawn_scoped(scope, &first);
        let made = second();
        match begun.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(known)) => (known, made),
            // It did not begin; engines' own panics are caught where they are called.
            Ok(Err(_)) | Err(_) => (first(), made),
        }
    })
}

/// The engines that serve; the error says why the fast one cannot where nothing else was asked for.
fn choose(
    fast: Option<std::result::Result<Fast, String>>,
    reference: Reference,
    doubtful: &'static CodePoints,
    choice: EngineChoice,
) -> std::result::Result<(Engines, EngineInfo), String> {
    match fast {
        None => Ok((Engines::Reference(reference), EngineInfo::reference(None))),
        Some(Ok(fast)) => {
            let both = Both { fast, reference, doubtful, is_broken: AtomicBool::new(false) };
            Ok((Engines::Both(both), EngineInfo::fast()))
        }
        Some(Err(reason)) if choice == EngineChoice::Fast => {
            Err(format!("the fast engine cannot serve it: {reason}"))
        }
        Some(Err(reason)) => Ok((Engines::Reference(reference), EngineInfo::reference(Some(reason)))),
    }
}

/// The characters on which the engines may differ.
fn doubtful(definition: &Definition) -> &'static CodePoints {
    let mut kinds = Vec::new();
    for part in ["normalizer", "pre_tokenizer"] {
        collect_kinds(&definition.root[part], &mut kinds);
    }
    if kinds.iter().all(|kind| PLAIN.contains(kind)) {
        CodePoints::too_new()
    } else if kinds.iter().all(|kind| PLAIN.contains(kind) || NORMAL_FORMS.contains(kind)) {
        CodePoints::too_new_to_normalize()
    } else {
        CodePoints::too_new_to_classify()
    }
}

/// The kinds of a part, or of the parts of a sequence.
fn collect_kinds<'a>(part: &'a Value, kinds: &mut Vec<&'a str>) {
    let members = ["normalizers", "pretokenizers"].iter().find_map(|name| part[*name].as_array());
    match members {
        Some(members) => members.iter().for_each(|member| collect_kinds(member, kinds)),
        None if part.is_null() => {}
        None => kinds.push(part["type"].as_str().unwrap_or_default()),
    }
}

fn fingerprint(canonical: &str, options: &TokenizerOptions, info: &EngineInfo) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    hasher.update(DOMAIN);
    hasher.update(&[u8::from(options.allow_special)]);
    for text in [info.name, info.version, info.unicode, canonical] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.digest128().to_le_bytes()
}
