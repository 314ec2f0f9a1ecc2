//! Footers and pages that lie: a typed error, before anything is allocated or read for the lie.

mod parquet_cases;

use std::path::Path;

use parquet::file::metadata::{
    ColumnChunkMetaDataBuilder, FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
    RowGroupMetaData,
};
use parquet_cases::{read_all, rows, small, write};
use rowmill_core::Error;
use rowmill_core::source::IoMode;

type ChangeColumn = fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder;

/// The file with the footer of `change`.
fn forged(path: &Path, change: impl FnOnce(ParquetMetaData) -> ParquetMetaData) {
    let whole = std::fs::read(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(whole.clone())).unwrap();
    let len = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    let mut forged = whole[..whole.len() - 8 - len].to_vec();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &change(metadata)).finish().unwrap();
    forged.extend(footer);
    std::fs::write(path, forged).unwrap();
}

fn with_column(path: &Path, leaf: usize, change: ChangeColumn) {
    forged(path, |metadata| {
        let mut builder = metadata.into_builder();
        let mut groups = builder.take_row_groups();
        let mut columns = groups[1].columns().to_vec();
        columns[leaf] = change(columns[leaf].clone().into_builder()).build().unwrap();
        groups[1] = groups[1].clone().into_builder().set_column_metadata(columns).build().unwrap();
        builder.set_row_groups(groups).build()
    });
}

fn refusal(path: &Path) -> String {
    for mode in [IoMode::Mmap, IoMode::Read] {
        match read_all(path, mode) {
            Err(Error::CorruptShard { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
    read_all(path, IoMode::Mmap).unwrap_err().to_string()
}

#[test]
fn a_column_that_lies_is_refused_by_name() {
    let lies: [(&str, ChangeColumn); 7] = [
        ("10 GB of data", |column| column.set_total_compressed_size(10 << 30)),
        ("data of a negative length", |column| column.set_total_compressed_size(-1)),
        ("data beyond the file", |column| {
            column.set_data_page_offset(1 << 40).set_dictionary_page_offset(None)
        }),
        ("data before the file", |column| column.set_data_page_offset(-4).set_dictionary_page_offset(None)),
        ("data within the magic", |column| column.set_data_page_offset(0).set_dictionary_page_offset(None)),
        ("other values than rows", |column| column.set_num_values(99)),
        ("a negative size", |column| column.set_total_uncompressed_size(-5)),
    ];
    for (name, lie) in lies {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write(&path, &rows(0, 300, 40), small());
        with_column(&path, 1, lie);
        let text = refusal(&path);
        assert!(text.contains("row group 1") && text.contains("text"), "{name}: {text}");
    }
}

#[test]
fn pages_at_the_wrong_place_are_damage() {
    let lies: [(&str, ChangeColumn); 3] = [
        ("shifted", |column| column.set_data_page_offset(300).set_dictionary_page_offset(None)),
        ("cut short", |column| column.set_total_compressed_size(20)),
        ("of no bytes", |column| column.set_total_compressed_size(0)),
    ];
    for (name, lie) in lies {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write(&path, &rows(0, 300, 40), small());
        with_column(&path, 1, lie);
        let text = refusal(&path);
        assert!(text.contains("column \"text\"") && text.contains("block 1"), "{name}: {text}");
    }
}

#[test]
fn row_counts_that_contradict_each_other_are_refused() {
    for (claimed, problem) in [(1_i64 << 40, "claims"), (-1, "claims"), (120, "claims")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write(&path, &rows(0, 300, 40), small());
        forged(&path, |metadata| {
            let mut builder = metadata.into_builder();
            let mut groups = builder.take_row_groups();
            groups[0] = groups[0].clone().into_builder().set_num_rows(claimed).build().unwrap();
            builder.set_row_groups(groups).build()
        });
        let text = refusal(&path);
        assert!(text.contains(problem) && text.contains("rows"), "{text}");
    }
}

#[test]
fn a_page_that_claims_gigabytes_is_refused_before_they_are_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, &rows(0, 300, 40), small().set_dictionary_enabled(false));
    let whole = bytes::Bytes::from(std::fs::read(&path).unwrap());
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&whole).unwrap();
    let at = metadata.row_group(1).column(1).data_page_offset() as usize;
    // Type 0, then sizes of two gigabytes each in five bytes.
    let mut content = whole.to_vec();
    let lie = [0x15, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f];
    content[at..at + lie.len()].copy_from_slice(&lie);
    std::fs::write(&path, content).unwrap();
    let text = refusal(&path);
    assert!(text.contains("column \"text\"") && text.contains("page"), "{text}");
}

#[test]
fn values_in_row_groups_of_no_rows_are_refused() {
    for (values, problem) in [(None, "claims 100 values"), (Some(0), "claims 0 values in")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write(&path, &rows(0, 300, 400), small());
        forged(&path, |metadata| {
            let file = metadata.file_metadata();
            let (version, notes) = (file.version(), file.key_value_metadata().cloned());
            let file = FileMetaData::new(version, 0, None, notes, file.schema_descr_ptr(), None);
            let empty = |group: &RowGroupMetaData| {
                let columns = group.columns().iter().map(|column| {
                    let kept = column.num_values();
                    column.clone().into_builder().set_num_values(values.unwrap_or(kept)).build().unwrap()
                });
                let columns = columns.collect();
                group.clone().into_builder().set_num_rows(0).set_column_metadata(columns).build().unwrap()
            };
            ParquetMetaData::new(file, metadata.row_groups().iter().map(empty).collect())
        });
        let text = refusal(&path);
        assert!(text.contains("row group 0: it claims no rows") && text.contains(problem), "{text}");
    }
}
