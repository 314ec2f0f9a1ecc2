//! What arrow-ipc writes, the shard reader reads: every type, both framings, each codec.

mod ipc_cases;

use std::io::Cursor;
use std::path::Path;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_ipc::writer::DictionaryHandling;
use ipc_cases::{Case, Options, cases, dictionaries, nested, primitives, read_all, save, tokens, write};
use rowmill_core::shard::{Format, ShardReader, index, parse_schema};
use rowmill_core::source::{IoMode, open};

fn expected(bytes: &[u8], format: Format, what: &str) -> Vec<RecordBatch> {
    let bytes = Cursor::new(bytes.to_vec());
    match format {
        Format::ArrowStream => {
            StreamReader::try_new(bytes, None).unwrap().collect::<Result<_, _>>().expect(what)
        }
        Format::ArrowFile => FileReader::try_new(bytes, None).unwrap().collect::<Result<_, _>>().expect(what),
        _ => unreachable!("these are the cases of Arrow"),
    }
}

fn assert_same(found: &[Vec<ArrayRef>], expected: &[RecordBatch], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (column, (found, expected)) in found.iter().zip(expected.columns()).enumerate() {
            assert_eq!(found.data_type(), expected.data_type(), "{what}, block {at}, column {column}");
            assert_eq!(found.as_ref(), expected.as_ref(), "{what}, block {at}, column {column}");
        }
    }
}

#[test]
fn every_type_reads_as_arrow_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        for (name, options) in Options::all() {
            // Run-end encoding is younger than metadata V4; arrow-ipc cannot read back what it writes there.
            if options.legacy && case.name == "run_end_encoded" {
                continue;
            }
            let bytes = write(&case, &options);
            let path = save(folder.path(), "x.arrow", &bytes);
            let expected = expected(&bytes, options.format, &format!("{} as {name}", case.name));
            for mode in [IoMode::Mmap, IoMode::Read, IoMode::Direct] {
                let what = format!("{} as {name} in {mode}", case.name);
                let found = read_all(&path, mode).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_same(&found, &expected, &what);
            }
        }
    }
}

#[test]
fn replaced_and_grown_dictionaries_are_those_of_their_batch() {
    let folder = tempfile::tempdir().unwrap();
    let grown: [&[&str]; 3] = [&["a", "b"], &["a", "b", "c"], &["a", "b", "c", "d", "e"]];
    let replaced: [&[&str]; 3] = [&["a", "b"], &["x"], &["a", "y", "z"]];
    for (handling, words) in [
        (DictionaryHandling::Delta, grown),
        (DictionaryHandling::Resend, grown),
        (DictionaryHandling::Resend, replaced),
    ] {
        let batches = words.iter().map(|words| dictionaries(12, words)).collect();
        let case = Case { name: "dictionaries", batches };
        let options = Options { dictionaries: handling, ..Options::new(Format::ArrowStream) };
        let bytes = write(&case, &options);
        let path = save(folder.path(), "x.arrow", &bytes);
        let expected = expected(&bytes, Format::ArrowStream, "dictionaries");
        for mode in [IoMode::Mmap, IoMode::Read] {
            assert_same(&read_all(&path, mode).unwrap(), &expected, &format!("{handling:?} in {mode}"));
        }
        let found = index(&path).unwrap();
        assert!(found.dictionaries.len() >= 6, "{:?}", found.dictionaries);
        assert!(found.blocks[0].dictionaries < found.blocks[2].dictionaries);
        assert_eq!(
            found.dictionaries.iter().any(|meta| meta.is_delta),
            matches!(handling, DictionaryHandling::Delta)
        );
    }
}

fn reader(
    path: &Path,
    mode: IoMode,
    projection: Option<Vec<usize>>,
) -> (ShardReader, rowmill_core::shard::ShardIndex) {
    let found = index(path).unwrap();
    let source = open(path, mode, None).unwrap();
    (ShardReader::try_new(source, found.clone(), projection).unwrap(), found)
}

#[test]
fn a_projection_reads_its_columns_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { name: "primitives", batches: vec![primitives(1000)] };
    for (name, options) in Options::all() {
        let path = save(folder.path(), "x.arrow", &write(&case, &options));
        let (reader, found) = reader(&path, IoMode::Read, Some(vec![9, 1]));
        let before = reader.source().bytes_read();
        let block = reader.decode(0, &found.blocks[0]).unwrap();
        assert_eq!(block.columns.len(), 2, "{name}");
        assert_eq!(block.columns[0].as_ref(), case.batches[0].column(9).as_ref(), "{name}");
        assert_eq!(block.columns[1].as_ref(), case.batches[0].column(1).as_ref(), "{name}");
        let read = reader.source().bytes_read() - before - u64::from(found.blocks[0].metadata_len);
        assert!(read < found.blocks[0].body_len / 2, "{name}: {read} of {} bytes", found.blocks[0].body_len);
    }
}

