//! One schema for many shards: a name for each structure, and the union of what may be null.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{
    DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode,
};

use crate::shard::tar::MAX_EXTENSIONS;
use crate::{Error, Result};

/// Names, types and nullability as text that no arrow release changes; metadata left out.
///
/// It goes into fingerprints, and so into cursors: a change here refuses every stored cursor.
pub(crate) fn canonical(schema: &Schema) -> String {
    let mut out = String::new();
    write_fields(&mut out, schema.fields());
    out
}

/// What a column's blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// What stands in the file.
    AsTheyLie,
    /// What they are decoded into: dictionary keys may be wider than the writer's.
    Decoded,
}

/// The schema that both fit, or an error that names both files and the field.
pub(crate) fn merge(first: (&Path, &Schema), other: (&Path, &Schema), stored: Stored) -> Result<Schema> {
    check_names(first, other)?;
    let mut fields = Vec::with_capacity(first.1.fields().len());
    for (a, b) in first.1.fields().iter().zip(other.1.fields()) {
        let merged = widen_field(a, b, stored).ok_or_else(|| {
            mismatch(
                first.0,
                other.0,
                &format!("column {:?}: {} against {}", a.name(), a.data_type(), b.data_type()),
            )
        })?;
        fields.push(merged);
    }
    Ok(Schema::new_with_metadata(Fields::from(fields), first.1.metadata().clone()))
}

/// The columns that either has, those after the first in the order of their names: of formats whose rows need not
/// all have the same columns, each of which may be null.
pub(crate) fn join(first: (&Path, &Schema), other: (&Path, &Schema)) -> Result<Schema> {
    let (Some((key, columns)), Some((_, others))) =
        (first.1.fields().split_first(), other.1.fields().split_first())
    else {
        return merge(first, other, Stored::AsTheyLie);
    };
    let all: BTreeMap<&str, &FieldRef> =
        columns.iter().chain(others).map(|field| (field.name().as_str(), field)).collect();
    if all.len() > MAX_EXTENSIONS {
        let what = format!("together they have more than {MAX_EXTENSIONS} columns");
        return Err(mismatch(first.0, other.0, &what));
    }
    let fields: Fields = std::iter::once(key).chain(all.into_values()).cloned().collect();
    Ok(Schema::new_with_metadata(fields, first.1.metadata().clone()))
}

fn check_names(first: (&Path, &Schema), other: (&Path, &Schema)) -> Result<()> {
    let names =
        |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let (a, b) = (names(first.1), names(other.1));
    if a == b {
        return Ok(());
    }
    let typed = |schema: &Schema, name: &str| {
        schema.field_with_name(name).map_or_else(|_| String::new(), |field| field.data_type().to_string())
    };
    let what = if let Some(name) = a.iter().find(|name| !b.contains(name)) {
        format!("column {name:?}: {} against no such column", typed(first.1, name))
    } else if let Some(name) = b.iter().find(|name| !a.contains(name)) {
        format!("column {name:?}: no such column against {}", typed(other.1, name))
    } else {
        format!("the columns stand in another order: {a:?} against {b:?}")
    };
    Err(mismatch(first.0, other.0, &what))
}

fn mismatch(first: &Path, other: &Path, what: &str) -> Error {
    let message = format!(
        "{} and {} do not have the same columns ({what}); open them as two datasets, or rewrite one of them",
        first.display(),
        other.display()
    );
    Error::SchemaMismatch { path: Some(other.to_owned()), message }
}

fn widen_field(a: &FieldRef, b: &FieldRef, stored: Stored) -> Option<FieldRef> {
    if a.name() != b.name() {
        return None;
    }
    let data_type = widen_type(a.data_type(), b.data_type(), stored)?;
    let nullable = a.is_nullable() || b.is_nullable();
    if nullable == a.is_nullable() && &data_type == a.data_type() {
        return Some(Arc::clone(a));
    }
    Some(Arc::new(Field::clone(a).with_data_type(data_type).with_nullable(nullable)))
}

