//! The orders of the epochs that a stream is in: made when first needed, the last few kept.
//!
//! A dataset has one order an epoch. A mix has one for each of its sources, and a schedule that says which of them a
//! position leads to.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::mix::{Drawn, Draws};
use crate::order::{EpochOrder, Lanes, Layout, Mode, OrderReader, OrderSettings, Place, WindowSpan};

/// A stream that runs on into the next epoch needs two orders for a while, prefetch a third.
const KEPT: usize = 3;

/// Lanes of a small source may be a few of its epochs apart.
const KEPT_IN_MIX: usize = 12;

/// Where a position leads: an element of a lane of one source's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Which source; 0 without a mix.
    pub source: u32,
    /// Which lane.
    pub lane: u32,
    /// Epoch of the source's order.
    pub epoch: u64,
    /// Element of its lane.
    pub element: u64,
}

/// A source of a mix: what its orders are over, and where its rows and blocks stand among all.
#[derive(Clone)]
pub struct MixedSource {
    /// The rows that are ordered.
    pub layout: Arc<Layout>,
    /// How.
    pub settings: OrderSettings,
    /// As in [`super::table::Member`].
    pub first_row: u64,
    /// As in [`super::table::Member`].
    pub first_block: u32,
}

/// Makes and keeps the orders of epochs.
pub struct Epochs {
    sources: Vec<Orders>,
    draws: Option<Arc<Draws>>,
    lanes: Lanes,
}

struct Orders {
    source: MixedSource,
    made: Mutex<Vec<(u64, Arc<EpochOrder>)>>,
}

impl Epochs {
    /// Orders over `layout` by `settings`.
    pub fn new(layout: Arc<Layout>, settings: OrderSettings) -> Self {
        Self::of_source(MixedSource { layout, settings, first_row: 0, first_block: 0 })
    }

    /// The orders of a dataset whose rows are counted among those of others.
    pub fn of_source(source: MixedSource) -> Self {
        let lanes = Lanes::new(source.layout.num_rows(), source.settings.num_lanes);
        Self { sources: vec![Orders { source, made: Mutex::default() }], draws: None, lanes }
    }

    /// The orders of sources that are mixed; all have as many lanes as the schedule.
    pub fn mixed(sources: Vec<MixedSource>, draws: Arc<Draws>) -> Self {
        let lanes = Lanes::new(0, draws.schedule().num_lanes());
        let sources = sources.into_iter().map(|source| Orders { source, made: Mutex::default() });
        Self { sources: sources.collect(), draws: Some(draws), lanes }
    }

