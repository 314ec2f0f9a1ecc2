//! Dates, times, timestamps and durations as the `datetime` module's objects.
//!
//! Nanoseconds become pandas objects where pandas is importable, as pyarrow does; without it
//! they become `datetime` objects, and what does not fit in microseconds is an error.

use arrow_array::types::{
    Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_schema::{DataType, TimeUnit};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDateTime, PyDelta, PyDict, PyTime, PyTzInfo};

use super::convert::{Converter, Made, Make};
use super::timezone::Zone;

const SECONDS_PER_DAY: i64 = 86_400;
const MILLIS_PER_DAY: i64 = 86_400_000;
/// Days since 1970-01-01 of 0001-01-01 and 9999-12-31, the ends of Python's calendar.
const PYTHON_DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
const MAX_DELTA_DAYS: i64 = 999_999_999;

/// The converter of a temporal type.
pub fn compile(py: Python<'_>, data_type: &DataType) -> PyResult<Option<Converter>> {
    Ok(Some(match data_type {
        DataType::Date32 => Made::<Date32Type, _>::boxed(Date { units_per_day: 1 }),
        DataType::Date64 => Made::<Date64Type, _>::boxed(Date { units_per_day: MILLIS_PER_DAY }),
        DataType::Time32(TimeUnit::Second) => Made::<Time32SecondType, _>::boxed(Time::SECOND),
        DataType::Time32(_) => Made::<Time32MillisecondType, _>::boxed(Time::MILLI),
        DataType::Time64(TimeUnit::Nanosecond) => {
            Made::<Time64NanosecondType, _>::boxed(Time { per_second: NANO, truncates: pandas(py).is_some() })
        }
        DataType::Time64(_) => Made::<Time64MicrosecondType, _>::boxed(Time::MICRO),
        DataType::Timestamp(unit, zone) => timestamp(py, *unit, zone.as_deref())?,
        DataType::Duration(unit) => duration(py, *unit)?,
        _ => return Ok(None),
    }))
}

fn timestamp(py: Python<'_>, unit: TimeUnit, zone: Option<&str>) -> PyResult<Converter> {
    let zone = zone.filter(|name| !name.is_empty()).map(|name| Zone::find(py, name)).transpose()?;
    Ok(match unit {
        TimeUnit::Second => Made::<TimestampSecondType, _>::boxed(Timestamp { per_second: 1, zone }),
        TimeUnit::Millisecond => {
            Made::<TimestampMillisecondType, _>::boxed(Timestamp { per_second: MILLI, zone })
        }
        TimeUnit::Microsecond => {
            Made::<TimestampMicrosecondType, _>::boxed(Timestamp { per_second: MICRO, zone })
        }
        TimeUnit::Nanosecond => match pandas(py) {
            Some(pandas) => {
                let make = PandasTimestamp::new(pandas.getattr(intern!(py, "Timestamp"))?, zone)?;
                Made::<TimestampNanosecondType, _>::boxed(make)
            }
            None => Made::<TimestampNanosecondType, _>::boxed(Timestamp { per_second: NANO, zone }),
        },
    })
}

fn duration(py: Python<'_>, unit: TimeUnit) -> PyResult<Converter> {
    Ok(match unit {
        TimeUnit::Second => Made::<DurationSecondType, _>::boxed(Duration { per_second: 1 }),
        TimeUnit::Millisecond => Made::<DurationMillisecondType, _>::boxed(Duration { per_second: MILLI }),
        TimeUnit::Microsecond => Made::<DurationMicrosecondType, _>::boxed(Duration { per_second: MICRO }),
        TimeUnit::Nanosecond => match pandas(py) {
            Some(pandas) => {
                let make = PandasTimestamp::new(pandas.getattr(intern!(py, "Timedelta"))?, None)?;
                Made::<DurationNanosecondType, _>::boxed(make)
            }
            None => Made::<DurationNanosecondType, _>::boxed(Duration { per_second: NANO }),
        },
    })
}

const MILLI: i64 = 1_000;
const MICRO: i64 = 1_000_000;
const NANO: i64 = 1_000_000_000;

/// Imported only for a column of nanoseconds: it takes half a second.
fn pandas(py: Python<'_>) -> Option<Bound<'_, PyModule>> {
    py.import(intern!(py, "pandas")).ok()
}

struct Date {
    units_per_day: i64,
}

impl<N: Into<i64>> Make<N> for Date {
    fn make<'py>(&self, py: Python<'py>, native: N) -> PyResult<Bound<'py, PyAny>> {
        let (year, month, day) = calendar(native.into().div_euclid(self.units_per_day))?;
        Ok(PyDate::new(py, year, month, day)?.into_any())
    }
}

struct Time {
    per_second: i64,
    /// Whether nanoseconds are dropped, as pandas does, instead of refused.
    truncates: bool,
}

