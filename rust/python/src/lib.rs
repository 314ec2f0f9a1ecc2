//! rowmill._rust
