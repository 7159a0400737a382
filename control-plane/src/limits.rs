//! Limits that requests share in one process: how much of what runs at a time, and how fast an account may go.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use gatepost_domain::id::{AccessKeyId, AccountId};
use gatepost_limits::Gcra;
use tokio::sync::Semaphore;

use crate::fair_share::FairShare;

/// Responses that wait for gateways at a time.
const MAX_WAITS: usize = 500;
/// Pages of lists that are read, or wait to be read, at a time.
const MAX_LIST_READS: usize = 16;
/// Of these, reserved for accounts that read none.
const RESERVED_LIST_READS: usize = 4;
/// Event streams at a time.
const MAX_STREAMS: usize = 64;
/// Streams of dashboard pages at a time.
const MAX_PAGE_STREAMS: usize = 64;
/// Pings that are sent at a time.
const MAX_PINGS: usize = 64;
/// Of these, reserved for accounts that send none.
const RESERVED_PINGS: usize = 16;

/// Pings that an account may send at once. A ping can probe which addresses respond.
const PING_BURST: u32 = 10;
/// Time until an account may send one more.
const PING_INTERVAL: Duration = Duration::from_secs(6);
/// Accounts whose pings are counted at a time.
const MAX_PING_ACCOUNTS: u64 = 10_000;

/// Resources that an account may create at once.
const CREATION_BURST: u32 = 1000;
/// Time until an account may create one more.
const CREATION_INTERVAL: Duration = Duration::from_millis(1);
/// Responses that are stored for an account at once.
const RESPONSE_BURST: u32 = 10_000;
/// Time until one more is stored.
const RESPONSE_INTERVAL: Duration = Duration::from_millis(100);
/// Accounts whose creations and stored responses are counted at a time.
const MAX_ACCOUNTS: u64 = 100_000;

/// Sessions that an access key may start at once.
const SIGN_IN_BURST: u32 = 10;
/// Time until it may start one more.
const SIGN_IN_INTERVAL: Duration = Duration::from_secs(6);

/// Time that a page of the dashboard searches. The rest of the page takes about 10 ms, and a read that has begun is
/// finished: together they stay below the 50 ms that a page may take.
pub(crate) const PAGE_SCAN_TIME: Duration = Duration::from_millis(25);

/// How long a response is stored for repeated requests.
pub(crate) const RESPONSE_TTL: Duration = Duration::from_secs(24 * 3600);

/// The limits of one process. Clones share them.
#[derive(Clone)]
pub(crate) struct SharedLimits {
    pub(crate) propagation_waits: FairShare,
    pub(crate) list_reads: FairShare,
    /// Pages that are worked on at a time, out of [`SharedLimits::list_reads`].
    pub(crate) list_permits: Arc<Semaphore>,
    pub(crate) event_streams: FairShare,
    pub(crate) page_streams: FairShare,
    pub(crate) concurrent_pings: FairShare,
    pub(crate) pings: Gcra<AccountId>,
    pub(crate) creations: Gcra<AccountId>,
    pub(crate) stored_responses: Gcra<AccountId>,
    pub(crate) sign_ins: Gcra<AccessKeyId>,
}

impl SharedLimits {
    pub(crate) fn new() -> Self {
        Self {
            propagation_waits: FairShare::new(MAX_WAITS, 0),
            list_reads: FairShare::new(MAX_LIST_READS, RESERVED_LIST_READS),
            list_permits: Arc::new(Semaphore::new(max_list_permits())),
            event_streams: FairShare::new(MAX_STREAMS, 0),
            page_streams: FairShare::new(MAX_PAGE_STREAMS, 0),
            concurrent_pings: FairShare::new(MAX_PINGS, RESERVED_PINGS),
            pings: Gcra::new(PING_INTERVAL, PING_BURST, MAX_PING_ACCOUNTS),
            creations: Gcra::new(CREATION_INTERVAL, CREATION_BURST, MAX_ACCOUNTS),
            stored_responses: Gcra::new(RESPONSE_INTERVAL, RESPONSE_BURST, MAX_ACCOUNTS),
            sign_ins: Gcra::new(SIGN_IN_INTERVAL, SIGN_IN_BURST, MAX_ACCOUNTS),
        }
    }
}

/// Half of the processors at most: the other half stays free for the rest of the process, however many lists are read.
fn max_list_permits() -> usize {
    (available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}
