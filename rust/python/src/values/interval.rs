//! Calendar intervals as `pyarrow.MonthDayNano`.

use arrow_array::types::{
    IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalYearMonthType,
};
use arrow_schema::{DataType, IntervalUnit};
use pyo3::intern;
use pyo3::prelude::*;

use super::convert::{Converter, Made, Make};

const NANOS_PER_MILLI: i64 = 1_000_000;

/// The converter of an interval type.
///
/// pyarrow has no Python value for the two older intervals; they become the same triple.
pub fn compile(py: Python<'_>, data_type: &DataType) -> PyResult<Option<Converter>> {
    let DataType::Interval(unit) = data_type else { return Ok(None) };
    let make = Triple(py.import(intern!(py, "pyarrow"))?.getattr(intern!(py, "MonthDayNano"))?.unbind());
    Ok(Some(match unit {
        IntervalUnit::YearMonth => Made::<IntervalYearMonthType, _>::boxed(make),
        IntervalUnit::DayTime => Made::<IntervalDayTimeType, _>::boxed(make),
        IntervalUnit::MonthDayNano => Made::<IntervalMonthDayNanoType, _>::boxed(make),
    }))
}

struct Triple(Py<PyAny>);

impl Triple {
    fn of<'py>(&self, py: Python<'py>, months: i32, days: i32, nanos: i64) -> PyResult<Bound<'py, PyAny>> {
        self.0.bind(py).call1(((months, days, nanos),))
    }
}

impl Make<i32> for Triple {
    fn make<'py>(&self, py: Python<'py>, months: i32) -> PyResult<Bound<'py, PyAny>> {
        self.of(py, months, 0, 0)
    }
}

impl Make<IntervalDayTime> for Triple {
    fn make<'py>(&self, py: Python<'py>, native: IntervalDayTime) -> PyResult<Bound<'py, PyAny>> {
        self.of(py, 0, native.days, i64::from(native.milliseconds) * NANOS_PER_MILLI)
    }
}

impl Make<IntervalMonthDayNano> for Triple {
    fn make<'py>(&self, py: Python<'py>, native: IntervalMonthDayNano) -> PyResult<Bound<'py, PyAny>> {
        self.of(py, native.months, native.days, native.nanoseconds)
    }
}
