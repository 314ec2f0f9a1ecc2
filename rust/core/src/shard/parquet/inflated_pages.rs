//! Pages of the codecs that texts are stored with, inflated into memory that is used again.
//!
//! The parquet crate inflates each page into memory of its own: zeroed first, and fresh from the system for most
//! pages of a text. Both take as long as half of the inflating. It is told here that nothing is compressed, and what
//! it hands on is inflated behind it, by the same codecs.

use std::cell::RefCell;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};
use zstd::bulk::Decompressor;

use super::page_memory::PageMemory;
use super::pages::ChunkBytes;

/// A codec that is inflated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Snappy,
    Zstd,
}

impl Codec {
    /// The codec of a column chunk; `None` where the parquet crate does it.
    pub fn of(compression: Compression) -> Option<Self> {
        match compression {
            Compression::SNAPPY => Some(Self::Snappy),
            Compression::ZSTD(_) => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Inflates into the whole of `into`.
    fn inflate(self, stored: &[u8], into: &mut [u8]) -> Result<()> {
        let inflated = match self {
            Self::Snappy => snap::raw::Decoder::new().decompress(stored, into)?,
            Self::Zstd => inflate_zstd(stored, into)?,
        };
        if inflated != into.len() {
            return Err(ParquetError::General(format!(
                "a page inflates to {inflated} bytes, where its header says {}",
                into.len()
            )));
        }
        Ok(())
    }
}

/// A thread's context is made once.
fn inflate_zstd(stored: &[u8], into: &mut [u8]) -> std::io::Result<usize> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(Decompressor::new()?),
        };
        context.decompress_to_buffer(stored, into)
    })
}

/// Inflates pages that are handed out as they are stored.
pub(super) struct Inflater {
    codec: Option<Codec>,
    /// What the pages are read from, which knows their headers.
    chunk: ChunkBytes,
}

impl Inflater {
    /// For the pages of a chunk; with no codec they are handed on.
    pub fn new(codec: Option<Codec>, chunk: ChunkBytes) -> Self {
        Self { codec, chunk }
    }

    /// The page that the chunk handed out last, inflated.
    pub fn inflate(&self, page: Page) -> Result<Page> {
        let stored = self.chunk.handed_out();
        let Some(codec) = self.codec.filter(|_| !stored.is_plain) else { return Ok(page) };
        // Levels of the second version stand before what is compressed.
        let plain = match &page {
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                *def_levels_byte_len as usize + *rep_levels_byte_len as usize
            }
            _ => 0,
        };
        let bytes = page.buffer();
        if plain > bytes.len() || plain > stored.inflated {
            return Err(ParquetError::General("the levels of a page are longer than the page".to_owned()));
        }
        let mut memory = PageMemory::take(stored.inflated)?;
        let (levels, values) = memory.split_at_mut(plain);
        levels.copy_from_slice(&bytes[..plain]);
        // A page of nothing but nulls may hold not even what the codec makes of nothing.
        if !values.is_empty() {
            codec.inflate(&bytes[plain..], values)?;
        }
        Ok(with_buffer(page, Bytes::from_owner(memory)))
    }
}

/// The page with other bytes.
fn with_buffer(mut page: Page, bytes: Bytes) -> Page {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DataPageV2 { buf, .. } | Page::DictionaryPage { buf, .. } => {
            *buf = bytes;
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_its_header_says() {
        let content = b"rows and rows and rows and rows".repeat(100);
        let stored = [
            (Codec::Snappy, snap::raw::Encoder::new().compress_vec(&content).unwrap()),
            (Codec::Zstd, zstd::bulk::compress(&content, 3).unwrap()),
        ];
        for (codec, stored) in stored {
            let mut into = vec![0; content.len()];
            codec.inflate(&stored, &mut into).unwrap();
            assert_eq!(into, content);
            for len in [content.len() - 1, content.len() + 1] {
                assert!(codec.inflate(&stored, &mut vec![0; len]).is_err(), "{codec:?}: {len}");
            }
            assert!(codec.inflate(&stored[..stored.len() / 2], &mut into).is_err());
            assert!(codec.inflate(&[], &mut into).is_err());
        }
    }
}
