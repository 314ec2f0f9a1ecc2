//! Batches of every Arrow type, and files made of them.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::from_iter_instead_of_collect,
    reason = "the type stands where a reader of the table looks for it"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::*;
use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::{IntervalDayTime, IntervalMonthDayNano, OffsetBuffer, ScalarBuffer, i256};
use arrow_ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{DataType, Field, Fields, Schema, UnionFields};
use half::f16;
use rowmill_core::Result;
use rowmill_core::shard::{Format, ShardReader, index, logical_array};
use rowmill_core::source::{IoMode, open};

pub struct Case {
    pub name: &'static str,
    pub batches: Vec<RecordBatch>,
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

pub fn primitives(rows: i64) -> RecordBatch {
    let ints = || (0..rows).map(|i| (i % 3 != 1).then_some(i));
    batch(vec![
        ("null", Arc::new(NullArray::new(rows as usize))),
        ("bool", Arc::new(BooleanArray::from_iter(ints().map(|v| v.map(|v| v % 2 == 0))))),
        ("i8", Arc::new(Int8Array::from_iter(ints().map(|v| v.map(|v| v as i8))))),
        ("i16", Arc::new(Int16Array::from_iter(ints().map(|v| v.map(|v| v as i16))))),
        ("i32", Arc::new(Int32Array::from_iter_values((0..rows).map(|v| v as i32)))),
        ("i64", Arc::new(Int64Array::from_iter(ints()))),
        ("u8", Arc::new(UInt8Array::from_iter_values((0..rows).map(|v| v as u8)))),
        ("u64", Arc::new(UInt64Array::from_iter_values((0..rows).map(|v| v as u64)))),
        ("f16", Arc::new(Float16Array::from_iter_values((0..rows).map(|v| f16::from_f32(v as f32))))),
        ("f32", Arc::new(Float32Array::from_iter(ints().map(|v| v.map(|v| v as f32))))),
        ("f64", Arc::new(Float64Array::from_iter_values((0..rows).map(|v| v as f64)))),
        ("d32", Arc::new(Decimal32Array::from_iter_values((0..rows).map(|v| v as i32)))),
        ("d64", Arc::new(Decimal64Array::from_iter_values(0..rows))),
        ("d128", Arc::new(Decimal128Array::from_iter(ints().map(|v| v.map(i128::from))))),
        ("d256", Arc::new(Decimal256Array::from_iter_values((0..rows).map(|v| i256::from_i128(v.into()))))),
        ("date32", Arc::new(Date32Array::from_iter_values((0..rows).map(|v| v as i32)))),
        ("date64", Arc::new(Date64Array::from_iter_values((0..rows).map(|v| v * 86_400_000)))),
        ("time32", Arc::new(Time32MillisecondArray::from_iter_values((0..rows).map(|v| v as i32)))),
        ("time64", Arc::new(Time64NanosecondArray::from_iter_values(0..rows))),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter(ints()).with_timezone("UTC"))),
        ("duration", Arc::new(DurationSecondArray::from_iter_values(0..rows))),
        ("ym", Arc::new(IntervalYearMonthArray::from_iter_values((0..rows).map(|v| v as i32)))),
        (
            "dt",
            Arc::new(IntervalDayTimeArray::from_iter_values(
                (0..rows).map(|v| IntervalDayTime::new(v as i32, 1)),
            )),
        ),
        (
            "mdn",
            Arc::new(IntervalMonthDayNanoArray::from_iter_values(
                (0..rows).map(|v| IntervalMonthDayNano::new(v as i32, 2, 3)),
            )),
        ),
    ])
}

pub fn strings(rows: usize) -> RecordBatch {
    let text = |i: usize| (i % 5 != 2).then(|| format!("row {i} {}", "straße ".repeat(i % 7)));
    let mut fixed = FixedSizeBinaryBuilder::new(3);
    (0..rows).for_each(|i| fixed.append_value([i as u8, 1, 2]).unwrap());
    batch(vec![
        ("utf8", Arc::new(StringArray::from_iter((0..rows).map(text)))),
        ("large_utf8", Arc::new(LargeStringArray::from_iter((0..rows).map(text)))),
        ("binary", Arc::new(BinaryArray::from_iter((0..rows).map(|i| text(i).map(String::into_bytes))))),
        (
            "large_binary",
            Arc::new(LargeBinaryArray::from_iter((0..rows).map(|i| text(i).map(String::into_bytes)))),
        ),
        ("fixed", Arc::new(fixed.finish())),
        ("utf8_view", Arc::new(StringViewArray::from_iter((0..rows).map(text)))),
        (
            "binary_view",
            Arc::new(BinaryViewArray::from_iter((0..rows).map(|i| text(i).map(String::into_bytes)))),
        ),
    ])
}

pub fn tokens(rows: usize, width: usize) -> RecordBatch {
    let values = Int32Array::from_iter_values((0..rows * width).map(|v| v as i32));
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
    batch(vec![("input_ids", Arc::new(ListArray::new(item, offsets, Arc::new(values), None)))])
}

