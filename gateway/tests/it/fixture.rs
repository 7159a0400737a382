//! A gateway in front of a recording origin, on a store in memory.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::EventId;
use gatepost_domain::log_text::LogFormat;
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{Actor, ApiKey, KeyDigest, Record};
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_gateway::{
    Auth, Gateway, GatewayLimits, GatewayOptions, ListenerOptions, RouteOptions, StartError, StripMode, TlsMaterials,
    TraceOptions, UpstreamOptions,
};
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::CommitOutcome;
use gatepost_store::clock::SystemClock;
use gatepost_store::{CellStore, Change, MasterKey, RecordWrite as StoreWrite, Store, StoreOptions, StoreUrl, os_rng};
use gatepost_test_support::{MockServer, records};
use gatepost_verify::{ReplicaSync, VerifyOptions};
use prometheus::Registry;
use prometheus::proto::Metric;
use rustls::ClientConnection;

use crate::tls_client::{self, SecureListener};

/// Limit of a raw client for a response, and for its metrics.
const DEADLINE: Duration = Duration::from_secs(5);

/// Gateway, origin and a valid key.
pub(crate) struct Fixture {
    pub(crate) origin: MockServer,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) key_id: String,
    /// An older value of the key, valid until the year 2100.
    pub(crate) old_key: String,
    pub(crate) options: GatewayOptions,
    pub(crate) listeners: Vec<ListenerOptions>,
    registry: Registry,
    /// None for plain connections.
    secure: Option<SecureListener>,
    gateway: Gateway,
    replica_sync: ReplicaSync,
}

impl Fixture {
    pub(crate) async fn start(limits: GatewayLimits, trusted_proxies: &[&str]) -> Self {
        let trusted_proxies = trusted_proxies.iter().map(|network| network.parse().unwrap()).collect();
        Self::start_with(|options| GatewayOptions { limits, trusted_proxies, ..options }).await
    }

    /// Starts a gateway with a changed configuration.
    pub(crate) async fn start_with(configure: impl FnOnce(GatewayOptions) -> GatewayOptions) -> Self {
        Self::start_with_origin(MockServer::start(), configure).await
    }

    /// Starts a gateway with a changed configuration in front of an origin.
    pub(crate) async fn start_with_origin(
        origin: MockServer,
        configure: impl FnOnce(GatewayOptions) -> GatewayOptions,
    ) -> Self {
        Self::start_on(origin, None, configure).await
    }

    /// Starts a gateway whose only listener has TLS.
    pub(crate) async fn start_secure() -> Self {
        Self::start_on(MockServer::start(), Some(SecureListener::create()), |options| options).await
    }

    async fn start_on(
        origin: MockServer,
        secure: Option<SecureListener>,
        configure: impl FnOnce(GatewayOptions) -> GatewayOptions,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = store(&clock).await;
        let (key, key_id, old_key) = api_key(&store).await;
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
            gatepost_verify::start(vec![store], Arc::clone(&clock), &options, rate_limiter, &registry).await.unwrap();
        let tls = secure.as_ref().map(|secure| secure.options.clone());
        let listeners = vec![ListenerOptions { tls, ..ListenerOptions::plain((Ipv4Addr::LOCALHOST, 0).into()) }];
        let tls = TlsMaterials::read(&listeners, &[], clock.now()).unwrap();
        let listener = gatepost_gateway::bind(&listeners[0]).unwrap();
        let options = configure(GatewayOptions {
            routes: vec![route("/", Auth::Required), route("/open", Auth::Off), route("/maybe", Auth::Optional)],
            upstreams: vec![UpstreamOptions::plain("app", vec![origin.address().to_string()])],
            trusted_proxies: Vec::new(),
            strip: StripMode::Default,
            pass_headers: Vec::new(),
            limits: GatewayLimits::default(),
            trace: Some(TraceOptions::default()),
        });
        let verifier = replica_sync.verifier();
        let (listeners_now, format) = (vec![listener], LogFormat::Json);
        let starting = Gateway::start(listeners_now, options.clone(), tls, verifier, clock, format, &registry);
        let gateway = starting.await.unwrap();
        let address = gateway.addresses().await[0];
        Self { origin, address, key, key_id, old_key, options, listeners, registry, secure, gateway, replica_sync }
    }

    pub(crate) async fn reload(&self, options: GatewayOptions) -> Result<(), StartError> {
        self.gateway.reload(&self.listeners, options, TlsMaterials::default()).await.map(drop)
    }

    /// Changes the listeners alone, and returns the addresses of all.
    pub(crate) async fn reload_listeners(&self, listeners: &[ListenerOptions]) -> Result<Vec<SocketAddr>, StartError> {
        self.gateway.reload(listeners, self.options.clone(), TlsMaterials::default()).await?;
        Ok(self.gateway.addresses().await)
    }

    /// Returns route, status and value of each series of `gatepost_requests_total`.
    pub(crate) fn counted_requests(&self) -> Vec<(String, String, u64)> {
        let series = self.series("gatepost_requests_total");
        let values = series
            .iter()
            .map(|series| (label(series, "route"), label(series, "status"), series.get_counter().get_value() as u64));
        values.collect()
    }

    /// Returns result and value of each series of `gatepost_upstream_requests_total` that is not 0.
    pub(crate) fn upstream_tries(&self) -> Vec<(String, u64)> {
        let series = self.series("gatepost_upstream_requests_total");
        let values = series.iter().map(|series| (label(series, "result"), series.get_counter().get_value() as u64));
        values.filter(|(_, count)| *count > 0).collect()
    }

