#![forbid(unsafe_code)]
//! The program `hikyaku`: everything is in the library, `hikyaku --help` lists the commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    hikyaku::app::main()
}
