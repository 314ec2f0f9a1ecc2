//! What the parquet crate reports, as one sentence and as one of our errors.

use std::fmt::Display;

use parquet::errors::ParquetError;

use crate::error::Error;
use crate::shard::site::Site;

/// Names of the layers that an error went through: each wraps the text of the one below.
const LAYERS: [&str; 11] = [
    "External: ",
    "External error: ",
    "Parquet argument error: ",
    "Parquet error: ",
    "Invalid argument error: ",
    "Compute error: ",
    "Schema error: ",
    "Cast error: ",
    "Io error: ",
    "Arrow: ",
    "EOF: ",
];

/// How the crate begins what it does not do.
const NOT_YET: [&str; 2] = ["NYI: ", "Not yet implemented: "];

/// The problem alone, on one line.
pub(super) fn sentence(error: &impl Display) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = text.as_str();
    while let Some(inner) = LAYERS.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    rest.to_owned()
}

/// The error of a column whose pages were not decoded.
pub(super) fn of_column(name: &str, error: &ParquetError, site: &Site<'_>) -> Error {
    let problem = sentence(error);
    if let Some(problem) = NOT_YET.iter().find_map(|word| problem.strip_prefix(word)) {
        return site.unsupported(format!("column {name:?} is written in a way that is not read: {problem}"));
    }
    if problem.contains("dictionary key overflow") {
        return site.unsupported(format!(
            "column {name:?} has more different values in a row group than its dictionary's keys count, which pyarrow does \
             not read either; write it with wider keys"
        ));
    }
    damaged_column(name, &problem, site)
}

/// The error of a column whose bytes are not what they should be.
pub(super) fn damaged_column(name: &str, problem: &str, site: &Site<'_>) -> Error {
    site.corrupt(format!("column {name:?}: {problem}; write or download the file again"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow_schema::ArrowError;

    use super::*;

    fn site() -> Site<'static> {
        Site { path: Path::new("x.parquet"), offset: 4, block: Some(2) }
    }

    /// As the crate hands it on: through its own reader, the array reader and the record batch reader.
    fn wrapped(inner: ParquetError) -> ParquetError {
        let outer = ParquetError::from(std::io::Error::other(inner));
        ParquetError::from(ArrowError::from(outer))
    }

    #[test]
    fn an_error_through_all_layers_is_one_sentence() {
        let error = wrapped(ParquetError::General("a page header does not end\n  in its chunk".to_owned()));
        assert!(error.to_string().starts_with("External: Parquet argument error: External: Parquet error: "));
        let text = of_column("text", &error, &site()).to_string();
        assert_eq!(
            text,
            "x.parquet is damaged, block 2, byte 4: column \"text\": a page header does not end in its chunk; write or \
             download the file again"
        );
    }

    #[test]
    fn what_is_not_read_is_no_damage() {
        let error = of_column("x", &wrapped(ParquetError::NYI("encoding 9".to_owned())), &site());
        assert!(
            matches!(&error, Error::Unsupported { .. })
                && error.to_string().ends_with("not read: encoding 9")
        );
        let error =
            of_column("x", &wrapped(ParquetError::General("dictionary key overflow".to_owned())), &site());
        assert!(matches!(&error, Error::Unsupported { .. }) && error.to_string().contains("wider keys"));
    }
}
