//! The retry schedule of webhook deliveries: what follows an attempt.

use std::borrow::Cow;
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::time::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Minimum delays of [`STANDARD_SCHEDULE`].
const RETRY_DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];

/// Maximum number of attempts of a delivery on the standard schedule, the first one included.
pub const MAX_ATTEMPTS: u32 = RETRY_DELAYS.len() as u32 + 1;

/// The schedule of webhooks that have none of their own: ten attempts over three days.
pub static STANDARD_SCHEDULE: RetrySchedule = RetrySchedule(Cow::Borrowed(&RETRY_DELAYS));

/// Maximum delay that a receiver can request with `Retry-After`. A longer one is reduced to it.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);

/// Jitter: a delay grows by up to one part in this many, so that deliveries that failed together are not
/// retried together.
const JITTER_DIVISOR: u64 = 5;
/// Parts of the longest jitter, of which a random number is added.
const JITTER_STEPS: u64 = 1_000_000;

/// Minimum delays between one attempt of a delivery and the next. The first attempt is made immediately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Cow<'static, [Duration]>);

/// Why delays are no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetryScheduleError {
    /// There are none, or too many.
    #[error("must have 1 to {} delays", RetrySchedule::MAX_DELAYS)]
    DelayCount,
    /// A delay is 0.
    #[error("each delay must be at least 1 second")]
    ZeroDelay,
    /// The last attempt would be too late.
    #[error("the delays must be at most {} seconds together", RetrySchedule::MAX_TOTAL_S)]
    TooLong,
}

impl RetrySchedule {
    /// Maximum number of delays.
    pub const MAX_DELAYS: usize = 19;
    /// Maximum sum of the delays in seconds: a week, for which key values are kept.
    pub const MAX_TOTAL_S: u64 = 7 * 24 * HOUR;

    /// Creates a schedule from delays in seconds.
    ///
    /// # Errors
    ///
    /// [`RetryScheduleError`] names the rule that the delays break.
    pub fn from_seconds(delays_s: &[u64]) -> Result<Self, RetryScheduleError> {
        if !(1..=Self::MAX_DELAYS).contains(&delays_s.len()) {
            return Err(RetryScheduleError::DelayCount);
        }
        if delays_s.contains(&0) {
            return Err(RetryScheduleError::ZeroDelay);
        }
        if delays_s.iter().fold(0, |sum: u64, delay_s| sum.saturating_add(*delay_s)) > Self::MAX_TOTAL_S {
            return Err(RetryScheduleError::TooLong);
        }
        Ok(Self(delays_s.iter().copied().map(Duration::from_secs).collect()))
    }

    /// Returns the delays in seconds.
    pub fn to_seconds(&self) -> Vec<u64> {
        self.0.iter().map(Duration::as_secs).collect()
    }

    /// Returns the earliest times of the attempts that are left to a delivery: `next_at`, when the next one is made, and
    /// the times that follow if each attempt fails at once. Jitter and `Retry-After` make them later.
    pub fn upcoming(&self, attempts_made: u32, next_at: Timestamp) -> Vec<Timestamp> {
        let first_delay = usize::try_from(attempts_made).unwrap_or(usize::MAX);
        let delays = self.0.get(first_delay..).unwrap_or_default();
        let later = delays.iter().scan(next_at, |at, delay| {
            *at = at.plus(*delay);
            Some(*at)
        });
        std::iter::once(next_at).chain(later).collect()
    }

    /// Returns the minimum delay after this attempt, or `None` after the last one.
    fn delay_after(&self, attempt: Attempt) -> Option<Duration> {
        let index = usize::try_from(attempt.0.checked_sub(1)?).ok()?;
        self.0.get(index).copied()
    }
}

/// Number of an attempt of a delivery, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(u32);

impl Attempt {
    /// The first attempt, which is made immediately.
    pub const FIRST: Self = Self(1);

