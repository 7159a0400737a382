//! Returning unused tokens to the store.

use gatepost_runtime::{Task, error_chain, spawn_on};
use gatepost_store::CellStore;
use tokio::task::JoinSet;

use crate::limit_state::NamedUnusedLease;

/// Maximum number of concurrent returns.
const MAX_CONCURRENT_RETURNS: usize = 64;

/// Returns tokens to the store. Tokens that cannot be returned are lost to their window: no request can use
/// them.
pub(super) async fn return_leases(store: &CellStore, unused: Vec<NamedUnusedLease>) {
    let mut returning = JoinSet::new();
    for (meter_name, amount) in unused {
        if returning.len() >= MAX_CONCURRENT_RETURNS {
            returning.join_next().await;
        }
        let store = store.clone();
        spawn_on(&mut returning, Task::LimitReturn, async move {
            if let Err(error) = store.return_allowance(&meter_name, amount).await {
                tracing::debug!(
                    error = %error_chain(&error),
                    "returning tokens failed, they are lost until their window ends"
                );
            }
        });
    }
    returning.join_all().await;
}
