//! One IPC message header: its framing, and the flatbuffer, verified.

use arrow_buffer::Buffer;
use arrow_ipc::{Message, MessageHeader, MetadataVersion, RecordBatch, root_as_message_with_opts};
use flatbuffers::VerifierOptions;

use super::site::Site;
use crate::error::Result;

/// No honest header is larger; a claim beyond it is not even read.
pub(super) const MAX_METADATA: u32 = 256 << 20;
/// More rows than any writer puts into one batch (the format recommends this limit, for Java's sake).
pub(super) const MAX_ROWS: u64 = i32::MAX as u64;

/// What the first 8 bytes of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// The end-of-stream marker.
    End,
    /// A header follows: the length of the prefix itself, and that of the flatbuffer after it.
    Header { prefix_len: u32, flatbuffer_len: u32 },
}

impl Prefix {
    /// Reads a prefix. `first` may be cut short by the end of the file; before Arrow 0.15 there
    /// was no continuation marker, so that 4 bytes can be enough.
    pub fn parse(first: &[u8], site: &Site<'_>) -> Result<Self> {
        let word = |at: usize| first.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        let (prefix_len, len) = match word(0) {
            Some([0xff, 0xff, 0xff, 0xff]) => (8, word(4)),
            other => (4, other),
        };
        let Some(len) = len else {
            return Err(site.corrupt(format!(
                "truncated: {} bytes of a message are left at the end of the file; its writer was stopped, write it again",
                first.len()
            )));
        };
        match u32::from_le_bytes(*len) {
            0 => Ok(Self::End),
            flatbuffer_len @ 1..=MAX_METADATA => Ok(Self::Header { prefix_len, flatbuffer_len }),
            len => Err(site.corrupt(format!(
                "a message header of {len} bytes is claimed, which no writer makes; the file is damaged or not Arrow"
            ))),
        }
    }
}

/// Verifies a message header and the versions it names.
pub(super) fn verify<'a>(flatbuffer: &'a Buffer, site: &Site<'_>) -> Result<Message<'a>> {
    let options = verifier_options();
    let message = root_as_message_with_opts(&options, flatbuffer)
        .map_err(|error| site.corrupt(format!("the message header is damaged: {}", one_line(&error))))?;
    check_version(message.version(), site)?;
    if message.bodyLength() < 0 {
        return Err(site.corrupt(format!("a message body of {} bytes is claimed", message.bodyLength())));
    }
    Ok(message)
}

/// Wide schemas have many tables, whose number is bounded by the header's own length all the same; deep ones, up to what
/// [`super::schema::check_depth`] lets through, are a few tables deeper than their columns.
pub(super) fn verifier_options() -> VerifierOptions {
    VerifierOptions { max_tables: 16_000_000, max_depth: 128, ..VerifierOptions::default() }
}

/// The verifier traces its way in many lines; an error is one.
pub(super) fn one_line(error: &impl ToString) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn check_version(version: MetadataVersion, site: &Site<'_>) -> Result<()> {
    match version {
        MetadataVersion::V4 | MetadataVersion::V5 => Ok(()),
        other => Err(site.unsupported(format!(
            "metadata version {other:?} is not read, only V4 (Arrow 0.8) and V5 (Arrow 1.0) are; write the file anew with pyarrow"
        ))),
    }
}

/// What a verified message is, with every other kind refused.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Schema(arrow_ipc::Schema<'a>),
    Dictionary { id: i64, is_delta: bool, data: RecordBatch<'a> },
    Batch(RecordBatch<'a>),
}

pub(super) fn kind_of<'a>(message: &Message<'a>, site: &Site<'_>) -> Result<Kind<'a>> {
    let found = match message.header_type() {
        MessageHeader::Schema => message.header_as_schema().map(Kind::Schema),
        MessageHeader::RecordBatch => message.header_as_record_batch().map(Kind::Batch),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|dictionary| {
            let data = dictionary.data()?;
            Some(Kind::Dictionary { id: dictionary.id(), is_delta: dictionary.isDelta(), data })
        }),
        MessageHeader::Tensor | MessageHeader::SparseTensor => {
            return Err(site.unsupported(
                "it holds tensor messages, which are not rows; store tensors as fixed-size lists",
            ));
        }
        other => return Err(site.corrupt(format!("a message of unknown kind {}", other.0))),
    };
    found.ok_or_else(|| site.corrupt("the message header lacks its content"))
}

/// The number of rows that a record batch claims, within reason.
pub(super) fn num_rows(batch: &RecordBatch<'_>, site: &Site<'_>) -> Result<u64> {
    match u64::try_from(batch.length()) {
        Ok(rows) if rows <= MAX_ROWS => Ok(rows),
        _ => Err(site.corrupt(format!("a record batch of {} rows is claimed", batch.length()))),
    }
}
