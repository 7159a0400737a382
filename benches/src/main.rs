//! Benchmarks: what the program costs beside its peers, in every situation that matters. `cargo xtask bench` builds
//! it and starts it.

use clap::Parser;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", arg_required_else_help = true)]
struct Cli {}

fn main() {
    Cli::parse();
}
