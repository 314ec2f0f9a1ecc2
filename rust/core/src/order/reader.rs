//! One thread's view of an epoch: keeps the window that each lane is in.

use std::sync::Arc;

use super::epoch::{EpochOrder, Window};
use super::layout::Place;

/// Finds places fast where positions follow one another, and correctly where they do not.
#[derive(Debug)]
pub struct OrderReader {
    order: Arc<EpochOrder>,
    /// By lane, as far as lanes were asked for; lanes that are in one window share it.
    windows: Vec<Arc<Window>>,
}

impl OrderReader {
    pub(super) fn new(order: Arc<EpochOrder>) -> Self {
        Self { order, windows: Vec::new() }
    }

    /// The order that is read.
    pub fn order(&self) -> &Arc<EpochOrder> {
        &self.order
    }

    /// Where the row at a position lies; the position is below the epoch's number of rows.
    #[inline]
    pub fn locate(&mut self, position: u64) -> Place {
        let (lane, index) = self.order.lanes().of_position(position);
        self.locate_in_lane(lane, index)
    }

    /// Where the row at an element of a lane lies; the element is below the lane's length.
    #[inline]
    pub fn locate_in_lane(&mut self, lane: u32, index: u64) -> Place {
        let sequence = self.order.sequence_index(lane, index);
        if let Some(place) = self.order.permuted_place(sequence) {
            return place;
        }
        match self.windows.get(lane as usize) {
            Some(window) if window.contains(sequence) => window.place(sequence),
            _ => self.locate_in_next_window(lane, sequence),
        }
    }

    /// The id of the row at a position.
    #[inline]
    pub fn row_id(&mut self, position: u64) -> u64 {
        let Place { block, row } = self.locate(position);
        self.order.layout().row_id(block, row)
    }

    #[cold]
    fn locate_in_next_window(&mut self, lane: u32, sequence: u64) -> Place {
        if self.windows.len() <= lane as usize {
            self.windows.resize_with(lane as usize + 1, Arc::default);
        }
        let shared = self.windows.iter().find(|window| window.contains(sequence)).map(Arc::clone);
        let window = shared.unwrap_or_else(|| {
            let mut window = Window::default();
            self.order.fill(&mut window, sequence);
            Arc::new(window)
        });
        let place = window.place(sequence);
        self.windows[lane as usize] = window;
        place
    }
}
