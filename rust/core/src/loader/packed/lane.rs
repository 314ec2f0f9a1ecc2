//! One lane: documents in its order, packed, sample by sample, and where it stands.

use super::batch::{ColumnKind, PackedBatch, PackedColumn};
use super::documents::{DocumentReader, OpenDocument};
use super::group::{LanePlace, Turn};
use super::planned::{Next, Planned};
use super::stream::PackedSpec;
use crate::assemble::Dtype;
use crate::error::{Error, Result};
use crate::loader::counts::LaneDocuments;
use crate::loader::counts::segments::windows_need_counts;
use crate::loader::receipt::Receipt;
use crate::text::pack::{Element, Labels, PackMode, PackStats, Packer, Sample};

/// How documents become samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackSpec {
    /// Which documents share a sample.
    pub mode: PackMode,
    /// Tokens of a sample.
    pub seq_len: usize,
    /// What `labels` hold.
    pub labels: Labels,
    /// Id where a sample is padded.
    pub pad_id: u32,
    /// Whether each sample's cuts are wanted.
    pub cu_seqlens: bool,
}

/// Epochs of an endless stream without a token, after which none is going to come.
const EMPTY_EPOCHS: u64 = 16;

/// A lane at work; a lock's worth of state, without a thread or a file of its own.
pub(super) struct Lane {
    place: LanePlace,
    packer: Packer,
    open: Option<OpenDocument>,
    /// Tokens of it that the packer got.
    fed: u64,
    /// Which documents come, where groups are whole windows.
    planned: Option<Planned>,
    /// The next document, counted from the first epoch of the pass on.
    next: u64,
    /// Documents of the lane in each epoch, and the first one's element.
    rows: (u64, u64),
    /// Documents since a token came.
    since_token: u64,
    is_finished: bool,
}

impl Lane {
    /// A lane that goes on at a place.
    pub fn try_new(place: LanePlace, spec: &PackedSpec) -> Result<Self> {
        let (first, len) = spec.documents.lane_rows(place.lane);
        let epochs = place.epoch.saturating_sub(spec.documents.first_epoch);
        let next = epochs * len + place.row.min(len);
        let is_planned = spec.pack.mode == PackMode::BestFitWindows;
        Ok(Self {
            packer: Packer::resume(spec.pack.mode, spec.pack.seq_len, place.emitted)?,
            open: None,
            fed: 0,
            planned: is_planned.then(|| Planned::new(next, place.emitted)),
            next,
            rows: (first, len),
            since_token: 0,
            is_finished: len == 0,
            place,
        })
    }

    /// This lane's turn: its next sample goes to the end of `batch`, if there is one.
    pub fn turn(
        &mut self,
        at: usize,
        spec: &PackedSpec,
        reader: &mut DocumentReader,
        batch: &mut PackedBatch,
    ) -> Result<Turn> {
        let mut turn = Turn {
            at,
            place: self.place,
            is_sample: false,
            is_over: false,
            stats: PackStats::default(),
            receipt: Receipt::default(),
            skipped: 0,
        };
        let number = self.place.num_samples * spec.num_lanes + u64::from(self.place.lane);
        if spec.samples.1.is_some_and(|stop| number >= stop) {
            turn.is_over = true;
            return Ok(turn);
        }
        let Some(sample) = self.next_sample(spec, reader, &mut turn.skipped)? else {
            self.place = self.at_the_end(spec);
            return Ok(Turn { place: self.place, is_over: true, ..turn });
        };
        let after = (sample.place().element, sample.place().taken);
        let (element, taken) = self.planned.as_mut().map_or(after, Planned::count_sample);
        self.moved(element, taken, spec);
        turn.place = self.place;
        if number >= spec.samples.0 {
            write(&sample, batch, spec)?;
            turn.stats = sample.stats();
            let first_epoch = spec.documents.first_epoch;
            turn.receipt = Receipt::of_sample(spec.receipt_seed, first_epoch, number, sample.segments());
            turn.is_sample = true;
        }
        Ok(turn)
    }

    fn next_sample(
        &mut self,
        spec: &PackedSpec,
        reader: &mut DocumentReader,
        skipped: &mut u64,
    ) -> Result<Option<Sample>> {
        loop {
            if let Some(sample) = self.packer.pop() {
                return Ok(Some(sample));
            }
            if self.is_finished {
                return Ok(None);
            }
            self.feed(spec, reader, skipped)?;
        }
    }

    /// Gives the packer some more tokens.
    fn feed(&mut self, spec: &PackedSpec, reader: &mut DocumentReader, skipped: &mut u64) -> Result<()> {
        if self.open.is_none() && !self.open_next(spec, reader, skipped)? {
            return Ok(());
        }
        let Some(document) = &mut self.open else { return Ok(()) };
        let num_tokens = reader.feed(document, &mut self.packer)?;
        self.fed += num_tokens;
        if num_tokens > 0 {
            self.since_token = 0;
        }
        if document.is_done {
            if let Some(planned) = &self.planned {
                planned.check(self.next, document.row_id, self.fed)?;
            }
            (self.open, self.fed) = (None, 0);
            self.packer.end()?;
        }
        Ok(())
    }

