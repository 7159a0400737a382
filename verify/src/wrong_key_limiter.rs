//! Limit of wrong keys: how many a client may send before its values are no longer looked up.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gatepost_domain::denial::Denial;
use gatepost_domain::network::client_network;
use gatepost_domain::time::Uptime;
use gatepost_limits::Gcra;

const MINUTE: Duration = Duration::from_secs(60);
/// Maximum number of tracked clients.
const MAX_CLIENTS: u64 = 100_000;

/// Wrong keys per client; `None` if there is no limit. Cached keys pass even beyond the limit.
pub(crate) struct WrongKeyLimiter(Option<Gcra<IpAddr>>);

impl WrongKeyLimiter {
    /// Allows `per_minute` wrong keys per client; 0 for no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self((per_minute > 0).then(|| Gcra::new(MINUTE / per_minute, per_minute, MAX_CLIENTS)))
    }

    /// Denies a client that has sent too many wrong keys.
    pub(crate) fn check(&self, client: Option<IpAddr>, now: Uptime) -> Result<(), Denial> {
        match self.0.as_ref().and_then(|gcra| gcra.wait_time(&client_key(client), now)) {
            None => Ok(()),
            Some(wait) => {
                let retry_after_s = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
                Err(Denial::TooManyWrongKeys { retry_after_s })
            }
        }
    }

    /// Counts a wrong key. Returns the denial to use: `denial`, or `TooManyWrongKeys` beyond the limit.
    pub(crate) fn record_and_deny(&self, client: Option<IpAddr>, now: Uptime, denial: Denial) -> Denial {
        if let Err(too_many) = self.check(client, now) {
            return too_many;
        }
        if let Some(gcra) = &self.0 {
            gcra.record(client_key(client), now);
        }
        denial
    }
}

/// Returns the client's network. All clients with an unknown address share one key.
fn client_key(client: Option<IpAddr>) -> IpAddr {
    client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), client_network)
}
