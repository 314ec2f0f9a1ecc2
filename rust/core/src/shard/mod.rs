//! What a shard is: the Arrow IPC framings, Parquet, WebDataset tars and token files, and how a block of one becomes arrays.
//!
//! - [`mod@format`]: which format a file's first bytes announce
//! - [`mod@index`]: what is known of a shard without reading a body: blocks, rows, schema
//! - `header_reader`, `message`: small reads of message headers, verified before they are used
//! - `ipc_stream`, `ipc_file`: the two framings
//! - [`schema`]: the schema message, refused where arrow-rs would panic on it
//! - [`storage`]: the form that decoded columns have, and the way back to the declared types
//! - [`reader`]: decodes blocks of any format
//! - `ipc_reader`: those of Arrow; `layout`, `body`, `array`, `compression`, `dictionaries` are its steps
//! - [`mod@parquet`]: Parquet, row groups or runs of their pages
//! - [`facts`]: what a report says of a shard beside its index
//! - [`tar`]: the members of WebDataset tars as rows
//! - [`tokens`]: token ids as Megatron, llm.c and nanoGPT keep them
//! - [`values`]: one value of a column as text, whatever type holds it
//! - [`block`]: the decoded columns and the pages under them
//!
//! The IPC *stream* files that Hugging Face `datasets` writes have no footer: the only way to
//! know where their record batches lie is to walk the message headers, which is what the
//! manifest does once. Their batches hold at most 1,000 rows (100 for images and audio).
//!
//! Nothing here trusts a byte. Every offset, length and count is checked against what holds it
//! before arrow-rs or an allocator sees it; arrays are built through arrow-rs's validating
//! builder; strings stay binary until a row is used (see [`storage`]).

mod array;
pub mod block;
mod body;
mod compression;
mod dictionaries;
pub mod facts;
pub mod format;
mod header_reader;
pub mod index;
mod ipc_file;
pub mod ipc_reader;
mod ipc_stream;
mod layout;
mod message;
pub mod parquet;
pub mod reader;
pub mod schema;
mod site;
pub mod storage;
pub mod tar;
pub mod tokens;
pub mod values;

pub use block::Block;
pub use format::Format;
pub use index::{BlockMeta, DictionaryMeta, ShardIndex, index, index_bare_tokens, index_remote};
pub use reader::{ShardReader, Texts};
pub use schema::{encode_schema, parse_schema};
pub use storage::{logical_array, storage_type};
