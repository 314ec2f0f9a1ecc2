//! Which format a file's first bytes announce.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use super::tar::is_header;
use crate::error::{Error, Result};

/// The shard formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Messages one after the other, no footer.
    ArrowStream,
    /// Messages between `ARROW1` magics, with a footer.
    ArrowFile,
    /// Column chunks between `PAR1` magics, with a footer.
    Parquet,
    /// Members of a WebDataset.
    Tar,
    /// Megatron's token ids, with an index beside them.
    Megatron,
    /// A stream of token ids behind llm.c's header.
    LlmC,
    /// A stream of 16-bit token ids, as nanoGPT has them.
    BareTokens,
}

impl Format {
    /// Whether blocks are decoded into memory of their own, so that they take what the index says.
    pub fn is_decoded(self) -> bool {
        match self {
            Self::ArrowStream
            | Self::ArrowFile
            | Self::Tar
            | Self::Megatron
            | Self::LlmC
            | Self::BareTokens => false,
            Self::Parquet => true,
        }
    }

    /// What files of one kind, however framed, are called.
    pub fn family(self) -> &'static str {
        match self {
            Self::ArrowStream | Self::ArrowFile => "arrow",
            Self::Parquet => "parquet",
            Self::Tar => "webdataset",
            Self::Megatron => "megatron",
            Self::LlmC | Self::BareTokens => "nanogpt",
        }
    }

    /// "an Arrow IPC file", and so on.
    pub(crate) fn with_article(self) -> String {
        let article =
            if matches!(self, Self::ArrowStream | Self::ArrowFile | Self::LlmC) { "an" } else { "a" };
        let noun = if self == Self::Parquet { " file" } else { "" };
        format!("{article} {self}{noun}")
    }

    /// Whether shards of one data set may lack columns that others have.
    pub fn joins_columns(self) -> bool {
        self == Self::Tar
    }
}

impl Display for Format {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ArrowStream => "Arrow IPC stream",
            Self::ArrowFile => "Arrow IPC file",
            Self::Parquet => "Parquet",
            Self::Tar => "WebDataset tar",
            Self::Megatron => "Megatron token file",
            Self::LlmC => "llm.c token stream",
            Self::BareTokens => "bare token stream",
        })
    }
}

/// What is said of a file that may be a stream of token ids, and says nothing of it.
pub const NO_BARE_TOKENS: &str = "nothing in the file tells what it holds: neither has it llm.c's header, nor is Megatron's .idx beside it; if it \
     is a stream of 16-bit token ids as nanoGPT writes them, say format=\"nanogpt\"";

/// How many first bytes [`sniff`] wants to see.
pub const SNIFF_LEN: usize = 512;

/// What a message of a stream begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// First bytes of files that end up in a glob by mistake: what they are, and what to do.
const OTHERS: [(&[u8], &str, &str); 8] = [
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (
        b"\x1f\x8b",
        "gzip data",
        "decompress it first: rows in it cannot be found without all before them (inside an Arrow file, buffers may be LZ4 or ZSTD)",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "ZSTD data",
        "decompress it first: rows in it cannot be found without all before them (inside an Arrow file, buffers may be ZSTD)",
    ),
    (
        b"\x04\x22\x4d\x18",
        "LZ4 data",
        "decompress it first: rows in it cannot be found without all before them (inside an Arrow file, buffers may be LZ4)",
    ),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (
        b"FEA1",
        "a Feather V1 file",
        "write it anew with pyarrow.feather.write_feather, which makes Arrow files",
    ),
    (
        b"{",
        "JSON",
        "JSON lines are converted into the cache folder once where they are named .jsonl, or with format=\"jsonl\"",
    ),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the real file with `git lfs pull`"),
];

/// The format of a file that starts with `first` (up to [`SNIFF_LEN`] bytes) and has `file_len` bytes.
pub fn sniff(path: &Path, first: &[u8], file_len: u64) -> Result<Format> {
    if file_len == 0 {
        return Err(Error::corrupt(
            path,
            "the file is empty (0 bytes), its writer was probably stopped; write or download it again",
        ));
    }
    // Before a tar: no name of a member begins so.
    if first.starts_with(&CONTINUATION) {
        return Ok(Format::ArrowStream);
    }
    if is_header(first) || is_empty_tar(path, first) {
        return Ok(Format::Tar);
    }
    if first.starts_with(b"ARROW1") {
        return Ok(Format::ArrowFile);
    }
    if first.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if starts_an_old_stream(first, file_len) {
        return Ok(Format::ArrowStream);
    }
    if let Some(unsupported) = packed_tar(path, first) {
        return Err(unsupported);
    }
    for (magic, what, remedy) in OTHERS {
        if first.starts_with(magic) {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                message: format!("looks like {what}, not like {}; {remedy}", expected(path)),
            });
        }
    }
    if super::tokens::is_named(path) {
        return Err(Error::Unsupported { path: path.to_owned(), message: NO_BARE_TOKENS.to_owned() });
    }
    let start = &first[..first.len().min(8)];
    Err(Error::corrupt_at(
        path,
        0,
        format!(
            "not {}: it starts with {start:02x?}, so its first bytes are damaged or it is something else; write or \
             download it again",
            promised(path)
        ),
    ))
}

