//! Columns of every numeric shape become the tensors that their rows are.

use std::fs::File;
use std::sync::Arc;

use arrow_array::types::{Float32Type, Int8Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Int32Array, Int64Array,
    LargeListArray, ListArray, PrimitiveArray, RecordBatch, RunArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use bytemuck::Pod;
use rowmill_core::assemble::{Batch, BatchRequest, Column, Dtype, Pool, assemble, plan_columns};
use rowmill_core::loader::{OnError, Projection, Table, layout_of};
use rowmill_core::manifest::{Manifest, ManifestOptions};
use rowmill_core::source::IoMode;
use rowmill_core::{Error, Result};

/// These rows of one column "x", read from a real file, as a batch.
fn read(column: ArrayRef, row_ids: &[u64], request: &BatchRequest) -> Result<Batch> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.arrow");
    let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
    let mut writer = StreamWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let options = ManifestOptions { use_index: false, ..ManifestOptions::default() };
    let manifest = Manifest::open(&[path], &options)?;
    let layout = layout_of(&manifest)?;
    let projection = Projection { indices: vec![0], names: vec!["x".into()] };
    let table = Table::new(manifest, Arc::new(layout), projection, IoMode::Mmap, OnError::Raise);
    let plans = plan_columns(table.schema(), request)?;
    assemble(table.fetch(row_ids)?, &plans, &["x".into()], &Pool::new(0))
}

fn tensor<T: Pod>(batch: &Batch) -> (Vec<T>, Dtype, Vec<usize>) {
    match &batch.columns[0] {
        Column::Tensor { buffer, dtype, shape } => (buffer.as_of::<T>().to_vec(), *dtype, shape.clone()),
        Column::Ragged { .. } => panic!("the rows differ in shape"),
        Column::Objects => panic!("no numbers"),
    }
}

fn ragged(batch: &Batch) -> Vec<(Vec<i32>, Vec<usize>)> {
    let Column::Ragged { rows, .. } = &batch.columns[0] else { panic!("the rows have one shape") };
    rows.iter().map(|(buffer, shape)| (buffer.as_of::<i32>().to_vec(), shape.clone())).collect()
}

fn plain() -> BatchRequest {
    BatchRequest::default()
}

fn filled(fill: f64) -> BatchRequest {
    BatchRequest { fills: vec![("x".into(), fill)], ..plain() }
}

fn lists(rows: &[Option<&[Option<i32>]>]) -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|row| row.map(<[_]>::to_vec)))
}

/// [[[0, 1], [2, 3]], [[4, 5], [6, 7]]], ... with inner lists of these lengths, two a row.
fn nested(inner: &[usize]) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(inner.iter().copied());
    let values = Int32Array::from_iter_values(0..inner.iter().sum::<usize>() as i32);
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let middle = ListArray::new(item, offsets, Arc::new(values), None);
    let item = Arc::new(Field::new_list_field(middle.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, inner.len() / 2));
    Arc::new(ListArray::new(item, offsets, Arc::new(middle), None))
}

#[test]
fn rows_come_in_the_order_asked_for() {
    let batch = read(Arc::new(Int64Array::from(vec![10, 11, 12])), &[2, 0, 2], &plain()).unwrap();
    assert_eq!(tensor::<i64>(&batch), (vec![12, 10, 12], Dtype::Int64, vec![3]));
    let bits = BooleanArray::from((0..20).map(|at| at % 3 == 0).collect::<Vec<_>>());
    let batch = read(Arc::new(bits), &[0, 1, 9, 19], &plain()).unwrap();
    assert_eq!(tensor::<u8>(&batch), (vec![1, 0, 1, 0], Dtype::Bool, vec![4]));
}

#[test]
fn lists_of_one_length_are_one_tensor_and_others_are_ragged() {
    let column =
        || lists(&[Some(&[Some(1), Some(2)]), Some(&[Some(3)]), Some(&[]), Some(&[Some(4), Some(5)])]);
    let batch = read(Arc::new(column()), &[3, 0], &plain()).unwrap();
    assert_eq!(tensor::<i32>(&batch), (vec![4, 5, 1, 2], Dtype::Int32, vec![2, 2]));
    let batch = read(Arc::new(column()), &[0, 1, 2], &plain()).unwrap();
    assert_eq!(ragged(&batch), [(vec![1, 2], vec![2]), (vec![3], vec![1]), (vec![], vec![0])]);
    let batch = read(Arc::new(column()), &[2, 2], &plain()).unwrap();
    assert_eq!(tensor::<i32>(&batch), (vec![], Dtype::Int32, vec![2, 0]));
    let large = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(7), Some(8)])]);
    assert_eq!(tensor::<i64>(&read(Arc::new(large), &[0], &plain()).unwrap()).0, [7, 8]);
}

