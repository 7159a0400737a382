//! The conformance suite of the store: each case runs on every backend. A case is the documentation
//! of an act.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod acl;
mod counts;
mod edge;
mod failover;
mod fixture;
mod format;
mod meter;
mod place;
mod queue;
mod records;
mod trim;

use fixture::{Place, acl_of};
use gatepost_test_support::{RedisCluster, SentinelSet};

/// One test for each case and backend.
macro_rules! conformance {
    ($($area:ident :: $case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$area::$case(super::Place::memory()).await; })*
        }
        mod disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$area::$case(super::Place::disk()).await; })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$area::$case(super::Place::redis()).await; })*
        }

        /// A namespace for each case.
        const NAMESPACES: &[&str] = &[$(stringify!($case)),*];

        /// All cases one after the other, each in a namespace of its own.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_suite_runs_on_sentinel() {
            let set = SentinelSet::start_guarded(&acl_of(NAMESPACES));
            $(Box::pin($area::$case(Place::sentinel(&set, stringify!($case)))).await;)*
        }

        /// All cases one after the other, each in a namespace of its own and hence on any of the masters.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_suite_runs_on_a_cluster() {
            let cluster = RedisCluster::start_guarded(&acl_of(NAMESPACES));
            $(Box::pin($area::$case(Place::cluster(&cluster, stringify!($case)))).await;)*
        }
    };
}

conformance! {
    records::a_commit_writes_record_index_digest_and_entry_together,
    records::a_stale_version_is_a_conflict_and_writes_nothing,
    records::a_repeated_commit_answers_the_same_version_and_writes_once,
    records::a_key_value_belongs_to_one_record,
    records::a_receipt_is_kept_with_its_change_for_its_time,
    records::a_receipts_name_is_claimed_once_and_given_back_only_unanswered,
    records::a_change_tells_from_where_it_came_and_keeps_its_answer,
    records::a_changed_value_leads_nowhere_any_more,
    records::a_removed_record_is_gone_from_its_list,
    records::lists_are_in_order_of_creation_and_page,
    records::newest_first_is_the_same_list_backwards,
    records::a_list_goes_on_after_any_record_of_it_also_one_that_is_gone,
    records::versions_rise_when_the_clock_goes_back,
    records::a_wrong_master_key_is_refused,
    records::unknown_fields_survive_a_rewrite,
    records::an_access_key_is_found_with_the_state_of_its_account,
    records::a_deleted_project_ends_its_keys_with_one_change,
    records::a_repeated_removal_answers_the_same_version,
    records::a_commit_of_several_records_of_which_one_is_stale_writes_none,
    edge::a_lookup_tells_the_last_position_also_for_absent_values,
    edge::a_lookup_sees_key_and_project,
    edge::sixty_four_racing_claims_have_one_winner,
    edge::a_claim_of_an_inactive_or_renamed_key_is_refused,
    edge::a_commit_leaves_first_use_alone,
    edge::a_first_use_moves_no_version,
    edge::the_feed_resumes_from_a_cursor,
    edge::the_feed_waits_for_the_next_change,
    edge::a_heartbeat_tells_position_and_judges_the_cursor,
    edge::gateways_are_known_until_they_sign_off_or_must_refuse,
    edge::a_reader_with_a_foreign_or_trimmed_cursor_is_told_so,
    format::secrets_of_webhooks_are_sealed_from_format_two_on,
    counts::no_account_gets_more_than_it_may_have,
    counts::bytes_of_records_have_a_bound_and_changes_a_quarter_more,
    counts::what_was_there_before_is_counted_while_commits_go_on,
    meter::racing_gateways_never_lease_more_than_the_limit,
    meter::a_window_starts_with_the_first_consumption,
    meter::what_is_given_back_can_be_leased_again_in_its_window_only,
    meter::a_later_generation_of_a_limit_starts_a_window_at_zero,
    meter::who_has_not_heard_of_a_later_generation_starts_windows_of_it,
    meter::a_clock_that_steps_back_ends_the_windows_it_started,
    meter::a_calendars_windows_end_with_its_periods,
    meter::usage_adds_up_by_the_hour_and_is_kept_for_its_time,
    queue::racing_fan_outs_happen_once,
    queue::a_leased_delivery_has_one_holder_until_its_lease_expires,
    queue::only_the_holder_settles,
    queue::settlements_in_one_act_stand_each_for_itself,
    queue::an_extended_lease_holds,
    queue::a_retry_comes_back_when_it_is_due,
    queue::the_in_flight_cap_holds,
    queue::the_last_delivery_to_end_erases_the_secret,
    queue::a_dead_letter_can_be_sent_again,
    queue::a_full_queue_pushes_its_oldest_into_the_dead_letters,
    queue::a_full_queue_gives_up_what_was_made_first_also_where_that_waits_for_a_retry,
    queue::dead_letters_of_a_webhook_are_bounded,
    queue::an_event_that_nobody_asked_for_keeps_no_secret,
    queue::a_queue_is_dropped_also_while_a_lease_is_held,
    queue::a_dead_letter_is_sent_again_while_another_webhook_waits_for_the_same_event,
    queue::an_undecodable_entry_goes_into_quarantine,
    queue::a_dropped_queue_is_gone,
    trim::trimming_stops_at_the_fan_out_cursor,
    trim::a_full_stream_refuses_ordinary_writes_only,
    trim::old_secrets_and_dead_letters_are_erased,
}
