//! The cache of decoded blocks counts what it holds, whichever threads meet in it.

mod loader_cases;

use loader_cases::Data;
use rowmill_core::loader::cache::BlockCache;
use rowmill_core::shard::ShardReader;
use rowmill_core::source::{IoMode, open};

fn reader(data: &Data, shard: usize) -> ShardReader {
    let view = data.manifest.shard(shard);
    let source = open(view.path, IoMode::Mmap, Some(view.identity)).unwrap();
    ShardReader::try_new(source, data.manifest.shard_index(shard).unwrap(), None).unwrap()
}

#[test]
fn nothing_is_counted_that_is_no_longer_there() {
    let data = Data::new();
    let readers: Vec<_> = (0..data.manifest.num_shards()).map(|shard| reader(&data, shard)).collect();
    let num_blocks = data.manifest.num_blocks();
    let decode = |index: usize| {
        let (shard, meta) = data.manifest.block(index);
        readers[shard].decode((index - data.manifest.shard(shard).blocks.start) as u64, &meta)
    };
    // Room for two or three of the eleven blocks: threads evict what others are about to read.
    let cache = BlockCache::new(4 << 10, 0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, decode, rows) = (&cache, &decode, data.manifest.block_rows());
            scope.spawn(move || {
                for step in 0..3000 {
                    let index = (step * (thread + 3) + thread) % num_blocks;
                    let block = cache.get(index as u64, || decode(index)).unwrap();
                    assert_eq!(block.num_rows as u64, rows[index]);
                    if step % 50 == thread {
                        cache.remove(index as u64);
                    }
                }
            });
        }
    });
    assert!(cache.num_decoded() > num_blocks as u64, "nothing was ever evicted");
    (0..num_blocks as u64).for_each(|index| cache.remove(index));
    assert_eq!(cache.num_bytes(), 0);
}

/// Reads all blocks in turns, as rows of open windows come; returns how many were decoded.
fn decoded_in_turns(data: &Data, cache: &BlockCache, rounds: usize) -> u64 {
    let readers: Vec<_> = (0..data.manifest.num_shards()).map(|shard| reader(data, shard)).collect();
    let before = cache.num_decoded();
    for index in (0..rounds).flat_map(|_| 0..data.manifest.num_blocks()) {
        let (shard, meta) = data.manifest.block(index);
        let in_shard = (index - data.manifest.shard(shard).blocks.start) as u64;
        cache.get(index as u64, || readers[shard].decode(in_shard, &meta)).unwrap();
    }
    cache.num_decoded() - before
}

/// What all blocks take.
fn weight_of_all(data: &Data) -> u64 {
    let cache = BlockCache::new(u64::MAX, 0);
    decoded_in_turns(data, &cache, 1);
    cache.num_bytes()
}

#[test]
fn blocks_of_open_windows_stay_where_they_take_more_than_the_index_said() {
    let data = Data::new();
    let num_blocks = data.manifest.num_blocks() as u64;
    let all = weight_of_all(&data);
    // A tenth of what they take: were the least recently used to leave, every block would be decoded in every round.
    let cache = BlockCache::new(all / 10, all);
    (0..num_blocks).for_each(|index| cache.need(index));
    assert_eq!(decoded_in_turns(&data, &cache, 10), num_blocks);
    assert_eq!((cache.num_bytes(), cache.num_again()), (all, 0));
    // Of two windows that need a block the last one counts.
    cache.need(0);
    (0..num_blocks).for_each(|index| cache.done(index));
    cache.remove(1);
    assert!(decoded_in_turns(&data, &cache, 1) > num_blocks / 2, "what no window needs leaves for others");
    assert!(cache.num_bytes() <= all / 2);
    cache.get(0, || unreachable!("a window needs it still")).unwrap();
}

#[test]
fn beyond_their_bound_the_first_blocks_stay_and_the_newest_are_not_kept() {
    let data = Data::new();
    let num_blocks = data.manifest.num_blocks() as u64;
    let all = weight_of_all(&data);
    let cache = BlockCache::new(0, all - 1);
    (0..num_blocks).for_each(|index| cache.need(index));
    let rounds = 10;
    assert_eq!(decoded_in_turns(&data, &cache, rounds), num_blocks + rounds as u64 - 1, "one is too many");
    assert_eq!(cache.num_again(), rounds as u64 - 1);
    assert!(cache.num_bytes() < all);
}
