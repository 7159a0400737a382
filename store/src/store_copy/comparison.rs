//! Counts and checksums of a store's entries, which do not depend on their order.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};

use crate::copied_entry::CopiedEntry;

/// Number of entries of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindCount {
    /// The kind, in the plural.
    pub kind: &'static str,
    /// How many the store has.
    pub count: u64,
}

/// Count and checksum of each kind of entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary(BTreeMap<&'static str, (u64, u128)>);

impl Summary {
    pub(super) fn add(&mut self, entry: &CopiedEntry) {
        let (count, sum) = self.0.entry(entry.kind()).or_default();
        *count += 1;
        *sum = sum.wrapping_add(checksum_of(entry));
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    pub(super) fn count_of(&self, kind: &str) -> u64 {
        self.0.get(kind).map_or(0, |(count, _)| *count)
    }

    /// Returns the kinds that occur, in the order of a report.
    pub(super) fn counts(&self) -> Vec<KindCount> {
        let counts = CopiedEntry::KINDS.into_iter().map(|kind| KindCount { kind, count: self.count_of(kind) });
        counts.filter(|found| found.count > 0).collect()
    }

    pub(super) fn checksum(&self) -> String {
        format!("{:032x}", self.0.values().fold(0_u128, |all, (_, sum)| all.wrapping_add(*sum)))
    }

    /// Returns what a copy lacks or has in addition; `None` if both are the same.
    pub(super) fn difference_to(&self, copy: &Self) -> Option<String> {
        let kind = CopiedEntry::KINDS.into_iter().find(|kind| self.0.get(kind) != copy.0.get(kind))?;
        Some(match (self.count_of(kind), copy.count_of(kind)) {
            (source, copied) if source != copied => format!("the source has {source} {kind}, the copy {copied}"),
            (count, _) => format!("the {count} {kind} of the copy are not those of the source"),
        })
    }
}

/// Hashes what an entry has, within one process.
struct EntryHasher(Sha256);

impl Hasher for EntryHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn checksum_of(entry: &CopiedEntry) -> u128 {
    let mut hasher = EntryHasher(Sha256::new());
    entry.hash(&mut hasher);
    let hash = hasher.0.finalize();
    hash.iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_use(key: &str, ms: u64) -> CopiedEntry {
        CopiedEntry::FirstUse { key: key.to_owned(), ms }
    }

    fn summary(entries: &[CopiedEntry]) -> Summary {
        let mut summary = Summary::default();
        entries.iter().for_each(|entry| summary.add(entry));
        summary
    }

    #[test]
    fn summaries_are_equal_in_any_order_and_differ_by_any_entry() {
        let all = summary(&[first_use("a", 1), first_use("b", 2)]);
        assert_eq!(all.difference_to(&summary(&[first_use("b", 2), first_use("a", 1)])), None);
        let changed = summary(&[first_use("a", 1), first_use("b", 3)]);
        let said = all.difference_to(&changed).unwrap();
        assert_eq!(said, "the 2 first uses of the copy are not those of the source");
        let said = all.difference_to(&summary(&[first_use("a", 1)])).unwrap();
        assert_eq!(said, "the source has 2 first uses, the copy 1");
        assert_ne!(all.checksum(), changed.checksum());
    }
}
