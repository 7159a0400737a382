//! Names that do not resolve, that resolve to a private address now and then, and that recover. All of it runs in a
//! network of its own, with the program's ordinary resolver and real queries.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use gatepost_test_support::{AfterReply, MockServer, RedisServer, Reply};
use serde_json::json;

use super::bad_receivers::Forbidden;
use super::checker::{Evidence, Health};
use super::evidence;
use super::load::Account;
use super::name_server::{Answer, NameServer};
use super::namespace;
use super::tls_front::Authority;
use crate::admin::{Admin, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost};

/// Address that counts as public. It belongs to the loopback interface of the test's own network.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);
/// Addresses that must not be contacted; they belong to that interface too.
const PRIVATE: [Ipv4Addr; 4] =
    [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(192, 168, 1, 1)];
/// First of the ports of the receivers, on the public address. Nothing else runs in the test's network.
const FIRST_PORT: u16 = 8443;
/// Number of keys that are created while names do not resolve as they should, in each phase.
const KEYS: usize = if cfg!(feature = "long") { 20 } else { 3 };
/// Maximum time until everything is delivered.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(120);
/// Names of the receivers.
const STEADY: &str = "steady.receiver.test";
const FAILING: &str = "failing.receiver.test";
const FLIPPING: &str = "flipping.receiver.test";
const REBOUND: &str = "rebound.receiver.test";

fn public_only() -> Answer {
    Answer::Addresses(vec![vec![PUBLIC]])
}

/// Names, and listeners on the private addresses.
struct Network {
    names: NameServer,
    authority: Authority,
    forbidden: Vec<Forbidden>,
    next_port: u16,
}

impl Network {
    fn start(directory: &Path) -> Self {
        let (names, authority) = (NameServer::start(), Authority::create(directory, "*.receiver.test"));
        Self { names, authority, forbidden: Vec::new(), next_port: FIRST_PORT }
    }

    /// Adds a webhook for a name, which resolves to the public address at first. The receiver closes each connection,
    /// so that each attempt resolves the name.
    async fn add(&mut self, account: &mut Account, name: &'static str, health: Health) {
        let receiver = MockServer::with_script(|_| Reply {
            status: 200,
            headers: vec![("connection", "close".to_owned())],
            after: AfterReply::Close,
            ..Reply::default()
        });
        let port = self.next_port;
        self.next_port += 1;
        self.authority.listen(SocketAddr::from((PUBLIC, port)), receiver.address());
        self.forbidden.extend(PRIVATE.iter().map(|ip| Forbidden::listen(*ip, port)));
        self.names.set(name, public_only());
        // Twenty attempts within a minute.
        let members = json!({"url": format!("https://{name}:{port}/"), "retrySchedule": vec![1; 19]});
        account.add(name, health, receiver, members).await;
    }
}

/// Starts a control plane that refuses private networks and trusts the test's authority.
async fn start_guarded(url: &str, authority: &Authority) -> Gatepost {
    let certificates = authority.path().display().to_string();
    let environment =
        [("GATEPOST_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "false"), ("SSL_CERT_FILE", certificates.as_str())];
    Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &["control-plane", "--store", url], &environment).await
}

/// Returns the classes of all failed attempts at a receiver.
async fn error_classes(account: &Account, name: &str) -> Vec<String> {
    let mut classes = Vec::new();
    for event in account.committed().await {
        let history = account.subject(name).history(&account.admin(), &event.id).await;
        classes.extend(history.iter().filter_map(|attempt| attempt["errorClass"].as_str().map(str::to_owned)));
    }
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// Lets names fail and lie in turn, each while keys are created, and recover in the end.
async fn break_names(names: &NameServer, account: &Account) {
    let flipping = PRIVATE.iter().flat_map(|private| [vec![*private], vec![PUBLIC], vec![*private, PUBLIC]]).collect();
    names.set(FLIPPING, Answer::Addresses(flipping));
    names.set(REBOUND, Answer::Addresses(PRIVATE.iter().map(|private| vec![*private]).collect()));
    for failure in [Answer::NoSuchName, Answer::ServerFailure, Answer::Silence] {
        names.set(FAILING, failure);
        account.create_keys(KEYS).await;
        let queried = async {
            while names.query_count(FAILING) < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DELIVERY_DEADLINE, queried).await.expect("the name is queried while it fails");
    }
    names.set(FAILING, public_only());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_fail_and_names_that_lie_lose_nothing_and_lead_to_no_private_address() {
    let test = "delivery_faults::dns_faults::\
                names_that_fail_and_names_that_lie_lose_nothing_and_lead_to_no_private_address";
    if !namespace::enter(test, &[&[PUBLIC], &PRIVATE[1..]].concat()) {
        return;
    }
    let (redis, directory) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let mut network = Network::start(directory.path());
    let access_key = create_access_key(&redis.url());
    let process = start_guarded(&redis.url(), &network.authority).await;
    let mut account = Account::new(&Admin::new(process.admin.unwrap(), &access_key)).await;
    for (name, health) in
        [(STEADY, Health::Healthy), (FAILING, Health::Healthy), (FLIPPING, Health::Healthy), (REBOUND, Health::Faulty)]
    {
        network.add(&mut account, name, health).await;
    }
    break_names(&network.names, &account).await;
    evidence::check("names", &[&account], Evidence::default(), &network.forbidden, DELIVERY_DEADLINE).await;
    assert_eq!(account.subject(REBOUND).receiver.request_count(), 0);
    assert_eq!(error_classes(&account, STEADY).await, Vec::<String>::new());
    assert_eq!(error_classes(&account, FAILING).await, ["dns"]);
    assert_eq!(error_classes(&account, FLIPPING).await, ["blocked"]);
    assert_eq!(error_classes(&account, REBOUND).await, ["blocked"]);
}
