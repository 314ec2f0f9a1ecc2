//! A file that changes under its reader: an error with the file's name, and the process lives.
#![cfg(unix)]
#![cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "some of these tests need Linux"))]

mod ipc_cases;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::*;
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, UnionFields};
use ipc_cases::{Case, Options, save, tokens, write};
use rowmill_core::Error;
use rowmill_core::shard::{Format, ShardReader, index};
use rowmill_core::source::{FileIdentity, IoMode, open};

fn token_file(folder: &Path) -> std::path::PathBuf {
    let case = Case { name: "tokens", batches: vec![tokens(1000, 2048)] };
    save(folder, "x.arrow", &write(&case, &Options::new(Format::ArrowStream)))
}

fn truncate(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn reader(path: &Path, mode: IoMode) -> (ShardReader, rowmill_core::shard::BlockMeta) {
    let found = index(path).unwrap();
    let source = open(path, mode, None).unwrap();
    let block = found.blocks[0];
    (ShardReader::try_new(source, found, None).unwrap(), block)
}

fn assert_truncated(error: &Error) {
    let Error::CorruptShard { path, problem, .. } = error else { panic!("{error:?}") };
    assert!(path.ends_with("x.arrow") && problem.contains("truncated while it was read"), "{error}");
}

/// Reads every value of the block that `truncated` cuts in the middle; the sum is of no interest.
fn read_through_a_hole(path: &Path) -> Error {
    let (reader, meta) = reader(path, IoMode::Mmap);
    let block = reader.decode(0, &meta).unwrap();
    block.ensure_rows(0, 0..1000).unwrap();
    truncate(path, 100_000);
    // The bits say "present", so that nothing stands between the loads below and SIGBUS but the guard.
    block.ensure_rows(0, 0..1000).unwrap();
    let values = block.columns[0].as_list::<i32>().values().as_primitive::<Int32Type>();
    assert_eq!(values.values()[10], 10);
    assert_eq!(values.values()[1000 * 2048 - 1], 0);
    std::hint::black_box(values.values().iter().map(|v| i64::from(*v)).sum::<i64>());
    block.check_intact().unwrap_err()
}

#[test]
fn a_truncation_between_check_and_use_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_truncated(&read_through_a_hole(&token_file(folder.path())));
}

#[test]
fn the_guard_survives_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(folder.path());
    // The parent has mapped and registered before.
    let (parent, meta) = reader(&path, IoMode::Mmap);
    parent.decode(0, &meta).unwrap();
    // SAFETY: the child touches only what it makes itself and leaves by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_fine = matches!(read_through_a_hole(&path), Error::CorruptShard { .. });
        // SAFETY: ends the child without running the test harness in it.
        unsafe { libc::_exit(i32::from(!is_fine)) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child must leave with 0");
}

#[test]
#[ignore = "ends its process; run by a_fault_outside_our_maps_still_ends_the_process"]
fn foreign_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(folder.path());
    let (_reader, _) = reader(&path, IoMode::Mmap);
    // SAFETY: the very misuse that is to be tested, in a process of its own.
    let map = unsafe { memmap2::Mmap::map(&std::fs::File::open(&path).unwrap()).unwrap() };
    truncate(&path, 0);
    std::hint::black_box(map[100_000]);
}

#[test]
fn a_fault_outside_our_maps_still_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["foreign_fault", "--ignored", "--exact"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(libc::SIGBUS));
}

#[cfg(target_os = "linux")]
#[test]
fn pages_that_are_gone_are_an_error_when_they_are_ensured() {
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(folder.path());
    let (reader, meta) = reader(&path, IoMode::Mmap);
    let source = reader.source();
    let block = reader.decode(0, &meta).unwrap();
    block.ensure_rows(0, 0..1).unwrap();
    truncate(&path, 3 << 20);
    assert_truncated(&block.ensure_rows(0, 999..1000).unwrap_err());
    source.drop_behind(0, source.len() as usize);
    assert!(source.ensure(0, 1 << 20).is_ok());
    assert_truncated(&block.ensure_all().unwrap_err());
    assert_truncated(&block.check_intact().unwrap_err());
}

