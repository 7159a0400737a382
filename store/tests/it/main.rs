//! Conformance suite of the store: each case runs on every backend. A case documents an operation.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod account_counts;
mod acl;
mod backend_specific;
mod failover;
mod fixture;
mod format;
mod gateway_ops;
mod invalidations;
mod queue;
mod rate_limits;
mod records;
mod recoveries;
mod store_check;
mod store_copy;
mod trim;
mod usage;
mod webhook_failures;

use fixture::{TestBackend, acl_for};
use gatepost_test_support::{RedisCluster, SentinelSet};

/// Defines one test for each case and backend.
macro_rules! conformance {
    ($($area:ident :: $case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$area::$case(super::TestBackend::memory()).await; })*
        }
        mod disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$area::$case(super::TestBackend::disk()).await; })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$area::$case(super::TestBackend::redis()).await; })*
        }

        /// One namespace per case.
        const NAMESPACES: &[&str] = &[$(stringify!($case)),*];

        /// Runs all cases one after the other, each in its own namespace.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_suite_runs_on_sentinel() {
            let set = SentinelSet::start_with_acl(&acl_for(NAMESPACES));
            $(Box::pin($area::$case(TestBackend::sentinel(&set, stringify!($case)))).await;)*
        }

        /// Runs all cases one after the other, each in its own namespace and hence on any of the masters.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_suite_runs_on_a_cluster() {
            let cluster = RedisCluster::start_with_acl(&acl_for(NAMESPACES));
            $(Box::pin($area::$case(TestBackend::cluster(&cluster, stringify!($case)))).await;)*
        }
    };
}

