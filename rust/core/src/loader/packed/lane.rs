//! One lane: documents in its order, packed, sample by sample, and where it stands.

use super::batch::{ColumnKind, PackedBatch, PackedColumn};
use super::course::Course;
use super::deal::Want;
use super::documents::DocumentReader;
use super::group::{LanePlace, SourcePlace, Turn};
use super::sequences::{EPOCH_SHIFT, PackedSource, Sequences};
use super::stream::PackedSpec;
use super::track::Track;
use crate::assemble::Dtype;
use crate::error::{Error, Result};
use crate::loader::counts::{SegmentQuestion, place_of_sample};
use crate::loader::receipt::Receipt;
use crate::text::pack::{Element, Labels, PackMode, PackStats, Place, Sample};

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

/// Epochs of a source that give no sample, after which none is going to come.
const EMPTY_EPOCHS: u64 = 16;

/// A lane at work; a lock's worth of state, without a thread or a file of its own.
pub(super) struct Lane {
    place: LanePlace,
    /// Its documents; of packed sources that are mixed those of each.
    parts: Vec<Part>,
}

/// Documents of a lane, and in which of its source's epochs they are where each is packed by itself.
struct Part {
    track: Track,
    own_epoch: u64,
}

impl Lane {
    /// A lane that goes on at a place.
    pub fn try_new(mut place: LanePlace, spec: &PackedSpec) -> Result<Self> {
        let parts = if let Some(sequences) = &spec.sequences {
            place.sources.resize(spec.sources.len(), SourcePlace::default());
            Self::parts_at(&place, spec, sequences)?
        } else {
            let PackedSource { documents, pack, .. } = spec.first_source();
            let track = Track::try_new(documents.course(&place), pack, place.emitted)?;
            vec![Part { track, own_epoch: 0 }]
        };
        Ok(Self { place, parts })
    }

    fn parts_at(place: &LanePlace, spec: &PackedSpec, sequences: &Sequences) -> Result<Vec<Part>> {
        let parts = spec.sources.iter().zip(&place.sources);
        parts.map(|(source, own)| Part::try_new(source, sequences, place, *own)).collect()
    }

    /// A lane of another rank before its sample of this number, which counts say the place of.
    ///
    /// # Errors
    /// `InvalidArgument` without counts; `CorruptShard` where they are damaged; `StateMismatch` where it has less.
    pub fn at_sample(lane: u32, number: u64, spec: &PackedSpec) -> Result<Self> {
        let PackedSource { documents, pack, counts } = spec.first_source();
        let question = SegmentQuestion {
            documents,
            mode: pack.mode,
            seq_len: pack.seq_len,
            counts: counts.as_ref(),
            num_threads: 1,
        };
        let place = place_of_sample(&question, lane, number)?;
        Self::try_new(place.ok_or_else(|| not_as_counted(lane, number))?, spec)
    }

    /// This lane's turn as ranks have dealt it: one sample is handed out or gone past, or there must be none.
    pub fn dealt(
        &mut self,
        at: usize,
        want: Want,
        spec: &PackedSpec,
        readers: &mut [DocumentReader],
        batch: &mut PackedBatch,
    ) -> Result<Turn> {
        let (number, mut batch) = match want {
            Want::Sample(number) => (number, Some(batch)),
            Want::Past(number) => (number, None),
            Want::End => return self.end(at, spec, readers),
        };
        let mut skipped = 0;
        loop {
            let is_here = self.place.num_samples == number;
            let turn = self.turn(at, spec, readers, batch.take_if(|_| is_here))?;
            skipped += turn.skipped;
            if turn.is_over {
                return Err(self.not_as_counted());
            }
            if is_here {
                return Ok(Turn { skipped, ..turn });
            }
        }
    }

    /// Goes to the lane's end, past what `.skip` leaves out of it.
    fn end(&mut self, at: usize, spec: &PackedSpec, readers: &mut [DocumentReader]) -> Result<Turn> {
        let mut skipped = 0;
        loop {
            let number = self.place.num_samples * spec.num_lanes + u64::from(self.place.lane);
            let turn = self.turn(at, spec, readers, None)?;
            skipped += turn.skipped;
            if turn.is_over {
                return Ok(Turn { skipped, ..turn });
            }
            if number >= spec.samples.0 {
                return Err(self.not_as_counted());
            }
        }
    }

    fn not_as_counted(&self) -> Error {
        not_as_counted(self.place.lane, self.place.num_samples)
    }

    /// This lane's turn: its next sample goes to the end of `batch`, if there is one; without a batch it is gone past.
    /// A reader for each source.
    pub fn turn(
        &mut self,
        at: usize,
        spec: &PackedSpec,
        readers: &mut [DocumentReader],
        batch: Option<&mut PackedBatch>,
    ) -> Result<Turn> {
        let mut turn = Turn {
            at,
            place: LanePlace::default(),
            is_sample: false,
            is_over: false,
            stats: PackStats::default(),
            receipt: Receipt::default(),
            skipped: 0,
        };
        let number = self.place.num_samples * spec.num_lanes + u64::from(self.place.lane);
        if spec.samples.1.is_some_and(|stop| number >= stop) {
            return Ok(Turn { place: self.place.clone(), is_over: true, ..turn });
        }
        let Some((sample, source)) = self.next_sample(spec, readers, &mut turn.skipped)? else {
            self.place = self.at_the_end(spec);
            return Ok(Turn { place: self.place.clone(), is_over: true, ..turn });
        };
        self.place.num_samples += 1;
        turn.place = self.place.clone();
        if let Some(batch) = batch.filter(|_| number >= spec.samples.0) {
            write(&sample, batch, spec, &spec.sources[source].pack)?;
            turn.stats = sample.stats();
            let first_epoch = spec.first_source().documents.first_epoch;
            turn.receipt = Receipt::of_sample(spec.receipt_seed, first_epoch, number, sample.segments());
            turn.is_sample = true;
        }
        Ok(turn)
    }

