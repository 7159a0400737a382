//! Sessions of people in the dashboard, and single-use links that start one.
//!
//! A session is an opaque token that stands for an access key. It is stored sealed, under a digest of the token, and it
//! is judged against the access key and its account at every request, so it ends with them.

use std::net::IpAddr;
use std::time::Duration;

use gatepost_domain::base62;
use gatepost_domain::id::AccessKeyId;
use gatepost_domain::key::Secret;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Account, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{StoredResponse, os_rng};

use crate::caller::Caller;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, Result};

/// The longest lifetime of a session.
pub const MAX_SESSION_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Lifetime of a sign-in link.
pub const SIGN_IN_LINK_TTL: Duration = Duration::from_secs(600);
/// Base-62 digits of a token: 256 bits.
const TOKEN_DIGITS: usize = 43;

/// A person who is signed in with an access key.
#[derive(Debug, Clone)]
pub struct Session {
    pub caller: Caller,
    pub access_key: AccessKey,
    pub account: Account,
}

/// A session that has just begun, with the only copy of its token.
#[derive(Debug)]
pub struct NewSession {
    pub session: Session,
    pub token: Secret,
}

/// Content of a stored session.
struct StoredSession {
    access_key: AccessKeyId,
    signed_in_at: Timestamp,
}

impl StoredSession {
    fn parse(text: &str) -> Option<Self> {
        let (id, at) = text.split_once('\n')?;
        let signed_in_at = Timestamp::from_ms(at.parse().ok()?);
        Some(Self { access_key: AccessKeyId::parse(id).ok()?, signed_in_at })
    }

    fn encode(&self) -> Secret {
        Secret::new(format!("{}\n{}", self.access_key, self.signed_in_at.as_ms()))
    }
}

impl ControlPlane {
    /// Starts a session with the value of an access key, which a client at `from` sent. It ends after `ttl`, at most 7 days.
    ///
    /// # Errors
    /// `invalid-access-key`, and [`Failure::Throttled`] after too many wrong values from that address or too many
    /// sessions of one access key.
    pub async fn sign_in(&self, value: &str, from: IpAddr, ttl: Duration) -> Result<NewSession> {
        let caller = self.authenticate_caller(value, from).await?;
        self.start_session(&caller.access_key, ttl).await
    }

    /// Creates a single-use link to a session of an access key, and returns its token. It is valid for 10 minutes.
    ///
    /// # Errors
    /// `invalid-access-key` if the access key is not usable.
    pub async fn create_sign_in_link(&self, access_key: &AccessKeyId) -> Result<Secret> {
        self.usable_session(access_key).await?.ok_or(ErrorCode::InvalidAccessKey)?;
        let token = generate_token();
        let link = Secret::new(access_key.to_string());
        self.put_stored(self.link_name(token.expose()), link, SIGN_IN_LINK_TTL).await?;
        Ok(token)
    }

    /// Returns the session that a link would start, without using the link.
    pub async fn peek_sign_in_link(&self, token: &str) -> Result<Option<Session>> {
        let stored = self.store.single_cell().stored_response(&self.link_name(token)).await?;
        self.session_of_link(stored).await
    }

    /// Uses a link, which a client at `from` sent, and starts its session. Returns none if the link was used before or
    /// has expired.
    ///
    /// # Errors
    /// [`Failure::Throttled`] after too many wrong links or access keys from that address.
    pub async fn redeem_sign_in_link(&self, token: &str, from: IpAddr, ttl: Duration) -> Result<Option<NewSession>> {
        let (digest, now) = (self.store.envelope().digest(token), self.clock.uptime());
        self.brute_force.check(from, &digest, now)?;
        let stored = self.store.single_cell().take_response(&self.link_name(token)).await?;
        match self.session_of_link(stored).await? {
            Some(session) => self.start_session(&session.caller.access_key, ttl).await.map(Some),
            None => {
                self.brute_force.record_failure(from, &digest, now);
                Ok(None)
            }
        }
    }

    /// Returns the session of a token, if it has not ended and its access key and account are active.
    pub async fn session(&self, token: &str) -> Result<Option<Session>> {
        let stored = self.store.single_cell().stored_response(&self.session_name(token)).await?;
        let Some(stored) = stored.and_then(|text| StoredSession::parse(text.expose())) else { return Ok(None) };
        let signed_out = self.store.single_cell().stored_response(&signed_out_name(&stored.access_key)).await?;
        let signed_out_at = signed_out.and_then(|text| text.expose().parse().ok()).map(Timestamp::from_ms);
        if signed_out_at.is_some_and(|at| stored.signed_in_at <= at) {
            return Ok(None);
        }
        self.usable_session(&stored.access_key).await
    }

    /// Ends the session of a token.
    pub async fn sign_out(&self, token: &str) -> Result<()> {
        self.store.single_cell().take_response(&self.session_name(token)).await?;
        Ok(())
    }

    /// Ends all sessions of the caller's access key.
    pub async fn sign_out_everywhere(&self, caller: &Caller) -> Result<()> {
        let now = Secret::new(self.now().as_ms().to_string());
        self.put_stored(signed_out_name(&caller.access_key), now, MAX_SESSION_TTL).await
    }

    async fn start_session(&self, access_key: &AccessKeyId, ttl: Duration) -> Result<NewSession> {
        let uptime = self.clock.uptime();
        self.limits.sign_ins.try_acquire(access_key.clone(), uptime).map_err(Failure::Throttled)?;
        let session = self.usable_session(access_key).await?.ok_or(ErrorCode::InvalidAccessKey)?;
        let token = generate_token();
        let stored = StoredSession { access_key: access_key.clone(), signed_in_at: self.now() };
        self.put_stored(self.session_name(token.expose()), stored.encode(), ttl.min(MAX_SESSION_TTL)).await?;
        tracing::info!(access_key = access_key.as_str(), "signed in to the dashboard");
        Ok(NewSession { session, token })
    }

    async fn session_of_link(&self, stored: Option<Secret>) -> Result<Option<Session>> {
        match stored.and_then(|text| AccessKeyId::parse(text.expose()).ok()) {
            Some(access_key) => self.usable_session(&access_key).await,
            None => Ok(None),
        }
    }

    /// Reads an access key and its account; none unless both are active.
    async fn usable_session(&self, access_key: &AccessKeyId) -> Result<Option<Session>> {
        let found = self.store.home(access_key.partition()).access_key(access_key).await?;
        let now = self.now();
        let Some(access_key) = found.map(|found| found.record).filter(|key| key.is_usable(now)) else {
            return Ok(None);
        };
        let account = self.store.home(access_key.account.partition()).account(&access_key.account).await?;
        let account = account.map(|found| found.record).filter(|account| account.status == Status::Active);
        Ok(account.map(|account| Session { caller: Caller::from(&access_key), access_key, account }))
    }

    async fn put_stored(&self, name: String, response: Secret, ttl: Duration) -> Result<()> {
        Ok(self.store.single_cell().put_response(&StoredResponse { name, response, ttl }).await?)
    }

    fn session_name(&self, token: &str) -> String {
        format!("session:{}", self.fingerprint(token))
    }

    fn link_name(&self, token: &str) -> String {
        format!("sign-in-link:{}", self.fingerprint(token))
    }
}

fn signed_out_name(access_key: &AccessKeyId) -> String {
    format!("signed-out:{access_key}")
}

fn generate_token() -> Secret {
    let mut token = String::with_capacity(TOKEN_DIGITS);
    base62::push_random(&mut token, TOKEN_DIGITS, &mut os_rng());
    Secret::new(token)
}
