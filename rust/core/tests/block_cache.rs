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
    let cache = BlockCache::new(4 << 10);
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
