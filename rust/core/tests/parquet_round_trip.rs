//! What the parquet crate writes is read back equal, whatever the codec, the pages and the way of reading.

mod parquet_cases;

use arrow_select::concat::concat_batches;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet_cases::{read_all, reader, rows, small, write};
use rowmill_core::source::IoMode;

const MODES: [IoMode; 3] = [IoMode::Mmap, IoMode::Read, IoMode::Direct];

fn check(properties: WriterPropertiesBuilder, num_rows: i64, text_len: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let batch = rows(0, num_rows, text_len);
    write(&path, &batch, properties);
    let mut num_blocks = 0;
    for mode in MODES {
        let batches = read_all(&path, mode).unwrap();
        assert_eq!(concat_batches(&batch.schema(), &batches).unwrap(), batch, "{mode}");
        num_blocks = batches.len();
    }
    num_blocks
}

#[test]
fn every_codec_reads_back() {
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        assert_eq!(check(small().set_compression(codec), 350, 40), 4);
    }
}

#[test]
fn every_kind_of_page_reads_back() {
    check(small().set_writer_version(WriterVersion::PARQUET_2_0), 350, 40);
    check(small().set_dictionary_enabled(false), 350, 40);
    for encoding in [Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY] {
        let text = || parquet::schema::types::ColumnPath::from("text");
        let properties =
            small().set_column_dictionary_enabled(text(), false).set_column_encoding(text(), encoding);
        check(properties, 350, 40);
    }
}

#[test]
fn a_large_row_group_is_cut_by_its_pages_and_reads_back() {
    for has_index in [true, false] {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(None)
            .set_data_page_size_limit(256 << 10)
            .set_write_batch_size(64)
            .set_offset_index_disabled(!has_index)
            .set_statistics_enabled(if has_index {
                EnabledStatistics::Page
            } else {
                EnabledStatistics::None
            });
        let num_blocks = check(properties, 14_000, 1500);
        assert!((4..20).contains(&num_blocks), "{num_blocks}");
    }
}

#[test]
fn cuts_at_pages_of_the_largest_column_are_small_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let batch = rows(0, 14_000, 1500).project(&[0, 1]).unwrap();
    let largest = |has_index: bool| {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_data_page_size_limit(256 << 10)
            .set_write_batch_size(64)
            .set_offset_index_disabled(!has_index)
            .set_statistics_enabled(if has_index {
                EnabledStatistics::Page
            } else {
                EnabledStatistics::None
            });
        write(&path, &batch, properties);
        let (_, found) = reader(&path, IoMode::Mmap, None).unwrap();
        found.blocks.iter().map(|block| block.memory_len).max().unwrap()
    };
    let (with_index, without) = (largest(true), largest(false));
    assert!(with_index <= 3 << 20, "{with_index}");
    assert!((3 << 20..=6 << 20).contains(&without), "{without}");
}

#[test]
fn blocks_tell_what_they_take_and_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(
        &path,
        &rows(0, 14_000, 1500),
        WriterProperties::builder().set_max_row_group_row_count(Some(13_000)),
    );
    let (reader, found) = reader(&path, IoMode::Mmap, None).unwrap();
    assert_eq!(found.num_rows(), 14_000);
    for (at, meta) in found.blocks.iter().enumerate() {
        let block = reader.decode(at as u64, meta).unwrap();
        let (estimate, real) = (meta.memory_len as f64, block.bytes as f64);
        assert!((0.7..1.3).contains(&(estimate / real)), "block {at}: {estimate} estimated, {real} taken");
        assert!(meta.memory_len <= 16 << 20);
    }
    assert_eq!(*reader.row_groups().last().unwrap(), 1);
}

#[test]
fn a_projection_reads_its_columns_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, &rows(0, 50, 40), small());
    let (reader, found) = reader(&path, IoMode::Read, Some(vec![4, 0])).unwrap();
    let block = reader.decode(0, &found.blocks[0]).unwrap();
    assert_eq!(block.columns.len(), 2);
    assert_eq!(reader.storage_fields()[0].name(), "struct");
    assert_eq!(block.columns[1].data_type(), &arrow_schema::DataType::Int64);
    let whole: u64 = std::fs::metadata(&path).unwrap().len();
    assert!(
        reader.ranges(0, &found.blocks[0]).unwrap().iter().map(|range| range.end - range.start).sum::<u64>()
            < whole / 2
    );
}
