//! Options of `gatepost access-key`.

use clap::{Args, Subcommand, ValueEnum};
use gatepost_domain::record::Role;

use super::resources::{ListOptions, ResourceOutput};

#[derive(Debug, Args)]
pub(crate) struct AccessKeyOptions {
    #[command(subcommand)]
    pub(crate) command: AccessKeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyCommand {
    /// Create an access key and print it once. On an empty store this also creates the store
    Create(CreateAccessKey),
    /// List the access keys of all accounts, without their values
    List(ListAccessKeys),
    /// Revoke an access key. The last one with which an admin can manage its account is protected
    Revoke(RevokeAccessKey),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CreateAccessKey {
    /// Account by name or id; created if no account has that name [default: the only account]
    #[arg(long, value_name = "NAME")]
    pub(crate) account_name: Option<String>,
    /// Only project that the key can access [default: all projects of the account]
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Role of the key
    #[arg(long, value_enum, default_value_t = RoleName::Admin)]
    pub(crate) role: RoleName,
    /// Name of the key
    #[arg(long, default_value = "command line")]
    pub(crate) name: String,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ListAccessKeys {
    #[command(flatten)]
    pub(crate) list: ListOptions,
    /// Output format
    #[arg(long, value_enum, default_value_t = ResourceOutput::Table)]
    pub(crate) output: ResourceOutput,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeAccessKey {
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Also revoke the last access key with which an admin can manage its account
    #[arg(long)]
    pub(crate) allow_last: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleName {
    Admin,
    User,
    Viewer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::User => Self::User,
            RoleName::Viewer => Self::Viewer,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}
