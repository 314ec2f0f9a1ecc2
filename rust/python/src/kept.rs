//! Tables kept for the next pass: their maps and decoded blocks stay warm.

use std::sync::Arc;

use parking_lot::Mutex;
use rowmill_core::loader::Table;
use rowmill_core::prefetch::fork_generation;

/// How many.
const KEPT_TABLES: usize = 4;

struct Kept<K> {
    generation: u64,
    key: K,
    table: Arc<Table>,
}

/// The tables made last, by what they were made from.
// Locked only with the interpreter attached and never across a read, so never held over a fork.
pub struct KeptTables<K>(Mutex<Vec<Kept<K>>>);

impl<K> Default for KeptTables<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> KeptTables<K> {
    /// The table of `key`, made where it is not at hand.
    pub fn get(
        &self,
        key: K,
        make: impl FnOnce(&K) -> rowmill_core::Result<Table>,
    ) -> rowmill_core::Result<Arc<Table>> {
        let generation = fork_generation();
        let mut tables = self.0.lock();
        // What a parent's threads may hold locks in is leaked in a child, never touched.
        let (ours, inherited) =
            std::mem::take(&mut *tables).into_iter().partition(|kept| kept.generation == generation);
        *tables = ours;
        std::mem::forget::<Vec<Kept<K>>>(inherited);
        if let Some(kept) = tables.iter().find(|kept| kept.key == key) {
            return Ok(Arc::clone(&kept.table));
        }
        let table = Arc::new(make(&key)?);
        if tables.len() >= KEPT_TABLES {
            tables.remove(0);
        }
        tables.push(Kept { generation, key, table: Arc::clone(&table) });
        Ok(table)
    }
}
