//! What arrow-ipc writes, the shard reader reads: every type, both framings, each codec.

mod ipc_cases;

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_ipc::writer::DictionaryHandling;
use ipc_cases::{Case, Options, cases, read_all, save, tokens, write};
use rowmill_core::shard::{Format, ShardReader, index, parse_schema};
use rowmill_core::source::{IoMode, open};

fn expected(bytes: &[u8], format: Format, what: &str) -> Vec<RecordBatch> {
    let bytes = Cursor::new(bytes.to_vec());
    match format {
        Format::ArrowStream => {
            StreamReader::try_new(bytes, None).unwrap().collect::<Result<_, _>>().expect(what)
        }
        Format::ArrowFile => FileReader::try_new(bytes, None).unwrap().collect::<Result<_, _>>().expect(what),
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
