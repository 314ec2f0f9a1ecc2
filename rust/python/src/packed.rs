//! One consumer's stream of packed samples.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rowmill_core::Error;
use rowmill_core::assemble::{Dtype, Pool};
use rowmill_core::loader::packed::{Deal, PackedColumn, PackedSpec, PackedStep, PackedStream};
use rowmill_core::loader::{Receipt, Table};
use rowmill_core::mix::{Schedule, TokenShares};
use rowmill_core::prefetch::ProducerStats;
use rowmill_core::text::pack::{CuSeqlens, PackStats, flatten};

use crate::error::{log_skipped, raise};
use crate::interpreter::wait;
use crate::lane_places::{Moved, Places, PyLanePlaces};
use crate::make::{POOL_BYTES, engine_stats};
use crate::mix::PySchedule;
use crate::packed_sources::{
    Packing, PlainDeal, PlainPlace, PlainSource, PyTokenShares, Source, deal_of, place_of, sequences,
};
use crate::receipt::{Counted, ReceiptParts};
use crate::stream::{PREFETCH_BYTES, usual_threads};
use crate::tensors::Tensors;

/// Steps made ahead without other wishes.
const PREFETCH_STEPS: u64 = 16;

/// What a pass is, until its first `next` starts the engine.
struct Pass {
    first_epoch: u64,
    num_epochs: Option<u64>,
    positions: Vec<(u64, u64)>,
    epoch_samples: Vec<u64>,
    samples: (u64, Option<u64>),
    deal: Option<Deal>,
    skip_steps: u64,
    /// Runs of this consumer's steps that are read but not handed out, counted from the first one of the pass.
    left_out: Vec<(u64, u64)>,
    max_steps: Option<u64>,
    /// All ranks have agreed on `max_steps`.
    is_agreed: bool,
    remainder: rowmill_core::order::Remainder,
    places: Py<PyLanePlaces>,
}

#[derive(Default)]
struct State {
    pass: Option<Pass>,
    stream: Option<PackedStream>,
    last_stats: Option<ProducerStats>,
    /// What moves once the step that was handed out last is acknowledged.
    held_back: Option<Moved>,
}

