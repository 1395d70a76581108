#![forbid(unsafe_code)]
//! The program `hikyaku`: everything is in the library, `hikyaku --help` lists the commands.

use std::process::ExitCode;

/// Bodies are made on one thread and freed on another, which costs glibc's allocator a fifth of a delivery
/// (docs/decisions/0013).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hikyaku::app::main()
}
