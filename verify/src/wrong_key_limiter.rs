//! Wrong keys: how many a client may send before nothing that it sends is looked up.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gatepost_domain::network::client_network;
use gatepost_domain::permit::Denial;
use gatepost_domain::time::Uptime;

use crate::gcra::Gcra;

const MINUTE: Duration = Duration::from_secs(60);
/// Clients that are remembered.
const MAX_CLIENTS: u64 = 100_000;

/// Who sent wrong keys lately, by client; nothing where any number may be sent. Keys that are cached pass all the same.
pub(crate) struct WrongKeyLimiter(Option<Gcra<IpAddr>>);

impl WrongKeyLimiter {
    /// So many a minute; 0 for any number.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self((per_minute > 0).then(|| Gcra::new(MINUTE / per_minute, per_minute, MAX_CLIENTS)))
    }

    /// Refuses a client that has sent too many.
    pub(crate) fn check(&self, client: Option<IpAddr>, now: Uptime) -> Result<(), Denial> {
        match self.0.as_ref().and_then(|gcra| gcra.wait_time(&client_key(client), now)) {
            None => Ok(()),
            Some(wait) => {
                let retry_after_s = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
                Err(Denial::TooManyWrongKeys { retry_after_s })
            }
        }
    }

    /// Counts a wrong key, and answers how it is refused.
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

/// Clients whose address is not known count as one.
fn client_key(client: Option<IpAddr>) -> IpAddr {
    client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), client_network)
}
