//! An opened dataset, shared by everything that is made from it.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rowmill_core::Error;
use rowmill_core::loader::{Choice, OnError, Projection, Shards, Table, choose, layout_of};
use rowmill_core::manifest::{self, Manifest, ManifestOptions, PartitionValue};
use rowmill_core::order::{Layout, Selection};
use rowmill_core::shard::format::NO_BARE_TOKENS;
use rowmill_core::shard::{Format, Texts};
use rowmill_core::source::remote::is_remote;
use rowmill_core::source::{IoMode, RemoteFile};

use crate::arrow_export::PySchema;
use crate::error::raise;
use crate::interpreter::detached;
use crate::kept::KeptTables;
use crate::order::PyOrder;
use crate::remote::{KnownObject, PyRemoteObject, identity_of, python_path};
use crate::table::PyTable;
use crate::verify;

/// What an open has found, shared by all that read it; a clone is some pointers.
#[derive(Clone)]
pub struct Opened {
    /// The shards.
    pub manifest: Manifest,
    /// The rows that are read, as orders see them.
    pub layout: Arc<Layout>,
    /// Those chosen of all, where not all are read.
    pub selection: Option<Arc<Selection>>,
    /// What becomes of damage.
    pub on_error: OnError,
}

/// What is known of a dataset without its rows, and the tables that read it.
#[pyclass(frozen, module = "rowmill._rust", name = "Source")]
pub struct PySource {
    opened: Opened,
    fingerprint: String,
    /// Remarks on how the files were found.
    remarks: Vec<String>,
    strangers: Vec<PathBuf>,
    tables: KeptTables<(Projection, IoMode, Texts)>,
}

#[pymethods]
impl PySource {
    /// Opens files, folders and globs; walks what the stored index does not know. Of the rows, those of `ranges` are
    /// read, and of these the ones that the files `indices` name.
    /// Folders named `key=value` below `roots` make columns, as those in the folders that are named do.
    #[staticmethod]
    #[pyo3(signature = (paths, *, format, split, ranges, indices, index_dir, force_reindex, num_threads, on_error, known=None, roots=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of rowmill.open, one each")]
    fn open(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        format: Option<String>,
        split: Option<String>,
        ranges: Vec<(u64, u64)>,
        indices: Vec<PathBuf>,
        index_dir: Option<PathBuf>,
        force_reindex: bool,
        num_threads: Option<usize>,
        on_error: &str,
        known: Option<Vec<KnownObject>>,
        roots: Option<Vec<PathBuf>>,
    ) -> PyResult<Self> {
        let skips = on_error == "skip";
        let options = ManifestOptions {
            index_dir,
            use_index: true,
            force_reindex,
            num_threads,
            on_error: if skips { manifest::OnError::Skip } else { manifest::OnError::Raise },
            bare_tokens: format.as_deref() == Some("nanogpt"),
            known: known.into_iter().flatten().map(identity_of).collect(),
        };
        let choice = Choice { ranges: ranges.into_iter().map(|(start, end)| start..end).collect(), indices };
        let wanted = Wanted { paths, format, split, choice, roots: roots.unwrap_or_default() };
        let on_error = if skips { OnError::Skip } else { OnError::Raise };
        detached(py, || wanted.open(options, on_error))
    }

    /// Rows that are read: of all shards, or those chosen of them.
    #[getter]
    fn num_rows(&self) -> u64 {
        self.opened.layout.num_rows()
    }

    /// Number of files.
    #[getter]
    fn num_shards(&self) -> usize {
        self.opened.manifest.num_shards()
    }

    /// Number of record batches.
    #[getter]
    fn num_blocks(&self) -> usize {
        self.opened.manifest.num_blocks()
    }

    /// Bytes of all files.
    #[getter]
    fn num_bytes(&self) -> u64 {
        self.opened.manifest.total_bytes()
    }

    /// Rows of each block that orders speak of.
    #[getter]
    fn block_rows(&self) -> Vec<u64> {
        let layout = &self.opened.layout;
        (0..layout.num_blocks() as u32).map(|block| layout.block_rows(block)).collect()
    }

    /// Rows of the smallest and the largest block.
    #[getter]
    fn block_rows_range(&self) -> (u64, u64) {
        range_of(self.opened.manifest.block_rows())
    }

    /// Bytes of the smallest and the largest block, in memory.
    #[getter]
    fn block_bytes_range(&self) -> (u64, u64) {
        range_of(self.opened.manifest.block_bytes())
    }

    /// Schemas of the shards that differ in anything.
    #[getter]
    fn num_schemas(&self) -> usize {
        self.opened.manifest.num_schemas()
    }

