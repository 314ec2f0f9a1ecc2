//! One consumer's stream of rows or batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::loader::{
    Epochs, GroupSpec, LengthOf, Receipt, Stream, StreamSpec, Table, dealt_positions,
};
use rowmill_core::order::{Holes, Partition};
use rowmill_core::prefetch::ProducerStats;
use rowmill_core::text::encoder::{Encoder, INPUT_IDS};

use crate::error::{log_skipped, raise};
use crate::interpreter::{detached, wait};
use crate::make::{Maker, stats};
use crate::order::PyOrder;
use crate::padding::PyPadding;
use crate::receipt::{Counted, ReceiptParts};
use crate::table::PyTable;

/// What is made ahead without other wishes: enough to ride out a hiccup, little enough to stay in a core's cache.
const PREFETCH_ITEMS: u64 = 32;
/// The same in bytes.
pub const PREFETCH_BYTES: usize = 64 << 20;

/// Threads without other wishes: a loader must leave the training loop its cores, but one thread and
/// a hand-over are no faster than none.
///
/// Where the consumer makes Python objects of what they read, it is the slowest and needs a core of its own; unless
/// what they read must be decoded first, which takes longer still.
pub fn default_threads(maker: &Maker) -> usize {
    let is_consumer_slowest = maker.makes_objects() && !maker.is_decoded();
    usual_threads(if is_consumer_slowest { num_cores().saturating_sub(1).clamp(1, 2) } else { 2 })
}

/// Half of the cores, but at least so many threads and at most eight.
pub fn usual_threads(least: usize) -> usize {
    (num_cores() / 2).clamp(least, 8)
}

fn num_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How far a pass has come; outlives the stream that counts in it.
#[pyclass(frozen, module = "rowmill._rust", name = "Counter")]
#[derive(Default)]
pub struct PyCounter {
    returned: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    skipped_before: u64,
    skipped: AtomicU64,
    receipt_before: Counted,
    receipt: Mutex<Receipt>,
    is_finished: AtomicBool,
    on_finish: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl PyCounter {
    /// Items that were returned.
    #[getter]
    fn num_returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    /// Rows left out for damage, those of earlier passes that were resumed included.
    #[getter]
    fn num_skipped(&self) -> u64 {
        self.skipped_before + self.skipped.load(Ordering::Relaxed)
    }

    /// What was delivered, before this pass was resumed included.
    #[getter]
    fn receipt(&self) -> ReceiptParts {
        self.counted().parts()
    }

    /// Sets what is called when the pass has been read to its end.
    fn on_finish(&self, callback: Py<PyAny>) {
        *self.on_finish.lock() = Some(callback);
    }

    fn __repr__(&self) -> String {
        format!("Counter({} returned)", self.num_returned())
    }
}

impl PyCounter {
    fn counted(&self) -> Counted {
        self.receipt_before.plus(*self.receipt.lock())
    }
}

/// What a pass is, until its first `next` starts the engine.
struct Pass {
    first_epoch: u64,
    per_epoch: u64,
    first_position: u64,
    first_item: u64,
    partition: Partition,
    counter: Py<PyCounter>,
}

/// What is counted when an item counts as returned.
struct Held {
    item: u64,
    rows: usize,
    bytes: usize,
    skipped: u64,
    /// Of all items from the first one on.
    receipt: Receipt,
}

#[derive(Default)]
struct State {
    pass: Option<Pass>,
    stream: Option<Stream>,
    /// What a stream that has ended did.
    last_stats: Option<ProducerStats>,
    /// Number of the item that was handed out last but not yet acknowledged.
    held_back: Option<Held>,
}

/// Rows or batches of one consumer; `begin` places it, `next` reads.
#[pyclass(frozen, subclass, module = "rowmill._rust", name = "Stream")]
pub struct PyStream {
    table: Arc<Table>,
    encoder: Option<Arc<Encoder>>,
    epochs: Arc<Epochs>,
    maker: Maker,
    groups: Option<GroupSpec>,
    receipt_seed: u64,
    counts_tokens: bool,
    num_threads: usize,
    prefetch_items: u64,
    prefetch_bytes: usize,
    holds_back: AtomicBool,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[pymethods]
impl PyStream {
    /// A stream of a table's columns in an order; starts no thread.
    ///
    /// `groups` are (steps of a run, column, seed): the rows of a run are dealt to its steps by their length.
    #[new]
    #[pyo3(signature = (*, table, order, output, dtypes, fill_null, padding, groups, receipt_seed, counts_tokens,
                        num_threads, prefetch_batches, prefetch_bytes, wrap, pin))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of Dataset.loader and with_format, one each")]
    fn new(
        py: Python<'_>,
        table: &PyTable,
        order: &PyOrder,
        output: &str,
        dtypes: Vec<(String, String)>,
        fill_null: Vec<(String, f64)>,
        padding: Option<&PyPadding>,
        groups: Option<(u64, String, u64)>,
        receipt_seed: u64,
        counts_tokens: bool,
        num_threads: Option<usize>,
        prefetch_batches: Option<u64>,
        prefetch_bytes: Option<usize>,
        wrap: Option<Py<PyAny>>,
        pin: Option<(Py<PyAny>, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let maker = Maker::try_new(py, table, output, dtypes, fill_null, padding, wrap, pin)?;
        let groups = groups.map(|(steps, column, seed)| {
            let is_encoded = table.encoder.is_some() && column == INPUT_IDS;
            let by = if is_encoded {
                Ok(LengthOf::Tokens)
            } else {
                LengthOf::column(table.table.schema(), &column)
            };
            Ok(GroupSpec { steps: steps.max(1), by: by?, seed })
        });
        Ok(Self {
            groups: groups.transpose().map_err(|error| raise(py, error))?,
            receipt_seed,
            counts_tokens,
            table: Arc::clone(&table.table),
            encoder: table.encoder.clone(),
            epochs: order.epochs(),
            num_threads: num_threads.unwrap_or_else(|| default_threads(&maker)),
            maker,
            prefetch_items: prefetch_batches.unwrap_or(PREFETCH_ITEMS),
            prefetch_bytes: prefetch_bytes.unwrap_or(PREFETCH_BYTES),
            holds_back: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// Places the stream: from here on it yields this consumer's items of the stream of positions.
    #[pyo3(signature = (*, epoch, per_epoch, first_position, first_item, skipped, num_positions, num_shards, index,
                        num_workers, worker, batch_size, remainder, start, holes, left_out, receipt))]
    #[expect(clippy::too_many_arguments, reason = "a place in the stream, one number each")]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn begin(
        &self,
        py: Python<'_>,
        epoch: u64,
        per_epoch: u64,
        first_position: u64,
        first_item: u64,
        skipped: u64,
        num_positions: Option<u64>,
        num_shards: u64,
        index: u64,
        num_workers: u64,
        worker: u64,
        batch_size: Option<u64>,
        remainder: &str,
        start: u64,
        holes: Vec<[u64; 4]>,
        left_out: Vec<(u64, u64)>,
        receipt: ReceiptParts,
    ) -> PyResult<()> {
        let partition = partition(
            num_positions,
            num_shards,
            index,
            num_workers,
            worker,
            batch_size,
            remainder,
            start,
            &holes,
            left_out,
        )
        .map_err(|error| raise(py, error))?;
        let receipt_before = Counted::try_new(receipt)?;
        let counter =
            Py::new(py, PyCounter { skipped_before: skipped, receipt_before, ..PyCounter::default() })?;
        let pass = Pass { first_epoch: epoch, per_epoch, first_position, first_item, partition, counter };
        let before = std::mem::replace(&mut *self.locked()?, State { pass: Some(pass), ..State::default() });
        self.is_closed.store(false, Ordering::Relaxed);
        // Joining the old threads may take a moment, and they never need the interpreter.
        py.detach(|| drop(before.stream));
        Ok(())
    }