/// 600 rows of 16 KiB each, nested in every way that offsets lead through.
#[cfg(target_os = "linux")]
fn wide_columns() -> Vec<(&'static str, ArrayRef)> {
    let text = || StringArray::from_iter_values((0..600).map(|row| format!("{row:016384}")));
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let ones = || std::iter::repeat_n(1, 600);
    let list = ListArray::new(Arc::clone(&item), OffsetBuffer::from_lengths(ones()), Arc::new(text()), None);
    let large =
        LargeListArray::new(Arc::clone(&item), OffsetBuffer::from_lengths(ones()), Arc::new(text()), None);
    let places = (0..600).collect::<ScalarBuffer<i32>>();
    let view = ListViewArray::new(
        Arc::clone(&item),
        places.clone(),
        ones().map(|one| one as i32).collect(),
        Arc::new(text()),
        None,
    );
    let fixed = FixedSizeListArray::new(Arc::clone(&item), 1, Arc::new(text()), None);
    let structs = StructArray::from(vec![(
        Arc::new(Field::new("list", list.data_type().clone(), true)),
        Arc::new(list.clone()) as ArrayRef,
    )]);
    let fields: UnionFields = [(4, Arc::new(Field::new("text", DataType::Utf8, true)))].into_iter().collect();
    let ids = vec![4_i8; 600];
    let sparse =
        UnionArray::try_new(fields.clone(), ids.clone().into(), None, vec![Arc::new(text())]).unwrap();
    let dense = UnionArray::try_new(fields, ids.into(), Some(places), vec![Arc::new(text())]).unwrap();
    let ints = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..600).map(|row| Some(vec![Some(row); 2048])),
        2048,
    );
    let bytes = FixedSizeBinaryArray::try_from_iter((0..600).map(|row| vec![row as u8; 16384])).unwrap();
    vec![
        ("text", Arc::new(text())),
        ("list", Arc::new(list)),
        ("large", Arc::new(large)),
        ("view", Arc::new(view)),
        ("fixed", Arc::new(fixed)),
        ("struct", Arc::new(structs)),
        ("sparse", Arc::new(sparse)),
        ("dense", Arc::new(dense)),
        ("ints", Arc::new(ints)),
        ("bytes", Arc::new(bytes)),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn rows_are_ensured_through_every_kind_of_nesting() {
    for (name, column) in wide_columns() {
        let folder = tempfile::tempdir().unwrap();
        let case = Case { name, batches: vec![RecordBatch::try_from_iter([(name, column)]).unwrap()] };
        let path = save(folder.path(), "x.arrow", &write(&case, &Options::new(Format::ArrowStream)));
        let (reader, meta) = reader(&path, IoMode::Mmap);
        let block = reader.decode(0, &meta).unwrap();
        block.ensure_rows(0, 0..600).unwrap();
        // Half of the values are cut off and the pages forgotten: only rows of the second half may fail.
        truncate(&path, 5 << 20);
        reader.source().drop_behind(0, reader.source().len() as usize);
        block.ensure_rows(0, 0..200).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_truncated(&block.ensure_rows(0, 500..501).expect_err(name));
    }
}

#[test]
fn every_mode_reports_truncation_and_change() {
    for mode in [IoMode::Mmap, IoMode::Read, IoMode::Direct] {
        let folder = tempfile::tempdir().unwrap();
        let path = token_file(folder.path());
        let (reader, meta) = reader(&path, mode);
        reader.source().check_intact().unwrap();
        truncate(&path, 100_000);
        if mode != IoMode::Mmap {
            assert_truncated(&reader.decode(0, &meta).unwrap_err());
        }
        assert_truncated(&reader.source().check_intact().unwrap_err());
    }
}

#[test]
fn another_file_than_the_one_indexed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(folder.path());
    let identity = FileIdentity::from_metadata(&std::fs::metadata(&path).unwrap());
    assert!(open(&path, IoMode::Auto, Some(identity)).is_ok());
    let other = save(folder.path(), "other.arrow", b"something else");
    std::fs::rename(other, &path).unwrap();
    let error = open(&path, IoMode::Auto, Some(identity)).unwrap_err().to_string();
    assert!(
        error.contains("changed since it was indexed") && error.contains("open the dataset again"),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(open(&path, IoMode::Mmap, Some(identity)), Err(Error::MissingShard { .. })));
}
