//! The part of a `tokenizer.json` that the fast engine gets: only what decides the ids of a text.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use tokenizers_fast::canonicalize_value;

use super::definition::Definition;

/// The engine's perfect hashes of fewer keys than this (and more than [`FEWEST_RISKY`]) need several tries now
/// and then, each of which it reports on stderr: measured for 6 to 50 keys, never for 100 and more.
const FEWEST_SAFE: usize = 128;

/// Fewer keys always take their places at the first try.
const FEWEST_RISKY: usize = 6;

/// What padding is spelled with: no character, so that no text has it. [`super::code_points`] sends a text that
/// has it all the same to the reference.
pub(super) const PADDING: char = '\u{10FFFF}';

/// The engine keeps the merges of its first so many symbols in a table of their own.
const GRID: usize = 512;

/// The JSON for the fast engine, or why there is none.
pub(super) fn slim(definition: Definition, allow_special: bool) -> Result<String, String> {
    if let Some(token) = definition.active(allow_special).find(|token| token.is_choosy) {
        let content = &token.content;
        return Err(format!("the added token {content:?} strips spaces or wants to be a whole word"));
    }
    let mut root = definition.root;
    if let Some(entries) = root.as_object_mut() {
        // The frame is ours; without them more files load.
        for unused in ["post_processor", "decoder", "truncation", "padding"] {
            entries.remove(unused);
        }
    }
    canonicalize_value(&mut root).map_err(|error| error.to_string())?;
    refuse_small_tables(&root["model"])?;
    pad_added_tokens(&mut root);
    let Some(scores) = definition.scores else {
        return serde_json::to_string(&root).map_err(|error| error.to_string());
    };
    let place = Value::String(format!("{PADDING}scores"));
    let quoted = place.to_string();
    root["model"]["vocab"] = place;
    let json = serde_json::to_string(&root).map_err(|error| error.to_string())?;
    Ok(json.replacen(&quoted, &scores, 1))
}

fn is_risky(num_keys: usize) -> bool {
    (FEWEST_RISKY..FEWEST_SAFE).contains(&num_keys)
}

fn refuse_small_tables(model: &Value) -> Result<(), String> {
    let num_tokens = match &model["vocab"] {
        Value::Object(vocabulary) => vocabulary.len(),
        Value::Array(vocabulary) => vocabulary.len(),
        _ => 0,
    };
    if num_tokens < FEWEST_SAFE {
        return Err(format!("its vocabulary has only {num_tokens} tokens"));
    }
    match num_merges_outside_the_grid(model) {
        Some(num_merges) if is_risky(num_merges) => Err(format!(
            "its vocabulary is so small that only {num_merges} merges are not in the engine's grid"
        )),
        _ => Ok(()),
    }
}

/// Counts the merges of two symbols one of which is not among the engine's first [`GRID`]: those that no merge
/// makes, by id, then the products, by the rank of their first merge. `None` where there are no merges.
fn num_merges_outside_the_grid(model: &Value) -> Option<usize> {
    let vocabulary = model["vocab"].as_object()?;
    let merges = model["merges"].as_array()?;
    let prefix = model["continuing_subword_prefix"].as_str().map_or(0, str::len);
    let ids: HashMap<&str, u64> =
        vocabulary.iter().filter_map(|(token, id)| Some((token.as_str(), id.as_u64()?))).collect();
    let mut ranks = HashMap::new();
    let mut pairs = HashSet::new();
    for (rank, merge) in merges.iter().enumerate() {
        let (left, right) = (merge[0].as_str()?, merge[1].as_str()?);
        let product = ids.get(format!("{left}{}", right.get(prefix..)?).as_str())?;
        ranks.entry(*product).or_insert(rank);
        pairs.insert((ids.get(left)?, ids.get(right)?));
    }
    let mut places: BTreeMap<(bool, u64), u64> = BTreeMap::new();
    for id in ids.values() {
        match ranks.get(id) {
            Some(rank) => places.insert((true, *rank as u64), *id),
            None => places.insert((false, *id), *id),
        };
    }
    let first: HashSet<u64> = places.into_values().take(GRID).collect();
    Some(pairs.iter().filter(|(left, right)| !first.contains(left) || !first.contains(right)).count())
}

/// Adds tokens that no text contains, so that no table of added tokens has a risky size.
fn pad_added_tokens(root: &mut Value) {
    let Some(added) = root.get_mut("added_tokens").and_then(Value::as_array_mut) else { return };
    let mut next_id = added.iter().filter_map(|entry| entry["id"].as_u64()).max().map_or(0, |id| id + 1);
    for is_normalized in [false, true] {
        let num_keys =
            added.iter().filter(|entry| entry["normalized"].as_bool() == Some(is_normalized)).count();
        if !is_risky(num_keys) {
            continue;
        }
        for number in num_keys..FEWEST_SAFE {
            added.push(json!({
                "id": next_id, "content": format!("{PADDING}{number}{PADDING}{is_normalized}"), "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": is_normalized, "special": true,
            }));
            next_id += 1;
        }
    }
}