/// The kind of shard that a file's name promises.
fn expected(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("tar") => "a tar",
        Some("parquet" | "pq") => "Parquet",
        _ => "Arrow",
    }
}

/// What a file's name promises that its first bytes do not keep.
fn promised(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("tar") => "a tar",
        Some("parquet" | "pq") => "a Parquet file",
        Some("arrow" | "arrows" | "ipc" | "feather") => "an Arrow IPC stream or file",
        _ => "an Arrow IPC stream or file, a Parquet file or a tar",
    }
}

/// What an archive is packed with: its magic, its name, and what unpacks it.
const PACKERS: [(&[u8], &str, &str); 4] = [
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "ZSTD", "zstd -d"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\0", "XZ", "xz -d"),
];

/// The error of a tar that is packed as a whole.
fn packed_tar(path: &Path, first: &[u8]) -> Option<Error> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let is_tar =
        name.contains(".tar.") || [".tgz", ".tzst", ".tbz2", ".txz"].iter().any(|end| name.ends_with(end));
    let (_, packer, command) = PACKERS.iter().find(|(magic, ..)| is_tar && first.starts_with(magic))?;
    Some(Error::Unsupported {
        path: path.to_owned(),
        message: format!(
            "a tar packed with {packer}: a packed stream is read from its beginning only, so its samples can be neither \
             shuffled nor resumed at; unpack it once with `{command}` and open the .tar (images and audio hardly \
             shrink when packed)"
        ),
    })
}

/// An archive of nothing is zeros; only its name tells what it is.
fn is_empty_tar(path: &Path, first: &[u8]) -> bool {
    let is_named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
    is_named && first.len() == SNIFF_LEN && first.iter().all(|byte| *byte == 0)
}

/// A length as written before Arrow 0.15: a multiple of 8 less the 4 of itself.
fn starts_an_old_stream(first: &[u8], file_len: u64) -> bool {
    let Some(word) = first.first_chunk::<4>() else { return false };
    let len = u32::from_le_bytes(*word);
    len >= 16 && u64::from(len) + 4 <= file_len && len % 4 == 0 && len < 1 << 24 && is_root_offset(first)
}

/// The flatbuffer that follows begins with the offset of its root table: small, and past itself.
fn is_root_offset(first: &[u8]) -> bool {
    first.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()).is_some_and(|bytes| {
        let root = u32::from_le_bytes(*bytes);
        (4..1 << 16).contains(&root)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_name_the_format_or_what_it_looks_like() {
        let path = Path::new("x.arrow");
        assert_eq!(sniff(path, b"ARROW1\0\0", 100).unwrap(), Format::ArrowFile);
        assert_eq!(sniff(path, b"\xff\xff\xff\xff\x10\0\0\0", 100).unwrap(), Format::ArrowStream);
        assert_eq!(sniff(path, b"\x24\0\0\0\x10\0\0\0", 100).unwrap(), Format::ArrowStream);
        let text = |first: &[u8], len| sniff(path, first, len).unwrap_err().to_string();
        assert!(text(b"", 0).contains("empty (0 bytes)"));
        assert_eq!(sniff(path, b"PAR1\x15\0\0\0", 100).unwrap(), Format::Parquet);
        assert!(text(b"PARE\x15\0\0\0", 100).contains("encrypted"));
        assert!(text(b"\x1f\x8b\x08\0\0\0\0\0", 100).contains("gzip"));
        assert!(text(b"PK\x03\x04\0\0\0\0", 100).contains("zip"));
        assert!(text(b"version https://git-lfs.github.com/spec/v1\n", 130).contains("git lfs pull"));
        assert!(text(b"hello wo", 100).contains("not an Arrow IPC stream or file: it starts with"));
        assert!(
            text(b"{\"a\": 1}\n", 100).contains("looks like JSON, not like Arrow; JSON lines are converted")
        );
        for (name, promise) in
            [("x.tar", "not a tar: "), ("x.parquet", "not a Parquet file: "), ("x", "or a tar: ")]
        {
            let text = sniff(Path::new(name), b"hello wo", 100).unwrap_err().to_string();
            assert!(text.contains(promise) && text.ends_with("write or download it again"), "{text}");
        }
        assert!(text(b"ab", 2).contains("starts with [61, 62]"));
    }

    #[test]
    fn bytes_that_would_pass_for_a_tar_s_checksum_do_not_make_a_tar() {
        // As signed numbers they sum to 0, where the checksum's field, taken for spaces, has a sum of 256.
        let mut first = [0; SNIFF_LEN];
        first[..4].fill(0xff);
        first[300..302].fill(0x82);
        for blank in [*b"\x0c\0\0\0\0\0\0\0", *b"        ", *b"0\0\0\0\0\0\0\0"] {
            first[148..156].copy_from_slice(&blank);
            assert_eq!(sniff(Path::new("x.arrow"), &first, 1 << 20).unwrap(), Format::ArrowStream);
        }
    }
}
