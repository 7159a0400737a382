//! Trial of a Redis: every operation once, in a namespace that is removed at the end.

mod deliveries;
mod records;
mod removal;
mod trial;

use gatepost_domain::base62;
use gatepost_domain::id::WebhookId;
use gatepost_domain::partition::Partition;

use crate::cell_store::CellStore;
use crate::envelope::MasterKey;
use crate::error::{Result, StoreErrorKind};
use crate::ops::RebaseRevocation;
use crate::options::{StoreOptions, UnsafeRedis};
use crate::random::os_rng;
use crate::redis::Redis;
use crate::store::Store;
use crate::store_server::StoreServer;
use crate::url::StoreUrl;

use records::Records;
use removal::TrialName;
pub use trial::OperationOutcome;
use trial::{OPERATIONS, Trial};

/// Base-62 digits that make the namespace unique.
const NAMESPACE_DIGITS: usize = 12;

/// Result of a trial.
#[derive(Debug)]
pub struct StoreCheck {
    /// The server, once it was connected to.
    pub server: Option<StoreServer>,
    /// Settings that can lose acknowledged writes, one sentence each.
    pub settings: Vec<String>,
    /// Each operation and what came of it, in the order in which they are tried.
    pub operations: Vec<(&'static str, OperationOutcome)>,
    /// Namespace of everything that the trial wrote.
    pub namespace: String,
    /// Whether all of it was removed.
    pub removal: Result<()>,
}

impl StoreCheck {
    /// Returns whether every operation works, and nothing was left behind.
    pub fn is_ok(&self) -> bool {
        self.removal.is_ok() && self.operations.iter().all(|(_, outcome)| matches!(outcome, OperationOutcome::Done))
    }
}

/// Tries every operation once on the Redis of these options, in a namespace of its own below theirs, and removes what it
/// wrote. Needs no store. Deadline: those of the operations, at most 5 s each.
///
/// # Errors
/// [`StoreErrorKind::Refused`] if the store is not on Redis.
pub async fn check_operations(options: &StoreOptions) -> Result<StoreCheck> {
    let StoreUrl::Redis(url) = &options.url else {
        return Err(StoreErrorKind::Refused.with("only a store on Redis can be tried"));
    };
    let namespace = trial_namespace(&options.namespace);
    let options = StoreOptions { namespace: namespace.clone(), unsafe_redis: UnsafeRedis::Allowed, ..options.clone() };
    let mut trial = Trial::default();
    let rebase: RebaseRevocation = Box::new(|_, _| Ok(None));
    let mut check =
        StoreCheck { server: None, settings: Vec::new(), operations: Vec::new(), namespace, removal: Ok(()) };
    if let Some(redis) = trial.note("connect", Redis::connect(url, &options, rebase).await) {
        check.server = redis.server();
        check.settings = redis.warnings().await.unwrap_or_default();
        check.removal = try_operations(&mut trial, redis, &options).await;
    }
    check.operations = OPERATIONS.iter().map(|operation| (*operation, trial.outcome(operation))).collect();
    Ok(check)
}

/// Returns a namespace whose keys the access control list of the store's namespace allows.
fn trial_namespace(namespace: &str) -> String {
    let mut name = format!("{namespace}:check-");
    base62::push_random(&mut name, NAMESPACE_DIGITS, &mut os_rng());
    name
}

/// Tries the operations, and removes what they wrote.
async fn try_operations(trial: &mut Trial, redis: Redis, options: &StoreOptions) -> Result<()> {
    let master_key = MasterKey::generate(&mut os_rng());
    let mut names = Vec::new();
    if let Some(store) = trial.note("create", Store::open_or_create(options, &master_key).await) {
        let cell = store.single_cell();
        try_header(trial, cell).await;
        let records = Records::generate(cell);
        let webhook = WebhookId::generate_in(Partition::default(), &mut os_rng());
        names.extend(records.names());
        names.push(TrialName::Record(webhook.to_string().into_bytes()));
        records.try_all(trial, cell).await;
        deliveries::try_all(trial, cell, &webhook).await;
        trial.note("trim", cell.trim(deliveries::retention()).await);
    }
    removal::remove(&redis, &names).await
}

async fn try_header(trial: &mut Trial, cell: &CellStore) {
    if let Some(Some(header)) = trial.note("open", cell.backend.open().await) {
        let envelope = header.envelope.clone();
        trial.note("raise_format", cell.backend.raise_format(header).await);
        trial.note("swap_envelope", cell.backend.swap_envelope(envelope.clone(), envelope).await);
    }
    trial.note("begin_counting", cell.backend.begin_counting().await);
    trial.note("full_reason", cell.full_reason().await);
}
