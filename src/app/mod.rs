//! The commands, put together: each one makes the parts that the modules below offer, joins them, and runs them to an end.
//!
//! This is the outermost layer: it may import everything, and nobody imports it but `main`.

pub mod demo;
