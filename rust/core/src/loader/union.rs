//! Sources side by side: one schema that the columns of all fit, and arrays made those of that schema.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeListArray, LargeListArray, ListArray, MapArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::shard::{Block, storage_type};

/// The schema of rows that come from any of these sources, which are (name, schema).
///
/// Columns have the same names in the same order. Types are the same, but for what a list calls its items and for what
/// may be null, which differs between formats. Metadata stays where all have the same.
///
/// # Errors
/// `SchemaMismatch` that names two sources and the column in which they differ.
pub fn common_schema(sources: &[(&str, &SchemaRef)]) -> Result<SchemaRef> {
    let Some((first, others)) = sources.split_first() else {
        return Err(Error::InvalidArgument("a mix has at least one source".to_owned()));
    };
    let mut common = Schema::clone(first.1);
    for other in others {
        let fields = common.fields().iter().zip(other.1.fields());
        let fields = fields.map(|(ours, theirs)| {
            joined_field(ours, theirs).ok_or_else(|| mismatch(first.0, ours, other.0, theirs))
        });
        let fields = fields.collect::<Result<Fields>>()?;
        let is_same = common.metadata() == other.1.metadata();
        let metadata = common.metadata().clone();
        common = Schema::new(fields);
        common = if is_same { common.with_metadata(metadata) } else { common };
    }
    Ok(Arc::new(common))
}

fn mismatch(first: &str, ours: &Field, other: &str, theirs: &Field) -> Error {
    let message = format!(
        "column {:?} is {} in source {first:?} and {} in source {other:?}; a mix has one type a column: cast one of them \
         when its files are written, or leave the column out with .select_columns before rowmill.mix",
        ours.name(),
        ours.data_type(),
        theirs.data_type()
    );
    Error::SchemaMismatch { path: None, message }
}

fn joined_field(ours: &FieldRef, theirs: &FieldRef) -> Option<FieldRef> {
    let data_type = joined_type(ours.data_type(), theirs.data_type())?;
    let is_nullable = ours.is_nullable() || theirs.is_nullable();
    let field = Field::clone(ours).with_data_type(data_type).with_nullable(is_nullable);
    Some(Arc::new(field.with_metadata(ours.metadata().clone())))
}

fn joined_type(ours: &DataType, theirs: &DataType) -> Option<DataType> {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    Some(match (ours, theirs) {
        (List(x), List(y)) => List(joined_field(x, y)?),
        (LargeList(x), LargeList(y)) => LargeList(joined_field(x, y)?),
        (FixedSizeList(x, size), FixedSizeList(y, other)) if size == other => {
            FixedSizeList(joined_field(x, y)?, *size)
        }
        (Map(x, sorted), Map(y, also)) if sorted == also => Map(joined_field(x, y)?, *sorted),
        (Struct(x), Struct(y)) if x.len() == y.len() => {
            let fields = x.iter().zip(y).map(|(x, y)| joined_named(x, y));
            Struct(fields.collect::<Option<Fields>>()?)
        }
        (ours, theirs) if ours == theirs => ours.clone(),
        _ => return None,
    })
}

/// The fields of a struct are known by their names, the parts of lists and maps are not.
fn joined_named(ours: &FieldRef, theirs: &FieldRef) -> Option<FieldRef> {
    if ours.name() == theirs.name() { joined_field(ours, theirs) } else { None }
}

/// Makes the columns of a block those of the common schema: names inside of lists and the like, never values.
pub fn conform(block: &mut Block, schema: &Schema) -> Result<()> {
    for (at, field) in schema.fields().iter().enumerate() {
        let Some(column) = block.columns.get(at) else { break };
        let wanted = storage_type(field.data_type());
        if *column.data_type() == wanted {
            continue;
        }
        match retyped(column, &wanted) {
            Ok(column) => block.columns[at] = column,
            Err(error) => return Err(block.corrupt(format!("column {:?}: {error}", field.name()))),
        }
    }
    Ok(())
}

/// The same values as an array of a type that differs in nested names, metadata and nullability alone.
fn retyped(array: &ArrayRef, wanted: &DataType) -> std::result::Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    Ok(match wanted {
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = retyped(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?)
        }
        DataType::LargeList(item) => {
            let list = array.as_list::<i64>();
            let values = retyped(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(LargeListArray::try_new(Arc::clone(item), offsets, values, nulls)?)
        }
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            let values = retyped(list.values(), item.data_type())?;
            let (item, nulls) = (Arc::clone(item), list.nulls().cloned());
            Arc::new(FixedSizeListArray::try_new_with_length(item, *size, values, nulls, list.len())?)
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let columns = parts.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| retyped(column, field.data_type()));
            let columns = columns.collect::<std::result::Result<_, _>>()?;
            let nulls = parts.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, parts.len())?)
        }
        DataType::Map(entries, is_sorted) => {
            let map = array.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = retyped(&pairs, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *is_sorted)?)
        }
        // Shards of one dataset may differ here as well; what reads them takes each as it is.
        _ => Arc::clone(array),
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::Int32Array;
    use arrow_array::types::Int32Type;

    use super::*;

    fn schema(name: &str, data_type: DataType) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(name, data_type, false)]))
    }

    fn list(item: &str, nullable: bool) -> DataType {
        DataType::List(Arc::new(Field::new(item, DataType::Int32, nullable)))
    }

    #[test]
    fn items_of_lists_may_have_any_name_and_types_must_agree() {
        let (arrow, parquet) = (schema("x", list("item", true)), schema("x", list("element", false)));
        assert_eq!(common_schema(&[("a", &arrow), ("b", &parquet)]).unwrap(), arrow);
        let other = schema("x", DataType::Utf8);
        let error = common_schema(&[("web", &arrow), ("code", &other)]).unwrap_err().to_string();
        for word in ["\"x\"", "\"web\"", "\"code\"", "Utf8", ".select_columns"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn values_stay_where_names_change() {
        let rows = [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(3)])];
        let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows));
        let made = retyped(&array, &list("element", true)).unwrap();
        assert_eq!(made.data_type(), &list("element", true));
        assert_eq!(made.as_list::<i32>().value(0).as_ref(), &Int32Array::from(vec![1, 2]));
        assert!(made.is_null(1) && made.len() == 3);
    }
}
