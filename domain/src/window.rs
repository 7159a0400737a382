//! Rate windows: what is left of a limit, and what of it is leased to one gateway.

use std::time::Duration;

use crate::time::Timestamp;

/// The state of one meter: a window starts with the first consumption after the last one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The moment at which the window ends.
    pub ends_at: Timestamp,
    /// What was leased in it.
    pub leased: u64,
}

/// A slice of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests the holder may let pass; 0 if the limit is used up.
    pub granted: u64,
    /// How many are left for others in this window.
    pub left: u64,
    /// How long until the window ends.
    pub remaining: Duration,
    /// When the window ends, on the store's clock.
    pub reset: Timestamp,
}

/// Leases up to `want` requests of `limit` per `length`.
pub fn lease(before: Option<Window>, limit: u64, length: Duration, want: u64, now: Timestamp) -> (Window, Allowance) {
    let current = before.filter(|window| now < window.ends_at);
    let window = current.unwrap_or(Window { ends_at: now.plus(length), leased: 0 });
    let granted = want.min(limit.saturating_sub(window.leased));
    let after = Window { leased: window.leased + granted, ..window };
    let allowance = Allowance {
        granted,
        left: limit.saturating_sub(after.leased),
        remaining: window.ends_at.since(now),
        reset: window.ends_at,
    };
    (after, allowance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_grants_more_than_its_limit(
            limit in 0..50_u64, steps in proptest::collection::vec((0..400_u64, 0..20_u64), 1..60),
        ) {
            let mut now = Timestamp::from_ms(1);
            let mut window = None;
            let mut granted = std::collections::HashMap::new();
            for (pause_ms, want) in steps {
                now = now.plus(Duration::from_millis(pause_ms));
                let (after, allowance) = lease(window, limit, Duration::from_secs(1), want, now);
                window = Some(after);
                let total = granted.entry(allowance.reset).or_insert(0);
                *total += allowance.granted;
                prop_assert!(*total <= limit);
                prop_assert_eq!(allowance.left, limit - *total);
                prop_assert!(now < allowance.reset);
            }
        }
    }
}