    /// The lane's next sample, and the source that it is of.
    fn next_sample(
        &mut self,
        spec: &PackedSpec,
        readers: &mut [DocumentReader],
        skipped: &mut u64,
    ) -> Result<Option<(Sample, usize)>> {
        if let Some(sequences) = &spec.sequences {
            return self.next_of_sequences(spec, sequences, readers, skipped);
        }
        let source = spec.first_source();
        let (documents, track) = (&source.documents, &mut self.parts[0].track);
        let Some((sample, Place { element, taken })) = track.next_sample(source, &mut readers[0], skipped)?
        else {
            return Ok(None);
        };
        self.place.emitted = taken;
        if documents.shares.is_some() {
            self.place.sources = track.course().sources();
        } else {
            let len = documents.lane_rows(self.place.lane).1.max(1);
            self.place.epoch = documents.first_epoch + element / len;
            self.place.row = element % len;
        }
        Ok(Some((sample, 0)))
    }

    fn next_of_sequences(
        &mut self,
        spec: &PackedSpec,
        sequences: &Sequences,
        readers: &mut [DocumentReader],
        skipped: &mut u64,
    ) -> Result<Option<(Sample, usize)>> {
        let Some((epoch, at)) = sequences.at(self.place.lane, self.place.num_samples) else {
            return Ok(None);
        };
        let source = &spec.sources[at];
        if self.place.epoch != source.documents.first_epoch + epoch {
            self.place.epoch = source.documents.first_epoch + epoch;
            self.place.sources.fill(SourcePlace::default());
            self.parts = Self::parts_at(&self.place, spec, sequences)?;
        }
        let len = source.documents.lane_rows(self.place.lane).1;
        for _ in 0..EMPTY_EPOCHS {
            let part = &mut self.parts[at];
            let made = part.track.next_sample(source, &mut readers[at], skipped)?;
            if let Some((sample, Place { element, taken })) = made {
                self.place.sources[at] = SourcePlace { row: part.own_epoch * len + element, taken };
                return Ok(Some((sample, at)));
            }
            let next = SourcePlace { row: (part.own_epoch + 1) * len, taken: 0 };
            self.parts[at] = Part::try_new(source, sequences, &self.place, next)?;
        }
        Err(Error::InvalidArgument(format!(
            "lane {} of source {at} of the mix holds no token in {EMPTY_EPOCHS} epochs, and its sample is next; look at \
             what is packed there",
            self.place.lane
        )))
    }

    fn at_the_end(&self, spec: &PackedSpec) -> LanePlace {
        let documents = &spec.first_source().documents;
        let epoch = documents.first_epoch + documents.num_epochs.unwrap_or(0);
        let sources = vec![SourcePlace::default(); self.place.sources.len()];
        LanePlace { epoch, row: 0, emitted: 0, sources, ..self.place }
    }
}

impl Part {
    /// A packed source of a lane: in a mix without an end all its epochs as one, else the epoch that its place is in.
    fn try_new(
        source: &PackedSource,
        sequences: &Sequences,
        place: &LanePlace,
        own: SourcePlace,
    ) -> Result<Self> {
        let PackedSource { documents, pack, .. } = source;
        let len = documents.lane_rows(place.lane).1.max(1);
        let first_epoch = place.epoch << EPOCH_SHIFT;
        let (own_epoch, row, num_epochs) =
            if sequences.is_endless() { (0, own.row, None) } else { (own.row / len, own.row % len, Some(1)) };
        let course = Course::in_order(documents, place.lane, first_epoch + own_epoch, num_epochs, row);
        Ok(Self { track: Track::try_new(course, pack, own.taken)?, own_epoch })
    }
}

#[cold]
fn not_as_counted(lane: u32, samples: u64) -> Error {
    Error::StateMismatch(format!(
        "lane {lane} does not end after as many samples as the count of its documents' tokens said; it has given \
         {samples}. All ranks have agreed on their steps by the counts, which are not those of the data: restore the \
         files, or count again (ds.count_tokens(force=True))"
    ))
}

/// Writes a sample behind the rows of a batch.
fn write(sample: &Sample, batch: &mut PackedBatch, spec: &PackedSpec, pack: &PackSpec) -> Result<()> {
    let (at, seq_len) = (batch.num_rows, batch.seq_len);
    for (column, buffer) in spec.columns.iter().zip(&mut batch.buffers) {
        let bytes = seq_len * column.dtype.size();
        write_column(sample, *column, &mut buffer.as_mut_slice()[at * bytes..(at + 1) * bytes], pack)?;
    }
    if pack.cu_seqlens {
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