pub fn nested(rows: i32) -> RecordBatch {
    let lists = || {
        (0..rows).map(|i| (i % 4 != 3).then(|| (0..i % 5).map(|v| (v != 2).then_some(v)).collect::<Vec<_>>()))
    };
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(lists());
    let large = LargeListArray::from_iter_primitive::<Int32Type, _, _>(lists());
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        (0..rows).map(|i| (i % 3 != 0).then(|| vec![Some(i as f32), None])),
        2,
    );
    let mut text = ListBuilder::new(StringBuilder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for i in 0..rows {
        (0..i % 3).for_each(|v| text.values().append_value(format!("{i}/{v}")));
        text.append(i % 7 != 1);
        map.keys().append_value(format!("k{i}"));
        map.values().append_option((i % 2 == 0).then_some(i64::from(i)));
        map.append(true).unwrap();
    }
    let structs = StructArray::new(
        Fields::from(vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Utf8, true)]),
        vec![
            Arc::new(Int32Array::from_iter_values(0..rows)),
            Arc::new(StringArray::from_iter((0..rows).map(|i| (i % 2 == 0).then(|| i.to_string())))),
        ],
        Some((0..rows).map(|i| i % 6 != 5).collect::<Vec<bool>>().into()),
    );
    let view = ListViewArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        ScalarBuffer::from_iter((0..rows).map(|i| i % 3)),
        ScalarBuffer::from_iter((0..rows).map(|i| i % 4)),
        Arc::new(Int32Array::from_iter_values(0..8)),
        None,
    );
    let large_view = LargeListViewArray::new(
        Arc::new(Field::new_list_field(DataType::Utf8, true)),
        ScalarBuffer::from_iter((0..rows).map(|i| i64::from(i % 3))),
        ScalarBuffer::from_iter((0..rows).map(|i| i64::from(i % 2))),
        Arc::new(StringArray::from_iter_values((0..8).map(|i| format!("v{i}")))),
        None,
    );
    batch(vec![
        ("list", Arc::new(list)),
        ("large", Arc::new(large)),
        ("fixed", Arc::new(fixed)),
        ("text", Arc::new(text.finish())),
        ("map", Arc::new(map.finish())),
        ("struct", Arc::new(structs)),
        ("view", Arc::new(view)),
        ("large_view", Arc::new(large_view)),
    ])
}

pub fn unions(rows: i32) -> RecordBatch {
    let fields = || -> UnionFields {
        [
            (3, Arc::new(Field::new("i", DataType::Int32, true))),
            (5, Arc::new(Field::new("s", DataType::Utf8, true))),
        ]
        .into_iter()
        .collect()
    };
    let ids = || (0..rows).map(|i| if i % 2 == 0 { 3_i8 } else { 5 }).collect::<ScalarBuffer<i8>>();
    let sparse: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..rows)),
        Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("s{i}")))),
    ];
    let dense: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..(rows + 1) / 2)),
        Arc::new(StringArray::from_iter_values((0..rows / 2).map(|i| format!("d{i}")))),
    ];
    let offsets = (0..rows).map(|i| i / 2).collect::<ScalarBuffer<i32>>();
    batch(vec![
        ("sparse", Arc::new(UnionArray::try_new(fields(), ids(), None, sparse).unwrap())),
        ("dense", Arc::new(UnionArray::try_new(fields(), ids(), Some(offsets), dense).unwrap())),
    ])
}

pub fn run_end_encoded(rows: usize) -> RecordBatch {
    let text: RunArray<Int32Type> =
        (0..rows).map(|i| (i % 9 < 6).then_some(if i % 9 < 3 { "a" } else { "bc" })).collect();
    let mut ints = PrimitiveRunBuilder::<Int16Type, Int64Type>::new();
    (0..rows).for_each(|i| ints.append_value((i / 4) as i64));
    batch(vec![("text", Arc::new(text)), ("ints", Arc::new(ints.finish()))])
}

pub fn dictionaries(rows: usize, words: &[&str]) -> RecordBatch {
    let keys = || (0..rows).map(|i| (i % 5 != 4).then_some((i % words.len()) as i32));
    let values = Arc::new(StringArray::from_iter_values(words));
    let plain = DictionaryArray::<Int32Type>::new(keys().collect(), values);
    let small = DictionaryArray::<UInt8Type>::new(
        keys().map(|k| k.map(|k| k as u8)).collect(),
        Arc::new(Int64Array::from_iter_values((0..words.len()).map(|i| i as i64 * 10))),
    );
    let item = Arc::new(Field::new_list_field(plain.data_type().clone(), true));
    let inside =
        ListArray::new(item, OffsetBuffer::from_lengths((0..rows).map(|_| 1)), Arc::new(plain.clone()), None);
    batch(vec![("plain", Arc::new(plain)), ("small", Arc::new(small)), ("inside", Arc::new(inside))])
}