impl Time {
    const SECOND: Self = Self { per_second: 1, truncates: false };
    const MILLI: Self = Self { per_second: MILLI, truncates: false };
    const MICRO: Self = Self { per_second: MICRO, truncates: false };
}

impl<N: Into<i64>> Make<N> for Time {
    fn make<'py>(&self, py: Python<'py>, native: N) -> PyResult<Bound<'py, PyAny>> {
        let moment = Moment::new(native.into(), self.per_second, self.truncates)?;
        let (hour, minute, second) = moment.clock();
        Ok(PyTime::new(py, hour, minute, second, moment.micros, None)?.into_any())
    }
}

struct Timestamp {
    per_second: i64,
    zone: Option<Zone>,
}

impl Make<i64> for Timestamp {
    fn make<'py>(&self, py: Python<'py>, native: i64) -> PyResult<Bound<'py, PyAny>> {
        let moment = Moment::new(native, self.per_second, false)?;
        match &self.zone {
            None => Ok(moment.datetime(py, None)?.into_any()),
            Some(zone) => {
                let utc = PyTzInfo::utc(py)?;
                zone.localize(py, &moment.datetime(py, Some(&utc))?.into_any())
            }
        }
    }
}

/// `pandas.Timestamp` or `pandas.Timedelta`, called with the nanoseconds.
struct PandasTimestamp {
    class: Py<PyAny>,
    keywords: Py<PyDict>,
    zone: Option<Zone>,
}

impl PandasTimestamp {
    fn new(class: Bound<'_, PyAny>, zone: Option<Zone>) -> PyResult<Self> {
        let py = class.py();
        let keywords = PyDict::new(py);
        keywords.set_item("unit", "ns")?;
        if let Some(Zone::Known(tzinfo)) = &zone {
            keywords.set_item("tz", tzinfo)?;
        }
        Ok(Self { class: class.unbind(), keywords: keywords.unbind(), zone })
    }
}

impl Make<i64> for PandasTimestamp {
    fn make<'py>(&self, py: Python<'py>, native: i64) -> PyResult<Bound<'py, PyAny>> {
        if let Some(zone) = &self.zone {
            zone.tzinfo(py)?;
        }
        self.class.bind(py).call((native,), Some(self.keywords.bind(py)))
    }
}

struct Duration {
    per_second: i64,
}

impl Make<i64> for Duration {
    fn make<'py>(&self, py: Python<'py>, native: i64) -> PyResult<Bound<'py, PyAny>> {
        let (days, seconds, micros) = split(native, self.per_second, false)?;
        if days.abs() > MAX_DELTA_DAYS {
            return Err(PyOverflowError::new_err(format!(
                "days={days}; must have magnitude <= {MAX_DELTA_DAYS}"
            )));
        }
        Ok(PyDelta::new(py, days as i32, seconds as i32, micros as i32, true)?.into_any())
    }
}

/// A moment on Python's proleptic calendar.
struct Moment {
    date: (i32, u8, u8),
    second_of_day: u32,
    micros: u32,
}

impl Moment {
    fn new(value: i64, per_second: i64, truncates: bool) -> PyResult<Self> {
        let (days, second_of_day, micros) = split(value, per_second, truncates)?;
        Ok(Self { date: calendar(days)?, second_of_day, micros })
    }

    fn clock(&self) -> (u8, u8, u8) {
        let second = self.second_of_day;
        ((second / 3600) as u8, (second / 60 % 60) as u8, (second % 60) as u8)
    }

    fn datetime<'py>(
        &self,
        py: Python<'py>,
        zone: Option<&Bound<'py, PyTzInfo>>,
    ) -> PyResult<Bound<'py, PyDateTime>> {
        let (year, month, day) = self.date;
        let (hour, minute, second) = self.clock();
        PyDateTime::new(py, year, month, day, hour, minute, second, self.micros, zone)
    }
}

/// Whole days, seconds of the day and microseconds of the second.
fn split(value: i64, per_second: i64, truncates: bool) -> PyResult<(i64, u32, u32)> {
    let seconds = value.div_euclid(per_second);
    let fraction = value.rem_euclid(per_second);
    if per_second == NANO && !truncates && fraction % 1000 != 0 {
        return Err(PyValueError::new_err(format!(
            "{value} ns does not fit in microseconds; install pandas to get nanoseconds"
        )));
    }
    let micros = if per_second == NANO { fraction / 1000 } else { fraction * (MICRO / per_second) };
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    Ok((seconds.div_euclid(SECONDS_PER_DAY), second_of_day as u32, micros as u32))
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last of a year.
fn calendar(days: i64) -> PyResult<(i32, u8, u8)> {
    if !PYTHON_DAYS.contains(&days) {
        return Err(PyOverflowError::new_err("date value out of range"));
    }
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Ok((year as i32, month as u8, day as u8))
}
