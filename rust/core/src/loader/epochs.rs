//! The orders of the epochs that a stream is in: made when first needed, the last few kept.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::order::{EpochOrder, Layout, OrderReader, OrderSettings, Place};

/// A stream that runs on into the next epoch needs two orders for a while, prefetch a third.
const KEPT: usize = 3;

/// Makes and keeps the orders of epochs.
pub struct Epochs {
    layout: Arc<Layout>,
    settings: OrderSettings,
    made: Mutex<Vec<(u64, Arc<EpochOrder>)>>,
}

impl Epochs {
    /// Orders over `layout` by `settings`.
    pub fn new(layout: Arc<Layout>, settings: OrderSettings) -> Self {
        Self { layout, settings, made: Mutex::default() }
    }

    /// The settings of the orders.
    pub fn settings(&self) -> &OrderSettings {
        &self.settings
    }

    /// The rows that the orders are over.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The order of `epoch`.
    pub fn order(&self, epoch: u64) -> Arc<EpochOrder> {
        let mut made = self.made.lock();
        if let Some((_, order)) = made.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(order);
        }
        // Made under the lock: the threads of a new epoch all want the same one.
        let order = Arc::new(EpochOrder::new(Arc::clone(&self.layout), &self.settings, epoch));
        if made.len() >= KEPT {
            made.remove(0);
        }
        made.push((epoch, Arc::clone(&order)));
        order
    }
}

/// One thread's readers of the orders it is in.
#[derive(Default)]
pub struct EpochReaders(Vec<(u64, OrderReader)>);

impl EpochReaders {
    /// The reader of `epoch`, made on first use.
    pub fn reader(&mut self, epochs: &Epochs, epoch: u64) -> &mut OrderReader {
        let at = self.0.iter().position(|(known, _)| *known == epoch).unwrap_or_else(|| {
            if self.0.len() >= KEPT {
                self.0.remove(0);
            }
            self.0.push((epoch, epochs.order(epoch).reader()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// Where the row at a position of an epoch lies.
    pub fn locate(&mut self, epochs: &Epochs, epoch: u64, position: u64) -> Place {
        self.reader(epochs, epoch).locate(position)
    }
}
