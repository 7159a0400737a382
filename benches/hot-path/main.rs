//! Runs one step of the hot path a number of times, for callgrind to count. Without arguments, lists the steps.

#[cfg(test)]
mod allocations;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::key::{self, ChecksumPolicy};
use gatepost_domain::key_facts::{KeyFacts, Tenancy};
use gatepost_domain::partition::Partition;
use gatepost_domain::path::CanonicalPath;
use gatepost_domain::permit::{self, RequestFacts, Requirement};
use gatepost_domain::record::{Actor, ApiKey, RateLimit, Record, Status};
use gatepost_domain::time::{Clock, Timestamp, Uptime};
use gatepost_gateway::RouteOptions;
use gatepost_gateway::bench_support::RequestBench;
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::{CellStore, Change, MasterKey, RecordWrite as StoreWrite, Store, StoreOptions, StoreUrl, os_rng};
use gatepost_test_support::records;
use gatepost_verify::{ReplicaSync, Verdict, Verifier, VerifyOptions};
#[cfg(not(test))]
use mimalloc::MiMalloc;
use prometheus::Registry;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PATH: &str = "/v1/items/42";
const STEPS: [&str; 13] = [
    "access log line",
    "cache hit",
    "cache hit of a limited key",
    "canonical path",
    "credential",
    "decide",
    "digest (the hash)",
    "front and route",
    "header copy",
    "header copy and edits",
    "key text",
    "metrics",
    "trace",
];

/// Clock that does not advance, so that the gateway stays live however slowly it runs.
#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_764_000_000_000)
    }

    fn uptime(&self) -> Uptime {
        Uptime::from_ms(1_000_000)
    }
}

/// Data and objects that the steps use.
struct Fixture {
    store: CellStore,
    facts: Arc<KeyFacts>,
    value: String,
    limited: String,
    requirement: Requirement,
    verifier: Arc<Verifier>,
    steps: RequestBench,
    _replica_sync: ReplicaSync,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(step) = arguments.next() else {
        print_line(&STEPS.join("\n"));
        return Ok(());
    };
    let times: u64 = arguments.next().context("the second argument is the number of runs")?.parse()?;
    let fixture = Fixture::start().await?;
    for _ in 0..times {
        fixture.run(&step).await?;
    }
    Ok(())
}

impl Fixture {
    async fn run(&self, step: &str) -> anyhow::Result<()> {
        match step {
            "access log line" => self.steps.render_access_log_line(),
            "cache hit" => self.hit(&self.value).await,
            "cache hit of a limited key" => self.hit(&self.limited).await,
            "canonical path" => drop(black_box(CanonicalPath::parse(black_box(PATH)))),
            "credential" => self.steps.find_credential(),
            "decide" => drop(black_box(permit::decide(
                &self.facts,
                black_box(&self.requirement),
                &RequestFacts::default(),
                FixedClock.now(),
            ))),
            "digest (the hash)" => drop(black_box(self.store.envelope().pepper().digest(black_box(&self.value)))),
            "front and route" => self.steps.validate_and_route(),
            "header copy" => drop(black_box(self.steps.copy_header())),
            "header copy and edits" => self.steps.edit_headers(),
            "key text" => drop(black_box(key::check_api_key(black_box(&self.value), ChecksumPolicy::Strict))),
            "metrics" => self.steps.record_metrics(),
            "trace" => self.steps.start_trace(),
            _ => bail!("unknown step {step}"),
        }
        Ok(())
    }

    async fn hit(&self, value: &str) {
        let verdict = self.verifier.check(black_box(value), &self.requirement, &RequestFacts::default()).await;
        assert!(matches!(black_box(verdict), Verdict::Permitted(_)), "a valid key was rejected");
    }

    async fn start() -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock);
        let store = open_store(&clock).await?;
        let account = records::account("account");
        let project = records::project(&account.id);
        let (secret, limited) = (records::secret(), records::secret());
        let digest = |value: &str| store.envelope().digest(value);
        let key = ApiKey { status: Status::Active, ..records::api_key(&project, &secret, digest) };
        let rate = RateLimit { limit: u64::from(u32::MAX), window: Duration::from_secs(3600) };
        let limited_key = ApiKey { rate_limit: Some(rate), ..records::api_key(&project, &limited, digest) };
        let facts =
            KeyFacts::from_record(&key, &store.envelope().digest(secret.expose()), Status::Active, Tenancy::Single);
        commit(&store, Action::AccountCreated, account.into()).await?;
        commit(&store, Action::ProjectCreated, project.into()).await?;
        commit(&store, Action::ApiKeyCreated, key.into()).await?;
        commit(&store, Action::ApiKeyCreated, limited_key.into()).await?;
        let replica_sync = start_replica_sync(&store, &clock).await?;
        let facts = Arc::new(facts.context("the key has this value")?);
        let value = secret.expose().to_owned();
        let fields = [
            ("Host", "api.example.com".to_owned()),
            ("User-Agent", "bench/1.0".to_owned()),
            ("Accept", "*/*".to_owned()),
            ("Accept-Encoding", "gzip".to_owned()),
            ("Authorization", format!("Bearer {value}")),
        ];
        let requirement = RouteOptions::default().requirement;
        let steps = RequestBench::new(RouteOptions::default(), PATH, &fields, Arc::clone(&facts)).await;
        let (verifier, limited) = (replica_sync.verifier(), limited.expose().to_owned());
        let fixture = Self { store, facts, value, limited, requirement, verifier, steps, _replica_sync: replica_sync };
        // Claims the first use, and leases tokens of the limited key.
        fixture.hit(&fixture.value).await;
        fixture.hit(&fixture.limited).await;
        Ok(fixture)
    }
}

async fn open_store(clock: &Arc<dyn Clock>) -> anyhow::Result<CellStore> {
    let options = StoreOptions::new(StoreUrl::Memory, Arc::clone(clock));
    Ok(Store::open_or_create(&options, &MasterKey::generate(&mut os_rng())).await?.single_cell().clone())
}

async fn start_replica_sync(store: &CellStore, clock: &Arc<dyn Clock>) -> anyhow::Result<ReplicaSync> {
    let registry = Registry::new();
    let options = VerifyOptions {
        cache_capacity: 1_000_000,
        negative_capacity: 100_000,
        max_stale: Duration::from_secs(60),
        max_lookups: 100,
        max_wrong_keys_a_minute: 600,
        name: "test".to_owned(),
    };
    let rate_limiter = RateLimiter::start(store.clone(), Arc::clone(clock), OutagePolicy::Local, &registry)?;
    Ok(gatepost_verify::start(vec![store.clone()], Arc::clone(clock), &options, rate_limiter, &registry).await?)
}

async fn commit(store: &CellStore, action: Action, record: Record) -> anyhow::Result<()> {
    let change = Change {
        event: EventId::generate_in(Partition::default(), &mut os_rng()),
        action,
        actor: Actor::Operator,
        writes: vec![StoreWrite::create(record)],
        secret: None,
        stored_response: None,
    };
    store.commit(&change).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the output of the program")]
fn print_line(text: &str) {
    println!("{text}");
}