    /// Converts a stored number. Returns `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Returns the number, from 1.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Returns the following attempt, even if the schedule has no such attempt.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver responded with 2xx.
    Delivered,
    /// Another response, or none before the timeout.
    Failed {
        /// Delay requested by the receiver (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The receiver responded with 410: it wants no further attempt.
    Gone,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// The delivery has succeeded.
    Done,
    /// Another attempt after this delay.
    Retry(Duration),
    /// The schedule is exhausted or the receiver is gone; the delivery becomes a dead letter.
    DeadLetter,
}

/// Decides what follows an attempt. The delay is the larger of the schedule's and the receiver's, each with up to a fifth
/// of jitter; the receiver's is at most [`MAX_RETRY_AFTER`], jitter included.
pub fn next_step(schedule: &RetrySchedule, attempt: Attempt, outcome: &AttemptOutcome, rng: &mut impl Rng) -> NextStep {
    let retry_after = match outcome {
        AttemptOutcome::Delivered => return NextStep::Done,
        AttemptOutcome::Gone => return NextStep::DeadLetter,
        AttemptOutcome::Failed { retry_after } => retry_after.unwrap_or_default(),
    };
    let Some(delay) = schedule.delay_after(attempt) else { return NextStep::DeadLetter };
    let step = rng.random_range(0..=JITTER_STEPS);
    let requested = with_jitter(retry_after.min(MAX_RETRY_AFTER), step).min(MAX_RETRY_AFTER);
    NextStep::Retry(with_jitter(delay, step).max(requested))
}

/// Returns a delay with jitter. It only lengthens the delay, so that a `Retry-After` is honoured.
fn with_jitter(delay: Duration, step: u64) -> Duration {
    let max_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) / JITTER_DIVISOR;
    delay + Duration::from_millis(max_ms.saturating_mul(step) / JITTER_STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const FAILED: AttemptOutcome = AttemptOutcome::Failed { retry_after: None };

    fn next_step_after(number: u32, outcome: AttemptOutcome, seed: u64) -> NextStep {
        next_step(&STANDARD_SCHEDULE, Attempt::new(number).unwrap(), &outcome, &mut StdRng::seed_from_u64(seed))
    }

    fn retry_delay(number: u32, retry_after: Option<Duration>, seed: u64) -> Duration {
        match next_step_after(number, AttemptOutcome::Failed { retry_after }, seed) {
            NextStep::Retry(wait) => wait,
            other @ (NextStep::Done | NextStep::DeadLetter) => panic!("attempt {number} is followed by {other:?}"),
        }
    }

    /// Documented delays, written independently of the table that implements them.
    const EXPECTED_DELAYS_S: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

    #[test]
    fn there_are_ten_attempts_and_then_none() {
        assert_eq!(MAX_ATTEMPTS, 10);
        let mut attempt = Attempt::FIRST;
        let mut rng = StdRng::seed_from_u64(1);
        let mut failures = 0;
        loop {
            failures += 1;
            match next_step(&STANDARD_SCHEDULE, attempt, &FAILED, &mut rng) {
                NextStep::Retry(_) => attempt = attempt.next(),
                NextStep::DeadLetter => break,
                NextStep::Done => panic!("a failure is not done"),
            }
        }
        assert_eq!(failures, 10);
    }

    #[test]
    fn delays_that_are_no_schedule_are_refused() {
        for (delays_s, expected) in [
            (vec![], Err(RetryScheduleError::DelayCount)),
            (vec![1; 20], Err(RetryScheduleError::DelayCount)),
            (vec![1, 0, 1], Err(RetryScheduleError::ZeroDelay)),
            (vec![604_801], Err(RetryScheduleError::TooLong)),
            (vec![604_800, 1], Err(RetryScheduleError::TooLong)),
            (vec![u64::MAX, u64::MAX], Err(RetryScheduleError::TooLong)),
            (vec![1], Ok(())),
            (vec![604_800], Ok(())),
            (vec![1; 19], Ok(())),
        ] {
            assert_eq!(RetrySchedule::from_seconds(&delays_s).map(|_| ()), expected, "{delays_s:?}");
        }
    }

    #[test]
    fn the_standard_schedule_could_be_chosen() {
        assert_eq!(RetrySchedule::from_seconds(&EXPECTED_DELAYS_S).unwrap(), STANDARD_SCHEDULE);
    }

    #[test]
    fn upcoming_attempts_begin_with_the_next_one_and_end_with_the_schedule() {
        let schedule = RetrySchedule::from_seconds(&[10, 20]).unwrap();
        let upcoming = |attempts_made| {
            let times = schedule.upcoming(attempts_made, Timestamp::from_ms(1_000));
            times.into_iter().map(Timestamp::as_ms).collect::<Vec<_>>()
        };
        assert_eq!(upcoming(0), [1_000, 11_000, 31_000]);
        assert_eq!(upcoming(1), [1_000, 21_000]);
        // A delivery has its next attempt also if the schedule became shorter meanwhile.
        for attempts_made in [2, 3, u32::MAX] {
            assert_eq!(upcoming(attempts_made), [1_000]);
        }
    }

    #[test]
    fn no_receiver_can_ask_for_more_than_the_maximum() {
        for retry_after in [MAX_RETRY_AFTER - Duration::from_secs(1), MAX_RETRY_AFTER, Duration::from_secs(99_999_999)]
        {
            for seed in 0..100 {
                let delay = retry_delay(1, Some(retry_after), seed);
                assert!(retry_after.min(MAX_RETRY_AFTER) <= delay && delay <= MAX_RETRY_AFTER, "{delay:?}");
            }
        }
    }

    #[test]
    fn there_is_no_attempt_zero() {
        assert_eq!(Attempt::new(0), None);
        assert_eq!(Attempt::new(1), Some(Attempt::FIRST));
    }

    #[test]
    fn jitter_spreads_over_the_whole_fifth() {
        let delays: Vec<u128> = (0..2_000).map(|seed| retry_delay(1, None, seed).as_millis()).collect();
        assert!(delays.iter().any(|ms| *ms < 5_050) && delays.iter().any(|ms| *ms > 5_950), "{delays:?}");
    }

    /// Delays that are a schedule.
    fn delays() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(1..=604_800_u64 / 19, 1..=19)
    }

