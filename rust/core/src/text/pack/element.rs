//! The integers that columns are written as.

use crate::error::{Error, Result};

/// An integer type that a column of a sample may have.
pub trait Element: Copy + 'static {
    /// The name that `NumPy` and torch give it.
    const NAME: &'static str;
    /// The largest value, one less than a power of two.
    const MAX: u64;
    /// What stands in `labels` where there is no loss; none in an unsigned type.
    const IGNORED: Option<Self>;
    /// What stands in `document_ids` where there is no document; none in an unsigned type.
    const NO_DOCUMENT: Option<Self>;

    /// A token or position that is known to fit.
    fn from_token(token: u32) -> Self;

    /// A row id that is known to fit.
    fn from_row_id(row_id: u64) -> Self;
}

macro_rules! element {
    ($($type:ident $name:literal $ignored:expr, $no_document:expr;)*) => {$(
        impl Element for $type {
            const NAME: &'static str = $name;
            const MAX: u64 = Self::MAX as u64;
            const IGNORED: Option<Self> = $ignored;
            const NO_DOCUMENT: Option<Self> = $no_document;

            #[inline]
            #[expect(clippy::allow_attributes, reason = "only the types that hold every u32 are flagged")]
            #[allow(clippy::cast_lossless, reason = "one macro casts to every type alike")]
            fn from_token(token: u32) -> Self {
                token as Self
            }

            #[inline]
            fn from_row_id(row_id: u64) -> Self {
                row_id as Self
            }
        }
    )*};
}

element! {
    u8 "uint8" None, None;
    i8 "int8" Some(-100), Some(-1);
    u16 "uint16" None, None;
    i16 "int16" Some(-100), Some(-1);
    u32 "uint32" None, None;
    i32 "int32" Some(-100), Some(-1);
    u64 "uint64" None, None;
    i64 "int64" Some(-100), Some(-1);
}

/// Refuses tokens that `T` cannot hold, named by the largest.
pub(super) fn tokens_fit<T: Element>(tokens: &[u32]) -> Result<()> {
    if T::MAX >= u64::from(u32::MAX) {
        return Ok(());
    }
    // Bits are or-ed where a maximum would do: one instruction a vector on every processor.
    let bits = tokens.iter().fold(0, |bits, token| bits | token);
    if u64::from(bits) <= T::MAX {
        return Ok(());
    }
    let largest = tokens.iter().max().copied().unwrap_or_default();
    Err(Error::InvalidArgument(format!(
        "token id {largest} does not fit {}; ask for a wider dtype (int64 always fits)",
        T::NAME
    )))
}

/// The value that only signed types have, or an error that names column and type.
pub(super) fn signed<T: Element>(value: Option<T>, column: &str, meaning: &str) -> Result<T> {
    value.ok_or_else(|| {
        Error::InvalidArgument(format!(
            "{column} cannot be {}: {meaning}; ask for a signed dtype such as int64",
            T::NAME
        ))
    })
}
