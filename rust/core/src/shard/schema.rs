//! The schema message, refused where arrow-rs would panic on it or build types it cannot hold.

use std::path::Path;
use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_ipc::{Endianness, Field as IpcField};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};

use super::message::{Kind, kind_of, verify};
use super::site::Site;
use super::storage::child_types;
use crate::error::Result;

/// Reads the flatbuffer that [`super::ShardIndex::schema_message`] holds.
pub fn parse_schema(path: &Path, schema_message: &[u8]) -> Result<SchemaRef> {
    let site = Site::new(path, 0);
    let aligned = Buffer::from(schema_message);
    match kind_of(&verify(&aligned, &site)?, &site)? {
        Kind::Schema(schema) => schema_of(schema, &site),
        Kind::Dictionary { .. } | Kind::Batch(_) => Err(site.corrupt("not a schema message")),
    }
}

/// The flatbuffer that [`parse_schema`] reads, for formats whose files hold no such message.
///
/// Each dictionary gets an id of its own, in the order of the fields.
pub fn encode_schema(schema: &Schema) -> Vec<u8> {
    let mut tracker = DictionaryTracker::new(false);
    let data = IpcDataGenerator {}.schema_to_bytes_with_dictionary_tracker(
        schema,
        &mut tracker,
        &IpcWriteOptions::default(),
    );
    data.ipc_message
}

/// The schema of a verified flatbuffer.
pub(super) fn schema_of(schema: arrow_ipc::Schema<'_>, site: &Site<'_>) -> Result<SchemaRef> {
    if schema.endianness() != Endianness::Little {
        return Err(site.unsupported(
            "it was written on a big-endian machine; read and write it again with pyarrow, which swaps the bytes",
        ));
    }
    for field in schema.fields().into_iter().flatten() {
        check_flatbuffer(field, site)?;
    }
    let schema =
        try_fb_to_schema(schema).map_err(|error| site.corrupt(format!("the schema is damaged: {error}")))?;
    for field in schema.fields() {
        check_field(field, site)?;
    }
    check_depth(schema.fields(), site)?;
    Ok(Arc::new(schema))
}

/// More than the Arrow C interface hands on to pyarrow.
const MAX_DEPTH: usize = 63;

/// Refuses columns that could not be handed on to Python.
pub(super) fn check_depth(fields: &Fields, site: &Site<'_>) -> Result<()> {
    let Some(deep) = fields.iter().find(|field| depth_of(field.data_type()) > MAX_DEPTH) else {
        return Ok(());
    };
    Err(site.unsupported(format!(
        "column {:?} is nested more than {MAX_DEPTH} levels deep, which rowmill does not read, nor pyarrow take; write it \
         flatter",
        deep.name()
    )))
}

/// Types in types; the schema's own check has bounded it.
fn depth_of(data_type: &DataType) -> usize {
    1 + child_types(data_type).into_iter().map(depth_of).max().unwrap_or(0)
}

/// What `try_fb_to_schema` would panic on: unions of more children than there are type ids.
fn check_flatbuffer(field: IpcField<'_>, site: &Site<'_>) -> Result<()> {
    let num_children = field.children().map_or(0, |children| children.len());
    if let Some(union) = field.type_as_union() {
        let is_out_of_range = |id: i32| !(0..128).contains(&id);
        if num_children > 128 || union.typeIds().is_some_and(|ids| ids.iter().any(is_out_of_range)) {
            return Err(site.corrupt("a union has more than 128 children, or type ids beyond 127"));
        }
    }
    // The verifier has bounded the depth.
    field.children().into_iter().flatten().try_for_each(|child| check_flatbuffer(child, site))
}

/// What arrays cannot be built for.
fn check_field(field: &Field, site: &Site<'_>) -> Result<()> {
    check_type(field.data_type(), site).map_err(|problem| match problem {
        Refusal::Corrupt(problem) => site.corrupt(format!("column {:?}: {problem}", field.name())),
        Refusal::Unsupported(problem) => site.unsupported(format!("column {:?}: {problem}", field.name())),
        Refusal::Nested(error) => error,
    })
}

enum Refusal {
    Corrupt(String),
    Unsupported(String),
    Nested(crate::error::Error),
}

