//! Import of keys by value, or by the SHA-256 of their value.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use gatepost_domain::change::Action;
use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, KeyId, ProjectId};
use gatepost_domain::key::{self, ChecksumPolicy, KeyFormat, Secret};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{Actor, Project, Status};
use gatepost_store::{Change, CommitContext, RecordWrite};
use gatepost_store::{CommitOutcome, DisablesChecksum};

use super::api_keys::NewApiKey;
use super::run_mode::RunMode;
use crate::caller::Visibility;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result, both};
use crate::request_context::RequestContext;

/// Values that a dry run remembers, so that it counts one that comes again as the import would: 8 bytes each.
const MAX_REMEMBERED: usize = 1_000_000;
/// The mask of a key of which only the hash is known.
const HIDDEN_MASK: &str = "…";

#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The project of keys that name none.
    pub project: Option<String>,
    pub notify: Notify,
    pub mode: RunMode,
}

/// Notification of webhooks about imported keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Webhooks get `api-key.created`.
    Webhooks,
    /// Webhooks get nothing.
    Nobody,
}

/// The outcome for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It was created, or would be.
    Created,
    /// A key with its value existed before.
    AlreadyExists,
}

/// Imports keys one by one, any number concurrently.
pub struct Importer {
    control_plane: ControlPlane,
    by: ImportedBy,
    options: ImportOptions,
    projects: Mutex<HashMap<String, Project>>,
    /// Starts of the digests of keys that a dry run would have created.
    would_exist: Mutex<HashSet<[u8; 8]>>,
}

/// The initiator of an import.
enum ImportedBy {
    /// Who may import into all projects, as fast as the store can.
    Operator,
    /// Who may import into the projects that the caller sees.
    Caller(Box<RequestContext>),
}

impl ImportedBy {
    fn actor(&self) -> Actor {
        match self {
            ImportedBy::Operator => Actor::Operator,
            ImportedBy::Caller(context) => context.caller.actor(),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            ImportedBy::Operator => None,
            ImportedBy::Caller(context) => context.address,
        }
    }

    /// Returns whether it sees a project of an account.
    fn sees(&self, account: &AccountId, project: &ProjectId) -> bool {
        match self {
            ImportedBy::Operator => true,
            ImportedBy::Caller(context) => context.caller.visibility(account, project) == Visibility::Visible,
        }
    }
}

/// A key to import: a key to create, perhaps with a hash instead of the value.
pub struct ImportRow {
    pub key: NewApiKey,
    /// The SHA-256 of the value, in hex or base64.
    pub sha256: Option<String>,
}

/// The known part of a key's value.
enum KeySource {
    Value(Secret),
    Sha256([u8; 32]),
}

impl ControlPlane {
    /// Returns the importer of the operator, which imports into any project.
    pub fn importer(&self, options: ImportOptions) -> Importer {
        Importer {
            control_plane: self.clone(),
            by: ImportedBy::Operator,
            options,
            projects: Mutex::default(),
            would_exist: Mutex::default(),
        }
    }

