//! The uses of a key, or of all keys of a group, as both backends store them: those that gateways add, and those that were
//! rolled up. Adding touches the former only, which are small.

use gatepost_domain::time::Timestamp;
use gatepost_domain::usage::HOUR_MS;

use super::retention::UsageRetention;
use super::uses::{Uses, add_to, at_hour};
use super::{past, recent};
use crate::error::{Result, StoreErrorKind};
use crate::ops::StoredUses;

impl StoredUses {
    /// Returns the time of the last use, if there is one.
    pub(crate) fn last_used(&self) -> Result<Option<Timestamp>> {
        if self.recent.is_empty() {
            return Ok(None);
        }
        Ok(Some(split(&self.recent)?.0.last_used))
    }

    /// Returns the hour of the last use since the epoch; `None` if it cannot be decoded.
    pub(crate) fn last_used_hour(&self) -> Option<u64> {
        Some(recent::split(&self.recent)?.0.last_used.as_ms() / HOUR_MS)
    }

    /// Returns the uses as they are kept at a time: older ones by the day and by the month.
    pub(crate) fn kept(&self, retention: UsageRetention, now: Timestamp) -> Result<Uses> {
        let mut kept = Uses::new();
        for (hour, count) in self.all()? {
            if let Some((_, start)) = retention.period(at_hour(hour), now) {
                add_to(&mut kept, start.as_ms() / HOUR_MS, count);
            }
        }
        Ok(kept)
    }

    /// Returns the same uses after a roll-up: of the recent ones, only the last use and those in its hour are left.
    pub(crate) fn rolled_up(&self, retention: UsageRetention, now: Timestamp) -> Result<Self> {
        let (head, records) = split(&self.recent)?;
        let mut earlier = self.past_uses()?;
        recent::decode_records_into(&mut earlier, head, records).ok_or_else(corrupt)?;
        let recent = self.recent[..recent::HEAD_BYTES].to_vec();
        Ok(Self { recent, past: past::encode(&earlier, retention, now) })
    }

    fn all(&self) -> Result<Uses> {
        let mut uses = self.past_uses()?;
        if !self.recent.is_empty() {
            let (head, records) = split(&self.recent)?;
            recent::decode_records_into(&mut uses, head, records).ok_or_else(corrupt)?;
            add_to(&mut uses, head.last_used.as_ms() / HOUR_MS, head.count);
        }
        uses.retain(|_, count| *count > 0);
        Ok(uses)
    }

    fn past_uses(&self) -> Result<Uses> {
        let mut uses = Uses::new();
        past::decode_into(&mut uses, &self.past).ok_or_else(corrupt)?;
        Ok(uses)
    }
}

fn split(value: &[u8]) -> Result<(recent::Head, &[u8])> {
    recent::split(value).ok_or_else(corrupt)
}