    /// 128 bits in hex.
    #[getter]
    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// Stored columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.opened.manifest.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The stored schema.
    #[getter]
    fn schema(&self) -> PySchema {
        PySchema::new(Arc::clone(self.opened.manifest.schema()))
    }

    /// What the open has to say: an index folder that cannot be written, shards that were left out.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        let report = self.opened.manifest.report();
        let skipped =
            report.skipped.iter().map(|(path, text)| format!("{} is left out: {text}", path.display()));
        self.remarks.iter().chain(&report.warnings).cloned().chain(skipped).collect()
    }

    /// Files in the folders that were named, which are neither read nor known as notes.
    #[getter]
    fn strangers(&self) -> Vec<PathBuf> {
        self.strangers.clone()
    }

    /// Files whose headers were read by this open.
    #[getter]
    fn num_walked(&self) -> usize {
        self.opened.manifest.report().num_walked
    }

    /// (path, problem) of the shards that were left out for damage.
    #[getter]
    fn skipped<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyAny>, String)>> {
        let skipped = self.opened.manifest.report().skipped.iter();
        skipped.map(|(path, text)| Ok((python_path(py, path)?, text.clone()))).collect()
    }

    /// For each row id the index of its shard, of the block in it and of the row in that.
    fn locate(&self, py: Python<'_>, row_ids: Vec<u64>) -> PyResult<Vec<(usize, usize, u32)>> {
        let num_rows = self.opened.layout.num_rows();
        let locate = |row_id: u64| {
            if row_id >= num_rows {
                let text = format!("row id {row_id} is out of range; the dataset has {num_rows} rows");
                return Err(raise(py, Error::InvalidArgument(text)));
            }
            let place = self.opened.layout.locate(row_id);
            let place = self.opened.selection.as_ref().map_or(place, |selection| selection.locate(place));
            let (shard, _) = self.opened.manifest.block(place.block as usize);
            let first = self.opened.manifest.shard(shard).blocks.start;
            Ok((shard, place.block as usize - first, place.row))
        };
        row_ids.into_iter().map(locate).collect()
    }

    /// Reads all blocks and files on `num_threads` threads, all cores when None; one dict a shard says what was found.
    #[pyo3(signature = (*, num_threads=None, progress=None))]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        num_threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let fields = self.opened.manifest.schema().fields();
        let names = fields.iter().map(|field| field.name().clone()).collect();
        let projection = Projection { indices: (0..fields.len()).collect(), names };
        // Every byte is read once, from front to back: a map would only add its page faults.
        let (manifest, layout) = (self.opened.manifest.clone(), Arc::clone(&self.opened.layout));
        let table = Table::new(manifest, layout, projection, IoMode::Read, OnError::Raise);
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        verify::run(py, &table, num_threads.unwrap_or_else(cores), progress.as_ref())
    }

    /// One dict a shard: path, bytes, rows, blocks.
    fn shards<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for index in 0..self.opened.manifest.num_shards() {
            let shard = self.opened.manifest.shard(index);
            let dict = PyDict::new(py);
            dict.set_item("path", python_path(py, shard.path)?)?;
            dict.set_item("num_bytes", shard.identity.size)?;
            dict.set_item(
                "num_rows",
                self.opened.manifest.block_rows()[shard.blocks.clone()].iter().sum::<u64>(),
            )?;
            dict.set_item("num_blocks", shard.blocks.len())?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// One dict a shard: `path`, `format`, `rows`, `blocks`, `bytes`; for Parquet `row_groups`, `codecs`,
    /// `largest_row_group_bytes`, `largest_row_group_rows`, `has_page_index` (None for others). Reads footers.
    fn shard_facts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let facts = detached(py, || self.opened.manifest.facts(num_cores()))?;
        let list = PyList::empty(py);
        for (index, facts) in facts.into_iter().enumerate() {
            let shard = self.opened.manifest.shard(index);
            let dict = PyDict::new(py);
            dict.set_item("path", python_path(py, shard.path)?)?;
            dict.set_item("format", shard.known_format().map(|format| format.to_string()))?;
            dict.set_item(
                "rows",
                self.opened.manifest.block_rows()[shard.blocks.clone()].iter().sum::<u64>(),
            )?;
            dict.set_item("blocks", shard.blocks.len())?;
            dict.set_item("bytes", shard.identity.size)?;
            let facts = Some(facts).filter(|_| shard.known_format() == Some(Format::Parquet));
            dict.set_item("row_groups", facts.as_ref().map(|facts| facts.row_groups))?;
            dict.set_item("codecs", facts.as_ref().map(|facts| facts.codecs.clone()))?;
            let largest = facts.as_ref().map(|facts| facts.largest_row_group_bytes);
            dict.set_item("largest_row_group_bytes", largest)?;
            let largest = facts.as_ref().map(|facts| facts.largest_row_group_rows);
            dict.set_item("largest_row_group_rows", largest)?;
            dict.set_item("has_page_index", facts.as_ref().map(|facts| facts.has_page_index))?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// Whether the shards are Parquet files.
    #[getter]
    fn is_parquet(&self) -> bool {
        self.opened.manifest.num_shards() > 0 && self.opened.manifest.shard_format(0) == Some(Format::Parquet)
    }

    /// The file of a shard.
    fn shard_path<'py>(&self, py: Python<'py>, shard: usize) -> PyResult<Bound<'py, PyAny>> {
        self.check_shard(shard).map_err(|error| raise(py, error))?;
        python_path(py, self.opened.manifest.shard_path(shard))
    }

    /// A shard that lies on a network, as bytes; None for one on a disk.
    fn shard_object(&self, py: Python<'_>, shard: usize) -> PyResult<Option<PyRemoteObject>> {
        self.check_shard(shard).map_err(|error| raise(py, error))?;
        let shard = self.opened.manifest.shard(shard);
        Ok(is_remote(shard.path).then(|| PyRemoteObject(RemoteFile::new(shard.path, shard.identity))))
    }

    /// What the names of a shard's folders say: column to number, text or None.
    fn partition_values<'py>(&self, py: Python<'py>, shard: usize) -> PyResult<Bound<'py, PyDict>> {
        self.check_shard(shard).map_err(|error| raise(py, error))?;
        let dict = PyDict::new(py);
        for (field, value) in self.opened.manifest.partition_values(shard) {
            match value {
                Some(PartitionValue::Number(number)) => dict.set_item(field.name(), number)?,
                Some(PartitionValue::Text(text)) => dict.set_item(field.name(), text.as_ref())?,
                None => dict.set_item(field.name(), py.None())?,
            }
        }
        Ok(dict)
    }

    /// The order over rows `[row_start, row_stop)`.
    #[pyo3(signature = (mode, *, seed, num_lanes, window_bytes, reshuffle_each_epoch, row_start, row_stop))]
    #[expect(clippy::too_many_arguments, reason = "the settings of an order, one each")]
    fn order(
        &self,
        py: Python<'_>,
        mode: &str,
        seed: u64,
        num_lanes: u32,
        window_bytes: u64,
        reshuffle_each_epoch: bool,
        row_start: u64,
        row_stop: u64,
    ) -> PyResult<PyOrder> {
        let is_whole = (row_start, row_stop) == (0, self.opened.layout.num_rows());
        let layout = if is_whole {
            Arc::clone(&self.opened.layout)
        } else {
            Arc::new(self.opened.layout.clipped(row_start..row_stop))
        };
        PyOrder::try_new(layout, mode, seed, num_lanes, window_bytes, reshuffle_each_epoch)
            .map_err(|error| raise(py, error))
    }

    /// The table that reads these (stored name, name) columns; made once and kept. `of_objects` where all that becomes
    /// of its rows are Python objects.
    #[pyo3(signature = (columns, io, *, of_objects=false))]
    fn table(
        &self,
        py: Python<'_>,
        columns: Vec<(String, String)>,
        io: &str,
        of_objects: bool,
    ) -> PyResult<PyTable> {
        let io = io.parse().map_err(|error| raise(py, error))?;
        let projection = self.opened.projection(columns).map_err(|error| raise(py, error))?;
        // What is left out for damage is looked at as Arrow.
        let is_free = of_objects && self.opened.on_error == OnError::Raise;
        let texts = if is_free { Texts::MayBeViews } else { Texts::Stored };
        let table = self.tables.get((projection, io, texts), |(projection, io, texts)| {
            Ok(self.opened.table(projection, *io, *texts))
        });
        PyTable::try_new(py, table.map_err(|error| raise(py, error))?, None)
    }

    fn __repr__(&self) -> String {
        format!(
            "Source({} shards, {} rows)",
            self.opened.manifest.num_shards(),
            self.opened.layout.num_rows()
        )
    }
}

