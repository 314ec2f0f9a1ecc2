//! Where a text may be cut so that its ids are those of the pieces, one after the other.
//!
//! The place is between a letter and a space or line end. It is proved for the pre-tokenisers listed here, by
//! looking at each alternative of their expressions: none matches a letter and a space after it, none looks
//! behind, and none that ends in a letter looks further than to the next character, where a space and the end
//! of the text tell it the same. NFC neither composes nor reorders over a space. Whoever adds an expression
//! proves it anew.

use std::str::{self, Utf8Error};

use serde_json::Value;

use super::definition::Definition;

/// Expressions of which the claim above is proved: of GPT-2, of cl100k and Llama 3, of Qwen 2 and 3, of o200k,
/// of Mistral's Tekken, and the last of `DeepSeek` V3's.
const CUTTING: [&str; 6] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];

/// Expressions that do not cut between a letter and a space, nor look over it: the others of `DeepSeek` V3's.
const HARMLESS: [&str; 2] = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+"];

/// What may be done to a text before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cuts {
    /// Nothing is proved.
    Never,
    /// Between a letter and a space or line end.
    AfterLetters,
    /// Between any two characters.
    Anywhere,
}

impl Cuts {
    /// What is proved of a tokenizer.
    pub(super) fn of(definition: &Definition, allow_special: bool) -> Self {
        let root = &definition.root;
        let is_proved = root["model"]["type"].as_str().is_none_or(|kind| kind == "BPE")
            && root["model"]["merges"].is_array()
            && root.get("normalizer").is_none_or(is_proved_normalizer)
            && root.get("pre_tokenizer").is_some_and(is_proved_pre_tokenizer)
            && definition.active(allow_special).all(|token| !token.is_choosy && !has_place(&token.content));
        if is_proved { Self::AfterLetters } else { Self::Never }
    }

    pub(super) fn pieces(self, text: &str, max_bytes: usize) -> Pieces<'_> {
        Pieces { rest: text, max_bytes: max_bytes.max(1), cuts: self }
    }

    /// The first piece of a text of bytes, of which only so much is looked at as finding its end takes.
    pub(super) fn first_piece(self, bytes: &[u8], max_bytes: usize) -> Result<&str, Utf8Error> {
        let max_bytes = max_bytes.max(1);
        let mut num_seen = if self == Self::Never { bytes.len() } else { max_bytes };
        while num_seen < bytes.len() {
            // A place is told by what comes after it.
            let text = whole_chars(&bytes[..=num_seen])?;
            if let Some(at) = self.place(text, max_bytes.min(text.len())) {
                return Ok(&text[..at]);
            }
            num_seen *= 2;
        }
        let text = str::from_utf8(bytes)?;
        Ok(self.pieces(text, max_bytes).next().unwrap_or_default())
    }

    /// The last place in `text[..limit]`, else the first one after.
    fn place(self, text: &str, limit: usize) -> Option<usize> {
        match self {
            Self::Never => None,
            Self::AfterLetters => {
                let is_place = |at: &usize| is_place(text, *at);
                (1..=limit.min(text.len().saturating_sub(1)))
                    .rev()
                    .find(is_place)
                    .or_else(|| (limit + 1..text.len()).find(is_place))
            }
            Self::Anywhere => {
                let is_place = |at: &usize| text.is_char_boundary(*at);
                (1..=limit).rev().find(is_place).or_else(|| (limit + 1..text.len()).find(is_place))
            }
        }
    }
}

/// The pieces of a text, in order; together they are the text.
#[derive(Debug, Clone)]
pub struct Pieces<'t> {
    rest: &'t str,
    max_bytes: usize,
    cuts: Cuts,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        let at = if self.rest.len() <= self.max_bytes {
            self.rest.len()
        } else {
            self.cuts.place(self.rest, self.max_bytes).unwrap_or(self.rest.len())
        };
        let (piece, rest) = self.rest.split_at(at);
        self.rest = rest;
        Some(piece)
    }
}

/// The text without the character that may be cut at its end.
fn whole_chars(bytes: &[u8]) -> Result<&str, Utf8Error> {
    str::from_utf8(bytes).or_else(|error| match error.error_len() {
        None => str::from_utf8(&bytes[..error.valid_up_to()]),
        Some(_) => Err(error),
    })
}