fn widen_type(left: &DataType, right: &DataType, stored: Stored) -> Option<DataType> {
    use DataType::{
        Dictionary, FixedSizeList, LargeList, LargeListView, List, ListView, Map, RunEndEncoded, Struct,
        Union,
    };
    Some(match (left, right) {
        (List(x), List(y)) => List(widen_field(x, y, stored)?),
        (LargeList(x), LargeList(y)) => LargeList(widen_field(x, y, stored)?),
        (ListView(x), ListView(y)) => ListView(widen_field(x, y, stored)?),
        (LargeListView(x), LargeListView(y)) => LargeListView(widen_field(x, y, stored)?),
        (FixedSizeList(x, size), FixedSizeList(y, other)) if size == other => {
            FixedSizeList(widen_field(x, y, stored)?, *size)
        }
        (Map(x, sorted), Map(y, also)) if sorted == also => Map(widen_field(x, y, stored)?, *sorted),
        (Struct(x), Struct(y)) if x.len() == y.len() => {
            Struct(x.iter().zip(y).map(|(x, y)| widen_field(x, y, stored)).collect::<Option<Fields>>()?)
        }
        (Union(x, mode), Union(y, other)) if mode == other && x.len() == y.len() => {
            let pairs = x.iter().zip(y.iter()).map(|((id, x), (other, y))| {
                if id == other { widen_field(x, y, stored).map(|field| (id, field)) } else { None }
            });
            Union(pairs.collect::<Option<UnionFields>>()?, *mode)
        }
        (RunEndEncoded(ends, x), RunEndEncoded(others, y)) => {
            RunEndEncoded(widen_field(ends, others, stored)?, widen_field(x, y, stored)?)
        }
        (Dictionary(key, x), Dictionary(other, y)) => {
            let key = widen_key(key, other, stored)?;
            Dictionary(Box::new(key.clone()), Box::new(widen_type(x, y, stored)?))
        }
        (left, right) if left == right => left.clone(),
        _ => return None,
    })
}

/// Keys that count as many values as either.
fn widen_key<'a>(left: &'a DataType, right: &'a DataType, stored: Stored) -> Option<&'a DataType> {
    const BY_WIDTH: [DataType; 8] = [
        DataType::Int8,
        DataType::UInt8,
        DataType::Int16,
        DataType::UInt16,
        DataType::Int32,
        DataType::UInt32,
        DataType::Int64,
        DataType::UInt64,
    ];
    let width = |key: &DataType| BY_WIDTH.iter().position(|known| known == key);
    match stored {
        Stored::AsTheyLie => (left == right).then_some(left),
        Stored::Decoded => Some(if width(left)? < width(right)? { right } else { left }),
    }
}

fn write_fields(out: &mut String, fields: &Fields) {
    out.push('(');
    fields.iter().for_each(|field| write_field(out, field));
    out.push(')');
}

/// Names carry their length, so that no name can imitate structure.
fn write_field(out: &mut String, field: &Field) {
    let name = field.name();
    put(out, format_args!("{}:{name}{}", name.len(), if field.is_nullable() { '?' } else { '!' }));
    write_type(out, field.data_type());
    out.push(';');
}

fn write_type(out: &mut String, data_type: &DataType) {
    match data_type {
        DataType::Null => out.push_str("null"),
        DataType::Boolean => out.push_str("bool"),
        DataType::Int8 => out.push_str("i8"),
        DataType::Int16 => out.push_str("i16"),
        DataType::Int32 => out.push_str("i32"),
        DataType::Int64 => out.push_str("i64"),
        DataType::UInt8 => out.push_str("u8"),
        DataType::UInt16 => out.push_str("u16"),
        DataType::UInt32 => out.push_str("u32"),
        DataType::UInt64 => out.push_str("u64"),
        DataType::Float16 => out.push_str("f16"),
        DataType::Float32 => out.push_str("f32"),
        DataType::Float64 => out.push_str("f64"),
        DataType::Timestamp(unit, None) => put(out, format_args!("timestamp[{}]", unit_name(*unit))),
        DataType::Timestamp(unit, Some(zone)) => {
            put(out, format_args!("timestamp[{},{}:{zone}]", unit_name(*unit), zone.len()));
        }
        DataType::Date32 => out.push_str("date32"),
        DataType::Date64 => out.push_str("date64"),
        DataType::Time32(unit) => put(out, format_args!("time32[{}]", unit_name(*unit))),
        DataType::Time64(unit) => put(out, format_args!("time64[{}]", unit_name(*unit))),
        DataType::Duration(unit) => put(out, format_args!("duration[{}]", unit_name(*unit))),
        DataType::Interval(unit) => put(out, format_args!("interval[{}]", interval_name(*unit))),
        DataType::Binary => out.push_str("binary"),
        DataType::FixedSizeBinary(width) => put(out, format_args!("binary[{width}]")),
        DataType::LargeBinary => out.push_str("large_binary"),
        DataType::BinaryView => out.push_str("binary_view"),
        DataType::Utf8 => out.push_str("utf8"),
        DataType::LargeUtf8 => out.push_str("large_utf8"),
        DataType::Utf8View => out.push_str("utf8_view"),
        DataType::Decimal32(precision, scale) => put(out, format_args!("decimal32[{precision},{scale}]")),
        DataType::Decimal64(precision, scale) => put(out, format_args!("decimal64[{precision},{scale}]")),
        DataType::Decimal128(precision, scale) => put(out, format_args!("decimal128[{precision},{scale}]")),
        DataType::Decimal256(precision, scale) => put(out, format_args!("decimal256[{precision},{scale}]")),
        nested => write_nested(out, nested),
    }
}

