//! Arrow's time zone names as Python `tzinfo` objects, by pyarrow's rules.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDelta, PyTzInfo};

/// The zone of a timestamp column.
///
/// An unknown name is an error of the first value, not of the column: rows that do not hold
/// one, and columns that are not read, stay usable.
pub enum Zone {
    /// `Europe/Berlin`, `UTC`, `+02:00`.
    Known(Py<PyAny>),
    /// Neither an offset nor in the time zone database.
    Unknown(String),
}

impl Zone {
    /// Looks the name up: an offset, then `zoneinfo`, then `pytz` if it is there.
    pub fn find(py: Python<'_>, name: &str) -> PyResult<Self> {
        if let Some(minutes) = offset_minutes(name) {
            let delta = PyDelta::new(py, 0, minutes * 60, 0, true)?;
            return Ok(Self::Known(PyTzInfo::fixed_offset(py, delta)?.into_any().unbind()));
        }
        for (module, class) in [("zoneinfo", "ZoneInfo"), ("pytz", "timezone")] {
            let found = py.import(module).and_then(|module| module.getattr(class)?.call1((name,)));
            if let Ok(zone) = found {
                return Ok(Self::Known(zone.unbind()));
            }
        }
        Ok(Self::Unknown(name.to_owned()))
    }

    /// The `tzinfo`, or the error that names the missing zone.
    pub fn tzinfo<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        match self {
            Self::Known(zone) => Ok(zone.bind(py)),
            Self::Unknown(name) => Err(PyValueError::new_err(format!(
                "time zone {name:?} is not in the time zone database; install tzdata or mend the schema"
            ))),
        }
    }

    /// The moment `utc`, which is aware, on this zone's clock.
    pub fn localize<'py>(&self, py: Python<'py>, utc: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        utc.call_method1(intern!(py, "astimezone"), (self.tzinfo(py)?,))
    }
}

/// Minutes east of UTC of `+HH:MM` or `-HH:MM`.
fn offset_minutes(name: &str) -> Option<i32> {
    let (sign, digits) = match *name.as_bytes() {
        [b'+', h1, h2, b':', m1, m2] => (1, [h1, h2, m1, m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [h1, h2, m1, m2]),
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let [h1, h2, m1, m2] = digits.map(|digit| i32::from(digit - b'0'));
    let (hours, minutes) = (h1 * 10 + h2, m1 * 10 + m2);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}