/// Batches of packed samples of one consumer; `begin` places it, `next` reads.
#[pyclass(frozen, subclass, module = "rowmill._rust", name = "Packed")]
pub struct PyPacked {
    /// One, or those of a mix of packed sources.
    sources: Vec<Source>,
    schedule: Option<Arc<Schedule>>,
    shares: Option<Arc<TokenShares>>,
    packing: Packing,
    batch_size: usize,
    is_flat: bool,
    columns: Arc<[PackedColumn]>,
    keys: Vec<String>,
    pool: Pool,
    receipt_seed: u64,
    tensors: Tensors,
    num_threads: usize,
    prefetch_items: u64,
    prefetch_bytes: usize,
    holds_back: AtomicBool,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[pymethods]
impl PyPacked {
    /// A stream of the documents of a table, or of those of packed sources that are mixed by `schedule`; starts no
    /// thread. `shares` say whose document comes next in a mix by tokens. `columns` are (name, dtype).
    #[new]
    #[pyo3(signature = (*, sources, schedule, shares, seq_len, labels, columns, cu_seqlens, flatten, batch_size,
                        receipt_seed, output, num_threads, prefetch_batches, prefetch_bytes, wrap, pin))]
    #[expect(
        clippy::too_many_arguments,
        reason = "the keywords of Dataset.pack, loader and with_format, one each"
    )]
    #[expect(clippy::needless_pass_by_value, reason = "what Python hands over is owned")]
    fn new(
        py: Python<'_>,
        sources: Vec<PlainSource>,
        schedule: Option<&PySchedule>,
        shares: Option<&PyTokenShares>,
        seq_len: usize,
        labels: Option<String>,
        columns: Vec<(String, String)>,
        cu_seqlens: bool,
        flatten: bool,
        batch_size: usize,
        receipt_seed: u64,
        output: &str,
        num_threads: Option<usize>,
        prefetch_batches: Option<u64>,
        prefetch_bytes: Option<usize>,
        wrap: Option<Py<PyAny>>,
        pin: Option<(Py<PyAny>, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let packing = Packing { seq_len, labels, cu_seqlens };
        let made = || {
            let sources = sources.iter().map(|source| Source::try_new(source, &packing));
            let packed = columns.iter().map(|(name, dtype)| {
                Ok(PackedColumn { kind: name.parse()?, dtype: dtype.parse::<Dtype>()? })
            });
            let sources = sources.collect::<rowmill_core::Result<Vec<_>>>()?;
            if sources.is_empty() {
                return Err(Error::InvalidArgument("there is nothing to pack".to_owned()));
            }
            Ok((sources, packed.collect::<rowmill_core::Result<Arc<[_]>>>()?))
        };
        let (sources, packed) = made().map_err(|error| raise(py, error))?;
        Ok(Self {
            sources,
            schedule: schedule.map(|schedule| Arc::clone(schedule.schedule())),
            shares: shares.map(|shares| Arc::clone(&shares.0)),
            packing,
            batch_size: batch_size.max(1),
            is_flat: flatten,
            columns: packed,
            keys: columns.into_iter().map(|(name, _)| name).collect(),
            pool: Pool::new(POOL_BYTES),
            receipt_seed,
            tensors: Tensors::try_new(py, output == "torch", wrap, pin)?,
            num_threads: num_threads.unwrap_or_else(|| usual_threads(2)),
            prefetch_items: prefetch_batches.unwrap_or(PREFETCH_STEPS),
            prefetch_bytes: prefetch_bytes.unwrap_or(PREFETCH_BYTES),
            holds_back: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// Places the stream: `lanes` are this consumer's, `positions` those of each source that are read, and
    /// `epoch_samples` how many samples each epoch of a mix of packed sources has, where these end. Where
    /// ranks have agreed on `max_steps`, it gives all of them: after the end of its lanes padded ones, or an error.
    /// `deal` says how they deal the samples of all lanes: ranks, rank, each lane's first sample and the end of its
    /// samples, and how many of all of them were taken before.
    #[pyo3(signature = (*, first_epoch, num_epochs, positions, epoch_samples, lanes, samples, deal, skip_steps, left_out,
                        max_steps, is_agreed, remainder, skipped, receipt))]
    #[expect(clippy::too_many_arguments, reason = "a place in the stream, one number each")]
    fn begin(
        &self,
        py: Python<'_>,
        first_epoch: u64,
        num_epochs: Option<u64>,
        positions: Vec<(u64, u64)>,
        epoch_samples: Vec<u64>,
        lanes: Vec<PlainPlace>,
        samples: (u64, Option<u64>),
        deal: Option<PlainDeal>,
        skip_steps: u64,
        left_out: Vec<(u64, u64)>,
        max_steps: Option<u64>,
        is_agreed: bool,
        remainder: &str,
        skipped: u64,
        receipt: ReceiptParts,
    ) -> PyResult<()> {
        let lanes = lanes.into_iter().map(place_of).collect();
        let receipt = Counted::try_new(receipt)?;
        let places = Places { lanes, num_skipped: skipped, receipt, ..Places::default() };
        let pass = Pass {
            first_epoch,
            num_epochs,
            positions,
            epoch_samples,
            samples,
            deal: deal.map(deal_of),
            skip_steps,
            left_out,
            max_steps,
            is_agreed,
            remainder: remainder.parse().map_err(|error| raise(py, error))?,
            places: Py::new(py, PyLanePlaces(Mutex::new(places)))?,
        };
        let before = std::mem::replace(&mut *self.locked()?, State { pass: Some(pass), ..State::default() });
        self.is_closed.store(false, Ordering::Relaxed);
        // Joining the old threads may take a moment, and they never need the interpreter.
        py.detach(|| drop(before.stream));
        Ok(())
    }

    /// Where the lanes of the pass that began last stand.
    #[getter]
    fn places(&self, py: Python<'_>) -> PyResult<Py<PyLanePlaces>> {
        match &self.locked()?.pass {
            Some(pass) => Ok(pass.places.clone_ref(py)),
            None => Err(PyValueError::new_err("the stream has not begun")),
        }
    }

    /// From now on a step counts as returned when `acknowledge` is called, not when it is handed out.
    fn hold_back(&self) {
        self.holds_back.store(true, Ordering::Relaxed);
    }

    /// Counts the last step as returned.
    fn acknowledge(&self) -> PyResult<()> {
        let mut state = self.locked()?;
        if let (Some(moved), Some(pass)) = (state.held_back.take(), &state.pass) {
            pass.places.get().moved(moved);
        }
        Ok(())
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut state = self.locked()?;
        let state = &mut *state;
        while let Some(step) = self.next_step(py, state)? {
            let Some(pass) = &state.pass else { break };
            let places = pass.places.get();
            if pass.leaves_out(places.num_steps()) {
                let PackedStep { places: moved, skipped, .. } = step;
                let (stats, receipt) = (PackStats::default(), Receipt::default());
                places.moved(Moved { places: moved, skipped, stats, receipt });
                continue;
            }
            let (made, moved) = self.made(py, step)?;
            if self.holds_back.load(Ordering::Relaxed) {
                state.held_back = Some(moved);
            } else {
                places.moved(moved);
            }
            return Ok(Some(made));
        }
        Ok(None)
    }

    /// What the engine did so far.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.locked()?;
        let engine = state.stream.as_ref().map(PackedStream::stats).or(state.last_stats);
        let tables: Vec<&Table> = self.sources.iter().map(|source| &*source.table).collect();
        let dict = engine_stats(py, engine, &tables, &self.pool)?;
        if let Some(pass) = &state.pass {
            let places = pass.places.get().0.lock();
            let PackStats { samples, tokens, padding, documents, cut_documents } = places.stats;
            dict.set_item("batches", places.num_steps)?;
            dict.set_item("rows", samples)?;
            dict.set_item("tokens", tokens)?;
            dict.set_item("padding_tokens", padding)?;
            dict.set_item("padding_share", places.stats.padding_share())?;
            dict.set_item("documents", documents)?;
            dict.set_item("cut_documents", cut_documents)?;
            dict.set_item("receipt", places.receipt.dict(py)?)?;
        }
        Ok(dict)
    }

    /// Stops the engine's threads; the stream yields nothing more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.is_closed.store(true, Ordering::Relaxed);
        let mut state = self.locked()?;
        let stream = state.stream.take();
        state.last_stats = stream.as_ref().map(PackedStream::stats).or(state.last_stats);
        drop(state);
        py.detach(|| drop(stream));
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("Packed({} x {})", self.batch_size, self.packing.seq_len)
    }
}