fn write_nested(out: &mut String, data_type: &DataType) {
    let mut one = |name: &str, field: &Field| {
        out.push_str(name);
        out.push('(');
        write_field(out, field);
        out.push(')');
    };
    match data_type {
        DataType::List(item) => one("list", item),
        DataType::LargeList(item) => one("large_list", item),
        DataType::ListView(item) => one("list_view", item),
        DataType::LargeListView(item) => one("large_list_view", item),
        DataType::FixedSizeList(item, size) => one(&format!("list[{size}]"), item),
        DataType::Map(entries, sorted) => one(if *sorted { "sorted_map" } else { "map" }, entries),
        DataType::Struct(fields) => {
            out.push_str("struct");
            write_fields(out, fields);
        }
        DataType::RunEndEncoded(ends, values) => {
            one("run_ends", ends);
            one("values", values);
        }
        DataType::Dictionary(key, value) => {
            out.push_str("dictionary(");
            write_type(out, key);
            out.push(',');
            write_type(out, value);
            out.push(')');
        }
        DataType::Union(fields, mode) => {
            out.push_str(if *mode == UnionMode::Dense { "dense_union(" } else { "sparse_union(" });
            for (id, field) in fields.iter() {
                put(out, format_args!("{id}="));
                write_field(out, field);
            }
            out.push(')');
        }
        // Every other type was written by `write_type`; a new one must still tell itself apart.
        other => put(out, format_args!("{other}")),
    }
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(arguments);
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn interval_name(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::YearMonth => "year_month",
        IntervalUnit::DayTime => "day_time",
        IntervalUnit::MonthDayNano => "month_day_nano",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn schema(fields: Vec<Field>) -> Schema {
        Schema::new(fields)
    }

    fn merged(a: &Schema, b: &Schema) -> Result<Schema> {
        merge((Path::new("a.arrow"), a), (Path::new("b.arrow"), b), Stored::AsTheyLie)
    }

    fn list_of(nullable: bool) -> DataType {
        DataType::List(Arc::new(Field::new("item", DataType::Int32, nullable)))
    }

    #[test]
    fn nullability_at_any_depth_is_joined() {
        let strict =
            schema(vec![Field::new("x", list_of(false), true), Field::new("y", DataType::Utf8, false)]);
        let loose =
            schema(vec![Field::new("x", list_of(true), false), Field::new("y", DataType::Utf8, true)]);
        let wanted =
            schema(vec![Field::new("x", list_of(true), true), Field::new("y", DataType::Utf8, true)]);
        assert_eq!(merged(&strict, &loose).unwrap(), wanted);
        assert_eq!(merged(&loose, &strict).unwrap(), wanted);
    }

    #[test]
    fn metadata_never_matters_and_the_first_wins() {
        let note = |text: &str| HashMap::from([("k".to_owned(), text.to_owned())]);
        let field = |text: &str| Field::new("x", DataType::Int8, true).with_metadata(note(text));
        let a = Schema::new_with_metadata(vec![field("1")], note("1"));
        let b = Schema::new_with_metadata(vec![field("2")], note("2"));
        assert_eq!(merged(&a, &b).unwrap(), a);
        assert_eq!(canonical(&a), canonical(&b));
    }

    #[test]
    fn joined_columns_are_sorted_after_the_first_and_bounded() {
        let of = |names: &[&str]| {
            schema(names.iter().map(|name| Field::new(*name, DataType::BinaryView, true)).collect())
        };
        let joined = |a: &Schema, b: &Schema| join((Path::new("a.tar"), a), (Path::new("b.tar"), b));
        assert_eq!(
            joined(&of(&["key", "b", "d"]), &of(&["key", "a", "b"])).unwrap(),
            of(&["key", "a", "b", "d"])
        );
        assert_eq!(joined(&of(&["key"]), &of(&["key", "a"])).unwrap(), of(&["key", "a"]));
        let many: Vec<String> = (0..MAX_EXTENSIONS).map(|number| number.to_string()).collect();
        let many: Vec<&str> = std::iter::once("key").chain(many.iter().map(String::as_str)).collect();
        let text = joined(&of(&many), &of(&["key", "one"])).unwrap_err().to_string();
        assert!(text.contains("more than 1000 columns") && text.contains("a.tar and b.tar"), "{text}");
    }

    #[test]
    fn differences_name_both_files_the_column_and_both_types() {
        let x = |data_type| Field::new("x", data_type, true);
        let y = Field::new("y", DataType::Int8, true);
        let cases = [
            (vec![x(DataType::Int32)], vec![x(DataType::Int64)], vec!["\"x\"", "Int32", "Int64"]),
            (
                vec![x(DataType::Int32), y.clone()],
                vec![x(DataType::Int32)],
                vec!["\"y\"", "Int8", "no such column"],
            ),
            (
                vec![x(DataType::Int32)],
                vec![x(DataType::Int32), y.clone()],
                vec!["\"y\"", "no such column against Int8"],
            ),
            (vec![x(DataType::Int8), y.clone()], vec![y, x(DataType::Int8)], vec!["another order"]),
            (
                vec![x(DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)))],
                vec![x(DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8)))],
                vec!["Int8", "Int16"],
            ),
        ];
        for (a, b, parts) in cases {
            let error = merged(&schema(a), &schema(b)).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::SchemaMismatch { path: Some(_), .. }));
            for part in parts.iter().chain(&["a.arrow", "b.arrow"]) {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
    }

    #[test]
    fn dictionary_keys_are_widened_where_blocks_are_decoded() {
        let of = |keys: DataType| {
            let words = DataType::Dictionary(Box::new(keys), Box::new(DataType::Utf8));
            let item = Arc::new(Field::new("element", words.clone(), true));
            schema(vec![Field::new("x", words, true), Field::new("y", DataType::List(item), true)])
        };
        let decoded = |a: &Schema, b: &Schema| {
            merge((Path::new("a.parquet"), a), (Path::new("b.parquet"), b), Stored::Decoded).unwrap()
        };
        for (one, other, wide) in [
            (DataType::Int8, DataType::Int16, DataType::Int16),
            (DataType::UInt8, DataType::Int8, DataType::UInt8),
            (DataType::Int64, DataType::UInt32, DataType::Int64),
        ] {
            assert_eq!(decoded(&of(one.clone()), &of(other.clone())), of(wide));
            assert!(merged(&of(one), &of(other)).is_err(), "what lies in a file is as it is");
        }
    }

    #[test]
    fn the_canonical_text_is_pinned() {
        let union = UnionFields::try_new(vec![3], vec![Field::new("u", DataType::Utf8, true)]).unwrap();
        let nested = schema(vec![
            Field::new("a;b", list_of(true), false),
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new(
                "s",
                DataType::Struct(Fields::from(vec![Field::new("f", DataType::Float16, true)])),
                true,
            ),
            Field::new("u", DataType::Union(union, UnionMode::Dense), true),
            Field::new("d", DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), true),
        ]);
        assert_eq!(
            canonical(&nested),
            "(3:a;b!list(4:item?i32;);1:t?timestamp[us,3:UTC];1:s?struct(1:f?f16;);\
             1:u?dense_union(3=1:u?utf8;);1:d?dictionary(i8,utf8);)"
        );
    }
}
