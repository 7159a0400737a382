//! `gatepost check`: tells all that is wrong with a configuration.

use crate::cli::{CheckOptions, Options};

/// Every key with its meaning and default.
const DEFAULT_FILE: &str = include_str!("../../gatepost.default.toml");

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) fn run(options: &Options, check: &CheckOptions) -> anyhow::Result<()> {
    if check.print_default {
        print!("{DEFAULT_FILE}");
        return Ok(());
    }
    let config = super::load_and_tell(options)?;
    println!("the configuration is good: store {}, {} routes", config.store.url, config.gateway.routes.len());
    Ok(())
}