fn check_type(data_type: &DataType, site: &Site<'_>) -> std::result::Result<(), Refusal> {
    let child = |field: &Field| check_field(field, site).map_err(Refusal::Nested);
    let corrupt = |problem: String| Err(Refusal::Corrupt(problem));
    match data_type {
        DataType::FixedSizeBinary(width) if *width < 0 => corrupt(format!("a width of {width} bytes")),
        DataType::FixedSizeList(_, size) if *size < 0 => corrupt(format!("lists of {size} values")),
        DataType::Decimal32(precision, scale) => check_decimal(*precision, *scale, 9),
        DataType::Decimal64(precision, scale) => check_decimal(*precision, *scale, 18),
        DataType::Decimal128(precision, scale) => check_decimal(*precision, *scale, 38),
        DataType::Decimal256(precision, scale) => check_decimal(*precision, *scale, 76),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => child(field),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| child(field)),
        DataType::Union(fields, _) => fields.iter().try_for_each(|(_, field)| child(field)),
        DataType::Dictionary(_, values) => check_type(values, site),
        DataType::Map(entries, _) => check_map(entries).and_then(|()| child(entries)),
        DataType::RunEndEncoded(ends, values) => check_run_ends(ends).and_then(|()| child(values)),
        _ => Ok(()),
    }
}

fn check_decimal(precision: u8, scale: i8, max: u8) -> std::result::Result<(), Refusal> {
    let is_fine = (1..=max).contains(&precision) && scale.unsigned_abs() <= max;
    if is_fine {
        Ok(())
    } else {
        Err(Refusal::Corrupt(format!("a decimal of precision {precision} and scale {scale}")))
    }
}

fn check_map(entries: &Field) -> std::result::Result<(), Refusal> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => {
            if entries.is_nullable() || fields[0].is_nullable() {
                return Err(Refusal::Unsupported(
                    "a map whose keys or entries may be null, which the format forbids; write it anew"
                        .to_owned(),
                ));
            }
            Ok(())
        }
        other => Err(Refusal::Corrupt(format!("a map of {other} instead of keys and values"))),
    }
}

fn check_run_ends(ends: &Field) -> std::result::Result<(), Refusal> {
    match ends.data_type() {
        DataType::Int16 | DataType::Int32 | DataType::Int64 if !ends.is_nullable() => Ok(()),
        other => Err(Refusal::Corrupt(format!("run ends of type {other}, or that may be null"))),
    }
}

#[cfg(test)]
mod tests {
    use arrow_ipc::convert::IpcSchemaEncoder;
    use arrow_ipc::writer::DictionaryTracker;
    use arrow_ipc::{MessageBuilder, MessageHeader, MetadataVersion, SchemaBuilder};
    use arrow_schema::Schema;
    use flatbuffers::FlatBufferBuilder;

    use super::*;
    use crate::error::Error;

    fn refusal(data_type: DataType) -> Error {
        let schema = Schema::new(vec![Field::new("x", data_type, true)]);
        let mut tracker = DictionaryTracker::new(true);
        let mut builder = FlatBufferBuilder::new();
        let schema = IpcSchemaEncoder::new()
            .with_dictionary_tracker(&mut tracker)
            .schema_to_fb_offset(&mut builder, &schema);
        message(builder, schema)
    }

    fn message(
        mut builder: FlatBufferBuilder<'_>,
        schema: flatbuffers::WIPOffset<arrow_ipc::Schema<'_>>,
    ) -> Error {
        let mut message = MessageBuilder::new(&mut builder);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(MessageHeader::Schema);
        message.add_header(schema.as_union_value());
        let message = message.finish();
        builder.finish(message, None);
        parse_schema(Path::new("x.arrow"), builder.finished_data()).unwrap_err()
    }

    #[test]
    fn types_that_arrays_cannot_hold_are_refused_by_column() {
        let map = |nullable| {
            let key = Field::new("key", DataType::Int32, nullable);
            let entries = Fields::from(vec![key, Field::new("value", DataType::Int32, true)]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        };
        let item = Arc::new(Field::new_list_field(DataType::Decimal128(200, 1), true));
        for (data_type, text) in [
            (DataType::FixedSizeBinary(-1), "a width of -1 bytes"),
            (DataType::FixedSizeList(Arc::clone(&item), -4), "lists of -4 values"),
            (DataType::List(item), "a decimal of precision 200"),
            (map(true), "keys or entries may be null"),
        ] {
            let error = refusal(data_type).to_string();
            assert!(error.contains(text) && error.contains("column"), "{error}");
        }
    }

    #[test]
    fn big_endian_files_are_named_as_such() {
        let mut builder = FlatBufferBuilder::new();
        let fields = builder.create_vector::<flatbuffers::ForwardsUOffset<IpcField<'_>>>(&[]);
        let mut schema = SchemaBuilder::new(&mut builder);
        schema.add_endianness(Endianness::Big);
        schema.add_fields(fields);
        let schema = schema.finish();
        let error = message(builder, schema);
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains("big-endian"), "{error}");
    }
}
