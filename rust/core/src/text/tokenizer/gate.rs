//! The gate: the fast engine serves only where it agrees with the reference.

use super::code_points::CodePoints;
use super::definition::Added;
use super::engines::Both;
use super::fast::Fast;
use super::probes::{built_in, of_added};
use super::reference::Reference;

/// Of each text of the data so much is compared: the reference reads two megabytes in a second.
const PROBE_BYTES: usize = 16 << 10;

/// Texts of the data that are compared.
const MAX_PROBES: usize = 16;

/// Added tokens that are compared: some files have thousands, all alike.
const MAX_ADDED: usize = 256;

/// Compares the ids of many texts; the error is the reason why the fast engine cannot serve.
pub(super) fn compare(
    fast: &Fast,
    reference: &Reference,
    doubtful: &CodePoints,
    added: &[Added],
    probes: &[&str],
) -> Result<(), String> {
    let mut check = check(fast, reference, doubtful);
    for text in built_in() {
        check(&text)?;
    }
    for token in added.iter().take(MAX_ADDED) {
        check(&of_added(&token.content))?;
    }
    probes.iter().take(MAX_PROBES).try_for_each(|probe| check(start_of(probe)))
}

/// The same of engines that have passed it, for texts of other data.
pub(super) fn compare_probes(both: &Both, probes: &[&str]) -> Result<(), String> {
    let mut check = check(&both.fast, &both.reference, both.doubtful);
    probes.iter().take(MAX_PROBES).try_for_each(|probe| check(start_of(probe)))
}

/// Compares the ids of one text, unless it is one that the reference encodes anyway.
fn check<'a>(
    fast: &'a Fast,
    reference: &'a Reference,
    doubtful: &'a CodePoints,
) -> impl FnMut(&str) -> Result<(), String> + 'a {
    move |text| {
        if doubtful.occur_in(text) { Ok(()) } else { agree(fast, reference, text) }
    }
}

fn agree(fast: &Fast, reference: &Reference, text: &str) -> Result<(), String> {
    let start: String = text.chars().take(32).collect();
    let mut found = Vec::new();
    let encoded = fast.encode(text, &mut found).map_err(|failure| failure.problem);
    match (encoded, reference.ids(text, false)) {
        (Ok(()), Ok(expected)) if found == expected => Ok(()),
        (Ok(()), Ok(_)) => Err(format!("its ids of {start:?} are others")),
        (Err(problem), _) => Err(format!("it cannot encode {start:?}: {problem}")),
        (Ok(()), Err(_)) => Err(format!("it encodes {start:?}, which cannot be encoded")),
    }
}

fn start_of(text: &str) -> &str {
    let end = (0..=PROBE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
