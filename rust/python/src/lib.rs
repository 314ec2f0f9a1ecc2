//! `rowmill._rust`: the binding of rowmill-core to Python, one file a word.
//!
//! - [`source`]: an opened dataset; [`table`]: some of its columns, and [`kept`] ones; [`order`]: which rows come when
//! - [`mix`]: which source of a mix gives which sample; [`mixture`]: the sources themselves
//! - [`stream`]: rows and batches by position; [`lanes`]: chunks of lanes on demand; [`files`]: files that lanes are over
//! - [`tokenizer`]: text to ids; [`counts`]: how many of them each row has
//! - [`mod@verify`]: everything read once and checked
//! - [`make`]: what the engine hands over, as what the consumer asked for
//! - [`remote`]: objects on a network: limits, credentials, what it cost
//! - [`values`], [`dlpack`], [`arrow_export`]: Python objects, tensors, Arrow capsules
//! - [`packed`]: packed samples of lanes; [`packed_sources`]: what they are made of, [`packed_documents`]
//!   of which documents; [`lane_packer`]: of documents that Python makes; [`unpacker`]: back to documents
//! - [`receipt`]: what was delivered
//! - [`padding`]: how rows of tokens are padded
//! - [`tensors`]: buffers as tensors; [`pinning`]: page-locked memory for CUDA
//! - [`interpreter`]: the one way out of the interpreter; [`error`]: the one table of errors
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod arrow_export;
pub mod counts;
pub mod dlpack;
pub mod error;
pub mod files;
pub mod interpreter;
pub mod kept;
pub mod lane_packer;
pub mod lane_places;
pub mod lanes;
pub mod make;
pub mod mix;
pub mod mixture;
pub mod order;
pub mod packed;
pub mod packed_documents;
pub mod packed_sources;
pub mod padding;
pub mod pinning;
pub mod receipt;
pub mod remote;
pub mod source;
pub mod stream;
pub mod table;
pub mod tensors;
pub mod tokenizer;
pub mod unpacker;
pub mod values;
pub mod verify;

/// The module itself.
#[pyo3::pymodule]
mod _rust {
    #[pymodule_export]
    use crate::arrow_export::{PyRecordBatch, PySchema};
    #[pymodule_export]
    use crate::counts::PyTokenCounts;
    #[pymodule_export]
    use crate::dlpack::Buffer;
    #[pymodule_export]
    use crate::files::{PyFiles, list_files};
    #[pymodule_export]
    use crate::lane_packer::PyLanePacker;
    #[pymodule_export]
    use crate::lane_places::PyLanePlaces;
    #[pymodule_export]
    use crate::lanes::{PyLanes, PyRows};
    #[pymodule_export]
    use crate::mix::PySchedule;
    #[pymodule_export]
    use crate::mixture::PyMixture;
    #[pymodule_export]
    use crate::order::PyOrder;
    #[pymodule_export]
    use crate::packed::PyPacked;
    #[pymodule_export]
    use crate::packed_documents::PyPackedDocuments;
    #[pymodule_export]
    use crate::packed_sources::{PyTokenShares, dealt_step, lane_samples_at};
    #[pymodule_export]
    use crate::padding::PyPadding;
    #[pymodule_export]
    use crate::receipt::{add_rows, add_samples};
    #[pymodule_export]
    use crate::remote::{
        PyRemoteObject, bare_urls, download, fetch_piece, list_store, remote_stats, set_remote_cache,
        set_remote_headers, set_remote_limits, version_of,
    };
    #[pymodule_export]
    use crate::source::PySource;
    #[pymodule_export]
    use crate::stream::{PyCounter, PyStream, count_items};
    #[pymodule_export]
    use crate::table::PyTable;
    #[pymodule_export]
    use crate::tokenizer::PyTokenizer;
    #[pymodule_export]
    use crate::unpacker::PyUnpacker;
    #[pymodule_export]
    use crate::values::testing::{export_zeros, live_buffers, roundtrip, roundtrip_schema, rows_from_arrow};
}