impl Pass {
    /// Whether a step of this pass is read only to go past it.
    fn leaves_out(&self, step: u64) -> bool {
        self.left_out.iter().any(|&(first, last)| (first..last).contains(&step))
    }
}

impl PyPacked {
    /// The engine's next step, whether it is handed out or not; `None` at the end.
    fn next_step(&self, py: Python<'_>, state: &mut State) -> PyResult<Option<PackedStep>> {
        let Some(pass) = &state.pass else {
            return Err(PyValueError::new_err("the stream has not begun"));
        };
        let places = pass.places.get();
        if places.0.lock().is_finished || self.is_closed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if pass.max_steps.is_some_and(|most| places.num_steps() >= most) {
            state.last_stats = state.stream.take().map(|stream| stream.stats());
            return places.finish(py).map(|()| None);
        }
        if state.stream.is_none() {
            state.stream = Some(PackedStream::try_start(self.spec(pass)).map_err(|error| raise(py, error))?);
        }
        let Some(stream) = &mut state.stream else { return Ok(None) };
        let step = match wait(py, &mut |timeout| stream.poll(timeout)) {
            Ok(Some(step)) => step,
            Ok(None) => {
                state.last_stats = state.stream.take().map(|stream| stream.stats());
                if pass.is_agreed && pass.max_steps.is_some_and(|most| places.num_steps() < most) {
                    return Err(raise(py, too_few_steps()));
                }
                return places.finish(py).map(|()| None);
            }
            Err(error) => {
                // The step has not been delivered: the next call begins where it began.
                let stream = state.stream.take();
                py.detach(|| drop(stream));
                return Err(error);
            }
        };
        if step.skipped > 0 {
            for source in &self.sources {
                log_skipped(py, &source.table.take_reports())?;
            }
        }
        Ok(Some(step))
    }