conformance! {
    records::a_commit_writes_record_index_digest_and_entry_together,
    records::a_stale_version_is_a_conflict_and_writes_nothing,
    records::a_retried_commit_returns_the_same_version_and_writes_once,
    records::a_key_value_belongs_to_one_record,
    records::a_stored_response_is_kept_with_its_change_until_it_expires,
    records::an_idempotency_slot_is_claimed_once_and_released_only_while_unanswered,
    records::a_stored_response_is_taken_once,
    records::a_change_records_its_origin_and_stores_its_response,
    records::a_rotated_key_value_is_no_longer_found,
    records::a_removed_record_is_gone_from_its_list,
    records::lists_are_ordered_by_creation_and_paginated,
    records::newest_first_is_the_same_list_reversed,
    records::a_list_resumes_after_any_position_even_of_a_removed_record,
    records::versions_increase_when_the_clock_goes_back,
    records::a_wrong_master_key_is_refused,
    records::unknown_fields_survive_a_rewrite,
    records::an_access_key_is_returned_with_its_accounts_status,
    records::a_deleted_project_deactivates_its_keys_with_one_change,
    records::a_retried_removal_returns_the_same_version,
    records::a_commit_with_one_stale_record_writes_none,
    gateway_ops::a_lookup_returns_the_last_position_also_for_absent_values,
    gateway_ops::a_lookup_returns_key_and_project,
    gateway_ops::sixty_four_racing_claims_have_one_winner,
    gateway_ops::a_claim_of_an_inactive_or_rotated_key_is_refused,
    gateway_ops::a_commit_preserves_first_use,
    gateway_ops::a_first_use_does_not_change_the_version,
    gateway_ops::the_feed_resumes_from_a_cursor,
    gateway_ops::the_feed_waits_for_the_next_change,
    gateway_ops::the_feed_is_read_backwards_from_a_cursor,
    gateway_ops::a_heartbeat_returns_position_and_cursor_state,
    gateway_ops::gateways_are_listed_until_sign_off_or_lease_expiry,
        gateway_ops::a_diverged_or_trimmed_cursor_is_reported,
    format::secrets_of_webhooks_are_sealed_from_format_two_on,
    account_counts::account_counts_are_bounded,
    account_counts::record_bytes_are_bounded_and_updates_may_exceed_by_a_quarter,
    account_counts::existing_records_are_counted_during_commits,
    rate_limits::racing_gateways_never_lease_more_than_the_limit,
    rate_limits::a_window_starts_with_the_first_lease,
    rate_limits::returned_allowance_can_be_leased_again_only_in_its_window,
    rate_limits::a_later_generation_of_a_limit_starts_a_window_at_zero,
    rate_limits::a_gateway_unaware_of_a_later_generation_starts_windows_of_it,
    rate_limits::a_clock_stepping_back_ends_its_windows,
    rate_limits::calendar_windows_end_with_their_period,
    usage::uses_are_counted_by_the_hour_and_by_key,
    usage::uses_are_counted_by_the_hour_in_the_first_format,
    usage::old_hours_become_days_and_old_days_months,
    usage::uses_that_are_added_during_a_roll_up_are_kept,
    usage::uses_from_before_an_upgrade_are_still_reported,
    usage::many_keys_are_reported_once_each,
    queue::racing_fan_outs_are_applied_once,
    queue::a_leased_delivery_has_one_holder_until_its_lease_expires,
    queue::a_lease_reads_the_webhook_as_it_is,
    queue::only_the_lease_holder_settles,
    queue::attempts_and_dead_letters_have_cursors_and_a_lookup,
    queue::deliveries_are_listed_in_every_state,
    queue::a_delivery_is_sent_again_in_every_state,
    queue::a_delivery_that_is_sent_again_keeps_its_creation,
    queue::logs_have_a_size_and_an_age,
    queue::settlements_in_one_operation_are_independent,
    queue::an_extended_lease_is_held,
    queue::a_retry_is_leased_again_when_due,
    queue::a_clock_that_is_set_back_delays_no_delivery,
    queue::the_in_flight_cap_is_enforced,
    queue::the_last_delivery_to_finish_erases_the_secret,
    queue::a_dead_letter_can_be_resent,
    queue::a_full_queue_dead_letters_its_oldest,
    queue::a_full_queue_dead_letters_the_first_created_even_if_it_awaits_a_retry,
    queue::dead_letters_of_a_webhook_are_bounded,
    queue::an_event_without_subscribers_keeps_no_secret,
    queue::a_queue_is_dropped_even_while_a_lease_is_held,
    queue::a_dead_letter_is_resent_while_another_webhook_has_the_same_event_pending,
    queue::an_undecodable_entry_goes_into_quarantine,
    queue::a_dropped_queue_is_gone,
    webhook_failures::failures_in_a_row_are_counted_until_a_2xx,
    webhook_failures::failures_of_one_operation_are_counted_in_their_order,
    webhook_failures::a_refusal_holds_the_queue_and_counts_once_an_hour,
    webhook_failures::holds_together_have_a_maximum,
    webhook_failures::a_hold_is_shown_and_can_be_ended,
    webhook_failures::a_delivery_that_is_given_up_keeps_its_last_attempt,
    webhook_failures::the_queue_of_a_disabled_webhook_becomes_dead_letters_except_what_is_leased,
    recoveries::a_recovery_sends_dead_and_dropped_deliveries_oldest_first,
    recoveries::a_recovery_selects_by_list_time_and_topic,
    recoveries::one_recovery_of_a_webhook_runs_at_a_time,
    recoveries::racing_steps_of_a_recovery_are_applied_once,
    recoveries::a_recovery_never_overfills_the_queue,
    recoveries::a_recovery_makes_failed_deliveries_due,
    recoveries::a_second_recovery_selects_what_died_again,
    recoveries::a_recovery_skips_what_cannot_be_sent,
    recoveries::a_delivery_that_dies_again_is_recovered_once,
    recoveries::a_cancelled_recovery_enqueues_nothing_more,
    recoveries::recoveries_that_run_are_listed_by_webhook,
    recoveries::recoveries_have_a_number_and_an_age,
    trim::trimming_stops_at_the_fan_out_cursor,
    trim::a_trimmed_stream_is_read_backwards_to_its_oldest_entry,
    trim::a_full_stream_refuses_ordinary_writes_only,
    trim::old_secrets_and_dead_letters_are_erased,
}