/// Whether a letter ends just before `at` and a space or line end begins there.
fn is_place(text: &str, at: usize) -> bool {
    matches!(text.as_bytes()[at], b' ' | b'\n' | b'\r' | b'\t') && ends_in_letter(&text[..at])
}

/// Letters of scripts that have been letters in every version of Unicode, and compose with nothing after them
/// that is a space.
fn ends_in_letter(text: &str) -> bool {
    text.chars().next_back().is_some_and(|char| {
        matches!(char, 'a'..='z' | 'A'..='Z' | 'А'..='я' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '一'..='龥' | '가'..='힣')
    })
}

fn has_place(content: &str) -> bool {
    (1..content.len()).any(|at| is_place(content, at))
}

fn is_proved_normalizer(normalizer: &Value) -> bool {
    match normalizer["type"].as_str() {
        None => normalizer.is_null(),
        Some("NFC") => true,
        Some("Sequence") => {
            normalizer["normalizers"].as_array().is_some_and(|all| all.iter().all(is_proved_normalizer))
        }
        Some(_) => false,
    }
}

/// Whether a part cuts between a letter and a space by itself.
fn is_proved_pre_tokenizer(part: &Value) -> bool {
    match part["type"].as_str() {
        Some("ByteLevel") => part["add_prefix_space"] == Value::Bool(false) && cuts_words(part),
        Some("Sequence") => is_proved_sequence(&part["pretokenizers"]),
        Some("Split") => split_expression(part).is_some_and(|regex| CUTTING.contains(&&*regex)),
        _ => false,
    }
}

/// A sequence whose every part is harmless at such a place, and of which one cuts there.
fn is_proved_sequence(parts: &Value) -> bool {
    let parts = parts.as_array().map_or(&[][..], Vec::as_slice);
    let Some((_, others)) = parts.split_last() else { return false };
    // What comes after it would see letters where the text has spaces.
    let is_byte_level_last = others.iter().all(|part| part["type"] != "ByteLevel");
    is_byte_level_last && parts.iter().any(is_proved_pre_tokenizer) && parts.iter().all(is_harmless)
}

fn is_harmless(part: &Value) -> bool {
    match part["type"].as_str() {
        Some("ByteLevel") => part["add_prefix_space"] == Value::Bool(false),
        Some("Digits") => true,
        Some("Split") => {
            split_expression(part).is_some_and(|regex| [&CUTTING[..], &HARMLESS].concat().contains(&&*regex))
        }
        _ => false,
    }
}

/// Absent, it is true.
fn cuts_words(byte_level: &Value) -> bool {
    byte_level.get("use_regex").is_none_or(|flag| *flag == Value::Bool(true))
}

/// The expression of a part whose matches stand alone. Some files hold a line feed where others have its escape.
fn split_expression(split: &Value) -> Option<String> {
    let is_isolated = split["behavior"] == "Isolated" && split["invert"] != Value::Bool(true);
    let regex = split["pattern"]["Regex"].as_str().filter(|_| is_isolated)?;
    Some(regex.replace('\r', r"\r").replace('\n', r"\n"))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_cut_one_by_one_are_those_of_the_whole(
            chars in proptest::collection::vec(prop::sample::select(vec!["a", " ", "\n", "1", "é", "水", "🦀"]), 0..60),
            max_bytes in 0_usize..24,
            cuts in prop::sample::select(vec![Cuts::Never, Cuts::AfterLetters, Cuts::Anywhere]),
        ) {
            let text = chars.concat();
            let mut rest = text.as_bytes();
            for piece in cuts.pieces(&text, max_bytes) {
                prop_assert_eq!(cuts.first_piece(rest, max_bytes), Ok(piece));
                rest = &rest[piece.len()..];
            }
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn what_comes_behind_a_piece_is_not_looked_at() {
        let bytes = b"one two three \xff";
        assert_eq!(Cuts::AfterLetters.first_piece(bytes, 8), Ok("one two"));
        assert!(Cuts::AfterLetters.first_piece(&bytes[8..], 8).is_err());
        assert!(Cuts::Never.first_piece(bytes, 8).is_err());
    }
}
