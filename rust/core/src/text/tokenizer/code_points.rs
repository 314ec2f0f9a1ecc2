//! Characters on which the engines may differ, as a set that a text is scanned for at memory speed.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::slim::PADDING;

/// Characters a page of the table is for: what one value of the last byte of UTF-8 tells apart.
const PAGE: u32 = 64;

/// Punctuation of Unicode 8 that is none any more.
const RECLASSIFIED: [char; 2] = ['\u{166D}', '\u{111C9}'];

/// A set of characters.
pub(super) struct CodePoints {
    /// A bit for each code point.
    pages: Box<[u64]>,
}

impl CodePoints {
    /// Those that the reference's Unicode does not know: the fast engine's may call them letters.
    pub(super) fn too_new() -> &'static Self {
        static SET: LazyLock<CodePoints> = LazyLock::new(|| {
            let mut set = CodePoints::empty();
            let known = aged("16.0");
            set.extend(every_char().filter(|char| !contains(&known, *char)));
            set.extend([PADDING]);
            set
        });
        &SET
    }

    /// The same, and those that the normalisers of the engines may treat differently: the reference's are of
    /// Unicode 9, the fast one's of Unicode 17.
    pub(super) fn too_new_to_normalize() -> &'static Self {
        static SET: LazyLock<CodePoints> = LazyLock::new(|| {
            let mut set = CodePoints { pages: CodePoints::too_new().pages.clone() };
            let known = aged("9.0");
            let mut parts = Vec::new();
            for char in every_char().filter(|char| !contains(&known, *char)) {
                let canonical = std::iter::once(char).nfd().collect::<Vec<_>>();
                if canonical != [char] {
                    parts.extend(canonical);
                    set.extend([char]);
                } else if !std::iter::once(char).nfkd().eq([char]) || canonical_combining_class(char) != 0 {
                    set.extend([char]);
                }
            }
            // What a new character is composed of composes to it.
            set.extend(parts.into_iter().filter(|char| !contains(&known, *char)));
            set
        });
        &SET
    }

    /// The same, and all that came after Unicode 8: of that age is the reference's table of punctuation.
    pub(super) fn too_new_to_classify() -> &'static Self {
        static SET: LazyLock<CodePoints> = LazyLock::new(|| {
            let mut set = CodePoints { pages: CodePoints::too_new_to_normalize().pages.clone() };
            let known = aged("8.0");
            set.extend(RECLASSIFIED);
            set.extend(every_char().filter(|char| !contains(&known, *char)));
            set
        });
        &SET
    }

    /// Whether a text has one of them.
    pub(super) fn occur_in(&self, text: &str) -> bool {
        let mut bytes = text.as_bytes();
        loop {
            bytes = after_ascii(bytes);
            let (page, last, length) = match *bytes {
                [] => return false,
                [a, b, ..] if a < 0xE0 => (u32::from(a & 0x1F), b, 2),
                [a, b, c, ..] if a < 0xF0 => (u32::from(a & 0x0F) << 6 | u32::from(b & 0x3F), c, 3),
                [a, b, c, d, ..] => {
                    (u32::from(a & 0x07) << 12 | u32::from(b & 0x3F) << 6 | u32::from(c & 0x3F), d, 4)
                }
                // No text ends in the middle of a character.
                _ => return true,
            };
            if self.pages.get(page as usize).is_none_or(|bits| bits >> (last & 0x3F) & 1 == 1) {
                return true;
            }
            bytes = &bytes[length..];
        }
    }

    fn empty() -> Self {
        let num_pages = (u32::from(char::MAX) + 1) / PAGE;
        Self { pages: vec![0; num_pages as usize].into() }
    }

    fn extend(&mut self, chars: impl IntoIterator<Item = char>) {
        for char in chars {
            let code = u32::from(char);
            self.pages[(code / PAGE) as usize] |= 1 << (code % PAGE);
        }
    }
}

/// What follows the ASCII characters that a text begins with.
fn after_ascii(mut bytes: &[u8]) -> &[u8] {
    // One fold over so many bytes becomes a few vector instructions; `is_ascii` costs ten times as much.
    while let Some((chunk, rest)) = bytes.split_first_chunk::<64>() {
        if chunk.iter().fold(0, |all, byte| all | byte) >= 0x80 {
            break;
        }
        bytes = rest;
    }
    let at = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len());
    &bytes[at..]
}

fn every_char() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

/// The characters that a version of Unicode knows.
fn aged(version: &str) -> ClassUnicode {
    let parsed = regex_syntax::parse(&format!(r"\p{{age={version}}}"));
    match parsed.map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        _ => unreachable!("the age of characters is one of the features that regex-syntax is built with"),
    }
}

fn contains(class: &ClassUnicode, char: char) -> bool {
    let ranges = class.ranges();
    let at = ranges.partition_point(|range| range.end() < char);
    ranges.get(at).is_some_and(|range| range.start() <= char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_characters_are_found_wherever_they_stand() {
        let set = CodePoints::too_new();
        // Beria Erfe and an ideograph of extension J are of Unicode 17; Garay is of 16; the last has no character.
        for new in ["\u{16EA0}", "\u{323B0}", "\u{88F}", "\u{20C1}", "\u{378}", "\u{10FFFF}"] {
            for text in [new.to_owned(), format!("{}{new}", "a".repeat(40)), format!("Жя語🦀{new}b")] {
                assert!(set.occur_in(&text), "{text:?}");
            }
        }
        for old in ["", "a", "Grüße, Мельник, 水車, 🦀\u{200d}\u{fe0f}", "\u{10D40}\u{1CCF0}\u{E000}\u{FDD0}"]
        {
            assert!(!set.occur_in(&old.repeat(9)), "{old:?}");
        }
    }

    #[test]
    fn the_scan_agrees_with_the_set_for_every_character() {
        let (set, known) = (CodePoints::too_new(), aged("16.0"));
        for char in every_char() {
            let is_new = !contains(&known, char) || char == PADDING;
            assert_eq!(set.occur_in(char.encode_utf8(&mut [0; 4])), is_new, "{char:?}");
        }
    }

    #[test]
    fn punctuation_younger_than_the_reference_s_is_doubtful() {
        let set = CodePoints::too_new_to_classify();
        assert!(set.occur_in("\u{2E5D}") && set.occur_in("\u{11944}") && set.occur_in("\u{16EA0}"));
        assert!(!set.occur_in("a.b!\u{2E40}\u{3001}\u{1F984}"));
    }

    #[test]
    fn marks_younger_than_the_reference_s_normaliser_are_doubtful() {
        let set = CodePoints::too_new_to_normalize();
        for doubtful in ["\u{11935}", "\u{11938}", "\u{1CCD6}", "\u{1ABF}", "\u{10781}"] {
            assert!(set.occur_in(doubtful) && !CodePoints::too_new().occur_in(doubtful), "{doubtful:?}");
        }
        for sure in ["\u{1F929}", "é", "e\u{301}", "각", "ﬁ", "\u{9FFF}"] {
            assert!(!set.occur_in(sure), "{sure:?}");
        }
    }
}
