//! From the columns of a footer to Arrow's: the types as pyarrow has them, and the form that blocks are decoded in.
//!
//! The `ARROW:schema` that writers leave in the footer is honoured where it fits (dictionaries, large types, time
//! zones, extension types), and left aside where it does not. For decoding, texts lose their annotation: the
//! parquet crate then hands them out as bytes, unchecked (see [`super::super::storage`]).

use std::sync::Arc;

use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::error::Result;
use crate::panics::guarded;
use crate::shard::site::Site;

/// The schema of a file, as pyarrow's is.
pub(super) fn arrow_schema(metadata: &FileMetaData, site: &Site<'_>) -> Result<SchemaRef> {
    let refused = |problem: String| site.unsupported(format!("its columns are not read: {problem}"));
    if metadata.schema_descr().num_columns() == 0 {
        return Err(site.unsupported("it has no columns, so that its rows hold nothing; leave it out"));
    }
    let descriptor =
        rewritten(metadata.schema_descr(), &as_pyarrow).map_err(|error| refused(error.to_string()))?;
    let stored = metadata.key_value_metadata();
    // An Arrow schema that contradicts the columns was written by mistake: the columns count.
    let with_hint =
        guarded(|| parquet_to_arrow_schema(&descriptor, stored)).ok().and_then(std::result::Result::ok);
    let schema = match with_hint {
        Some(schema) => schema,
        None => match guarded(|| parquet_to_arrow_schema(&descriptor, None)) {
            Ok(Ok(schema)) => schema,
            Ok(Err(error)) => return Err(refused(error.to_string())),
            Err(panic) => return Err(refused(panic)),
        },
    };
    let columns = descriptor.root_schema().get_fields();
    let fields: Fields = schema
        .fields()
        .iter()
        .zip(columns)
        .map(|(field, column)| as_stored(&readable(field), column))
        .collect();
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// The columns as blocks are decoded from: texts are bytes.
pub(super) fn storage_schema(
    descriptor: &SchemaDescriptor,
) -> std::result::Result<SchemaDescriptor, ParquetError> {
    rewritten(descriptor, &|leaf| as_pyarrow(leaf).or_else(|| as_bytes(leaf)))
}

/// Dates and old timestamps are what they are stored as, whatever the Arrow schema beside them says; UUIDs are
/// those without one too.
fn as_stored(field: &FieldRef, column: &Type) -> FieldRef {
    if matches!(column.get_basic_info().logical_type_ref(), Some(LogicalType::Uuid))
        && *field.data_type() == DataType::FixedSizeBinary(16)
        && field.extension_type_name().is_none()
    {
        let mut metadata = field.metadata().clone();
        metadata.insert(EXTENSION_TYPE_NAME_KEY.to_owned(), "arrow.uuid".to_owned());
        metadata.insert(EXTENSION_TYPE_METADATA_KEY.to_owned(), String::new());
        return Arc::new(Field::clone(field).with_metadata(metadata));
    }
    let physical = column.is_primitive().then(|| column.get_physical_type());
    let data_type = match (field.data_type(), physical) {
        (DataType::Date64, Some(Physical::INT32)) => DataType::Date32,
        (DataType::Timestamp(..), Some(Physical::INT96)) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        _ => return Arc::clone(field),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// Dictionaries have the keys that pyarrow reads them with, and only texts and bytes have them.
fn readable(field: &FieldRef) -> FieldRef {
    let data_type = readable_type(field.data_type());
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn readable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => match values.as_ref() {
            DataType::Utf8 | DataType::Binary | DataType::LargeUtf8 | DataType::LargeBinary => {
                DataType::Dictionary(Box::new(DataType::Int32), values.clone())
            }
            other => readable_type(other),
        },
        DataType::List(item) => DataType::List(element(item)),
        DataType::LargeList(item) => DataType::LargeList(element(item)),
        DataType::ListView(item) => DataType::ListView(element(item)),
        DataType::LargeListView(item) => DataType::LargeListView(element(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(element(item), *size),
        DataType::Map(entries, is_sorted) => DataType::Map(readable(entries), *is_sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(readable).collect()),
        other => other.clone(),
    }
}

/// Old writers call what a list holds `item` or `array`: shards that differ in that alone hold the same column.
fn element(item: &FieldRef) -> FieldRef {
    let item = readable(item);
    if item.name() == "element" { item } else { Arc::new(Field::clone(&item).with_name("element")) }
}

/// What stands in for a leaf, where it is another one.
type Replace<'a> = &'a dyn Fn(&Type) -> Option<Annotation>;

/// A leaf without its annotation.
struct Annotation;

/// Intervals are twelve bytes to pyarrow.
fn as_pyarrow(leaf: &Type) -> Option<Annotation> {
    (leaf.get_basic_info().converted_type() == ConvertedType::INTERVAL).then_some(Annotation)
}

fn as_bytes(leaf: &Type) -> Option<Annotation> {
    let info = leaf.get_basic_info();
    let is_text = matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Json))
        || matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON);
    (is_text && leaf.get_physical_type() == Physical::BYTE_ARRAY).then_some(Annotation)
}

fn rewritten(
    descriptor: &SchemaDescriptor,
    replace: Replace<'_>,
) -> std::result::Result<SchemaDescriptor, ParquetError> {
    Ok(SchemaDescriptor::new(rewrite(&descriptor.root_schema_ptr(), replace)?))
}

/// Goes down the schema, whose depth the footer's check has bounded.
fn rewrite(node: &TypePtr, replace: Replace<'_>) -> std::result::Result<TypePtr, ParquetError> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if let Type::PrimitiveType { type_length, .. } = node.as_ref() {
        let Some(Annotation) = replace(node) else { return Ok(Arc::clone(node)) };
        let leaf = Type::primitive_type_builder(node.name(), node.get_physical_type())
            .with_repetition(info.repetition())
            .with_length(*type_length)
            .with_id(id);
        return Ok(Arc::new(leaf.build()?));
    }
    let fields = node.get_fields().iter().map(|child| rewrite(child, replace));
    let mut group = Type::group_type_builder(node.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned().filter(|logical| *logical != LogicalType::File))
        .with_fields(fields.collect::<std::result::Result<_, _>>()?)
        .with_id(id);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    Ok(Arc::new(group.build()?))
}
