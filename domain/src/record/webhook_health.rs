//! Health of a webhook's receiver: what the attempts since its last 2xx say about it.

use std::time::Duration;

use crate::time::Timestamp;

/// Minimum time between two notifications of other webhooks about the same kind of change.
const NOTIFICATION_INTERVAL: Duration = Duration::from_secs(3600);

/// What the attempts say about a receiver, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Condition {
    /// It responds with 2xx, as far as is known.
    #[default]
    Working,
    /// Its attempts have failed for some time. They go on.
    Failing,
    /// Its attempts have failed for so long, or it responded with 410, that it was paused.
    Disabled,
}

impl Condition {
    /// Returns the name used in stored records.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::Working => "working",
            Condition::Failing => "failing",
            Condition::Disabled => "disabled",
        }
    }

    /// Parses the output of [`Condition::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Condition::Working, Condition::Failing, Condition::Disabled].into_iter().find(|one| one.as_str() == text)
    }
}

/// Health of a webhook's receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookHealth {
    /// Current condition.
    pub condition: Condition,
    /// Why, for people. `None` while it works.
    pub reason: Option<String>,
    /// Time at which the condition last changed.
    pub changed_at: Option<Timestamp>,
    /// Time of the last `webhook.failing` event that other webhooks received.
    pub failing_notified_at: Option<Timestamp>,
    /// Time of the last `webhook.disabled` event that other webhooks received.
    pub disabled_notified_at: Option<Timestamp>,
}

impl WebhookHealth {
    /// Returns the health after a change at `now`. Other webhooks are notified unless they were within the last hour.
    pub fn changed_to(&self, condition: Condition, reason: Option<String>, now: Timestamp) -> Self {
        let mut health = Self { condition, reason, changed_at: Some(now), ..self.clone() };
        if let Some(notified_at) = health.notified_at_mut()
            && notified_at.is_none_or(|last| NOTIFICATION_INTERVAL <= now.since(last))
        {
            *notified_at = Some(now);
        }
        health
    }

    /// Returns whether other webhooks are notified of the last change.
    pub fn is_notified(&self) -> bool {
        let notified_at = match self.condition {
            Condition::Working => None,
            Condition::Failing => self.failing_notified_at,
            Condition::Disabled => self.disabled_notified_at,
        };
        notified_at.is_some() && notified_at == self.changed_at
    }

    fn notified_at_mut(&mut self) -> Option<&mut Option<Timestamp>> {
        match self.condition {
            Condition::Working => None,
            Condition::Failing => Some(&mut self.failing_notified_at),
            Condition::Disabled => Some(&mut self.disabled_notified_at),
        }
    }
}

/// Failed attempts of a webhook since its last 2xx. A refusal that pauses the webhook counts once an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureStreak {
    /// Number of failures.
    pub failures: u64,
    /// Time since the first one.
    pub lasted: Duration,
}

/// From when on a receiver is failing, and from when on it is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureLimits {
    /// Failures in a row from which it may be failing.
    pub failing_failures: u64,
    /// Time that they must have lasted.
    pub failing_after: Duration,
    /// Failures in a row from which it may be disabled.
    pub disabled_failures: u64,
    /// Time that they must have lasted. `None` if only a 410 disables it.
    pub disabled_after: Option<Duration>,
}

impl Default for FailureLimits {
    /// Failing after 5 failures in 10 minutes, disabled after 20 in 5 days.
    fn default() -> Self {
        Self {
            failing_failures: 5,
            failing_after: Duration::from_secs(10 * 60),
            disabled_failures: 20,
            disabled_after: Some(Duration::from_secs(5 * 24 * 3600)),
        }
    }
}

impl FailureLimits {
    /// Returns the condition of a receiver with these failures.
    pub fn condition_after(&self, streak: FailureStreak) -> Condition {
        let has_lasted = |failures, time: Duration| failures <= streak.failures && time <= streak.lasted;
        if self.disabled_after.is_some_and(|time| has_lasted(self.disabled_failures, time)) {
            Condition::Disabled
        } else if has_lasted(self.failing_failures, self.failing_after) {
            Condition::Failing
        } else {
            Condition::Working
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_and_time_must_both_be_reached() {
        const DAY: u64 = 24 * 3600;
        let limits = FailureLimits::default();
        for (failures, lasted_s, expected) in [
            (1, 0, Condition::Working),
            (4, 600, Condition::Working),
            (5, 599, Condition::Working),
            (5, 600, Condition::Failing),
            (19, 6 * DAY, Condition::Failing),
            (20, 5 * DAY - 1, Condition::Failing),
            (20, 5 * DAY, Condition::Disabled),
        ] {
            let streak = FailureStreak { failures, lasted: Duration::from_secs(lasted_s) };
            assert_eq!(limits.condition_after(streak), expected, "{streak:?}");
        }
        let never = FailureLimits { disabled_after: None, ..limits };
        let streak = FailureStreak { failures: 1000, lasted: Duration::from_secs(365 * DAY) };
        assert_eq!(never.condition_after(streak), Condition::Failing);
    }

    #[test]
    fn others_are_notified_once_an_hour_of_each_kind_of_change() {
        let at = |minutes: u64| Timestamp::from_ms(1_800_000_000_000 + minutes * 60_000);
        let failing = |health: &WebhookHealth, minutes| {
            health.changed_to(Condition::Failing, Some("status 500".to_owned()), at(minutes))
        };
        let first = failing(&WebhookHealth::default(), 0);
        assert!(first.is_notified());
        let recovered = first.changed_to(Condition::Working, None, at(1));
        assert!(!recovered.is_notified());
        let second = failing(&recovered, 59);
        assert!(!second.is_notified());
        let disabled = second.changed_to(Condition::Disabled, Some("status 410".to_owned()), at(59));
        assert!(disabled.is_notified());
        let third = failing(&disabled.changed_to(Condition::Working, None, at(60)), 60);
        assert!(third.is_notified());
    }
}
