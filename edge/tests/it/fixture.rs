//! An authorizer on a store in memory, with one active key.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{EventId, ProjectId};
use gatepost_domain::key::Env;
use gatepost_domain::partition::Partition;
use gatepost_domain::permit::{EnvRule, Requirement};
use gatepost_domain::record::{Actor, ApiKey, Record, Status};
use gatepost_domain::time::Clock;
use gatepost_edge::{Auth, Authorizer, BodyLength, CredentialLocation, Policy, RequestView, RouteOptions, Routes};
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::clock::SystemClock;
use gatepost_store::{CellStore, Change, MasterKey, RecordWrite, Store, StoreOptions, StoreUrl, os_rng};
use gatepost_test_support::records;
use gatepost_verify::{ReplicaSync, VerifyOptions};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use prometheus::Registry;

pub(crate) struct Fixture {
    pub(crate) authorizer: Authorizer,
    /// Each route has its own path attached.
    pub(crate) policy: Policy<String>,
    pub(crate) key: String,
    store: CellStore,
    _replica_sync: ReplicaSync,
}

/// A request with its own parts, of HTTP/1.1 unless a test says otherwise.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) target: &'static str,
    pub(crate) authority: Option<&'static str>,
    pub(crate) headers: HeaderMap,
}

impl Request {
    pub(crate) fn get(target: &'static str, headers: &[(&'static str, &str)]) -> Self {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = headers.iter().map(field).collect();
        Self { method: Method::GET, version: Version::HTTP_11, target, authority: None, headers }
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            version: self.version,
            target: self.target.as_bytes(),
            authority: self.authority,
            headers: &self.headers,
            header_bytes: 200,
            body: Ok(BodyLength::EMPTY),
            peer: Some([192, 0, 2, 1].into()),
        }
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = store(&clock).await;
        let key = api_key(&store).await;
        let registry = Registry::new();
        let options = VerifyOptions {
            cache_capacity: 1000,
            negative_capacity: 100,
            max_stale: Duration::from_secs(60),
            max_lookups: 100,
            max_wrong_keys_a_minute: 600,
            name: "test".to_owned(),
        };
        let rate_limiter =
            RateLimiter::start(store.clone(), Arc::clone(&clock), OutagePolicy::Local, &registry).unwrap();
        let replica_sync =
            gatepost_verify::start(vec![store.clone()], clock, &options, rate_limiter, &registry).await.unwrap();
        let authorizer = Authorizer::new(replica_sync.verifier(), &registry).unwrap();
        Self { authorizer, policy: policy(), key, store, _replica_sync: replica_sync }
    }

    /// Creates a second account.
    pub(crate) async fn add_account(&self) {
        commit(&self.store, Action::AccountCreated, records::account("second").into()).await;
    }
}

fn policy() -> Policy<String> {
    let routes = vec![
        route("/", Auth::Required, &[]),
        route("/open", Auth::Off, &[]),
        route("/maybe", Auth::Optional, &[]),
        route("/reports", Auth::Required, &[Method::GET, Method::HEAD]),
        route_for("/foreign", Requirement { projects: vec![ProjectId::parse("prj_00other").unwrap()], ..any_live() }),
        route_for("/test", Requirement { env: EnvRule::Only(Env::Test), ..any_live() }),
        route_for("/admin", Requirement { permissions: vec!["admin".to_owned()], ..any_live() }),
    ];
    let backend = |route: &RouteOptions| Ok::<String, Infallible>(route.name());
    Policy {
        routes: Routes::new(routes, backend).unwrap(),
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        max_body_bytes: 1000,
        max_requests_per_client: 2,
    }
}

fn route(path: &str, auth: Auth, methods: &[Method]) -> RouteOptions {
    RouteOptions {
        host: None,
        path: path.to_owned(),
        methods: methods.to_vec(),
        upstream: "app".to_owned(),
        auth,
        credential: vec![CredentialLocation::Authorization],
        requirement: any_live(),
        ..RouteOptions::default()
    }
}

fn route_for(path: &str, requirement: Requirement) -> RouteOptions {
    RouteOptions { requirement, ..route(path, Auth::Required, &[]) }
}

fn any_live() -> Requirement {
    Requirement { projects: vec![], env: EnvRule::Only(Env::Live), permissions: vec![] }
}

async fn store(clock: &Arc<dyn Clock>) -> CellStore {
    let options = StoreOptions::new(StoreUrl::Memory, Arc::clone(clock));
    Store::open_or_create(&options, &MasterKey::generate(&mut os_rng())).await.unwrap().single_cell().clone()
}

/// Creates account, project and an active key, and returns the key's value.
async fn api_key(store: &CellStore) -> String {
    let account = records::account("account");
    let project = records::project(&account.id);
    let secret = records::secret();
    let key = ApiKey {
        status: Status::Active,
        ..records::api_key(&project, &secret, |value: &str| store.envelope().digest(value))
    };
    commit(store, Action::AccountCreated, account.into()).await;
    commit(store, Action::ProjectCreated, project.into()).await;
    commit(store, Action::ApiKeyCreated, key.into()).await;
    secret.expose().to_owned()
}

async fn commit(store: &CellStore, action: Action, record: Record) {
    let change = Change {
        event: EventId::generate_in(Partition::default(), &mut os_rng()),
        action,
        actor: Actor::Operator,
        writes: vec![RecordWrite::create(record)],
        secret: None,
        stored_response: None,
    };
    store.commit(&change).await.unwrap();
}
