//! One epoch's order: the function from positions to row ids, shared by threads.

use std::sync::Arc;

use super::key::{Key, Level};
use super::lanes::Lanes;
use super::layout::{Layout, Place};
use super::permutation::Permutation;
use super::reader::OrderReader;
use super::sequence::{BlockSequence, Found, WindowBlock, WindowSpan};
use super::settings::{Mode, OrderSettings};

/// The order of one epoch.
///
/// ```
/// use std::sync::Arc;
/// use rowmill_core::order::{EpochOrder, Layout, OrderSettings};
///
/// let layout = Arc::new(Layout::try_new(vec![4, 3], vec![40, 30], vec![0])?);
/// let order = Arc::new(EpochOrder::new(layout, &OrderSettings::default(), 0));
/// let mut row_ids: Vec<u64> = (0..order.num_rows()).map(|position| order.row_id_at(position)).collect();
/// row_ids.sort_unstable();
/// assert_eq!(row_ids, [0, 1, 2, 3, 4, 5, 6]);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Debug)]
pub struct EpochOrder {
    layout: Arc<Layout>,
    lanes: Lanes,
    seed: u64,
    epoch: u64,
    sequence: Sequence,
}

#[derive(Debug)]
enum Sequence {
    Stored(BlockSequence),
    Windows(BlockSequence),
    Rows(Permutation),
}

impl EpochOrder {
    /// The order of an epoch; costs a shuffle of the block indices, or nothing in `row` mode.
    pub fn new(layout: Arc<Layout>, settings: &OrderSettings, epoch: u64) -> Self {
        let keyed_epoch = settings.keyed_epoch(epoch);
        let sequence = match settings.mode {
            Mode::None | Mode::Shard => Sequence::Stored(BlockSequence::new(&layout, settings, epoch)),
            Mode::Window => Sequence::Windows(BlockSequence::new(&layout, settings, epoch)),
            Mode::Row => {
                let key = Key::new(settings.seed, keyed_epoch, Level::Rows, 0);
                Sequence::Rows(Permutation::new(layout.num_rows(), key))
            }
        };
        let lanes = Lanes::new(layout.num_rows(), settings.num_lanes);
        Self { layout, lanes, seed: settings.seed, epoch: keyed_epoch, sequence }
    }

    /// How many rows, and so positions, the epoch has.
    pub fn num_rows(&self) -> u64 {
        self.layout.num_rows()
    }

    /// The data that is ordered.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// How the sequence is cut.
    pub fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// How many elements a lane has.
    pub fn lane_len(&self, lane: u32) -> u64 {
        self.lanes.len(lane)
    }

    /// The row at a position below [`EpochOrder::num_rows`]: simple, and slow in `window` mode.
    pub fn row_id_at(&self, position: u64) -> u64 {
        let (lane, index) = self.lanes.of_position(position);
        self.row_id_in_lane(lane, index)
    }

    /// The row at an element of a lane, as slowly.
    pub fn row_id_in_lane(&self, lane: u32, index: u64) -> u64 {
        let sequence = self.sequence_index(lane, index);
        if let Sequence::Rows(permutation) = &self.sequence {
            return self.layout.row_ids().start + permutation.at(sequence);
        }
        let mut window = Window::default();
        self.fill(&mut window, sequence);
        let Place { block, row } = window.place(sequence);
        self.layout.row_id(block, row)
    }

    /// One thread's fast view.
    pub fn reader(self: &Arc<Self>) -> OrderReader {
        OrderReader::new(Arc::clone(self))
    }

    /// The window that holds an element of a lane, for read-ahead.
    ///
    /// `None` past the lane's end, and in `row` mode, where any block may come next.
    pub fn window_at(&self, lane: u32, index: u64) -> Option<WindowSpan> {
        let (Sequence::Stored(blocks) | Sequence::Windows(blocks)) = &self.sequence else { return None };
        if index >= self.lane_len(lane) {
            return None;
        }
        let lane_start = self.lanes.start(lane);
        let Found { window, span, blocks } = blocks.window_of(&self.layout, lane_start + index);
        let first = span.start.saturating_sub(lane_start);
        let last = (span.end - lane_start).min(self.lane_len(lane));
        let blocks = blocks.iter().map(|&index| self.window_block(index)).collect();
        Some(WindowSpan { window, sequence: span, elements: first..last, blocks })
    }

    /// The window that a lane meets after `span`, one of its own; `None` at its end.
    pub fn next_window(&self, lane: u32, span: &WindowSpan) -> Option<WindowSpan> {
        self.window_at(lane, span.elements.end)
    }

    fn window_block(&self, index: u32) -> WindowBlock {
        let Place { block, row } = self.layout.place(index as usize, 0);
        WindowBlock { block, rows: row..row + self.layout.rows_at(index) }
    }

    /// The place of a row in `row` mode, where no window helps.
    #[inline]
    pub(super) fn permuted_place(&self, sequence: u64) -> Option<Place> {
        let Sequence::Rows(permutation) = &self.sequence else { return None };
        Some(self.layout.locate(self.layout.row_ids().start + permutation.at(sequence)))
    }

    #[inline]
    pub(super) fn sequence_index(&self, lane: u32, index: u64) -> u64 {
        assert!(index < self.lane_len(lane), "lane {lane} has {} rows, not {index}", self.lane_len(lane));
        self.lanes.start(lane) + index
    }

    /// Makes `window` the one that holds an element of the sequence.
    pub(super) fn fill(&self, window: &mut Window, sequence: u64) {
        let (blocks, is_permuted) = match &self.sequence {
            Sequence::Stored(blocks) => (blocks, false),
            Sequence::Windows(blocks) => (blocks, true),
            Sequence::Rows(_) => return,
        };
        let Found { window: index, span, blocks } = blocks.window_of(&self.layout, sequence);
        window.set_blocks(&self.layout, blocks);
        window.is_permuted = is_permuted;
        if is_permuted {
            let key = Key::new(self.seed, self.epoch, Level::Window, index);
            window.permutation.rebuild(span.end - span.start, key);
        }
        (window.start, window.end) = (span.start, span.end);
    }
}

/// A window laid out for reading: where each of its elements lies.
#[derive(Debug, Default)]
pub(super) struct Window {
    start: u64,
    end: u64,
    is_permuted: bool,
    permutation: Permutation,
    /// For each block the place of its first row here, and how many rows of the window lie before it.
    blocks: Vec<(Place, u64)>,
    /// Rows of the window up to the end of each block.
    ends: Vec<u64>,
}

impl Window {
    #[inline]
    pub(super) fn contains(&self, sequence: u64) -> bool {
        (self.start..self.end).contains(&sequence)
    }

    /// The place of an element that the window contains.
    #[inline]
    pub(super) fn place(&self, sequence: u64) -> Place {
        let mut offset = sequence - self.start;
        if self.is_permuted {
            offset = self.permutation.at(offset);
        }
        let slot = self.ends.partition_point(|&end| end <= offset);
        let (first, before) = self.blocks[slot];
        Place { block: first.block, row: first.row + (offset - before) as u32 }
    }

    fn set_blocks(&mut self, layout: &Layout, blocks: &[u32]) {
        self.blocks.clear();
        self.ends.clear();
        let mut rows = 0;
        for &index in blocks {
            self.blocks.push((layout.place(index as usize, 0), rows));
            rows += u64::from(layout.rows_at(index));
            self.ends.push(rows);
        }
    }
}