impl PySource {
    fn check_shard(&self, shard: usize) -> rowmill_core::Result<()> {
        if shard < self.opened.manifest.num_shards() {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!("there is no shard {shard}")))
    }

    /// What was opened.
    pub fn opened(&self) -> Opened {
        self.opened.clone()
    }
}

impl Opened {
    /// Which stored columns these (stored name, name) are.
    pub fn projection(&self, columns: Vec<(String, String)>) -> rowmill_core::Result<Projection> {
        let schema = self.manifest.schema();
        let (stored, names): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        if let Some(twice) = stored.iter().enumerate().find(|(at, name)| stored[..*at].contains(name)) {
            let path =
                Some(self.manifest.shard_path(0).to_owned()).filter(|_| self.manifest.num_shards() > 0);
            return Err(Error::SchemaMismatch {
                path,
                message: format!(
                    "the files have two columns named {:?}, which a row's dict cannot hold; rename one when writing them",
                    twice.1
                ),
            });
        }
        let index = |name: &String| {
            schema.index_of(name).map_err(|_| Error::SchemaMismatch {
                path: None,
                message: format!("there is no column {name:?}"),
            })
        };
        Ok(Projection { indices: stored.iter().map(index).collect::<rowmill_core::Result<_>>()?, names })
    }

    fn table(&self, projection: &Projection, io: IoMode, texts: Texts) -> Table {
        let (manifest, layout) = (self.manifest.clone(), Arc::clone(&self.layout));
        let shards = Shards::new(manifest, layout, projection.clone(), io).with_texts(texts);
        let table = Table::of_shards(shards, self.on_error);
        match &self.selection {
            Some(selection) => table.with_selection(Arc::clone(selection)),
            None => table,
        }
    }
}

