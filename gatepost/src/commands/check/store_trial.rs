//! Report on a trial of the store's operations, for the operator and for whoever is sent it.

use std::fmt::Write as _;
use std::sync::Arc;

use gatepost_domain::time::Clock;
use gatepost_runtime::error_chain;
use gatepost_store::clock::SystemClock;
use gatepost_store::{OperationOutcome, RedisUrl, StoreCheck, StoreErrorKind, check_operations};

use crate::config::Config;
use crate::{output, store};

/// Tries every operation on Redis and prints the report. Returns what failed, for the end of the check.
pub(super) async fn run(config: &Config, url: &RedisUrl) -> anyhow::Result<Option<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let check = check_operations(&store::store_options(config, &clock)).await?;
    output::print_line(&report(&check, url, config.store.replicas.count))?;
    Ok((!check.is_ok()).then(|| "the store failed its trial: see the report".to_owned()))
}

fn report(check: &StoreCheck, url: &RedisUrl, replicas: u32) -> String {
    let server = check.server.as_ref().map_or_else(|| "unknown server".to_owned(), ToString::to_string);
    let tls = if url.uses_tls() { "with TLS" } else { "without TLS" };
    let topology = match url {
        RedisUrl::Standalone(_) => "standalone",
        RedisUrl::Sentinel { .. } => "Sentinel",
        RedisUrl::Cluster(_) => "Cluster",
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "trial of a store by gatepost {version}: {server}, {topology}, {tls}, {replicas} replicas must confirm writes\n"
    );
    for (operation, outcome) in &check.operations {
        let _ = match outcome {
            OperationOutcome::Done => writeln!(text, "ok      {operation}"),
            OperationOutcome::Failed(error) => {
                writeln!(text, "FAILED  {operation}: {}{}", error_chain(error), advice(error.kind(), url))
            }
            OperationOutcome::NotTried => Ok(()),
        };
    }
    let count = |expected: fn(&OperationOutcome) -> bool| {
        check.operations.iter().filter(|(_, outcome)| expected(outcome)).count()
    };
    let untried = count(|outcome| matches!(outcome, OperationOutcome::NotTried));
    if untried > 0 {
        let _ = writeln!(text, "-       {untried} others were not tried: they need one that failed");
    }
    for setting in &check.settings {
        let _ = writeln!(text, "setting: {setting}");
    }
    let done = count(|outcome| matches!(outcome, OperationOutcome::Done));
    let _ = match &check.removal {
        Ok(()) if done == 0 => Ok(()),
        Ok(()) => writeln!(text, "all keys of the trial were removed"),
        Err(error) => writeln!(
            text,
            "FAILED  removing the keys of the trial, which begin with {{{}: {}",
            check.namespace,
            error_chain(error)
        ),
    };
    let _ = write!(text, "{done} of {} operations work", check.operations.len());
    text
}

/// Returns what to do about a failure whose message does not say it.
fn advice(kind: StoreErrorKind, url: &RedisUrl) -> &'static str {
    match kind {
        StoreErrorKind::Refused => "",
        StoreErrorKind::Unavailable if url.uses_tls() => {
            " [is the server reachable, and not overloaded? does it speak TLS at this port?]"
        }
        StoreErrorKind::Unavailable => " [is the server reachable, and not overloaded?]",
        StoreErrorKind::WrongStore => " [does the address lead to several servers?]",
        StoreErrorKind::Unconfirmed => " [see store.replicas and the replicas of the server]",
        StoreErrorKind::Full => " [give the server more memory or disk]",
        StoreErrorKind::Corrupt => " [this server may lack what Gatepost needs: please report it, with this report]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_each_operation_with_its_outcome_and_what_to_do() {
        let error = StoreErrorKind::Corrupt.with("unknown command 'XADD'");
        let check = StoreCheck {
            server: None,
            settings: vec!["Redis has no append-only file".to_owned()],
            operations: vec![
                ("connect", OperationOutcome::Done),
                ("commit", OperationOutcome::Failed(error.clone())),
                ("lookup", OperationOutcome::NotTried),
            ],
            namespace: "gp:check-1".to_owned(),
            removal: Err(error),
        };
        let url = RedisUrl::Standalone("rediss://user:hunter2@redis.internal".to_owned());
        let expected = [
            concat!(
                "trial of a store by gatepost ",
                env!("CARGO_PKG_VERSION"),
                ": unknown server, standalone, with TLS, 1 replicas must confirm writes"
            ),
            "ok      connect",
            "FAILED  commit: store corrupt: unknown command 'XADD' [this server may lack what Gatepost needs: please \
             report it, with this report]",
            "-       1 others were not tried: they need one that failed",
            "setting: Redis has no append-only file",
            "FAILED  removing the keys of the trial, which begin with {gp:check-1: store corrupt: unknown command 'XADD'",
            "1 of 3 operations work",
        ];
        assert_eq!(report(&check, &url, 1), expected.join("\n"));
    }
}
