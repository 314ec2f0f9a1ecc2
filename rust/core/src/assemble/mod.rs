//! (being written)

pub mod pool;