    proptest! {
        #[test]
        fn a_schedule_makes_one_attempt_more_than_it_has_delays_and_none_early(
            delays_s in delays(), retry_after_s in prop::option::of(0..400_000_u64), seed: u64,
        ) {
            let schedule = RetrySchedule::from_seconds(&delays_s).unwrap();
            prop_assert_eq!(&schedule.to_seconds(), &delays_s);
            let retry_after = retry_after_s.map(Duration::from_secs);
            let failed = AttemptOutcome::Failed { retry_after };
            let mut rng = StdRng::seed_from_u64(seed);
            let mut attempt = Attempt::FIRST;
            for delay_s in delays_s {
                let least = Duration::from_secs(delay_s).max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
                let NextStep::Retry(delay) = next_step(&schedule, attempt, &failed, &mut rng) else {
                    panic!("no retry follows attempt {attempt:?}")
                };
                prop_assert!(delay >= least && delay * 5 <= least * 6);
                prop_assert_eq!(next_step(&schedule, attempt, &AttemptOutcome::Gone, &mut rng), NextStep::DeadLetter);
                prop_assert_eq!(next_step(&schedule, attempt, &AttemptOutcome::Delivered, &mut rng), NextStep::Done);
                attempt = attempt.next();
            }
            prop_assert_eq!(next_step(&schedule, attempt, &failed, &mut rng), NextStep::DeadLetter);
        }

        #[test]
        fn a_final_outcome_ends_the_delivery_at_any_attempt(number in 1..=u32::MAX, seed: u64) {
            prop_assert_eq!(next_step_after(number, AttemptOutcome::Delivered, seed), NextStep::Done);
            prop_assert_eq!(next_step_after(number, AttemptOutcome::Gone, seed), NextStep::DeadLetter);
        }

        #[test]
        fn the_tenth_failure_becomes_a_dead_letter(number in 10..=u32::MAX, retry_after_s: Option<u64>, seed: u64) {
            let retry_after = retry_after_s.map(Duration::from_secs);
            prop_assert_eq!(next_step_after(number, AttemptOutcome::Failed { retry_after }, seed), NextStep::DeadLetter);
        }

        #[test]
        fn a_retry_is_never_early_and_at_most_a_fifth_late(
            number in 1..=9_u32, retry_after_s in prop::option::of(0..400_000_u64), seed: u64,
        ) {
            let retry_after = retry_after_s.map(Duration::from_secs);
            let base = Duration::from_secs(EXPECTED_DELAYS_S[number as usize - 1]);
            let least = base.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
            let delay = retry_delay(number, retry_after, seed);
            prop_assert!(delay >= least);
            prop_assert!(delay * 5 <= least * 6);
        }

        #[test]
        fn delays_grow_from_attempt_to_attempt(number in 1..=8_u32, seed: u64, other_seed: u64) {
            // 20 h plus a fifth may exceed 24 h by itself, so the last delays are compared with the same seed.
            prop_assert!(retry_delay(number, None, seed) < retry_delay(number + 1, None, seed));
            if number < 6 {
                prop_assert!(retry_delay(number, None, seed) < retry_delay(number + 1, None, other_seed));
            }
        }

        #[test]
        fn a_longer_retry_after_never_shortens_the_delay(number in 1..=9_u32, seed: u64, less: u64, more: u64) {
            let (less, more) = (less.min(more), less.max(more));
            let delays = [None, Some(less), Some(more)].map(|s| retry_delay(number, s.map(Duration::from_secs), seed));
            prop_assert!(delays.is_sorted());
        }
    }
}
