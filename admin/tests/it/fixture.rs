//! An admin API on a store in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gatepost_admin::{ControlPlaneServer, DashboardOptions, ListenOptions};
use gatepost_control_plane::{ControlPlane, NewAccessKey, UnknownMembers};
use gatepost_domain::id::WebhookId;
use gatepost_domain::record::Role;
use gatepost_domain::time::{Clock, Timestamp, Uptime};
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::clock::SystemClock;
use gatepost_store::{
    AccountLimits, DroppedDelivery, FanOutOutcome, FanOutStep, MasterKey, Store, StoreOptions, StoreUrl, os_rng,
};
use gatepost_webhook_client::PrivateNetworks;
use prometheus::Registry;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// The machine's clock, moved on by tests.
#[derive(Default)]
pub(crate) struct ShiftedClock {
    offset_ms: AtomicU64,
    /// Where the uptime stands, once it does.
    frozen_uptime: OnceLock<Uptime>,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Duration::from_millis(self.offset_ms.load(Ordering::SeqCst)))
    }

    fn uptime(&self) -> Uptime {
        let uptime = self.frozen_uptime.get().copied().unwrap_or_else(|| SystemClock.uptime());
        Uptime::from_ms(uptime.as_ms() + self.offset_ms.load(Ordering::SeqCst))
    }
}

/// A running API and its use cases.
pub(crate) struct Fixture {
    clock: Arc<ShiftedClock>,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) control_plane: ControlPlane,
    server: ControlPlaneServer,
    client: Client,
}

/// A caller of it.
pub(crate) struct Caller<'a> {
    fixture: &'a Fixture,
    pub(crate) access_key: String,
}

impl Fixture {
    /// Makes a dropped delivery of the last event for a webhook, and returns the id of the event.
    pub(crate) async fn dropped_delivery(&self, webhook: &str) -> String {
        let cell = self.store.single_cell();
        let cursor = cell.fan_out_cursor().await.unwrap();
        let entries = cell.audit_feed().read(cursor, 1000, Duration::ZERO).await.unwrap().entries;
        let (last, count) = (entries.last().unwrap().clone(), entries.len() as u64);
        let event = last.event.unwrap();
        let dropped = DroppedDelivery {
            webhook: WebhookId::parse(webhook).unwrap(),
            event: event.clone(),
            action: last.content.unwrap().action,
            version: last.version,
        };
        let step = FanOutStep {
            expected_cursor: cursor,
            new_cursor: last.version,
            entry_count: count,
            events: vec![],
            dropped: vec![dropped],
            quarantined: vec![],
            max_pending: 1000,
            max_dead_letters: 1000,
        };
        assert_eq!(cell.fan_out(step).await.unwrap(), FanOutOutcome::Applied { overflowed: 0 });
        event.to_string()
    }

    pub(crate) async fn start() -> Self {
        Self::with_private_networks(PrivateNetworks::Refused).await
    }

    pub(crate) async fn with_private_networks(private_networks: PrivateNetworks) -> Self {
        Self::with_control_plane(private_networks, |control_plane| control_plane).await
    }

    /// With whatever else can be configured.
    pub(crate) async fn with_control_plane(
        private_networks: PrivateNetworks,
        configure: impl FnOnce(ControlPlane) -> ControlPlane,
    ) -> Self {
        Self::build(AccountLimits::DEFAULT, private_networks, configure).await
    }

    /// Where each account may have so much.
    pub(crate) async fn with_account_bounds(account_bounds: AccountLimits) -> Self {
        Self::build(account_bounds, PrivateNetworks::Refused, |control_plane| control_plane).await
    }

    async fn build(
        account_bounds: AccountLimits,
        private_networks: PrivateNetworks,
        configure: impl FnOnce(ControlPlane) -> ControlPlane,
    ) -> Self {
        // Another test may have been faster.
        drop(rustls::crypto::ring::default_provider().install_default());
        let clock = Arc::new(ShiftedClock::default());
        let options =
            StoreOptions { account_limits: account_bounds, ..StoreOptions::new(StoreUrl::Memory, clock.clone()) };
        let store = Store::open_or_create(&options, &MasterKey::generate(&mut os_rng())).await.unwrap();
        Self::start_on(store, clock, private_networks, configure).await
    }

