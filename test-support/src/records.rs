//! Records for stores.

use std::sync::atomic::{AtomicU64, Ordering};

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, KeyId, ProjectId};
use gatepost_domain::key::{self, Env, Secret};
use gatepost_domain::partition::Partition;
use gatepost_domain::record::{Account, Actor, ApiKey, CreationContext, KeyDigest, Metadata, Project, Stamps, Status};
use gatepost_domain::time::Timestamp;
use gatepost_domain::window::Generations;
use rand::CryptoRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

/// Returns stamps with increasing timestamps, so that the order of creation is known.
pub fn stamps() -> Stamps {
    static NEXT_MS: AtomicU64 = AtomicU64::new(1_700_000_000_000);
    Stamps::new(Timestamp::from_ms(NEXT_MS.fetch_add(1, Ordering::SeqCst)), Actor::Operator)
}

pub fn account(name: &str) -> Account {
    Account { id: AccountId::generate(&mut rng()), name: name.to_owned(), status: Status::Active, stamps: stamps() }
}

/// Returns a live project of an account.
pub fn project(account: &AccountId) -> Project {
    Project {
        id: ProjectId::generate_in(Partition::default(), &mut rng()),
        account: account.clone(),
        name: "project".to_owned(),
        env: Env::Live,
        status: Status::Active,
        stamps: stamps(),
    }
}

/// Returns the value of a new API key.
pub fn secret() -> Secret {
    key::generate_api_key(Env::Live, &mut rng())
}

/// Returns an active key of a project, with a value that is digested with the pepper of the store.
pub fn api_key(project: &Project, secret: &Secret, digest: impl FnOnce(&str) -> Digest) -> ApiKey {
    ApiKey {
        id: KeyId::generate_in(Partition::default(), &mut rng()),
        account: project.account.clone(),
        project: project.id.clone(),
        env: project.env,
        name: "key".to_owned(),
        custom_account_id: Some("customer".to_owned()),
        custom_user_id: None,
        metadata: Metadata::default(),
        expires_at: None,
        rate_limit: None,
        quota: None,
        generations: Generations::default(),
        permissions: vec![],
        allowed_domains: Vec::new(),
        allowed_ips: Vec::new(),
        status: Status::Active,
        mask: key::mask(secret.expose()),
        digests: vec![KeyDigest::current(digest(secret.expose()))],
        creation_context: CreationContext::default(),
        stamps: stamps(),
    }
}
