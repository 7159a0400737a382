//! The two backends behind one set of acts. The set is closed: an enum, not a trait object.

use std::path::PathBuf;
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, GatewayId, LeaseToken, WebhookId};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_domain::window::{LeaseGrant, Limit, UnusedLease};

use crate::embedded::Embedded;
use crate::error::Result;
use crate::format::LaterFormat;
use crate::ops::{
    CommitOutcome, CursorCheck, DeliveryLeaseRequest, DueWebhooks, FanOutOutcome, FirstUseOutcome, Heartbeat,
    HeartbeatReply, IndexName, LeaseStatus, QueueStats, RawCommit, RawDeadLetter, RawFanOut, RawFeed, RawFirstUseClaim,
    RawLeasedDelivery, RawLookup, RawRecord, RawResponseSwap, RawSettlement, RawUsage, RecordName, RegisteredGateway,
    ReplayStats, RetentionPolicy, SortOrder, SwapOutcome, TrimStats, UsageGrouping,
};
use crate::redis::Redis;
use crate::store_header::StoreHeader;

/// Where the acts are performed.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// In this process, on disk or in memory.
    Embedded(Embedded),
    /// On Redis.
    Redis(Redis),
}

macro_rules! ops {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Backend {
            $($(#[$doc])*
            pub(crate) async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                match self {
                    Backend::Embedded(store) => store.$name($($arg),*).await,
                    Backend::Redis(store) => store.$name($($arg),*).await,
                }
            })*
        }
    };
}