    /// Another process on the same store.
    pub(crate) async fn start_second_process(&self, private_networks: PrivateNetworks) -> Self {
        Self::start_on(self.store.clone(), self.clock.clone(), private_networks, |control_plane| control_plane).await
    }

    async fn start_on(
        store: Store,
        clock: Arc<ShiftedClock>,
        private_networks: PrivateNetworks,
        configure: impl FnOnce(ControlPlane) -> ControlPlane,
    ) -> Self {
        let registry = Registry::new();
        let rate_limiter =
            RateLimiter::start(store.single_cell().clone(), clock.clone(), OutagePolicy::Local, &registry).unwrap();
        let control_plane =
            ControlPlane::new(store.clone(), clock.clone(), private_networks, rate_limiter, &registry).unwrap();
        // However loaded the machine is, a search of a few keys ends in time.
        let control_plane = control_plane.with_page_scan_time(Duration::MAX);
        let control_plane = configure(control_plane);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = ListenOptions {
            listen,
            socket: None,
            hosts: Vec::new(),
            is_behind_proxy: false,
            dashboard: Some(DashboardOptions { origin: None, session_ttl: Duration::from_secs(12 * 3600) }),
            unknown_members: UnknownMembers::Refuse,
        };
        let server = ControlPlaneServer::start(options, control_plane.clone(), &registry).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { clock, store, registry, control_plane, server, client }
    }

    /// Stops the server as a process that ends does.
    pub(crate) async fn stop(self, deadline: Duration) {
        self.server.stop(deadline).await;
    }

    /// What time it is here.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets no more time pass by itself, as far as paces go.
    pub(crate) fn freeze_uptime(&self) {
        self.clock.frozen_uptime.set(SystemClock.uptime()).unwrap();
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.offset_ms.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// A caller with an access key of an account, or of one project of it.
    pub(crate) async fn caller(&self, account: &str, project: Option<&str>, role: Role) -> Caller<'_> {
        let new = NewAccessKey {
            account_name: Some(account.to_owned()),
            project: project.map(str::to_owned),
            role,
            name: "test".to_owned(),
        };
        let created = self.control_plane.create_access_key(new).await.unwrap();
        Caller { fixture: self, access_key: created.secret.expose().to_owned() }
    }

    /// A caller with an access key that was made before.
    pub(crate) fn caller_with_key(&self, access_key: &str) -> Caller<'_> {
        Caller { fixture: self, access_key: access_key.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// A request that comes from another address of this machine.
    pub(crate) fn request_from(&self, address: Ipv4Addr, method: Method, path: &str) -> RequestBuilder {
        let client = Client::builder().no_proxy().local_address(Some(address.into())).build().unwrap();
        client.request(method, self.url(path))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }
}

impl Caller<'_> {
    /// Sends a request, and answers status and body; a body that is no JSON is a text.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        execute(request).await
    }

    /// A request with the access key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.fixture.request(method, path).header("x-api-key", &self.access_key)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, None).await
    }

    /// Makes a project, and answers its id.
    pub(crate) async fn create_project(&self) -> String {
        let (status, project) = self.post("/projects", json!({"name": "p", "env": "live"})).await;
        assert_eq!(status, 201, "{project}");
        text(&project, "id")
    }

    /// Makes a key, and answers it.
    pub(crate) async fn create_key(&self, project: &str, further: Value) -> Value {
        let mut body = json!({"name": "k", "projectId": project});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let (status, key) = self.post("/api-keys", body).await;
        assert_eq!(status, 201, "{key}");
        key
    }
}

/// Makes as many keys, some at a time, each with the members that it gets for its number.
pub(crate) async fn create_many_keys(
    caller: &Caller<'_>,
    project: &str,
    count: usize,
    further: impl Fn(usize) -> Value,
) {
    for first in (0..count).step_by(100) {
        let numbers = first..count.min(first + 100);
        futures::future::join_all(numbers.map(|number| caller.create_key(project, further(number)))).await;
    }
}

/// Sends a request, and answers status and body; a body that is no JSON is a text.
pub(crate) async fn execute(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
        return (status, Value::Null);
    }
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::from(text)))
}

pub(crate) fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

/// The code of a problem.
pub(crate) fn code(problem: &Value) -> &str {
    problem["code"].as_str().unwrap_or_default()
}