#[test]
fn lists_of_lists_are_tensors_where_they_are_even_and_objects_where_not() {
    let batch = read(nested(&[2, 2, 2, 2]), &[1, 0], &plain()).unwrap();
    assert_eq!(tensor::<i32>(&batch), (vec![4, 5, 6, 7, 0, 1, 2, 3], Dtype::Int32, vec![2, 2, 2]));
    // Even inside of each row, but not from row to row.
    let batch = read(nested(&[1, 1, 3, 3]), &[0, 1], &plain()).unwrap();
    assert_eq!(ragged(&batch), [(vec![0, 1], vec![2, 1]), (vec![2, 3, 4, 5, 6, 7], vec![2, 3])]);
    let batch = read(nested(&[1, 2, 2, 2]), &[0, 1], &plain()).unwrap();
    assert!(matches!(batch.columns[0], Column::Objects));
    assert_eq!(batch.rows.len(), 2);
}

#[test]
fn fixed_size_lists_keep_their_shape_even_without_elements() {
    let rows = (0..4).map(|row| Some(vec![Some(row as f32), Some(0.5), None]));
    let column = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, 3);
    let batch = read(Arc::new(column), &[3, 1], &filled(9.0)).unwrap();
    assert_eq!(tensor::<f32>(&batch), (vec![3.0, 0.5, 9.0, 1.0, 0.5, 9.0], Dtype::Float32, vec![2, 3]));
}

#[test]
fn dictionaries_and_runs_are_what_they_stand_for() {
    let values = Arc::new(Int64Array::from(vec![100, 200]));
    let keys = PrimitiveArray::<Int8Type>::from(vec![Some(1), Some(0), None, Some(1)]);
    let column = || Arc::new(DictionaryArray::new(keys.clone(), values.clone()));
    assert_eq!(tensor::<i64>(&read(column(), &[0, 1, 3], &plain()).unwrap()).0, [200, 100, 200]);
    assert_eq!(tensor::<i64>(&read(column(), &[2, 1], &filled(-1.0)).unwrap()).0, [-1, 100]);
    assert!(read(column(), &[2], &plain()).is_err());
    let ends = Int32Array::from(vec![2, 3, 7]);
    let runs =
        RunArray::<Int32Type>::try_new(&ends, &Int64Array::from(vec![Some(5), None, Some(6)])).unwrap();
    let runs: ArrayRef = Arc::new(runs);
    assert_eq!(tensor::<i64>(&read(runs.clone(), &[0, 1, 3, 6], &plain()).unwrap()).0, [5, 5, 6, 6]);
    assert_eq!(tensor::<i64>(&read(runs, &[2, 6], &filled(0.0)).unwrap()).0, [0, 6]);
}

#[test]
fn a_null_without_a_fill_value_names_the_column_and_the_remedy() {
    let columns: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(vec![Some(1), None])),
        Arc::new(lists(&[Some(&[Some(1)]), None])),
        Arc::new(lists(&[Some(&[Some(1)]), Some(&[None])])),
    ];
    for column in columns {
        let Err(error) = read(column.clone(), &[0, 1], &plain()) else { panic!("a null came through") };
        assert!(matches!(error, Error::SchemaMismatch { .. }));
        let text = error.to_string();
        assert!(text.contains("\"x\"") && text.contains("fill_null"), "{text}");
        assert!(read(column, &[0], &plain()).is_ok(), "only rows that are asked for count");
    }
}

#[test]
fn nulls_take_the_fill_value_and_only_they() {
    let numbers = Int32Array::from(vec![Some(5), None, Some(6)]);
    assert_eq!(tensor::<i32>(&read(Arc::new(numbers), &[0, 1, 2], &filled(-100.0)).unwrap()).0, [5, -100, 6]);
    let rows = lists(&[Some(&[Some(1), None]), None, Some(&[None, Some(4)])]);
    let batch = read(Arc::new(rows.clone()), &[0, 1, 2], &filled(7.0)).unwrap();
    assert_eq!(tensor::<i32>(&batch), (vec![1, 7, 7, 7, 7, 4], Dtype::Int32, vec![3, 2]));
    let rows = lists(&[Some(&[Some(1)]), None, Some(&[Some(2), Some(3)])]);
    let batch = read(Arc::new(rows), &[0, 1, 2], &filled(7.0)).unwrap();
    assert_eq!(ragged(&batch), [(vec![1], vec![1]), (vec![], vec![0]), (vec![2, 3], vec![2])]);
}

#[test]
fn what_lies_under_a_null_need_not_fit() {
    let nulls = NullBuffer::from(vec![true, false, true]);
    let column = || Arc::new(Int32Array::new(vec![1, 1_000_000, 2].into(), Some(nulls.clone())));
    let narrow = |name: &str| BatchRequest { dtypes: vec![(name.into(), Dtype::UInt8)], ..filled(255.0) };
    assert_eq!(tensor::<u8>(&read(column(), &[0, 1, 2], &narrow("x")).unwrap()).0, [1, 255, 2]);
    let valid = Arc::new(Int32Array::from(vec![1, 1_000_000]));
    let Err(error) = read(valid, &[0, 1], &narrow("x")) else { panic!("a million fits no byte") };
    assert!(error.to_string().contains("1000000") && error.to_string().contains("uint8"), "{error}");
}

#[test]
fn no_rows_are_an_empty_tensor() {
    let batch = read(Arc::new(Int64Array::from(vec![1])), &[], &plain()).unwrap();
    assert_eq!(tensor::<i64>(&batch), (vec![], Dtype::Int64, vec![0]));
}