ops! {
    // ---- the store itself
    /// Reads what the store knows of itself; none where no store was created.
    /// From then on every act compares the id and fails with `WrongStore` if it differs.
    fn open() -> Option<StoreHeader>;
    /// Creates the store unless there is one, and answers the head that then stands.
    fn create(head: StoreHeader) -> StoreHeader;
    /// Raises the format of the store to that of the head; a store of a later one is left alone.
    fn raise_format(head: StoreHeader) -> ();
    /// Begins to count what accounts have unless that has begun. Answers whether there is something left to count.
    fn begin_counting() -> bool;
    /// Counts up to `limit` further records of an account's index, and answers how many, 0 at the end.
    fn count_page(account: AccountId, index: IndexName, limit: u32) -> u64;
    /// Ends it: what is there is counted.
    fn end_counting() -> ();
    /// Settings that are unwise but allowed, as sentences, for the log and for `/readyz`.
    fn warnings() -> Vec<String>;
    /// Copies the store as it stands at one moment into a new file, and answers its bytes. Embedded only.
    fn backup(file: PathBuf) -> u64;
    /// Why ordinary writes are refused now for want of memory or disk; none if they are not.
    fn full_reason() -> Option<String>;
    /// How often lost changes were repeated by this process.
    fn replay_stats() -> ReplayStats;

    // ---- Records
    /// Writes records, digests, indexes and the stream entry, or nothing.
    fn commit(commit: RawCommit) -> std::result::Result<CommitOutcome, LaterFormat>;
    /// Reads records; absent ones are `None`, in the order asked.
    fn records(names: Vec<RecordName>) -> Vec<Option<RawRecord>>;
    /// Reads up to `limit` members of an index that come after `after` in this order (exclusive; empty for the
    /// start), with their records. A member is 9 base 62 digits of creation time and the record's name.
    fn list(index: IndexName, order: SortOrder, after: String, limit: u32) -> Vec<(String, RawRecord)>;

    /// The sealed answer that was kept under a name, until its time has passed.
    fn stored_response(name: String) -> Option<Vec<u8>>;
    /// Puts, removes or claims a receipt, if what stands there is what must.
    fn swap_response(swap: RawResponseSwap) -> SwapOutcome;

    // ---- Edge
    /// What a key value leads to, with its owner, in one round trip.
    fn lookup(digest: Digest) -> RawLookup;
    /// Marks a key as used, once in its life, with the change that says so.
    fn claim_first_use(claim: RawFirstUseClaim) -> FirstUseOutcome;
    /// Up to `limit` entries after a cursor, and in the same moment what became of the entry at the cursor,
    /// judged by its event id if that is given; waits up to `wait` for the first.
    fn feed(cursor: Version, event: Option<EventId>, limit: u32, wait: Duration) -> RawFeed;
    /// Registers a gateway or prolongs it. A write, so that a store that cannot write cannot answer.
    fn heartbeat(heartbeat: Heartbeat) -> HeartbeatReply;
    /// Forgets a gateway that has answered its last request.
    fn deregister_gateway(gateway: GatewayId) -> ();
    /// Gateways that may still answer from their caches.
    fn gateways() -> Vec<RegisteredGateway>;
    /// The last position.
    fn last_position() -> Version;
    /// Whether an acknowledged change still stands, and all replicas that must have it do.
    fn confirm(version: Version, event: EventId) -> CursorCheck;
    /// Whether the entry at a cursor is still there, with the same event id if that is given.
    fn check_cursor(cursor: Version, event: Option<EventId>) -> CursorCheck;

    // ---- Meter
    /// Leases up to `want` requests of a limit (see `gatepost_domain::window::lease`).
    fn lease_allowance(meter: String, limit: Limit, want: u64) -> LeaseGrant;
    /// Gives back what was leased and not used; nothing if the window is over. Never repeated: what is given back
    /// twice could be used twice.
    fn return_allowance(meter: String, unused: UnusedLease) -> ();
    /// Adds uses of a project's keys to the current hour, and notes that they were used now.
    fn add_usage(project: String, usage: Vec<(String, u64)>) -> ();
    /// Reads uses of a project in hours since the epoch, from one and before another, oldest first.
    fn usage(project: String, of: UsageGrouping, from: u64, to: u64) -> Vec<RawUsage>;
    /// When keys of a project were last used, in their order.
    fn last_used(project: String, keys: Vec<String>) -> Vec<Option<Timestamp>>;

    // ---- Queue
    /// Where the fan-out stands.
    fn fan_out_cursor() -> Version;
    /// Moves the fan-out cursor and makes the deliveries, or nothing.
    fn fan_out(step: RawFanOut) -> FanOutOutcome;
    /// Which queues have something due: up to `limit` after the first `skip`.
    fn due_webhooks(skip: u32, limit: u32) -> DueWebhooks;
    /// Takes due deliveries of one webhook into a worker's hands. An expired lease counts as due.
    fn lease_deliveries(request: DeliveryLeaseRequest) -> Vec<RawLeasedDelivery>;
    /// Prolongs a lease.
    fn extend_lease(webhook: WebhookId, event: EventId, token: LeaseToken, lease: Duration) -> LeaseStatus;
    /// Ends deliveries or gives them back, each for itself. An event's last delivery to end erases body and secret.
    fn settle(settlements: Vec<RawSettlement>) -> Vec<LeaseStatus>;
    /// The latest attempts of a webhook, newest first.
    fn attempts(webhook: WebhookId, limit: u32) -> Vec<Vec<u8>>;
    /// Dead letters of a webhook, oldest first.
    fn dead_letters(webhook: WebhookId, limit: u32) -> Vec<RawDeadLetter>;
    /// Puts a dead letter back into its queue with a fresh schedule; `Lost` if there is none.
    fn resend(webhook: WebhookId, event: EventId) -> LeaseStatus;
    /// Removes all that a removed webhook left: queue, attempts, dead letters. Bounded per call;
    /// answers how much it removed, 0 at the end.
    fn drop_queue(webhook: WebhookId) -> u64;
    /// Entries in quarantine: position, bytes, reason.
    fn quarantine(limit: u32) -> Vec<(Version, Vec<u8>, String)>;
    /// Numbers for metrics.
    fn queue_stats() -> QueueStats;
    /// Removes what is too old, never past the fan-out cursor.
    fn trim(rule: RetentionPolicy) -> TrimStats;
}