    /// Begins the next document; `false` where there is none, or it is left out.
    fn open_next(
        &mut self,
        spec: &PackedSpec,
        reader: &mut DocumentReader,
        skipped: &mut u64,
    ) -> Result<bool> {
        let (first, len) = self.rows;
        let documents = &spec.documents;
        let Some(number) = self.next_document(spec)? else { return Ok(false) };
        let (epoch, row) = (documents.first_epoch + number / len, number % len);
        self.open = reader.open(epoch, self.place.lane, first + row)?;
        // A lane of a mix without an end has one epoch for ever.
        self.check_progress(1, len.min(documents.epochs.num_rows()))?;
        match (&self.open, &self.planned) {
            (Some(document), _) => self.packer.begin(document.row_id, number),
            (None, None) => *skipped += 1,
            (None, Some(_)) => return Err(left_out_though_counted(self.place.lane, number)),
        }
        Ok(self.open.is_some())
    }

    /// The number of the document to read now; `None` where the packer has to be looked at first.
    fn next_document(&mut self, spec: &PackedSpec) -> Result<Option<u64>> {
        let (documents, len) = (&spec.documents, self.rows.1);
        let Some(planned) = &mut self.planned else {
            if documents.num_epochs.is_some_and(|epochs| self.next >= epochs * len) {
                self.is_finished = true;
                return self.packer.finish().map(|()| None);
            }
            self.next += 1;
            return Ok(Some(self.next - 1));
        };
        let lane = LaneDocuments {
            counts: spec.counts.as_deref().ok_or_else(windows_need_counts)?,
            epochs: &documents.epochs,
            first_epoch: documents.first_epoch,
            num_epochs: documents.num_epochs,
            lane: self.place.lane,
            rows: self.rows,
            seq_len: spec.pack.seq_len,
        };
        match planned.next(&lane)? {
            Next::Document(number) => {
                self.next = number;
                return Ok(Some(number));
            }
            Next::Begin(taken) => self.packer = Packer::resume(spec.pack.mode, spec.pack.seq_len, taken)?,
            Next::End => self.packer.finish()?,
            Next::Empty(number) => self.check_progress(number, len)?,
            Next::Over => self.is_finished = true,
        }
        Ok(None)
    }

    /// An endless lane without a token would be read for ever.
    fn check_progress(&mut self, documents: u64, len: u64) -> Result<()> {
        self.since_token += documents;
        if self.since_token <= EMPTY_EPOCHS * len {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!(
            "{} documents of lane {} hold no token, and an endless stream would wait for one for ever; look at the \
             column that is packed",
            self.since_token, self.place.lane
        )))
    }

    fn moved(&mut self, element: u64, taken: u64, spec: &PackedSpec) {
        let len = self.rows.1.max(1);
        self.place = LanePlace {
            epoch: spec.documents.first_epoch + element / len,
            row: element % len,
            emitted: taken,
            num_samples: self.place.num_samples + 1,
            ..self.place
        };
    }

    fn at_the_end(&self, spec: &PackedSpec) -> LanePlace {
        let epochs = spec.documents.num_epochs.unwrap_or(0);
        LanePlace { epoch: spec.documents.first_epoch + epochs, row: 0, emitted: 0, ..self.place }
    }
}

#[cold]
fn left_out_though_counted(lane: u32, number: u64) -> Error {
    Error::StateMismatch(format!(
        "document {number} of lane {lane} cannot be read and was counted before: windows are packed by counts of what is \
         there; restore the file, or count again (ds.count_tokens(force=True))"
    ))
}

/// Writes a sample behind the rows of a batch.
fn write(sample: &Sample, batch: &mut PackedBatch, spec: &PackedSpec) -> Result<()> {
    let (at, seq_len) = (batch.num_rows, batch.seq_len);
    for (column, buffer) in spec.columns.iter().zip(&mut batch.buffers) {
        let bytes = seq_len * column.dtype.size();
        write_column(sample, *column, &mut buffer.as_mut_slice()[at * bytes..(at + 1) * bytes], &spec.pack)?;
    }
    if spec.pack.cu_seqlens {
        batch.cu_seqlens.push(sample.cu_seqlens());
    }
    batch.num_rows += 1;
    Ok(())
}

fn write_column(sample: &Sample, column: PackedColumn, out: &mut [u8], pack: &PackSpec) -> Result<()> {
    match column.dtype {
        Dtype::Bool | Dtype::UInt8 => write_as::<u8>(sample, column.kind, out, pack),
        Dtype::Int8 => write_as::<i8>(sample, column.kind, out, pack),
        Dtype::Int16 => write_as::<i16>(sample, column.kind, out, pack),
        Dtype::UInt16 => write_as::<u16>(sample, column.kind, out, pack),
        Dtype::Int32 => write_as::<i32>(sample, column.kind, out, pack),
        Dtype::UInt32 => write_as::<u32>(sample, column.kind, out, pack),
        Dtype::Int64 => write_as::<i64>(sample, column.kind, out, pack),
        Dtype::UInt64 => write_as::<u64>(sample, column.kind, out, pack),
        other => Err(Error::InvalidArgument(format!(
            "packed columns are integers and cannot be {other}; convert the batch in .map"
        ))),
    }
}

fn write_as<T: Element + bytemuck::Pod>(
    sample: &Sample,
    kind: ColumnKind,
    out: &mut [u8],
    pack: &PackSpec,
) -> Result<()> {
    let out: &mut [T] = bytemuck::cast_slice_mut(out);
    match kind {
        ColumnKind::InputIds => sample.write_input_ids(pack.pad_id, out),
        ColumnKind::Labels => sample.write_labels(pack.labels, out),
        ColumnKind::PositionIds => sample.write_position_ids(out),
        ColumnKind::DocumentIds => sample.write_document_ids(out),
        ColumnKind::LossMask => {
            sample.write_loss_mask(Some(pack.labels), out);
            Ok(())
        }
    }
}