    /// Returns the importer of a caller, which imports into the projects that the caller sees. Changes name the caller as
    /// their actor. Keys that name no project belong to that of the options, or to the only one that the caller sees.
    ///
    /// # Errors
    /// `forbidden` if the caller is no admin, `not-found` if it does not see the project of the options.
    pub async fn importer_for(&self, context: &RequestContext, options: ImportOptions) -> Result<Importer> {
        let caller = &context.caller;
        caller.require_admin()?;
        if let Some(named) = &options.project {
            self.project(context, named).await?;
        }
        let project = options.project.or_else(|| caller.project.as_ref().map(ToString::to_string));
        let by = ImportedBy::Caller(Box::new(context.without_precondition()));
        let options = ImportOptions { project, ..options };
        Ok(Importer {
            control_plane: self.clone(),
            by,
            options,
            projects: Mutex::default(),
            would_exist: Mutex::default(),
        })
    }
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Importer {
    /// Imports a key. A repeated import does nothing, as the id is derived from the value.
    ///
    /// # Errors
    /// `validation` if the row is not valid or its key was revoked, and failures of the store.
    pub async fn import(&self, row: ImportRow) -> Result<ImportOutcome> {
        let new = row.key;
        let source = parse_key_source(new.fields.key.clone().into_option(), row.sha256);
        let (source, project) = both(source, self.project(new.project.as_deref()).await)?;
        let store = &self.control_plane.store;
        let (mask, digest) = match &source {
            KeySource::Value(value) => (key::mask(value.expose()), store.envelope().digest(value.expose())),
            KeySource::Sha256(hash) => (HIDDEN_MASK.to_owned(), store.envelope().pepper().digest_of_sha256(hash)),
        };
        let id = KeyId::from_digest(&digest);
        let mut key = self.control_plane.build_key(self.by.actor(), &project, new, mask, digest)?;
        key.id = id.clone();
        if key.expires_at.is_some_and(|at| at <= self.control_plane.now()) {
            return self.import_expired(&digest).await;
        }
        match self.options.mode {
            RunMode::DryRun => match self.check_existing(&digest).await? {
                ImportOutcome::Created if self.would_exist(&digest) => Ok(ImportOutcome::AlreadyExists),
                outcome @ (ImportOutcome::Created | ImportOutcome::AlreadyExists) => Ok(outcome),
            },
            RunMode::Apply => match self.write(source, id, RecordWrite::create(key)).await? {
                ImportOutcome::Created => Ok(ImportOutcome::Created),
                ImportOutcome::AlreadyExists => {
                    self.check_existing(&digest).await.map(|_| ImportOutcome::AlreadyExists)
                }
            },
        }
    }

    /// Returns whether a row before this one has the same value, and remembers the value.
    fn would_exist(&self, digest: &Digest) -> bool {
        let start = std::array::from_fn(|index| digest.as_bytes()[index]);
        let mut before = self.would_exist.lock().unwrap_or_else(PoisonError::into_inner);
        if before.len() < MAX_REMEMBERED { !before.insert(start) } else { before.contains(&start) }
    }

    /// Refuses a key that has expired, as nothing would accept it. One that exists has expired since it was imported.
    async fn import_expired(&self, digest: &Digest) -> Result<ImportOutcome> {
        match self.check_existing(digest).await? {
            ImportOutcome::Created => Err(Failure::invalid("expiry: is in the past")),
            ImportOutcome::AlreadyExists => Ok(ImportOutcome::AlreadyExists),
        }
    }

    /// Looks for a key with a value. A revoked one is an error: the row asks for a key that can be used.
    async fn check_existing(&self, digest: &Digest) -> Result<ImportOutcome> {
        let Some(found) = self.control_plane.store.home_of_digest(digest).api_key_by_digest(digest).await? else {
            return Ok(ImportOutcome::Created);
        };
        let key = found.record;
        if !self.by.sees(&key.account, &key.project) {
            return Err(Failure::invalid("key: another key has or had this value"));
        }
        if key.status == Status::Inactive {
            let id = key.id;
            return Err(Failure::invalid(format!(
                "the key with this value was revoked: PATCH /api-keys/{id}/reactivate lets it be used again"
            )));
        }
        Ok(ImportOutcome::AlreadyExists)
    }

    async fn write(&self, source: KeySource, id: KeyId, write: RecordWrite) -> Result<ImportOutcome> {
        let loosens_checksum = match &source {
            KeySource::Value(value) if key::key_format(value.expose()) != KeyFormat::WrongChecksum => {
                DisablesChecksum::No
            }
            KeySource::Value(_) | KeySource::Sha256(_) => DisablesChecksum::Yes,
        };
        let (action, secret) = match (self.options.notify, source) {
            (Notify::Webhooks, KeySource::Value(value)) => (Action::ApiKeyCreated, Some(value)),
            (Notify::Webhooks, KeySource::Sha256(_)) => (Action::ApiKeyCreated, None),
            (Notify::Nobody, _) => (Action::ApiKeyImported, None),
        };
        let event = EventId::for_import(&id);
        let change =
            Change { event, action, actor: self.by.actor(), writes: vec![write], secret, stored_response: None };
        self.control_plane.wait_for_creation(&change).await;
        let origin = CommitContext {
            disables_checksum: loosens_checksum,
            client_ip: self.by.address(),
            ..CommitContext::default()
        };
        match self.control_plane.send_commit(&change, &origin).await? {
            CommitOutcome::Committed(_) => Ok(ImportOutcome::Created),
            CommitOutcome::AlreadyCommitted(_) | CommitOutcome::VersionConflict | CommitOutcome::DigestTaken => {
                Ok(ImportOutcome::AlreadyExists)
            }
            CommitOutcome::StreamFull => Err(Failure::from(ErrorCode::StreamFull)),
            CommitOutcome::AccountLimitExceeded(kind, bound) => Err(self.control_plane.account_full(kind, bound)),
        }
    }

    /// Returns the project of a row. Each project is read once.
    async fn project(&self, named: Option<&str>) -> Result<Project> {
        let named = named.or(self.options.project.as_deref());
        let named = named.ok_or_else(|| {
            Failure::invalid(match self.by {
                ImportedBy::Operator => "projectId: is missing; --project names one for all",
                ImportedBy::Caller(_) => "projectId: is missing; choose a project for all keys that name none",
            })
        })?;
        if let Some(known) = self.projects.lock().unwrap_or_else(PoisonError::into_inner).get(named) {
            return Ok(known.clone());
        }
        let not_found = || Failure::invalid(format!("projectId: there is no active project {named}"));
        let id = ProjectId::parse(named).map_err(|_| not_found())?;
        let found = self.control_plane.store.home(id.partition()).project(&id).await?;
        let project = found.map(|found| found.record).filter(|project| self.by.sees(&project.account, &project.id));
        let project = project.ok_or_else(not_found)?;
        if project.status == Status::Inactive {
            return Err(not_found());
        }
        self.projects.lock().unwrap_or_else(PoisonError::into_inner).insert(named.to_owned(), project.clone());
        Ok(project)
    }
}

fn parse_key_source(value: Option<String>, hash: Option<String>) -> Result<KeySource> {
    match (value, hash) {
        (Some(value), None) => {
            key::check_api_key(&value, ChecksumPolicy::Lenient)
                .map_err(|why| Failure::invalid(format!("key: {why}")))?;
            Ok(KeySource::Value(Secret::new(value)))
        }
        (None, Some(text)) => {
            let hash = sha256(&text);
            hash.map(KeySource::Sha256).ok_or_else(|| Failure::invalid("sha256: must be 32 bytes in hex or base64"))
        }
        (None, None) => Err(Failure::invalid("key: is missing, and so is sha256")),
        (Some(_), Some(_)) => Err(Failure::invalid("sha256: a key has a value or a hash, not both")),
    }
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let hex = Digest::from_hex(text).map(|digest| *digest.as_bytes());
    let base64 = || STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?.try_into().ok();
    hex.or_else(base64)
}
