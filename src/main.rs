//! The command line. What each command does is in [`steward::cli`]; this file only hands over.

use std::process::ExitCode;

use clap::Parser;
use steward::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
