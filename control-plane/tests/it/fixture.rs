//! Use cases over a store in memory.

use std::sync::Arc;

use gatepost_control_plane::{
    Caller, ControlPlane, MemberPolicy, NewAccessKey, NewProject, Precondition, RequestContext, UnknownMembers,
};
use gatepost_domain::record::Role;
use gatepost_limits::{OutagePolicy, RateLimiter};
use gatepost_store::clock::SystemClock;
use gatepost_store::{MasterKey, Store, StoreOptions, StoreUrl, os_rng};
use gatepost_webhook_client::PrivateNetworks;
use prometheus::Registry;

pub(crate) const ADDRESS: &str = "192.0.2.7";

async fn memory_store() -> Store {
    let options = StoreOptions::new(StoreUrl::Memory, Arc::new(SystemClock));
    Store::open_or_create(&options, &MasterKey::generate(&mut os_rng())).await.unwrap()
}

/// Use cases over a store in memory, and the context of a request of an admin.
pub(crate) async fn start() -> (Store, ControlPlane, RequestContext) {
    // Another test may have been faster.
    drop(rustls::crypto::ring::default_provider().install_default());
    let (store, clock, registry) = (memory_store().await, Arc::new(SystemClock), Registry::new());
    let rate_limiter =
        RateLimiter::start(store.single_cell().clone(), clock.clone(), OutagePolicy::Local, &registry).unwrap();
    let control_plane =
        ControlPlane::new(store.clone(), clock, PrivateNetworks::Refused, rate_limiter, &registry).unwrap();
    let new = NewAccessKey { account_name: None, project: None, role: Role::Admin, name: "admin".to_owned() };
    let access_key = control_plane.create_access_key(new).await.unwrap().access_key;
    let context = RequestContext {
        caller: Caller { access_key: access_key.id, account: access_key.account, project: None, role: Role::Admin },
        address: Some(ADDRESS.parse().unwrap()),
        request_id: "req_1".to_owned(),
        precondition: Precondition::None,
        members: MemberPolicy::new(UnknownMembers::Refuse),
        idempotency: None,
    };
    (store, control_plane, context)
}

pub(crate) fn project() -> NewProject {
    NewProject { name: Some("shop".to_owned()), account: None, env: Some("live".to_owned()) }
}
