//! Element types of batch buffers, and how Arrow's numeric types map to them.

use std::fmt;
use std::str::FromStr;

use arrow_schema::DataType;

use crate::error::{Error, Result};

/// An element type that torch or `NumPy` can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Dtype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    BFloat16,
    Float32,
    Float64,
}

const NAMES: [(Dtype, &str); 13] = [
    (Dtype::Bool, "bool"),
    (Dtype::Int8, "int8"),
    (Dtype::Int16, "int16"),
    (Dtype::Int32, "int32"),
    (Dtype::Int64, "int64"),
    (Dtype::UInt8, "uint8"),
    (Dtype::UInt16, "uint16"),
    (Dtype::UInt32, "uint32"),
    (Dtype::UInt64, "uint64"),
    (Dtype::Float16, "float16"),
    (Dtype::BFloat16, "bfloat16"),
    (Dtype::Float32, "float32"),
    (Dtype::Float64, "float64"),
];

impl Dtype {
    /// The element type that holds this Arrow type exactly, `None` where it is not plain numbers.
    pub fn of_arrow(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt8 => Self::UInt8,
            DataType::UInt16 => Self::UInt16,
            DataType::UInt32 => Self::UInt32,
            DataType::UInt64 => Self::UInt64,
            DataType::Float16 => Self::Float16,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 | Self::Float16 | Self::BFloat16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 => 8,
        }
    }

    /// Whether this is one of the floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::BFloat16 | Self::Float32 | Self::Float64)
    }

    /// `NumPy`'s and torch's name of the type.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(dtype, _)| *dtype == self).map_or("?", |(_, name)| name)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(dtype, _)| *dtype).ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            Error::InvalidArgument(format!("unknown dtype {name:?}; known are {}", known.join(", ")))
        })
    }
}