fn corrupt() -> crate::error::StoreError {
    StoreErrorKind::Corrupt.with("the uses of a key cannot be decoded")
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::recent::{HEAD_BYTES, add};
    use super::*;

    const START_MS: u64 = 1_790_000_000_000;
    const RETENTION: UsageRetention = UsageRetention::DEFAULT;
    /// Hours between two roll-ups.
    const ROLL_UP_HOURS: u64 = 6;
    const HOURS_IN_90_DAYS: u64 = 90 * 24;

    impl StoredUses {
        fn add(&mut self, now: Timestamp, uses: u64) {
            let recent = (!self.recent.is_empty()).then_some(self.recent.as_slice());
            self.recent = add(recent, now, uses);
        }
    }

    /// Adds uses in each of these hours, with roll-ups.
    fn filled(hours: impl Iterator<Item = (u64, u64)>) -> StoredUses {
        let (mut stored, mut rolled_up) = (StoredUses::default(), 0);
        for (hour, uses) in hours {
            let now = Timestamp::from_ms(START_MS + hour * HOUR_MS);
            if hour - rolled_up >= ROLL_UP_HOURS {
                rolled_up = hour;
                stored = stored.rolled_up(RETENTION, now).unwrap();
            }
            stored.add(now, uses);
        }
        stored
    }

    #[test]
    fn uses_stay_as_they_were_counted_in_whatever_order_they_come_and_are_rolled_up() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let (mut ms, mut stored, mut model) = (START_MS, StoredUses::default(), Uses::new());
            let longest = [HOUR_MS / 4, 3 * HOUR_MS, 400 * HOUR_MS][rng.random_range(0..3)];
            for _ in 0..rng.random_range(1..200) {
                ms += rng.random_range(0..longest);
                let bits = rng.random_range(1..30);
                let uses = rng.random_range(0..1u64 << bits);
                stored.add(Timestamp::from_ms(ms), uses);
                add_to(&mut model, ms / HOUR_MS, uses);
                if rng.random_range(0..10) == 0 {
                    stored = stored.rolled_up(RETENTION, Timestamp::from_ms(ms)).unwrap();
                }
            }
            let now = Timestamp::from_ms(ms);
            let mut expected = Uses::new();
            for (hour, count) in model.into_iter().filter(|(_, count)| *count > 0) {
                if let Some((_, start)) = RETENTION.period(at_hour(hour), now) {
                    add_to(&mut expected, start.as_ms() / HOUR_MS, count);
                }
            }
            assert_eq!(stored.kept(RETENTION, now).unwrap(), expected);
            assert_eq!(stored.last_used().unwrap(), Some(now));
            let rolled_up = stored.rolled_up(RETENTION, now).unwrap();
            assert_eq!(rolled_up.kept(RETENTION, now).unwrap(), expected);
            assert_eq!(rolled_up.rolled_up(RETENTION, now).unwrap(), rolled_up);
        }
    }

    #[test]
    fn a_use_in_an_hour_before_the_last_one_counts_in_the_hour_of_that() {
        let (now, later) = (Timestamp::from_ms(START_MS), Timestamp::from_ms(START_MS + 5 * HOUR_MS));
        let mut stored = StoredUses::default();
        stored.add(later, 3);
        stored.add(now, 4);
        assert_eq!(stored.last_used().unwrap(), Some(later));
        assert_eq!(stored.all().unwrap(), Uses::from([(later.as_ms() / HOUR_MS, 7)]));
    }

    #[test]
    fn a_key_takes_few_bytes_for_ninety_days() {
        let mut rng = StdRng::seed_from_u64(2);
        let hours = 0..HOURS_IN_90_DAYS;
        let size = |stored: StoredUses| (stored.recent.len(), stored.past.len());
        let varied = size(filled(hours.clone().map(|hour| (hour, rng.random_range(10..=100)))));
        let constant = size(filled(hours.map(|hour| (hour, 1))));
        assert!(varied.0 <= HEAD_BYTES + 12 && varied.1 <= 290, "{varied:?}");
        assert!(constant.0 <= HEAD_BYTES + 6 && constant.1 <= 60, "{constant:?}");
        assert_eq!(size(filled([(0, 1)].into_iter())), (HEAD_BYTES, 0));
    }

    #[test]
    fn bytes_that_are_no_uses_are_refused_or_read_as_some() {
        let mut rng = StdRng::seed_from_u64(3);
        let good = filled((0..400).map(|hour| (hour * 3, hour)));
        let now = Timestamp::from_ms(START_MS + 2000 * HOUR_MS);
        for _ in 0..20_000 {
            let mut stored = good.clone();
            for bytes in [&mut stored.recent, &mut stored.past] {
                for _ in 0..rng.random_range(0..3) {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] = rng.random();
                }
                if rng.random_range(0..3) == 0 {
                    bytes.truncate(rng.random_range(0..=bytes.len()));
                }
            }
            if let Ok(rolled_up) = stored.rolled_up(RETENTION, now) {
                rolled_up.all().unwrap();
            }
            stored.add(now, 1);
        }
    }
}