    /// The counter of the pass that began last.
    #[getter]
    fn counter(&self, py: Python<'_>) -> PyResult<Py<PyCounter>> {
        match &self.locked()?.pass {
            Some(pass) => Ok(pass.counter.clone_ref(py)),
            None => Err(PyValueError::new_err("the stream has not begun")),
        }
    }

    /// The positions whose rows stand at these positions of the stream: others where rows are grouped by length, whose
    /// runs are read for that.
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn dealt(&self, py: Python<'_>, positions: Vec<u64>) -> PyResult<Vec<u64>> {
        let spec = match &self.locked()?.pass {
            Some(pass) => self.spec(pass),
            None => return Err(PyValueError::new_err("the stream has not begun")),
        };
        detached(py, || dealt_positions(spec, &positions))
    }

    /// From now on an item counts as returned when `acknowledge` is called, not when it is handed out.
    fn hold_back(&self) {
        self.holds_back.store(true, Ordering::Relaxed);
    }

    /// Counts the last item as returned.
    fn acknowledge(&self) -> PyResult<()> {
        let mut state = self.locked()?;
        if let (Some(held), Some(pass)) = (state.held_back.take(), &state.pass) {
            count(pass, &held);
        }
        Ok(())
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut state = self.locked()?;
        let state = &mut *state;
        let Some(pass) = &state.pass else {
            return Err(PyValueError::new_err("the stream has not begun"));
        };
        if pass.counter.get().is_finished.load(Ordering::Relaxed) || self.is_closed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let stream = state.stream.get_or_insert_with(|| Stream::start(self.spec(pass)));
        let Some((item, step)) = wait(py, &mut |timeout| stream.poll(timeout))? else {
            state.last_stats = state.stream.take().map(|stream| stream.stats());
            return finish(py, pass.counter.get()).map(|()| None);
        };
        // Of what was returned, not of what was made ahead.
        let (skipped, receipt) = (stream.num_skipped(), stream.receipt());
        if skipped > pass.counter.get().skipped.load(Ordering::Relaxed) {
            log_skipped(py, &self.table.take_reports())?;
        }
        let (made, rows, bytes) = self.maker.make(py, step)?;
        let held = Held { item, rows, bytes, skipped, receipt };
        if self.holds_back.load(Ordering::Relaxed) {
            state.held_back = Some(held);
        } else {
            count(pass, &held);
        }
        Ok(Some(made))
    }

