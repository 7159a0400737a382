//! Fault suite of the deliverer: real processes, Redis and sockets, each family of faults in a file of its own, and one
//! checker of the invariants.
//!
//! A plain run takes all families at once in a short form, because they mostly wait for leases to end. With
//! `--features long` each is a test of its own, with the durations that are promised.

mod bad_receivers;
mod checker;
mod checker_tests;
mod clock_faults;
mod crashes;
mod dns_faults;
mod evidence;
mod load;
pub(crate) mod name_server;
pub(crate) mod namespace;
mod receiver_faults;
mod shifted_clock;
mod store_faults;
mod subject;
mod tls_front;

#[cfg(not(feature = "long"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn no_fault_loses_repeats_or_starves_a_delivery() {
    let mut families = tokio::task::JoinSet::new();
    families.spawn(crashes::killing_the_control_plane_every_second_repeats_only_what_was_in_flight());
    families.spawn(crashes::stopping_the_control_plane_in_the_middle_of_deliveries_repeats_none());
    families.spawn(store_faults::restarts_of_redis_repeat_only_what_was_in_flight());
    families.spawn(store_faults::pauses_of_redis_repeat_nothing());
    families.spawn(receiver_faults::bad_receivers_delay_no_healthy_webhook_and_end_as_dead_letters());
    families.spawn(clock_faults::an_hour_forwards_and_back_loses_nothing_and_delays_nothing());
    families.join_all().await;
}
