//! Options of commands on whole stores.

use std::path::PathBuf;

use clap::Args;

use crate::config::parse_namespace;

#[derive(Debug, Args)]
pub(crate) struct StoreCopyOptions {
    /// Store to copy: embedded:PATH or redis://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// Empty directory, database or namespace for the copy: embedded:PATH or redis://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// Namespace of the store on Redis [default: store.namespace]
    #[arg(long, value_name = "NAME", value_parser = parse_namespace)]
    pub(crate) from_namespace: Option<String>,
    /// Namespace of the copy on Redis [default: store.namespace]
    #[arg(long, value_name = "NAME", value_parser = parse_namespace)]
    pub(crate) to_namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreOptions {
    /// Backup that `gatepost backup` has written
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
