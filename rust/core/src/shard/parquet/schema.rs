//! From the columns of a footer to Arrow's: the types as pyarrow has them, and the form that blocks are decoded in.
//!
//! What the `ARROW:schema` of the footer adds is [`super::origin`]'s. For decoding, texts lose their annotation: the
//! parquet crate then hands them out as bytes, unchecked (see [`super::super::storage`]).

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::origin::{origin_schema, restored};
use super::problem::sentence;
use crate::error::Result;
use crate::panics::guarded;
use crate::shard::schema::check_depth;
use crate::shard::site::Site;

/// The schema of a file, as pyarrow's is.
pub(super) fn arrow_schema(metadata: &FileMetaData, site: &Site<'_>) -> Result<SchemaRef> {
    let refused = |problem: String| site.unsupported(format!("its columns are not read: {problem}"));
    if metadata.schema_descr().num_columns() == 0 {
        return Err(
            site.unsupported("it has no columns, so that its rows hold nothing; write it with one at least")
        );
    }
    let descriptor =
        rewritten(metadata.schema_descr(), &as_pyarrow).map_err(|error| refused(sentence(&error)))?;
    let notes = metadata.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let others = notes.iter().filter(|note| note.key != ARROW_SCHEMA_META_KEY).cloned().collect();
    let inferred = match guarded(|| parquet_to_arrow_schema(&descriptor, Some(&others))) {
        Ok(Ok(schema)) => schema,
        Ok(Err(error)) => return Err(refused(sentence(&error))),
        Err(panic) => return Err(refused(panic)),
    };
    let origin = origin_schema(notes, site.path);
    let fields = restored(inferred.fields(), origin.as_ref().map(Schema::fields), &descriptor);
    check_depth(&fields, site)?;
    let mut metadata = origin.map(|origin| origin.metadata).unwrap_or_default();
    metadata.extend(inferred.metadata);
    Ok(Arc::new(Schema::new_with_metadata(fields, metadata)))
}

/// The columns as blocks are decoded from: texts are bytes.
pub(super) fn storage_schema(
    descriptor: &SchemaDescriptor,
) -> std::result::Result<SchemaDescriptor, ParquetError> {
    rewritten(descriptor, &|leaf| as_pyarrow(leaf).or_else(|| as_bytes(leaf)))
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
