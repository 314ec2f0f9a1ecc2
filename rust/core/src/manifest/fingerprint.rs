//! The 128 bits that say whether a cursor belongs to this data: contents and order, never paths or times.

use std::ops::Range;

use arrow_schema::Schema;
use bytemuck::NoUninit;
use xxhash_rust::xxh3::Xxh3;

use super::record::Record;
use super::schema::canonical;

/// Stands in every fingerprint; a change here refuses every stored cursor.
const DOMAIN: &[u8] = b"rowmill manifest 1";

/// Stands in the fingerprint of chosen rows.
const CHOSEN_DOMAIN: &[u8] = b"rowmill chosen 1";

/// What one shard adds: its size, format, headers and the shape of its blocks.
pub(crate) fn of_shard(record: &Record<'_>) -> u128 {
    let mut hasher = Xxh3::new();
    let (blocks, dictionaries) = (&record.blocks, &record.dictionaries);
    let counts = [
        record.identity.size,
        u64::from(record.format),
        record.header_hash,
        blocks.len() as u64,
        dictionaries.len() as u64,
        record.extra.len() as u64,
    ];
    update(&mut hasher, &counts, u64::to_le_bytes);
    update(&mut hasher, blocks.rows, u64::to_le_bytes);
    update(&mut hasher, blocks.body, u64::to_le_bytes);
    // Windows are cut by it: another estimate is another order.
    update(&mut hasher, blocks.memory, u64::to_le_bytes);
    update(&mut hasher, blocks.metadata, u32::to_le_bytes);
    update(&mut hasher, dictionaries.body, u64::to_le_bytes);
    update(&mut hasher, dictionaries.id, i64::to_le_bytes);
    hasher.update(record.extra);
    hasher.digest128()
}

/// The fingerprint of shards in this order under their common schema.
pub(crate) fn of_dataset(shards: impl ExactSizeIterator<Item = u128>, schema: &Schema) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(DOMAIN);
    hasher.update(&(shards.len() as u64).to_le_bytes());
    for digest in shards {
        hasher.update(&digest.to_le_bytes());
    }
    hasher.update(canonical(schema).as_bytes());
    hasher.digest128()
}

/// The fingerprint of rows chosen from the dataset of fingerprint `data`, as their maximal runs.
pub(crate) fn of_chosen(data: u128, runs: impl Iterator<Item = Range<u64>>) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(CHOSEN_DOMAIN);
    hasher.update(&data.to_le_bytes());
    for run in runs {
        update(&mut hasher, &[run.start, run.end - run.start], u64::to_le_bytes);
    }
    hasher.digest128()
}

/// Numbers are hashed in little-endian order everywhere, so that a cursor moves between machines.
fn update<T: NoUninit, const N: usize>(hasher: &mut Xxh3, numbers: &[T], to_bytes: impl Fn(T) -> [u8; N]) {
    if cfg!(target_endian = "little") {
        hasher.update(bytemuck::cast_slice(numbers));
    } else {
        for &number in numbers {
            hasher.update(&to_bytes(number));
        }
    }
}
