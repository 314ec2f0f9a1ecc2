//! The header of a page, checked before the parquet crate reads the page.

use super::thrift::{FALSE, I32, Problem, STRUCT, Thrift};

/// Pages beyond this size inflate from at least a [`MAX_RATIO`]th of it, or are refused.
const LARGE_PAGE: u64 = 256 << 20;
const MAX_RATIO: u64 = 1 << 10;

/// Values of one page; levels of a nested column are two bytes each.
const MAX_PAGE_VALUES: u64 = 1 << 26;

/// What a page claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageClaims {
    /// Bytes of the header itself.
    pub header_len: usize,
    /// 0 data, 1 index, 2 dictionary, 3 data of the second version.
    pub kind: i64,
    pub inflated: u64,
    /// Bytes of the page behind the header.
    pub compressed: u64,
    /// Values in it, nulls counted.
    pub values: u64,
    /// Whether it is one of a compressed chunk that is not compressed itself.
    pub is_plain: bool,
}

/// What a page may claim at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLimits {
    /// Bytes from the page's header to the end of its column chunk.
    pub left: u64,
    /// Bytes that the whole chunk inflates to, as the footer has it.
    pub inflated: u64,
    /// Values of the whole chunk.
    pub values: u64,
}

/// Reads the header at the start of `bytes`; `None` where it does not end in them.
pub(super) fn page_claims(bytes: &[u8]) -> Result<Option<PageClaims>, Problem> {
    let mut thrift = Thrift::new(bytes);
    let (mut kind, mut inflated, mut compressed, mut values) = (None, None, None, None);
    let mut is_plain = false;
    let read = thrift.structure(|thrift, field| {
        match (field.id, field.kind) {
            (1, I32) => kind = Some(thrift.integer()?),
            (2, I32) => inflated = Some(thrift.integer()?),
            (3, I32) => compressed = Some(thrift.integer()?),
            // The headers of data pages and dictionaries all begin with the number of values.
            (id @ (5 | 7 | 8), STRUCT) => {
                thrift.structure(|thrift, field| {
                    // `is_compressed` of the second version's data pages.
                    is_plain |= (id, field.id, field.kind) == (8, 7, FALSE);
                    let is_count = (field.id, field.kind) == (1, I32);
                    if is_count {
                        values = Some((id, thrift.integer()?));
                    }
                    Ok(is_count)
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    });
    match read {
        Ok(()) => {}
        Err(problem) => return if bytes.len() < MAX_HEADER { Ok(None) } else { Err(problem) },
    }
    let (Some(kind), Some(inflated), Some(compressed)) = (kind, inflated, compressed) else {
        return Err("a page header lacks its sizes");
    };
    let values = match (kind, values) {
        (1, _) => 0,
        (0, Some((5, count))) | (2, Some((7, count))) | (3, Some((8, count))) => count,
        _ => return Err("a page header is not of the kind that it says"),
    };
    let size = |value: i64| u64::try_from(value).map_err(|_| "a page header has a negative size");
    Ok(Some(PageClaims {
        header_len: thrift.position(),
        kind,
        inflated: size(inflated)?,
        compressed: size(compressed)?,
        values: size(values)?,
        is_plain,
    }))
}

/// Headers hold statistics, which may hold long texts; a longer one is damage.
pub(super) const MAX_HEADER: usize = 8 << 20;

impl PageClaims {
    pub fn is_dictionary(&self) -> bool {
        self.kind == 2
    }

    /// Refuses what cannot be, above all what would be allocated for it.
    pub fn check(&self, limits: PageLimits) -> Result<(), Problem> {
        if self.header_len as u64 + self.compressed > limits.left {
            return Err("a page reaches beyond its column chunk");
        }
        if self.inflated > limits.inflated {
            return Err("a page claims more bytes than its whole column chunk");
        }
        if self.inflated > LARGE_PAGE && self.inflated / MAX_RATIO > self.compressed {
            return Err("a page claims to inflate to more than a thousand times its size");
        }
        let most = match self.kind {
            // Each value of a dictionary takes a byte at least.
            2 => self.inflated,
            _ => limits.values.min(MAX_PAGE_VALUES),
        };
        if self.values > most {
            return Err("a page claims more values than its column chunk has");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type 0, 100 bytes from 50, 10 values.
    const PAGE: [u8; 15] = [0x15, 0, 0x15, 200, 1, 0x15, 100, 0x2c, 0x15, 20, 0x15, 0, 0x00, 0x00, 0xff];

    #[test]
    fn a_header_is_read_up_to_its_end() {
        let claims = page_claims(&PAGE).unwrap().unwrap();
        assert_eq!((claims.header_len, claims.inflated, claims.compressed, claims.values), (14, 100, 50, 10));
        assert_eq!(page_claims(&PAGE[..9]).unwrap(), None);
    }

    #[test]
    fn claims_beyond_the_chunk_are_refused() {
        let claims = page_claims(&PAGE).unwrap().unwrap();
        let sound = PageLimits { left: 64, inflated: 100, values: 10 };
        claims.check(sound).unwrap();
        assert!(claims.check(PageLimits { left: 63, ..sound }).is_err());
        assert!(claims.check(PageLimits { inflated: 99, ..sound }).is_err());
        assert!(claims.check(PageLimits { values: 9, ..sound }).is_err());
        let bomb = PageClaims { inflated: 2 << 30, ..claims };
        assert!(bomb.check(PageLimits { inflated: u64::MAX, ..sound }).unwrap_err().contains("thousand"));
    }
}
