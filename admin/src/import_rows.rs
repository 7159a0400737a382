//! Rows of files to import: the members of the body that creates a key, and a hash in place of the value.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use gatepost_control_plane::{Failure, ImportRow};
use serde::Deserialize;
use serde_json::Value;

use crate::api;
use crate::api::routes::api_keys::schemas::CreateApiKey;
use crate::http::member_types::path_text;
use crate::http::members::Members;

/// Unknown members that are listed; beyond, one line says that there are more.
const MAX_UNKNOWN: usize = 50;

/// The members of a row.
static MEMBERS: LazyLock<Members> =
    LazyLock::new(|| api::schema_members().of::<CreateApiKey>().clone().with_any("sha256"));

/// Collects the unknown members of rows, each once, up to 50.
#[derive(Debug, Default)]
pub struct UnknownRowMembers(Mutex<BTreeMap<String, String>>);

#[derive(Deserialize)]
struct Row {
    sha256: Option<String>,
    #[serde(flatten)]
    new: CreateApiKey,
}

/// Parses a row.
///
/// # Errors
/// If a member has another type than in the body that creates a key.
pub fn parse_import_row(row: Value) -> Result<ImportRow, Failure> {
    let row = Row::deserialize(&row).map_err(|_| type_mismatch(&row))?;
    Ok(ImportRow { key: row.new.into(), sha256: row.sha256 })
}

impl UnknownRowMembers {
    /// Records the unknown members of a row.
    ///
    /// # Errors
    /// If there is a list in place of an object.
    pub fn record(&self, row: &Value) -> Result<(), Failure> {
        let unknown = MEMBERS.unknown_in(row).map_err(|list| Failure::invalid(list.to_string()))?;
        if unknown.is_empty() {
            return Ok(());
        }
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for member in unknown {
            if recorded.len() <= MAX_UNKNOWN {
                recorded.entry(member.path()).or_insert_with(|| member.to_string());
            }
        }
        Ok(())
    }

    /// Returns a line for each, with a similar known member if there is one.
    pub fn lines(&self) -> Vec<String> {
        let recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = (recorded.len() > MAX_UNKNOWN).then(|| "there are more unknown members".to_owned());
        recorded.values().take(MAX_UNKNOWN).cloned().chain(rest).collect()
    }
}

/// Returns a refusal that does not repeat the value, which may be a key.
fn type_mismatch(row: &Value) -> Failure {
    match api::schema_members().type_error::<CreateApiKey>(row) {
        Some((path, expected)) => Failure::invalid(format!("{}: must be {expected}", path_text(&path))),
        None => Failure::invalid("a member has another type than it has in the body that makes a key"),
    }
}
