//! The Arrow schema that a writer left in the footer (`ARROW:schema`): what of it counts, by pyarrow's rules.
//!
//! Parquet has fewer types than Arrow, so the schema says what a column was: which time zone, which dictionary keys,
//! which width of offsets. It only adds to what the columns are; where it contradicts them, they count.

use std::path::Path;
use std::slice::Iter;
use std::sync::Arc;

use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::basic::{ConvertedType, LogicalType};
use parquet::file::metadata::KeyValue;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescriptor};

use crate::panics::guarded;
use crate::shard::schema::parse_schema;

/// Writers begin the message with a marker and its length, as in a stream.
const MARKER: [u8; 4] = [0xff; 4];

/// The schema among the notes of a footer; none where it is damaged, for the columns say enough.
pub(super) fn origin_schema(notes: &[KeyValue], path: &Path) -> Option<Schema> {
    let note = notes.iter().find(|note| note.key == ARROW_SCHEMA_META_KEY)?.value.as_ref()?;
    let bytes = STANDARD.decode(note).ok()?;
    let message = if bytes.starts_with(&MARKER) { bytes.get(8..)? } else { &bytes };
    let schema = guarded(|| parse_schema(path, message)).ok()?.ok()?;
    Some(Schema::clone(&schema))
}

/// The fields as pyarrow has them: `inferred` from `columns`, with what `origin` adds.
pub(super) fn restored(inferred: &Fields, origin: Option<&Fields>, columns: &SchemaDescriptor) -> Fields {
    Restorer { leaves: columns.columns().iter() }.fields(inferred, origin)
}

/// Walks inferred types in the order of their leaves, which is that of the columns.
struct Restorer<'a> {
    leaves: Iter<'a, ColumnDescPtr>,
}

