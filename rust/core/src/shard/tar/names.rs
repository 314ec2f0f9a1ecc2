//! Key and extension of a member, split as WebDataset splits them.

use std::borrow::Cow;

/// Where the dot lies that ends a member's key: the first one after the last slash.
///
/// The rule is the regular expression `^((?:.*/|)[^.]+)[.]([^/]*)$`, which has two corners: a file whose name
/// starts with a dot has its folder as key unless that has a dot too, and a folder's name with a line end in it
/// may hold no dot at all.
pub(super) fn key_len(name: &[u8]) -> Option<usize> {
    let file = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let dot = file + name[file..].iter().position(|byte| *byte == b'.')?;
    let line = name.iter().position(|byte| *byte == b'\n').unwrap_or(name.len());
    // Folders that `.*/` can stand for hold no line end, and leave a byte at least for the key.
    let folders = &name[..line.min(dot.checked_sub(1)?)];
    let start = folders.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    (!name[start..dot].contains(&b'.')).then_some(dot)
}

/// Whether WebDataset leaves a member out as a note about the archive: `__name__`, or a file in such a folder.
pub(super) fn is_note(name: &[u8]) -> bool {
    let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
    first.len() >= 4 && first.starts_with(b"__") && first.ends_with(b"__")
}

/// A name as text: bytes that are no UTF-8 stand as `\\xE9`, so that different names stay different.
pub(super) fn readable(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend(["\\x".to_owned(), format!("{byte:02X}")]);
        }
    }
    text
}

/// The column of an extension: in lower case.
pub(super) fn column(extension: &[u8]) -> Cow<'_, str> {
    let text = match std::str::from_utf8(extension) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(readable(extension)),
    };
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return text;
    }
    Cow::Owned(text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot_of_the_file_name() {
        // Each pair is what webdataset's own `base_plus_ext` gives.
        for (name, wanted) in [
            ("a.jpg", Some(("a", "jpg"))),
            ("a.seg.png", Some(("a", "seg.png"))),
            ("dir.v1/a.b/c.tar.gz", Some(("dir.v1/a.b/c", "tar.gz"))),
            ("./a.txt", Some(("./a", "txt"))),
            ("a.", Some(("a", ""))),
            ("a..b", Some(("a", ".b"))),
            ("a", None),
            ("", None),
            (".hidden", None),
            ("dir/.hidden", Some(("dir/", "hidden"))),
            ("x/dir/.hidden", Some(("x/dir/", "hidden"))),
            ("di.r/.hidden", None),
            ("di.r//.hidden", Some(("di.r//", "hidden"))),
            ("/.hidden", Some(("/", "hidden"))),
            ("a.b/c", None),
            ("a.b/", None),
            ("li\nne/a.txt", Some(("li\nne/a", "txt"))),
            ("d.d/li\nne/a.txt", Some(("d.d/li\nne/a", "txt"))),
            ("li\nne/d.d/a.txt", None),
        ] {
            let split = key_len(name.as_bytes()).map(|dot| (&name[..dot], &name[dot + 1..]));
            assert_eq!(split, wanted, "{name:?}");
        }
    }

    #[test]
    fn notes_about_the_archive_are_no_samples() {
        for name in ["__meta__", "__MACOSX__/a.txt", "____/a.b", "__a.b__"] {
            assert!(is_note(name.as_bytes()), "{name}");
        }
        for name in ["__meta__.txt", "a/__b__", "_a_.txt", "__a/b__"] {
            assert!(!is_note(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_in_other_encodings_stay_apart() {
        assert_eq!(
            [b"\xe9/a".as_slice(), "é".as_bytes(), b"a\xfc\xf6"].map(readable),
            ["\\xE9/a", "é", "a\\xFC\\xF6"]
        );
    }

    #[test]
    fn columns_are_in_lower_case_and_text() {
        assert_eq!(column(b"seg.png"), "seg.png");
        assert_eq!(column(b"JPG"), "jpg");
        assert_eq!(column("ÄÖ".as_bytes()), "äö");
        assert_eq!(column(b"\xff"), "\\xff");
    }
}
