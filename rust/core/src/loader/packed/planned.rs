//! A lane whose groups are whole windows: which document comes next, by the lengths that were counted.

use crate::error::{Error, Result};
use crate::loader::counts::LaneDocuments;
use crate::loader::epochs::EpochReaders;
use crate::text::pack::{Units, WindowGroup};

/// What a lane does next.
pub(super) enum Next {
    /// Reads this document.
    Document(u64),
    /// Begins a unit of which an earlier run has emitted so many samples.
    Begin(u64),
    /// Ends a unit.
    End,
    /// Looks again: so many documents held no token.
    Empty(u64),
    /// Is over.
    Over,
}

/// Where a lane is in its groups.
pub(super) struct Planned {
    /// The first document of the group that comes next.
    next: u64,
    /// Samples of that group that an earlier run has emitted.
    emitted: u64,
    group: Option<Group>,
    readers: EpochReaders,
}

/// A group at work.
struct Group {
    first: u64,
    /// The first document after it.
    end: u64,
    lengths: WindowGroup,
    units: Units,
    /// The unit whose documents come, and how many of them did.
    unit: usize,
    begun: usize,
    emitted: u64,
}

impl Planned {
    /// A lane that goes on with the group of this document, behind so many of its samples.
    pub fn new(next: u64, emitted: u64) -> Self {
        Self { next, emitted, group: None, readers: EpochReaders::default() }
    }

    /// What comes after what was done.
    pub fn next(&mut self, lane: &LaneDocuments<'_>) -> Result<Next> {
        let Some(group) = &mut self.group else { return self.begin(lane) };
        let Some(documents) = group.units.documents(group.unit) else {
            self.group = None;
            return self.begin(lane);
        };
        if let Some(document) = documents.get(group.begun) {
            group.begun += 1;
            return Ok(Next::Document(group.first + u64::from(*document)));
        }
        (group.unit, group.begun) = (group.unit + 1, 0);
        Ok(Next::End)
    }

    fn begin(&mut self, lane: &LaneDocuments<'_>) -> Result<Next> {
        let Some((lengths, end)) = lane.group_at(&mut self.readers, self.next)? else {
            return Ok(Next::Over);
        };
        let (first, emitted) = (std::mem::replace(&mut self.next, end), std::mem::take(&mut self.emitted));
        let units = lengths.units(lane.seq_len);
        let Some((unit, before)) = units.of_sample(emitted) else {
            if emitted > 0 {
                return Err(fewer_than_the_cursor_says(emitted, units.num_samples()));
            }
            return Ok(Next::Empty(end - first));
        };
        self.group = Some(Group { first, end, lengths, units, unit, begun: 0, emitted });
        Ok(Next::Begin(emitted - before))
    }

    /// One more sample was emitted: the document to go on from, and the samples of its group that are behind.
    pub fn count_sample(&mut self) -> (u64, u64) {
        let Some(group) = &mut self.group else { return (self.next, 0) };
        group.emitted += 1;
        if group.emitted == group.units.num_samples() { (group.end, 0) } else { (group.first, group.emitted) }
    }

    /// Checks that a document has as many tokens as were counted.
    pub fn check(&self, document: u64, row_id: u64, num_tokens: u64) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        let counted = group.lengths.lengths()[(document - group.first) as usize];
        if counted == num_tokens { Ok(()) } else { Err(not_as_counted(row_id, counted, num_tokens)) }
    }
}

fn not_as_counted(row_id: u64, counted: u64, num_tokens: u64) -> Error {
    Error::StateMismatch(format!(
        "row {row_id} has {num_tokens} tokens and was counted with {counted}: the counts that windows are packed by are \
         not those of the data; count them again (ds.count_tokens(force=True))"
    ))
}

fn fewer_than_the_cursor_says(cursor: u64, samples: u64) -> Error {
    Error::StateMismatch(format!(
        "the cursor was taken after {cursor} sequences of a group of documents that now gives {samples}: data, \
         tokenizer or counts have changed; restore them, or start without the cursor"
    ))
}