impl Restorer<'_> {
    fn fields(&mut self, inferred: &Fields, origin: Option<&Fields>) -> Fields {
        let origin = origin.filter(|origin| origin.len() == inferred.len());
        let origin_of = |index: usize, name: &str| {
            origin.map(|origin| origin[index].as_ref()).filter(|field| field.name() == name)
        };
        let fields = inferred.iter().enumerate();
        fields.map(|(index, field)| Arc::new(self.field(field, origin_of(index, field.name())))).collect()
    }

    fn field(&mut self, inferred: &Field, origin: Option<&Field>) -> Field {
        let (data_type, own_extension) = self.data_type(inferred.data_type(), origin.map(Field::data_type));
        let mut metadata = origin.map(|origin| origin.metadata().clone()).unwrap_or_default();
        // An extension is one of its storage only: of another it is none.
        if origin.is_some_and(|origin| !origin.data_type().equals_datatype(&data_type)) {
            metadata.remove(EXTENSION_TYPE_NAME_KEY);
            metadata.remove(EXTENSION_TYPE_METADATA_KEY);
        }
        if let (Some(name), false) = (own_extension, metadata.contains_key(EXTENSION_TYPE_NAME_KEY)) {
            metadata.insert(EXTENSION_TYPE_NAME_KEY.to_owned(), name.to_owned());
            metadata.insert(EXTENSION_TYPE_METADATA_KEY.to_owned(), String::new());
        }
        metadata.extend(inferred.metadata().clone());
        Field::new(inferred.name(), data_type, inferred.is_nullable())
            .with_dict_is_ordered(origin.and_then(Field::dict_is_ordered).unwrap_or(false))
            .with_metadata(metadata)
    }

    /// What a list holds: old writers call it `item` or `array`, and shards that differ in that alone hold the same
    /// column.
    fn item(&mut self, inferred: &Field, origin: Option<&FieldRef>) -> FieldRef {
        Arc::new(self.field(inferred, origin.map(AsRef::as_ref)).with_name("element"))
    }

    /// The type, and the extension that a leaf is by its column alone.
    fn data_type(
        &mut self,
        inferred: &DataType,
        origin: Option<&DataType>,
    ) -> (DataType, Option<&'static str>) {
        let nested = match inferred {
            DataType::Struct(fields) => {
                let origin = match origin {
                    Some(DataType::Struct(origin)) => Some(origin),
                    _ => None,
                };
                DataType::Struct(self.fields(fields, origin))
            }
            DataType::List(item) => self.list(item, origin),
            DataType::Map(entries, _) => {
                let (origin, is_sorted) = match origin {
                    Some(DataType::Map(origin, is_sorted)) => (Some(origin.as_ref()), *is_sorted),
                    _ => (None, false),
                };
                DataType::Map(Arc::new(self.entries(entries, origin)), is_sorted)
            }
            leaf => return self.leaf(leaf, origin),
        };
        (nested, None)
    }

    fn list(&mut self, item: &Field, origin: Option<&DataType>) -> DataType {
        match origin {
            Some(DataType::LargeList(origin)) => DataType::LargeList(self.item(item, Some(origin))),
            Some(DataType::ListView(origin)) => DataType::ListView(self.item(item, Some(origin))),
            Some(DataType::LargeListView(origin)) => DataType::LargeListView(self.item(item, Some(origin))),
            Some(DataType::FixedSizeList(origin, size)) => {
                DataType::FixedSizeList(self.item(item, Some(origin)), *size)
            }
            Some(DataType::List(origin)) => DataType::List(self.item(item, Some(origin))),
            _ => DataType::List(self.item(item, None)),
        }
    }

    /// Key and value of a map, whose names are the writer's own in either schema.
    fn entries(&mut self, inferred: &Field, origin: Option<&Field>) -> Field {
        let (DataType::Struct(fields), origin) = (inferred.data_type(), origin.map(Field::data_type)) else {
            return inferred.clone();
        };
        let origin_of = |index: usize| match origin {
            Some(DataType::Struct(origin)) => origin.get(index).map(AsRef::as_ref),
            _ => None,
        };
        let fields = fields.iter().enumerate();
        let fields = fields.map(|(index, field)| Arc::new(self.field(field, origin_of(index)))).collect();
        inferred.clone().with_data_type(DataType::Struct(fields))
    }

    fn leaf(&mut self, inferred: &DataType, origin: Option<&DataType>) -> (DataType, Option<&'static str>) {
        let extension = self.leaves.next().and_then(|column| extension_of(column));
        (leaf_type(inferred, origin, extension.is_some()).unwrap_or_else(|| inferred.clone()), extension)
    }
}

/// What a leaf is beyond its column; `None` where `origin` adds nothing.
fn leaf_type(inferred: &DataType, origin: Option<&DataType>, is_extension: bool) -> Option<DataType> {
    use DataType::{
        Binary, BinaryView, Decimal32, Decimal64, Decimal128, Decimal256, Dictionary, Duration, Int64,
        LargeBinary, LargeUtf8, Timestamp, Utf8, Utf8View,
    };
    let origin = origin?;
    match (inferred, origin) {
        // Columns have no seconds, and no zone but UTC: the unit is theirs, the zone is the writer's.
        (Timestamp(unit, Some(_)), Timestamp(_, Some(zone))) if !zone.is_empty() => {
            Some(Timestamp(*unit, Some(Arc::clone(zone))))
        }
        (Int64, Duration(_)) | (Utf8, LargeUtf8 | Utf8View) | (Binary, LargeBinary | BinaryView) => {
            Some(origin.clone())
        }
        (Utf8 | Binary, Dictionary(keys, _)) if !is_extension => {
            Some(Dictionary(keys.clone(), Box::new(inferred.clone())))
        }
        (
            Decimal128(precision, scale),
            Decimal32(own_precision, own_scale)
            | Decimal64(own_precision, own_scale)
            | Decimal256(own_precision, own_scale),
        ) if (precision, scale) == (own_precision, own_scale) => Some(origin.clone()),
        _ => None,
    }
}

fn extension_of(column: &ColumnDescriptor) -> Option<&'static str> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Uuid), _) => Some("arrow.uuid"),
        (Some(LogicalType::Json), _) | (None, ConvertedType::JSON) => Some("arrow.json"),
        _ => None,
    }
}
