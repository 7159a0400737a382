//! The two backends behind one set of operations. The set is closed: an enum, not a trait object.

use std::path::PathBuf;
use std::time::Duration;

use gatepost_domain::digest::Digest;
use gatepost_domain::id::{AccountId, EventId, GatewayId, LeaseToken, RecoveryId, WebhookId};
use gatepost_domain::time::{Timestamp, Version};
use gatepost_domain::window::{LeaseGrant, Limit, UnusedLease};
use tokio::sync::mpsc;

use crate::copied_entry::{CopiedBatch, CopiedEntry, CopyTarget, StoreNumber};
use crate::embedded::Embedded;
use crate::error::Result;
use crate::format::LaterFormat;
use crate::ops::{
    CursorCheck, DeadLetterPosition, DeliveryKind, DeliveryLeaseRequest, DueWebhooks, FanOutOutcome, FeedCursor,
    FirstUseOutcome, Heartbeat, HeartbeatReply, IndexName, InvalidationBatch, KeyGroup, LastUsesPage, LeaseStatus,
    QueueStats, RawCommit, RawCommitOutcome, RawDeadLetter, RawDelivery, RawDeliveryLeases, RawFanOut, RawFeed,
    RawFirstUseClaim, RawLastUse, RawLookup, RawRecord, RawRecovery, RawRecoveryCreation, RawRecoveryStep,
    RawResponseSwap, RawRunningRecovery, RawSettlement, RawUsage, RecordName, RecoveryStepOutcome, RegisteredGateway,
    ReplayStats, RetentionPolicy, RolledUpUses, SendNowOutcome, SettlementOutcome, SortOrder, StoredUses, SwapOutcome,
    TrimStats, UsageGrouping, UsesPage, WebhookNumbers,
};
use crate::redis::Redis;
use crate::store_header::StoreHeader;