#[test]
fn a_mapped_block_owns_its_structure_and_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { name: "tokens", batches: vec![tokens(100, 2048)] };
    let path = save(folder.path(), "x.arrow", &write(&case, &Options::new(Format::ArrowStream)));
    let (mapped, found) = reader(&path, IoMode::Mmap, None);
    let block = mapped.decode(0, &found.blocks[0]).unwrap();
    assert!(block.is_mapped());
    assert_eq!((block.bytes, block.misaligned), (101 * 4, 0));
    let (read, found) = reader(&path, IoMode::Read, None);
    let block = read.decode(0, &found.blocks[0]).unwrap();
    assert!(!block.is_mapped() && block.bytes > 100 * 2048 * 4);
    assert_eq!(block.columns[0].as_ref(), case.batches[0].column(0).as_ref());
}

#[test]
fn framing_from_before_arrow_0_15_has_no_continuation_marker() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { name: "nested", batches: vec![nested(30), nested(2)] };
    let old = write(&case, &Options { legacy: true, ..Options::new(Format::ArrowStream) });
    assert_ne!(old[..4], [0xff; 4]);
    let path = save(folder.path(), "old.arrow", &old);
    assert_eq!(index(&path).unwrap().num_rows(), 32);
    // Without the end marker, as a writer leaves it that never closed its stream.
    let path = save(folder.path(), "open.arrow", &old[..old.len() - 4]);
    assert_eq!(index(&path).unwrap().num_rows(), 32);
}

#[test]
fn the_schema_message_reads_back_and_the_hash_sees_every_header() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        for (name, options) in Options::all() {
            let path = save(folder.path(), "x.arrow", &write(&case, &options));
            let found = index(&path).unwrap();
            assert_eq!(parse_schema(&path, &found.schema_message).unwrap(), found.schema, "{name}");
            assert_eq!(index(&path).unwrap().header_hash, found.header_hash);
        }
    }
    let write_rows = |rows| {
        let case = Case { name: "tokens", batches: vec![tokens(rows, 4)] };
        save(folder.path(), "x.arrow", &write(&case, &Options::new(Format::ArrowFile)))
    };
    assert_ne!(index(&write_rows(3)).unwrap().header_hash, index(&write_rows(4)).unwrap().header_hash);
}

#[test]
fn a_block_that_is_not_what_was_indexed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { name: "tokens", batches: vec![tokens(10, 64), tokens(11, 64)] };
    let path = save(folder.path(), "x.arrow", &write(&case, &Options::new(Format::ArrowStream)));
    let (reader, found) = reader(&path, IoMode::Mmap, None);
    let mut other = found.blocks[1];
    other.num_rows = 10;
    let text = reader.decode(1, &other).unwrap_err().to_string();
    assert!(text.contains("block 1") && text.contains("11 rows"), "{text}");
}

#[test]
fn misaligned_bodies_are_copied_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { name: "primitives", batches: vec![primitives(40)] };
    let sound = write(&case, &Options::new(Format::ArrowStream));
    let found = index(&save(folder.path(), "x.arrow", &sound)).unwrap();
    // One byte more between prefix and body: the header's length may be any number.
    let block = found.blocks[0];
    let body = (block.offset + u64::from(block.metadata_len)) as usize;
    let mut moved = sound[..body].to_vec();
    moved.push(0);
    moved.extend_from_slice(&sound[body..]);
    let len_at = block.offset as usize + 4;
    moved[len_at..len_at + 4].copy_from_slice(&(block.metadata_len - 8 + 1).to_le_bytes());
    let path = save(folder.path(), "moved.arrow", &moved);
    let (reader, found) = reader(&path, IoMode::Mmap, None);
    let block = reader.decode(0, &found.blocks[0]).unwrap();
    assert!(block.misaligned > 10, "{}", block.misaligned);
    for (column, expected) in block.columns.iter().zip(case.batches[0].columns()) {
        assert_eq!(column.as_ref(), expected.as_ref());
    }
}