    /// Waits until these tries are counted, which happens after their responses are sent.
    pub(crate) async fn await_upstream_tries(&self, expected: &[(&str, u64)]) {
        let is_reached = || {
            let tries = self.upstream_tries();
            tries.iter().map(|(result, count)| (result.as_str(), *count)).eq(expected.iter().copied())
        };
        let waiting = async {
            while !is_reached() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(waited.is_ok(), "{:?}", self.upstream_tries());
    }

    /// Returns outcome and value of each series of `gatepost_proxy_protocol_connections_total`, in order.
    pub(crate) fn proxy_protocol_outcomes(&self) -> Vec<(String, u64)> {
        let series = self.series("gatepost_proxy_protocol_connections_total");
        series.iter().map(|series| (label(series, "outcome"), series.get_counter().get_value() as u64)).collect()
    }

    /// Returns the number of responses in `gatepost_upstream_duration_seconds`.
    pub(crate) fn upstream_headers(&self) -> u64 {
        let series = self.series("gatepost_upstream_duration_seconds");
        series.iter().map(|series| series.get_histogram().get_sample_count()).sum()
    }

    fn series(&self, name: &str) -> Vec<Metric> {
        let families = self.registry.gather();
        families.iter().find(|family| family.name() == name).unwrap().get_metric().to_vec()
    }

    /// Stops the gateway, and returns the number of requests that were left.
    pub(crate) async fn stop(self, deadline: Duration) -> usize {
        let left = self.gateway.stop(deadline).await;
        self.replica_sync.stop().await.unwrap();
        left
    }

    /// Sends bytes on a new connection, and returns all that comes back until it is closed.
    pub(crate) fn send_until_closed(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut response = Vec::new();
        let end = stream.read_to_end(&mut response);
        assert!(end.is_ok(), "{end:?} after {}", String::from_utf8_lossy(&response));
        String::from_utf8_lossy(&response).into_owned()
    }

    /// Sends bytes on a new connection, and returns one response.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let Some(secure) = &self.secure else { return exchange(&mut stream, bytes) };
        let connection =
            ClientConnection::new(Arc::clone(&secure.client), tls_client::NAME.try_into().unwrap()).unwrap();
        exchange(&mut rustls::StreamOwned::new(connection, stream), bytes)
    }

    /// Returns the scheme that clients use.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure.is_some() { "https" } else { "http" }
    }

    /// Returns the values of a gauge by its label.
    pub(crate) fn gauges(&self, name: &str, by: &str) -> Vec<(String, f64)> {
        let series = self.series(name);
        series.iter().map(|series| (label(series, by), series.get_gauge().get_value())).collect()
    }

    /// Returns the values of one label of all series of a metric.
    pub(crate) fn labels(&self, name: &str, of: &str) -> Vec<String> {
        self.series(name).iter().map(|series| label(series, of)).collect()
    }

    /// Begins a stop, and returns the number of requests that were left.
    pub(crate) async fn stop_gateway(&self) -> usize {
        self.gateway.stop(DEADLINE).await
    }
}

fn label(series: &Metric, name: &str) -> String {
    series.get_label().iter().find(|pair| pair.name() == name).unwrap().value().to_owned()
}

fn exchange(stream: &mut (impl Read + Write), bytes: &[u8]) -> String {
    stream.write_all(bytes).unwrap();
    read_response(stream)
}

/// Reads one response: its header, and the body by its length.
pub(crate) fn read_response(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            Ok(_) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    // A response to HEAD has a length and no body.
    if stream.read_exact(&mut body).is_ok() {
        bytes.extend(body);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn route(path: &str, auth: Auth) -> RouteOptions {
    RouteOptions { path: path.to_owned(), auth, ..RouteOptions::default() }
}

async fn store(clock: &Arc<dyn Clock>) -> CellStore {
    let options = StoreOptions::new(StoreUrl::Memory, Arc::clone(clock));
    Store::open_or_create(&options, &MasterKey::generate(&mut os_rng())).await.unwrap().single_cell().clone()
}

/// Creates account, project and an active key. Returns the key's value, its id and its old value.
async fn api_key(store: &CellStore) -> (String, String, String) {
    let account = records::account("account");
    let project = records::project(&account.id);
    let (secret, old) = (records::secret(), records::secret());
    let (replaced_at, until) = (Timestamp::parse("2026-01-01").unwrap(), Timestamp::parse("2100-01-01").unwrap());
    let replaced =
        KeyDigest { digest: store.envelope().digest(old.expose()), until: Some(until), replaced_at: Some(replaced_at) };
    let key = ApiKey {
        digests: vec![KeyDigest::current(store.envelope().digest(secret.expose())), replaced],
        custom_account_id: Some("über 100%".to_owned()),
        custom_user_id: Some("a\"b".to_owned()),
        ..records::api_key(&project, &secret, |value| store.envelope().digest(value))
    };
    let id = key.id.to_string();
    commit(store, Action::AccountCreated, account.into()).await;
    commit(store, Action::ProjectCreated, project.into()).await;
    commit(store, Action::ApiKeyCreated, key.into()).await;
    (secret.expose().to_owned(), id, old.expose().to_owned())
}

async fn commit(store: &CellStore, action: Action, record: Record) {
    let change = Change {
        event: EventId::generate_in(Partition::default(), &mut os_rng()),
        action,
        actor: Actor::Operator,
        writes: vec![StoreWrite::create(record)],
        secret: None,
        stored_response: None,
    };
    assert!(matches!(store.commit(&change).await.unwrap(), CommitOutcome::Committed(_)));
}