    /// The state, unless another thread is inside of `next`: like a generator that is running already.
    fn locked(&self) -> PyResult<parking_lot::MutexGuard<'_, State>> {
        self.state.try_lock().ok_or_else(|| {
            PyValueError::new_err("this iterator is being read by another thread; give each thread its own")
        })
    }

    fn spec(&self, pass: &Pass) -> PackedSpec {
        let places = pass.places.get().0.lock();
        // After an error the stream starts again from the last step that was returned.
        let skip_steps = if places.num_steps == 0 { pass.skip_steps } else { 0 };
        let steps_done = if places.num_steps == 0 { 0 } else { places.num_steps + pass.skip_steps };
        let deal = pass.deal.clone().map(|deal| deal.after(steps_done, self.batch_size));
        let left = pass.max_steps.unwrap_or(0).saturating_sub(places.num_steps);
        let sources = self.sources.iter().zip(&pass.positions).map(|(source, positions)| {
            source.of_pass(pass.first_epoch, pass.num_epochs, *positions, self.shares.clone())
        });
        PackedSpec {
            sources: sources.collect(),
            sequences: sequences(self.schedule.as_ref(), &pass.epoch_samples),
            num_lanes: u64::from(self.sources[0].num_lanes()),
            places: places.lanes.clone(),
            samples: pass.samples,
            deal,
            batch_size: self.batch_size,
            skip_steps,
            owed_steps: if pass.is_agreed { left + skip_steps } else { 0 },
            remainder: pass.remainder,
            columns: Arc::clone(&self.columns),
            receipt_seed: self.receipt_seed,
            pool: self.pool.clone(),
            num_threads: self.num_threads,
            prefetch_items: self.prefetch_items,
            prefetch_bytes: self.prefetch_bytes,
        }
    }

    /// A step as a dict of tensors, and what moves with it.
    fn made(&self, py: Python<'_>, step: PackedStep) -> PyResult<(Py<PyAny>, Moved)> {
        let PackedStep { batch, places, stats, receipt, skipped } = step;
        let (rows, len) = (batch.num_rows, batch.seq_len);
        let shape: &[usize] = if self.is_flat { &[rows * len] } else { &[rows, len] };
        let dict = PyDict::new(py);
        for ((buffer, column), key) in batch.buffers.into_iter().zip(self.columns.iter()).zip(&self.keys) {
            dict.set_item(key, self.tensors.make(py, buffer, column.dtype, shape)?)?;
        }
        if self.packing.cu_seqlens {
            self.add_cuts(py, &dict, &batch.cu_seqlens, len)?;
        }
        Ok((dict.into_any().unbind(), Moved { places, skipped, stats, receipt }))
    }

    fn add_cuts(
        &self,
        py: Python<'_>,
        dict: &Bound<'_, PyDict>,
        cuts: &[CuSeqlens],
        len: usize,
    ) -> PyResult<()> {
        if self.is_flat {
            let joined = flatten(cuts, len).map_err(|error| raise(py, error))?;
            dict.set_item("cu_seqlens", self.int32(py, &joined.cuts)?)?;
            return dict.set_item("max_seqlen", joined.max_seqlen);
        }
        let lists = cuts.iter().map(|row| self.int32(py, &row.cuts)).collect::<PyResult<Vec<_>>>()?;
        dict.set_item("cu_seqlens", lists)?;
        let longest: Vec<i32> = cuts.iter().map(|row| row.max_seqlen).collect();
        dict.set_item("max_seqlen", longest)
    }

    fn int32<'py>(&self, py: Python<'py>, values: &[i32]) -> PyResult<Bound<'py, PyAny>> {
        let mut buffer = self.pool.try_get(size_of_val(values)).map_err(|error| raise(py, error))?;
        buffer.as_mut_of::<i32>().copy_from_slice(values);
        self.tensors.make(py, buffer, Dtype::Int32, &[values.len()])
    }
}

/// Ranks took other steps than they had agreed on: a silent end would leave the others waiting.
#[cold]
fn too_few_steps() -> Error {
    Error::StateMismatch(
        "the documents gave fewer samples than their token counts say: the data have changed since they were counted, \
         without a change of size; count again, with `rowmill index ... --force` or ds.count_tokens(force=True)"
            .to_owned(),
    )
}