fn range_of(values: &[u64]) -> (u64, u64) {
    (values.iter().copied().min().unwrap_or(0), values.iter().copied().max().unwrap_or(0))
}

/// What the user named.
struct Wanted {
    paths: Vec<PathBuf>,
    format: Option<String>,
    split: Option<String>,
    choice: Choice,
    roots: Vec<PathBuf>,
}

impl Wanted {
    fn open(mut self, mut options: ManifestOptions, on_error: OnError) -> rowmill_core::Result<PySource> {
        let format = self.format.as_deref();
        let mut listing = manifest::resolve_split(&self.paths, self.split.as_deref())?;
        listing.roots.append(&mut self.roots);
        self.choice.indices.extend(listing.indices.iter().cloned());
        if !self.choice.ranges.is_empty() || !self.choice.indices.is_empty() {
            // Without a shard the numbers of the rows after it would be those of other rows.
            options.on_error = manifest::OnError::Raise;
        }
        let manifest = Manifest::open_listed(&listing, &options)?;
        check_format(&manifest, format)?;
        let data = Arc::new(layout_of(&manifest)?);
        let selection = choose(&data, &self.choice)?.map(Arc::new);
        let (layout, fingerprint) = match &selection {
            None => (data, manifest.fingerprint()),
            Some(selection) => {
                (Arc::clone(selection.layout()), manifest.fingerprint_of(selection.chosen().runs()))
            }
        };
        Ok(PySource {
            opened: Opened { manifest, layout, selection, on_error },
            fingerprint,
            remarks: listing.warnings,
            strangers: listing.strangers,
            tables: KeptTables::default(),
        })
    }
}

/// An error where a shard is not of the format that was asked for.
fn check_format(manifest: &Manifest, wanted: Option<&str>) -> rowmill_core::Result<()> {
    let is_wanted: fn(Format) -> bool = match wanted {
        // An index made while the format was given knows such files; the first bytes do not.
        None => |format| format != Format::BareTokens,
        Some("megatron") => |format| format == Format::Megatron,
        Some("nanogpt") => |format| matches!(format, Format::LlmC | Format::BareTokens),
        Some("arrow") => |format| matches!(format, Format::ArrowStream | Format::ArrowFile),
        Some("parquet") => |format| format == Format::Parquet,
        Some("webdataset") => |format| format == Format::Tar,
        Some(other) => {
            return Err(Error::InvalidArgument(format!(
                "format {other:?} is not read by this version; it reads \"arrow\", \"parquet\", \"webdataset\", \"megatron\" and \"nanogpt\""
            )));
        }
    };
    for index in 0..manifest.num_shards() {
        let shard = manifest.shard(index);
        if let Some(format) = shard.known_format().filter(|format| !is_wanted(*format)) {
            return Err(Error::Unsupported {
                path: shard.path.to_owned(),
                message: match wanted {
                    Some(wanted) => format!("it is {format}, not {wanted}; leave format out"),
                    None => NO_BARE_TOKENS.to_owned(),
                },
            });
        }
    }
    Ok(())
}

fn num_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
