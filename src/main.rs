#![forbid(unsafe_code)]
//! hikyaku.
fn main() {}
