//! The operations that are tried, and what came of each.

use crate::error::{Result, StoreError};

/// Operations that are tried, in this order: connecting, and the operations of the backend.
pub(super) const OPERATIONS: [&str; 67] = [
    "connect",
    "create",
    "open",
    "raise_format",
    "swap_envelope",
    "begin_counting",
    "commit",
    "count_page",
    "end_counting",
    "account_usage",
    "full_reason",
    "records",
    "list",
    "count_listed",
    "swap_response",
    "stored_response",
    "lookup",
    "claim_first_use",
    "feed",
    "feed_backwards",
    "heartbeat",
    "invalidations",
    "gateways",
    "last_position",
    "confirm",
    "check_cursor",
    "deregister_gateway",
    "lease_allowance",
    "return_allowance",
    "add_usage",
    "key_uses",
    "uses_page",
    "roll_up",
    "add_hourly_usage",
    "hourly_usage",
    "hourly_key_usage",
    "hourly_last_used",
    "last_uses_page",
    "remove_last_uses",
    "fan_out_cursor",
    "fan_out",
    "due_webhooks",
    "lease_deliveries",
    "extend_lease",
    "settle",
    "deliveries",
    "delivery",
    "webhook_numbers",
    "send_now",
    "attempts",
    "dead_letters",
    "dead_letter",
    "resend",
    "move_queue_to_dead_letters",
    "send_again",
    "create_recovery",
    "running_recoveries",
    "run_recovery_step",
    "recoveries",
    "cancel_recovery",
    "hold_queue",
    "end_hold",
    "reset_failures",
    "drop_queue",
    "queue_stats",
    "quarantine",
    "trim",
];

/// What came of an operation.
#[derive(Debug, Clone)]
pub enum OperationOutcome {
    /// It works.
    Done,
    /// It failed.
    Failed(StoreError),
    /// It needs the result of one that failed.
    NotTried,
}

/// Operations that were tried, with what came of each.
#[derive(Default)]
pub(super) struct Trial(Vec<(&'static str, Result<()>)>);

impl Trial {
    /// Records what came of an operation, and returns its result.
    pub(super) fn note<T>(&mut self, operation: &'static str, result: Result<T>) -> Option<T> {
        debug_assert!(OPERATIONS.contains(&operation), "{operation}");
        match result {
            Ok(result) => {
                self.0.push((operation, Ok(())));
                Some(result)
            }
            Err(error) => {
                self.0.push((operation, Err(error)));
                None
            }
        }
    }

    /// Returns the outcome of an operation, which may have been tried several times: its first failure.
    pub(super) fn outcome(&self, operation: &str) -> OperationOutcome {
        let mut outcome = OperationOutcome::NotTried;
        for (_, result) in self.0.iter().filter(|(name, _)| *name == operation) {
            match result {
                Ok(()) => outcome = OperationOutcome::Done,
                Err(error) => return OperationOutcome::Failed(error.clone()),
            }
        }
        outcome
    }
}