    /// The same without anything that was made, for a process that must not touch these locks.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let orders = |orders: &Orders| Orders { source: orders.source.clone(), made: Mutex::default() };
        Self {
            sources: self.sources.iter().map(orders).collect(),
            draws: self.draws.clone(),
            lanes: self.lanes,
        }
    }

    /// The settings of the orders; of a mix, of its first source's.
    pub fn settings(&self) -> &OrderSettings {
        &self.sources[0].source.settings
    }

    /// What is mixed, if anything is.
    pub fn draws(&self) -> Option<&Arc<Draws>> {
        self.draws.as_ref()
    }

    /// How many lanes there are.
    pub fn num_lanes(&self) -> u32 {
        self.lanes.num_lanes()
    }

    /// Rows that an epoch is drawn from.
    pub fn num_rows(&self) -> u64 {
        self.sources.iter().map(|orders| orders.source.layout.num_rows()).sum()
    }

    /// Positions of an epoch; `None` where it has no end.
    pub fn num_positions(&self) -> Option<u64> {
        match &self.draws {
            Some(draws) => draws.num_samples(),
            None => Some(self.sources[0].source.layout.num_rows()),
        }
    }

    /// Lanes of all sources: the windows of each are open at a time.
    pub fn num_tracks(&self) -> usize {
        self.sources.len() * self.num_lanes() as usize
    }

    /// Which of these a spot is in.
    #[inline]
    pub fn track(&self, spot: &Spot) -> usize {
        spot.source as usize * self.num_lanes() as usize + spot.lane as usize
    }

    /// How each source is ordered.
    pub fn all_settings(&self) -> impl Iterator<Item = &OrderSettings> {
        self.sources.iter().map(|orders| &orders.source.settings)
    }

    /// Where an element of a lane leads.
    #[inline]
    pub fn spot(&self, epoch: u64, lane: u32, element: u64) -> Spot {
        match &self.draws {
            None => Spot { source: 0, lane, epoch, element },
            Some(draws) => {
                let Drawn { source, epoch, element } = draws.at(epoch, lane, element);
                Spot { source, lane, epoch, element }
            }
        }
    }

    /// Where the document leads that a lane takes as the `index`-th of a source, in an epoch of a mix.
    pub fn spot_of(&self, source: usize, epoch: u64, lane: u32, index: u64) -> Spot {
        match &self.draws {
            None => Spot { source: 0, lane, epoch, element: index },
            Some(draws) => {
                let Drawn { source, epoch, element } = draws.own(source, epoch, lane, index);
                Spot { source, lane, epoch, element }
            }
        }
    }

    /// Where a position leads.
    #[inline]
    pub fn spot_at(&self, epoch: u64, position: u64) -> Spot {
        let (lane, element) = self.lanes.of_position(position);
        self.spot(epoch, lane, element)
    }

    /// The row id of a source's first row.
    pub fn first_row(&self, source: u32) -> u64 {
        self.sources[source as usize].source.first_row
    }

    /// The row ids that orders are drawn over, by source.
    pub fn row_ids(&self) -> impl Iterator<Item = Range<u64>> {
        self.sources.iter().map(|Orders { source: MixedSource { layout, first_row, .. }, .. }| {
            let rows = layout.row_ids();
            first_row + rows.start..first_row + rows.end
        })
    }

    /// The id of the row of a spot that lies at a place.
    pub fn row_id(&self, spot: &Spot, place: Place) -> u64 {
        let source = &self.sources[spot.source as usize].source;
        source.first_row + source.layout.row_id(place.block - source.first_block, place.row)
    }

    /// The window that a spot lies in, for read-ahead; `None` past its lane's end, and where any block may come next.
    pub fn window_at(&self, spot: &Spot) -> Option<WindowSpan> {
        let source = &self.sources[spot.source as usize].source;
        if source.settings.mode == Mode::Row {
            return None;
        }
        let mut span = self.order_of(spot.source, spot.epoch).window_at(spot.lane, spot.element)?;
        span.blocks.iter_mut().for_each(|block| block.block += source.first_block);
        Some(span)
    }

    /// The order of `epoch`; of a mix, of its first source's.
    pub fn order(&self, epoch: u64) -> Arc<EpochOrder> {
        self.order_of(0, epoch)
    }

    /// The order of an epoch of a source.
    pub fn order_of(&self, source: u32, epoch: u64) -> Arc<EpochOrder> {
        let Orders { source, made } = &self.sources[source as usize];
        let mut made = made.lock();
        if let Some((_, order)) = made.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(order);
        }
        // Made under the lock: the threads of a new epoch all want the same one.
        let order = Arc::new(EpochOrder::new(Arc::clone(&source.layout), &source.settings, epoch));
        if made.len() >= self.num_kept() {
            made.remove(0);
        }
        made.push((epoch, Arc::clone(&order)));
        order
    }

    fn num_kept(&self) -> usize {
        if self.draws.is_some() { KEPT_IN_MIX } else { KEPT }
    }
}

/// One thread's readers of the orders it is in.
#[derive(Default)]
pub struct EpochReaders(Vec<Vec<(u64, OrderReader)>>);

impl EpochReaders {
    /// Where the row at a spot lies.
    #[inline]
    pub fn locate(&mut self, epochs: &Epochs, spot: &Spot) -> Place {
        let first_block = epochs.sources[spot.source as usize].source.first_block;
        let place = self.reader(epochs, spot.source, spot.epoch).locate_in_lane(spot.lane, spot.element);
        Place { block: place.block + first_block, ..place }
    }

    /// The id of the row at a spot.
    pub fn row_id(&mut self, epochs: &Epochs, spot: &Spot) -> u64 {
        let place = self.locate(epochs, spot);
        epochs.row_id(spot, place)
    }

    /// The reader of an epoch of a source, made on first use.
    fn reader(&mut self, epochs: &Epochs, source: u32, epoch: u64) -> &mut OrderReader {
        if self.0.len() <= source as usize {
            self.0.resize_with(epochs.sources.len(), Vec::new);
        }
        let readers = &mut self.0[source as usize];
        let at = readers.iter().position(|(known, _)| *known == epoch).unwrap_or_else(|| {
            if readers.len() >= epochs.num_kept() {
                readers.remove(0);
            }
            readers.push((epoch, epochs.order_of(source, epoch).reader()));
            readers.len() - 1
        });
        &mut readers[at].1
    }
}