#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// In this process, on disk or in memory.
    Embedded(Embedded),
    /// On a Redis server, behind Sentinel or in a cluster.
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
    // ---- Store header
    /// Reads the store header; `None` if no store was created. From then on every operation compares the store id and
    /// fails with `WrongStore` if it differs.
    fn open() -> Option<StoreHeader>;
    /// Creates the store unless there is one. Returns the header that is then stored.
    fn create(header: StoreHeader) -> StoreHeader;
    /// Raises the store's format to that of the header, which was read before, if the store has no later one. Returns false,
    /// and changes nothing, if a rotation of the master key has replaced the envelope of the header since.
    fn raise_format(header: StoreHeader) -> bool;
    /// Replaces the envelope if it is still the one that was read. Returns whether it was replaced.
    fn swap_envelope(read: Vec<u8>, new: Vec<u8>) -> bool;
    /// Starts counting account resources unless that has started. Returns whether records are left to count.
    fn begin_counting() -> bool;
    /// Counts the next records of an account's index, at most `limit`. Returns how many, 0 at the end.
    fn count_page(account: AccountId, index: IndexName, limit: u32) -> u64;
    /// Ends the counting: all existing records are counted.
    fn end_counting() -> ();
    /// Returns the counts of an account's resources, in the order of `AccountResource::ALL`; `None` in a store that has
    /// not counted all of its records.
    fn account_usage(account: AccountId) -> Option<Vec<u64>>;
    /// Returns warnings about settings that are unwise but allowed, for the log and for `/readyz`.
    fn warnings() -> Vec<String>;
    /// Copies a consistent snapshot of the store into a new file and returns its size in bytes. Embedded only.
    fn backup(file: PathBuf) -> u64;
    /// Returns why ordinary writes are refused at the moment, memory or disk; `None` if they are accepted.
    fn full_reason() -> Option<String>;
    /// Returns how often this process replayed lost changes.
    fn replay_stats() -> ReplayStats;

    // ---- Copies to another store, while no process uses either
    /// Reads all entries of the store that are after a position, or all of them. Entries of Redis may come twice.
    fn read_entries(from: Option<String>, out: mpsc::Sender<CopiedBatch>) -> ();
    /// Reads the numbers of the store that are not 0.
    fn store_numbers() -> Vec<(StoreNumber, u64)>;
    /// Writes entries of another store. Can be repeated.
    fn write_entries(entries: Vec<CopiedEntry>) -> ();
    /// Returns what is at the address of a copy.
    fn copy_target() -> CopyTarget;
    /// Replaces the mark of a copy: nothing when it begins, otherwise the mark written before. Until the copy ends, no
    /// process can open the store. Fails if there is another mark, or a store.
    fn mark_copy(expected: Option<Vec<u8>>, mark: Vec<u8>) -> ();
    /// Removes what an interrupted copy has written.
    fn discard_copy() -> ();
    /// Ends a copy, which has this mark and this many waiting deliveries: from now on processes can open the store. Fails
    /// if there is another mark.
    fn finish_copy(mark: Vec<u8>, header: StoreHeader, waiting_deliveries: u64) -> ();

    // ---- Records
    /// Writes records, digests, indexes and the stream entry, or nothing.
    fn commit(commit: RawCommit) -> std::result::Result<RawCommitOutcome, LaterFormat>;
    /// Reads records, in the order of `names`; absent ones are `None`.
    fn records(names: Vec<RecordName>) -> Vec<Option<RawRecord>>;
    /// Reads up to `limit` members of an index after `after` (exclusive; empty for the start) in the given order, with
    /// their records. A member is the creation time as 9 base 62 digits, followed by the record's name.
    fn list(index: IndexName, order: SortOrder, after: String, limit: u32) -> Vec<(String, RawRecord)>;
    /// Counts the members of an index, up to a limit.
    fn count_listed(index: IndexName, limit: u32) -> u32;

    /// Returns the sealed response stored under a name, until it expires.
    fn stored_response(name: String) -> Option<Vec<u8>>;
    /// Stores, removes or claims a response if the condition on the current one holds.
    fn swap_response(swap: RawResponseSwap) -> SwapOutcome;

    // ---- Gateways
    /// Looks up the record of a key digest and its parent, in one round trip.
    fn lookup(digest: Digest) -> RawLookup;
    /// Records a key's first use, once in its life, with a stream entry.
    fn claim_first_use(claim: RawFirstUseClaim) -> FirstUseOutcome;
    /// Returns up to `limit` entries after a cursor and, atomically, the state of the entry at the cursor, compared by
    /// event id if one is given. Waits up to `wait` for the first entry.
    fn feed(cursor: Version, event: Option<EventId>, limit: u32, wait: Duration) -> RawFeed;
    /// Returns up to `limit` entries of the invalidation stream after a cursor, or that it cannot be continued. Waits up to
    /// `wait` for the first entry. Redis only: no other backend hands out such cursors.
    fn invalidations(cursor: FeedCursor, limit: u32, wait: Duration) -> InvalidationBatch;
    /// Returns up to `limit` entries before a cursor, newest first, and, atomically, the state of the entry at the cursor.
    fn feed_backwards(cursor: Version, limit: u32) -> RawFeed;
    /// Registers a gateway or renews its lease. It is a write, so that it fails on a store that cannot write.
    fn heartbeat(heartbeat: Heartbeat) -> HeartbeatReply;
    /// Removes a gateway that has served its last request.
    fn deregister_gateway(gateway: GatewayId) -> ();
    /// Returns the gateways that may still serve from their caches.
    fn gateways() -> Vec<RegisteredGateway>;
    /// Returns the last position of the stream.
    fn last_position() -> Version;
    /// Checks whether an acknowledged change is still present, and waits until the required replicas have it.
    fn confirm(version: Version, event: EventId) -> CursorCheck;
    /// Checks whether the entry at a cursor is still present, compared by event id if one is given.
    fn check_cursor(cursor: Version, event: Option<EventId>) -> CursorCheck;

    // ---- Rate limits and usage
    /// Leases up to `requested` requests of a limit (see `gatepost_domain::window::lease`).
    fn lease_allowance(name: String, limit: Limit, requested: u64) -> LeaseGrant;
    /// Returns unused requests of a lease; does nothing if the window has ended. Never retried: requests that are
    /// returned twice could be used twice.
    fn return_allowance(name: String, unused: UnusedLease) -> ();
    /// Adds uses of keys of a group to the current hour and sets their last use to now. Names each key once.
    fn add_usage(group: KeyGroup, usage: Vec<(String, u64)>) -> ();
    /// Reads the uses of keys of a group, in their order. The empty key is all keys of the group together.
    fn key_uses(group: KeyGroup, keys: Vec<String>) -> Vec<StoredUses>;
    /// Reads the uses of some keys of a group whose last use is not before an hour, from a page's `next` or from the start.
    /// Looks at about `limit` keys.
    fn uses_page(group: KeyGroup, from: Option<String>, since_hour: u64, limit: usize) -> UsesPage;
    /// Replaces uses of keys of a group, except of keys whose uses have been added since they were read.
    fn roll_up(group: KeyGroup, uses: Vec<RolledUpUses>) -> ();

    // ---- Usage in the first format
    /// Adds uses of a project's keys to the current hour and sets their last use to now.
    fn add_hourly_usage(project: String, usage: Vec<(String, u64)>) -> ();
    /// Reads a project's uses from hour `from` (inclusive) to hour `to` (exclusive) since the epoch, oldest first.
    fn hourly_usage(project: String, grouping: UsageGrouping, from: u64, to: u64) -> Vec<RawUsage>;
    /// Reads the uses of one key of a project from hour `from` (inclusive) to hour `to` (exclusive) since the epoch, oldest
    /// first: hour and count. Reads nothing of other keys.
    fn hourly_key_usage(project: String, key: String, from: u64, to: u64) -> Vec<(u64, u64)>;
    /// Returns the last use of keys of a project, in their order.
    fn hourly_last_used(project: String, keys: Vec<String>) -> Vec<Option<Timestamp>>;
    /// Reads about `limit` last uses of keys of a project, or of any project, from a page's `next` or from the start. The
    /// embedded store leaves out keys whose record cannot be decoded.
    fn last_uses_page(project: String, from: Option<String>, limit: usize) -> LastUsesPage;
    /// Removes last uses of keys of a project that are still as they were read.
    fn remove_last_uses(project: String, uses: Vec<RawLastUse>) -> ();

    // ---- Queue
    /// Returns the position of the fan-out cursor.
    fn fan_out_cursor() -> Version;
    /// Moves the fan-out cursor and creates the deliveries, or does nothing.
    fn fan_out(step: RawFanOut) -> FanOutOutcome;
    /// Returns webhooks with due deliveries: up to `limit`, after the first `skip`.
    fn due_webhooks(skip: u32, limit: u32) -> DueWebhooks;
    /// Leases due deliveries of one webhook, and reads the webhook. Deliveries with an expired lease are due.
    fn lease_deliveries(request: DeliveryLeaseRequest) -> RawDeliveryLeases;
    /// Extends a lease.
    fn extend_lease(webhook: WebhookId, event: EventId, token: LeaseToken, lease: Duration) -> LeaseStatus;
    /// Finishes, retries or releases deliveries, each independently. The last delivery of an event to finish erases
    /// its body and secret.
    fn settle(settlements: Vec<RawSettlement>) -> Vec<SettlementOutcome>;
    /// Sends nothing to a webhook for some time, or for longer if it is already held.
    fn hold_queue(webhook: WebhookId, hold: Duration) -> ();
    /// Ends the hold of a webhook.
    fn end_hold(webhook: WebhookId) -> ();
    /// Forgets the failures and the hold of a webhook.
    fn reset_failures(webhook: WebhookId) -> ();
    /// Moves waiting deliveries of a webhook to its dead letters. Bounded per call; returns how many it moved, 0 at the
    /// end.
    fn move_queue_to_dead_letters(webhook: WebhookId, reason: &'static str) -> u64;
    /// Returns deliveries of a webhook, of some kinds, in the order of their creation after a sequence (exclusive) or
    /// from the start.
    fn deliveries(
        webhook: WebhookId, kinds: Vec<DeliveryKind>, order: SortOrder, after: Option<i64>, limit: u32
    ) -> Vec<RawDelivery>;
    /// Returns the delivery of an event.
    fn delivery(webhook: WebhookId, event: EventId) -> Option<RawDelivery>;
    /// Returns the numbers of a webhook.
    fn webhook_numbers(webhook: WebhookId) -> WebhookNumbers;
    /// Makes a waiting delivery due at once.
    fn send_now(webhook: WebhookId, event: EventId) -> SendNowOutcome;
    /// Creates deliveries for events that are neither waiting nor dead letters; returns how many.
    fn send_again(webhook: WebhookId, events: Vec<(EventId, Vec<u8>)>) -> u64;
    /// Returns the latest failed attempts of a webhook, newest first.
    fn attempts(webhook: WebhookId, limit: u32) -> Vec<Vec<u8>>;
    /// Returns dead letters of a webhook, oldest first, after a position or from the start.
    fn dead_letters(webhook: WebhookId, after: Option<DeadLetterPosition>, limit: u32) -> Vec<RawDeadLetter>;
    /// Returns the dead letter of an event.
    fn dead_letter(webhook: WebhookId, event: EventId) -> Option<RawDeadLetter>;
    /// Moves a dead letter back into its queue with a fresh schedule; `Lost` if there is none.
    fn resend(webhook: WebhookId, event: EventId) -> LeaseStatus;
    /// Creates a recovery of a webhook unless another one runs. Of those that ended, it keeps the latest.
    fn create_recovery(webhook: WebhookId, recovery: RecoveryId, request: Vec<u8>) -> RawRecoveryCreation;
    /// Returns the recoveries of a webhook, in no order.
    fn recoveries(webhook: WebhookId) -> Vec<RawRecovery>;
    /// Returns recoveries that run, in the order of their webhooks, after one (exclusive) or from the start.
    fn running_recoveries(after: Option<WebhookId>, limit: u32) -> Vec<RawRunningRecovery>;
    /// Enqueues the next deliveries of a recovery with fresh schedules and moves its cursor, or does nothing.
    fn run_recovery_step(step: RawRecoveryStep) -> RecoveryStepOutcome;
    /// Cancels a recovery unless it has ended. Returns it, or `None` if there is none.
    fn cancel_recovery(webhook: WebhookId, recovery: RecoveryId) -> Option<RawRecovery>;
    /// Removes everything that a removed webhook left: queue, attempts, dead letters, recoveries. Bounded per call;
    /// returns how many deliveries and dead letters it removed, 0 at the end.
    fn drop_queue(webhook: WebhookId) -> u64;
    /// Returns up to `limit` entries in quarantine before a position, newest first: position, bytes, reason.
    fn quarantine(before: Version, limit: u32) -> Vec<(Version, Vec<u8>, String)>;
    /// Returns queue metrics.
    fn queue_stats() -> QueueStats;
    /// Removes expired data, never stream entries past the fan-out cursor.
    fn trim(rule: RetentionPolicy) -> TrimStats;
}
