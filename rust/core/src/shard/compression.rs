//! LZ4 and ZSTD buffers, inflated no further than the bytes really reach.

use std::io::{self, Read};

use arrow_buffer::Buffer;
use arrow_ipc::{BodyCompressionMethod, CompressionType, RecordBatch};

use super::site::Site;
use crate::error::Result;

/// The codec of a batch's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Lz4Frame,
    Zstd,
}

/// The uncompressed length that stands before each buffer.
const PREFIX_LEN: usize = 8;
/// The first allocation, whatever length is claimed; it then doubles with what has arrived.
const FIRST_STEP: usize = 1 << 20;

impl Codec {
    pub fn of(batch: &RecordBatch<'_>, site: &Site<'_>) -> Result<Option<Self>> {
        let Some(compression) = batch.compression() else { return Ok(None) };
        if compression.method() != BodyCompressionMethod::BUFFER {
            return Err(
                site.unsupported(format!("compression method {:?} is not read", compression.method()))
            );
        }
        match compression.codec() {
            CompressionType::LZ4_FRAME => Ok(Some(Self::Lz4Frame)),
            CompressionType::ZSTD => Ok(Some(Self::Zstd)),
            other => {
                Err(site
                    .unsupported(format!("compression codec {other:?} is not read, only LZ4 and ZSTD are")))
            }
        }
    }

    /// The content of one buffer, prefix included. An empty buffer has no prefix.
    pub fn inflate(self, stored: &Buffer, site: &Site<'_>) -> Result<Buffer> {
        let Some(prefix) = stored.first_chunk::<PREFIX_LEN>() else {
            if stored.is_empty() {
                return Ok(stored.clone());
            }
            return Err(site.corrupt(format!("a compressed buffer of {} bytes is too short", stored.len())));
        };
        let damaged = |what: String| site.corrupt(format!("a {self:?} buffer is damaged: {what}"));
        match i64::from_le_bytes(*prefix) {
            // The writer found that compression would not pay.
            -1 => Ok(stored.slice(PREFIX_LEN)),
            0 => Ok(Buffer::from_vec(Vec::<u8>::new())),
            claimed => {
                let claimed =
                    usize::try_from(claimed).map_err(|_| damaged(format!("{claimed} bytes are claimed")))?;
                let bytes = self.inflate_exactly(&stored[PREFIX_LEN..], claimed);
                bytes.map(Buffer::from_vec).map_err(|error| damaged(error.to_string()))
            }
        }
    }

    fn inflate_exactly(self, stored: &[u8], claimed: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Lz4Frame => read_exactly(lz4_flex::frame::FrameDecoder::new(stored), stored.len(), claimed),
            Self::Zstd => {
                read_exactly(zstd::stream::read::Decoder::with_buffer(stored)?, stored.len(), claimed)
            }
        }
    }
}

fn read_exactly(mut from: impl Read, stored: usize, claimed: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    // Four times the stored size is what text and tokens come to, and spares most moves.
    let mut goal = claimed.min(FIRST_STEP.max(stored.saturating_mul(4)));
    loop {
        bytes.try_reserve_exact(goal - bytes.len()).map_err(io::Error::other)?;
        from.by_ref().take((goal - bytes.len()) as u64).read_to_end(&mut bytes)?;
        if bytes.len() < goal {
            return Err(io::Error::other(format!("{claimed} bytes are claimed, it holds {}", bytes.len())));
        }
        if goal == claimed {
            break;
        }
        goal = claimed.min(goal.saturating_mul(2));
    }
    if from.read(&mut [0])? != 0 {
        return Err(io::Error::other(format!("{claimed} bytes are claimed, it holds more")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn stored(codec: Codec, content: &[u8], claimed: i64) -> Buffer {
        let mut bytes = claimed.to_le_bytes().to_vec();
        match codec {
            Codec::Zstd => bytes.extend(zstd::stream::encode_all(content, 3).unwrap()),
            Codec::Lz4Frame => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut bytes);
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap();
            }
        }
        Buffer::from_vec(bytes)
    }

    #[test]
    fn a_buffer_inflates_to_what_it_claims_or_not_at_all() {
        let site = Site::new(Path::new("x.arrow"), 8);
        let content: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251 / 7) as u8).collect();
        let len = content.len() as i64;
        for codec in [Codec::Lz4Frame, Codec::Zstd] {
            let inflated = codec.inflate(&stored(codec, &content, len), &site).unwrap();
            assert_eq!(inflated.as_slice(), content.as_slice());
            // A petabyte is claimed: refused when the content ends, with no more than that in memory.
            for claimed in [len - 1, len + 1, 1 << 50, i64::MAX, -2, i64::MIN] {
                let error = codec.inflate(&stored(codec, &content, claimed), &site).unwrap_err().to_string();
                assert!(error.contains("claimed"), "{claimed}: {error}");
            }
            assert!(codec.inflate(&stored(codec, &content, 0), &site).unwrap().is_empty());
            assert!(codec.inflate(&Buffer::from_vec(vec![1_u8; 7]), &site).is_err());
            assert!(codec.inflate(&Buffer::from_vec(Vec::<u8>::new()), &site).unwrap().is_empty());
            let plain = [(-1_i64).to_le_bytes().as_slice(), b"plain"].concat();
            assert_eq!(codec.inflate(&Buffer::from_vec(plain), &site).unwrap().as_slice(), b"plain");
        }
    }
}
