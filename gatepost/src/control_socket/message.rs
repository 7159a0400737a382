//! Messages of the control socket. Each is one line of JSON.

use std::path::PathBuf;

use gatepost_control_plane::{AccountOutcome, OperatorAccessKeys, Tally};
use gatepost_wire::AccessKeyResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dashboard_url::SignInLink;
use crate::import::{ImportReport, ImportRequest};

/// Value of `account_was` for an account that was created in addition to existing ones.
pub(crate) const ACCOUNT_ADDED: &str = "added";

/// Request of the command line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    CreateAccessKey {
        account_name: Option<String>,
        project: Option<String>,
        role: String,
        name: String,
    },
    ListAccessKeys {
        after: Option<String>,
        limit: usize,
    },
    RevokeAccessKey {
        id: String,
        #[serde(default)]
        allow_last: bool,
    },
    CreateSignInLink {
        access_key: Option<String>,
    },
    Backup {
        file: PathBuf,
    },
    Import(ImportRequest),
    Purge {
        inactive_for_s: u64,
        dry_run: bool,
    },
    UpgradeStore {
        format: u32,
    },
    Reload {
        wait: bool,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) enum Response {
    Created(CreatedAccessKey),
    AccessKeys(AccessKeyPage),
    Revoked,
    SignInLink(SignInLink),
    BackedUp {
        bytes: u64,
    },
    Imported(ImportReport),
    Purged {
        api_keys: PurgedRecords,
        access_keys: PurgedRecords,
    },
    StoreUpgraded {
        checked: u64,
        rewritten: u64,
        unreadable: u64,
        unreadable_ids: Vec<String>,
        counted: u64,
    },
    /// The keys of the settings that take effect with a restart.
    Reloaded {
        need_restart: Vec<String>,
    },
    Failed(String),
}

/// Purge counts of one kind of record.
#[derive(Serialize, Deserialize)]
pub(super) struct PurgedRecords {
    seen: u64,
    removed: u64,
}

impl From<Tally> for PurgedRecords {
    fn from(Tally { seen, removed }: Tally) -> Self {
        Self { seen, removed }
    }
}

impl From<PurgedRecords> for Tally {
    fn from(PurgedRecords { seen, removed }: PurgedRecords) -> Self {
        Self { seen, removed }
    }
}

/// Created access key, as the command line prints it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedAccessKey {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) role: String,
    /// `there`, `first` or `added`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) account_was: String,
    /// Other accounts, for the warning that the account was created in addition to them. It is not printed as JSON.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) other_accounts: String,
}

/// Access keys, each as the command line prints it, and the cursor of those after them.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccessKeyPage {
    pub(crate) rows: Vec<Value>,
    pub(crate) next: Option<String>,
}

impl AccessKeyPage {
    /// Builds the rows: the members of an access key in the admin API, and whether it is accepted.
    pub(crate) fn new(listed: OperatorAccessKeys) -> serde_json::Result<Self> {
        let rows = listed.access_keys.into_iter().map(|listed| {
            let mut row =
                serde_json::to_value(AccessKeyResource::new(&listed.access_key, listed.access_key.id.as_str()))?;
            row["accountName"] = listed.account_name.into();
            row["state"] = listed.state.as_str().into();
            Ok(row)
        });
        Ok(Self { rows: rows.collect::<serde_json::Result<_>>()?, next: listed.next })
    }
}

impl From<gatepost_control_plane::CreatedAccessKey> for CreatedAccessKey {
    fn from(created: gatepost_control_plane::CreatedAccessKey) -> Self {
        let access_key = created.access_key;
        let (account_was, other_accounts) = match created.account_outcome {
            AccountOutcome::Existing => ("there", String::new()),
            AccountOutcome::First => ("first", String::new()),
            AccountOutcome::Added { others } => (ACCOUNT_ADDED, others),
        };
        Self {
            key: created.secret.expose().to_owned(),
            id: access_key.id.to_string(),
            account_id: access_key.account.to_string(),
            project_id: access_key.project.map(|project| project.to_string()),
            role: access_key.role.as_str().to_owned(),
            account_was: account_was.to_owned(),
            other_accounts,
        }
    }
}
