//! Documents packed one after the other: a lane's, or those of one source in it.

use super::course::Course;
use super::documents::{DocumentReader, Documents, OpenDocument};
use super::lane::PackSpec;
use super::planned::{Next, Planned};
use super::sequences::PackedSource;
use crate::error::{Error, Result};
use crate::loader::counts::segments::windows_need_counts;
use crate::loader::epochs::Spot;
use crate::text::pack::{PackMode, Packer, Place, Sample};

/// Epochs of an endless stream without a token, after which none is going to come.
const EMPTY_EPOCHS: u64 = 16;

/// Packing at work; a state, without a thread or a file of its own.
pub(super) struct Track {
    course: Course,
    packer: Packer,
    /// Which documents come, where groups are whole windows.
    planned: Option<Planned>,
    open: Option<OpenDocument>,
    /// The number of the open document, and the tokens of it that the packer got.
    number: u64,
    fed: u64,
    /// Documents since a token came.
    since_token: u64,
    is_finished: bool,
}

impl Track {
    /// Documents of which an earlier run has emitted what was `taken`.
    pub fn try_new(course: Course, pack: &PackSpec, taken: u64) -> Result<Self> {
        let packer = Packer::resume(pack.mode, pack.seq_len, taken)?;
        let is_planned = pack.mode == PackMode::BestFitWindows;
        let planned = is_planned.then(|| Planned::new(course.number(), taken));
        Ok(Self {
            course,
            packer,
            planned,
            open: None,
            number: 0,
            fed: 0,
            since_token: 0,
            is_finished: false,
        })
    }

    /// Which documents come.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// The next sample, and where to go on after it; `None` after the last document.
    pub fn next_sample(
        &mut self,
        source: &PackedSource,
        reader: &mut DocumentReader,
        skipped: &mut u64,
    ) -> Result<Option<(Sample, Place)>> {
        loop {
            if let Some(sample) = self.packer.pop() {
                let place = sample.place();
                let place = self.planned.as_mut().map_or(place, |planned| {
                    let (element, taken) = planned.count_sample();
                    Place { element, taken }
                });
                self.course.settle(place.element);
                return Ok(Some((sample, place)));
            }
            if self.is_finished {
                return Ok(None);
            }
            self.feed(source, reader, skipped)?;
        }
    }

    /// Gives the packer some more tokens.
    fn feed(&mut self, source: &PackedSource, reader: &mut DocumentReader, skipped: &mut u64) -> Result<()> {
        if self.open.is_none() && !self.open_next(source, reader, skipped)? {
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
                planned.check(self.number, document.row_id, self.fed)?;
            }
            self.open = None;
            self.course.counted(self.fed);
            self.packer.end()?;
        }
        Ok(())
    }

    /// Begins the next document; `false` where there is none, or it is left out.
    fn open_next(
        &mut self,
        source: &PackedSource,
        reader: &mut DocumentReader,
        skipped: &mut u64,
    ) -> Result<bool> {
        let Some((number, spot)) = self.next_document(source)? else { return Ok(false) };
        (self.number, self.fed) = (number, 0);
        self.open = reader.open(&spot)?;
        self.check_progress(1, &source.documents, spot.lane)?;
        match (&self.open, &self.planned) {
            (Some(document), _) => self.packer.begin(document.row_id, number),
            (None, None) => {
                self.course.counted(0);
                *skipped += 1;
            }
            (None, Some(_)) => return Err(left_out_though_counted(spot.lane, number)),
        }
        Ok(self.open.is_some())
    }

    /// The document to read now; `None` where the packer has to be looked at first.
    fn next_document(&mut self, source: &PackedSource) -> Result<Option<(u64, Spot)>> {
        let PackedSource { documents, pack, counts } = source;
        let Some(planned) = &mut self.planned else {
            let next = self.course.next(documents);
            if next.is_none() {
                self.is_finished = true;
                self.packer.finish()?;
            }
            return Ok(next);
        };
        let counts = counts.as_ref().ok_or_else(windows_need_counts)?;
        let lane = self.course.lane_documents(documents, counts, pack.seq_len)?;
        match planned.next(&lane)? {
            Next::Document(number) => {
                return Ok(self.course.at(documents, number).map(|spot| (number, spot)));
            }
            Next::Begin(taken) => self.packer = Packer::resume(pack.mode, pack.seq_len, taken)?,
            Next::End => self.packer.finish()?,
            Next::Empty(number) => self.check_progress(number, documents, lane.lane)?,
            Next::Over => self.is_finished = true,
        }
        Ok(None)
    }

    /// An endless lane without a token would be read for ever.
    fn check_progress(&mut self, num_documents: u64, documents: &Documents, lane: u32) -> Result<()> {
        self.since_token += num_documents;
        if self.since_token <= EMPTY_EPOCHS.saturating_mul(self.course.epoch_len(documents)) {
            return Ok(());
        }
        let message = format!(
            "{} documents of lane {lane} hold no token, and an endless stream would wait for one for ever; look at the \
             column that is packed",
            self.since_token
        );
        Err(Error::SchemaMismatch { path: None, message })
    }
}

#[cold]
fn left_out_though_counted(lane: u32, number: u64) -> Error {
    Error::StateMismatch(format!(
        "document {number} of lane {lane} cannot be read and was counted before: windows are packed by counts of what is \
         there; restore the file, or count again (ds.count_tokens(force=True))"
    ))
}
