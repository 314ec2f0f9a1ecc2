//! What a file's name promises.

use std::ffi::OsStr;
use std::path::Path;

/// Kinds of files that lie in folders of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Arrow,
    Parquet,
    WebDataset,
    /// Token ids of another trainer.
    Tokens,
    /// Rows in a form that is not read from disk as it is.
    Text,
    Unknown,
    /// Notes and leftovers that stand beside data everywhere.
    Aside,
}

/// Notes, marks and sums, by their ends.
const NOTES: [&str; 27] = [
    "lock", "json", "txt", "md", "tmp", "rst", "html", "htm", "pdf", "yaml", "yml", "toml", "cfg", "ini",
    "log", "py", "ipynb", "sh", "crc", "md5", "sha1", "sha256", "sha512", "cff", "bib", "idx", "index",
];

/// The same by their beginnings, for those that have no end.
const TITLES: [&str; 14] = [
    "README",
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "AUTHORS",
    "CITATION",
    "CHANGELOG",
    "CONTRIBUT",
    "CHECKSUM",
    "MD5SUM",
    "SHA256SUM",
    "SHA512SUM",
];

impl Kind {
    pub(super) fn of(name: &OsStr) -> Self {
        if name.as_encoded_bytes().starts_with(b".") {
            return Self::Aside;
        }
        if is_packed_tar(name) {
            // Taken for what it was meant to be: opening it then says how to unpack it.
            return Self::WebDataset;
        }
        let extension = Path::new(name).extension().map(OsStr::to_ascii_lowercase);
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("arrow" | "arrows" | "ipc" | "feather") => Self::Arrow,
            Some("parquet" | "pq") => Self::Parquet,
            Some("tar") => Self::WebDataset,
            Some("bin") => Self::Tokens,
            Some(
                "jsonl" | "ndjson" | "csv" | "tsv" | "gz" | "zst" | "bz2" | "xz" | "zip" | "npy" | "mds",
            ) => Self::Text,
            Some(other) if NOTES.contains(&other) => Self::Aside,
            _ if is_title(name) => Self::Aside,
            _ => Self::Unknown,
        }
    }

    /// Kinds that are read as they lie.
    pub(super) const READ: [Self; 4] = [Self::Arrow, Self::Parquet, Self::WebDataset, Self::Tokens];

    pub(super) fn is_read(self) -> bool {
        Self::READ.contains(&self)
    }

    /// A glob over files of the kind.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Self::Parquet => "*.parquet",
            Self::WebDataset => "*.tar",
            Self::Tokens => "*.bin",
            Self::Arrow | Self::Text | Self::Unknown | Self::Aside => "*.arrow",
        }
    }
}

fn is_packed_tar(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    [".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz"].iter().any(|end| name.ends_with(end))
}

/// A note by its name, or a mark that a writer leaves, such as `_SUCCESS` and `_metadata`.
fn is_title(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with('_') || TITLES.iter().any(|title| name.starts_with(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_data_from_notes_and_from_what_nobody_knows() {
        for (name, kind) in [
            ("a.arrow", Kind::Arrow),
            ("README.parquet", Kind::Parquet),
            ("a.tar.gz", Kind::WebDataset),
            ("a.csv", Kind::Text),
            ("README", Kind::Aside),
            ("0f.index", Kind::Aside),
            ("Readme.rst", Kind::Aside),
            ("LICENSE-MIT", Kind::Aside),
            ("sha256sums", Kind::Aside),
            ("_SUCCESS", Kind::Aside),
            (".part-0.parquet.crc", Kind::Aside),
            ("part-0", Kind::Unknown),
            ("part-0.parquet.bak", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(OsStr::new(name)), kind, "{name}");
        }
    }
}