fn extension(rows: i32) -> RecordBatch {
    let metadata = [("ARROW:extension:name", "arrow.uuid"), ("ARROW:extension:metadata", "")];
    let metadata: HashMap<String, String> = metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let field = Field::new("id", DataType::Int32, false).with_metadata(metadata);
    let schema = Schema::new(vec![field]).with_metadata([("huggingface".to_owned(), "{}".to_owned())]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int32Array::from_iter_values(0..rows))]).unwrap()
}

pub fn cases() -> Vec<Case> {
    let case = |name, batches| Case { name, batches };
    let sliced = |batch: RecordBatch| vec![batch.slice(3, 17), batch.slice(20, 0), batch.slice(1, 5)];
    vec![
        case("primitives", vec![primitives(40), primitives(0), primitives(7)]),
        case("strings", vec![strings(40), strings(3)]),
        case("tokens", vec![tokens(10, 64), tokens(3, 64)]),
        case("nested", vec![nested(40), nested(1)]),
        case("unions", vec![unions(21), unions(4)]),
        case("run_end_encoded", vec![run_end_encoded(40), run_end_encoded(5)]),
        case("dictionaries", vec![dictionaries(20, &["a", "b", "c"]), dictionaries(5, &["a", "b", "c"])]),
        case(
            "grown dictionaries",
            vec![dictionaries(9, &["a"]), dictionaries(9, &["a", "b"]), dictionaries(9, &["a", "b", "c"])],
        ),
        case("sliced primitives", sliced(primitives(40))),
        case("sliced strings", sliced(strings(40))),
        case("sliced nested", sliced(nested(40))),
        case("sliced unions", sliced(unions(40))),
        case("empty batches", vec![strings(0), strings(0)]),
        case("no batch", vec![]),
        case("extension", vec![extension(9)]),
    ]
}

pub struct Options {
    pub format: Format,
    pub codec: Option<CompressionType>,
    pub legacy: bool,
    pub dictionaries: DictionaryHandling,
}

impl Options {
    pub fn new(format: Format) -> Self {
        Self { format, codec: None, legacy: false, dictionaries: DictionaryHandling::Resend }
    }

    pub fn all() -> Vec<(String, Self)> {
        let mut all = Vec::new();
        for format in [Format::ArrowStream, Format::ArrowFile] {
            for codec in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
                all.push((format!("{format} {codec:?}"), Self { codec, ..Self::new(format) }));
            }
        }
        let grown = Self { dictionaries: DictionaryHandling::Delta, ..Self::new(Format::ArrowStream) };
        all.push(("deltas".to_owned(), grown));
        all.push(("legacy".to_owned(), Self { legacy: true, ..Self::new(Format::ArrowStream) }));
        all
    }
}

pub fn write(case: &Case, options: &Options) -> Vec<u8> {
    let schema = case.batches.first().map_or_else(|| strings(0).schema(), RecordBatch::schema);
    let version = if options.legacy { MetadataVersion::V4 } else { MetadataVersion::V5 };
    // A file may add to a dictionary, not replace it.
    let is_grown_file = case.name == "grown dictionaries" && options.format == Format::ArrowFile;
    let handling = if is_grown_file { DictionaryHandling::Delta } else { options.dictionaries };
    let write = IpcWriteOptions::try_new(8, options.legacy, version)
        .unwrap()
        .with_dictionary_handling(handling)
        .try_with_compression(options.codec)
        .unwrap();
    match options.format {
        Format::ArrowStream => {
            let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, write).unwrap();
            case.batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
            writer.into_inner().unwrap()
        }
        Format::ArrowFile => {
            let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, write).unwrap();
            case.batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
            writer.into_inner().unwrap()
        }
        _ => unreachable!("these are the cases of Arrow"),
    }
}

/// All blocks of a file, in declared types; every page and every check on the way.
pub fn read_all(path: &Path, mode: IoMode) -> Result<Vec<Vec<ArrayRef>>> {
    let found = index(path)?;
    let source = open(path, mode, None)?;
    let reader = ShardReader::try_new(source, found.clone(), None)?;
    let mut blocks = Vec::new();
    for (at, meta) in found.blocks.iter().enumerate() {
        let block = reader.decode(at as u64, meta)?;
        for column in 0..block.columns.len() {
            block.ensure_rows(column, 0..block.num_rows)?;
            for row in 0..block.num_rows.min(3) {
                block.ensure_rows(column, row..row + 1)?;
            }
        }
        let columns = block.columns.iter().zip(found.schema.fields());
        let columns = columns.map(|(column, field)| {
            logical_array(column, field.data_type())
                .map_err(|error| rowmill_core::Error::corrupt(path, error.to_string()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        block.check_intact()?;
        blocks.push(columns);
    }
    Ok(blocks)
}

pub fn save(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