    /// What the engine did so far.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.locked()?;
        let dict = stats(py, state.stream.as_ref().map(Stream::stats).or(state.last_stats), &self.maker)?;
        if let Some(pass) = &state.pass {
            let counter = pass.counter.get();
            dict.set_item("batches", counter.returned.load(Ordering::Relaxed))?;
            dict.set_item("rows", counter.rows.load(Ordering::Relaxed))?;
            dict.set_item("bytes", counter.bytes.load(Ordering::Relaxed))?;
            dict.set_item("receipt", counter.counted().dict(py)?)?;
        }
        Ok(dict)
    }

    /// Stops the engine's threads; the stream yields nothing more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.is_closed.store(true, Ordering::Relaxed);
        let mut state = self.locked()?;
        let stream = state.stream.take();
        state.last_stats = stream.as_ref().map(Stream::stats).or(state.last_stats);
        drop(state);
        py.detach(|| drop(stream));
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("Stream({} rows)", self.epochs.num_rows())
    }
}

impl PyStream {
    /// The state, unless another thread is inside of `next`: like a generator that is running already.
    fn locked(&self) -> PyResult<parking_lot::MutexGuard<'_, State>> {
        self.state.try_lock().ok_or_else(|| {
            PyValueError::new_err("this iterator is being read by another thread; give each thread its own")
        })
    }

    fn spec(&self, pass: &Pass) -> StreamSpec {
        StreamSpec {
            table: Arc::clone(&self.table),
            epochs: Arc::clone(&self.epochs),
            first_epoch: pass.first_epoch,
            per_epoch: pass.per_epoch,
            first_position: pass.first_position,
            partition: pass.partition.clone(),
            first_item: pass.first_item,
            encoder: self.encoder.clone(),
            groups: self.groups.clone(),
            receipt_seed: self.receipt_seed,
            counts_tokens: self.counts_tokens,
            output: self.maker.output(),
            num_threads: self.num_threads,
            prefetch_items: self.prefetch_items,
            prefetch_bytes: self.prefetch_bytes,
        }
    }
}

fn count(pass: &Pass, held: &Held) {
    let counter = pass.counter.get();
    counter.returned.store(held.item - pass.first_item + 1, Ordering::Relaxed);
    counter.rows.fetch_add(held.rows as u64, Ordering::Relaxed);
    counter.bytes.fetch_add(held.bytes as u64, Ordering::Relaxed);
    counter.skipped.store(held.skipped, Ordering::Relaxed);
    *counter.receipt.lock() = held.receipt;
}

fn finish(py: Python<'_>, counter: &PyCounter) -> PyResult<()> {
    counter.is_finished.store(true, Ordering::Relaxed);
    let callback = counter.on_finish.lock().take();
    callback.map_or(Ok(()), |callback| callback.call0(py).map(drop))
}

/// What a rank yields in one pass, all its workers together.
#[pyfunction]
#[pyo3(signature = (*, num_positions, num_shards, index, num_workers, worker, batch_size, remainder, start, holes,
                    left_out))]
#[expect(clippy::too_many_arguments, reason = "a partition, one number each")]
#[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
pub fn count_items(
    py: Python<'_>,
    num_positions: Option<u64>,
    num_shards: u64,
    index: u64,
    num_workers: u64,
    worker: u64,
    batch_size: Option<u64>,
    remainder: &str,
    start: u64,
    holes: Vec<[u64; 4]>,
    left_out: Vec<(u64, u64)>,
) -> PyResult<u64> {
    partition(
        num_positions,
        num_shards,
        index,
        num_workers,
        worker,
        batch_size,
        remainder,
        start,
        &holes,
        left_out,
    )
    .map(|partition| partition.rank_items())
    .map_err(|error| raise(py, error))
}

#[expect(clippy::too_many_arguments, reason = "a partition, one number each")]
fn partition(
    num_positions: Option<u64>,
    num_shards: u64,
    index: u64,
    num_workers: u64,
    worker: u64,
    batch_size: Option<u64>,
    remainder: &str,
    start: u64,
    holes: &[[u64; 4]],
    left_out: Vec<(u64, u64)>,
) -> rowmill_core::Result<Partition> {
    Partition {
        num_shards,
        index,
        num_workers,
        worker,
        batch_size,
        remainder: remainder.parse()?,
        num_positions: num_positions.unwrap_or(u64::MAX),
        start,
        holes: Holes::try_new(holes, start)?,
        left_out,
    }
    .validated()
}
