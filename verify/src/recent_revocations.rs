//! Recently revoked keys and projects, which a new master of the store may return as active again.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_domain::change::{Invalidation, Propagation};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::record::Status;
use gatepost_store::InvalidationEntry;

/// Maximum number of values, and of projects. Beyond that the oldest is evicted.
const MAX_REVOCATIONS: usize = 10_000;

/// Key values and projects that this gateway knows to be revoked and not reactivated.
#[derive(Debug, Default)]
pub(crate) struct RecentRevocations {
    digests: Mutex<RecentSet<Digest>>,
    projects: Mutex<RecentSet<ProjectId>>,
}

#[derive(Debug)]
struct RecentSet<T> {
    members: HashSet<T>,
    insertion_order: VecDeque<T>,
}

impl RecentRevocations {
    /// Records the revocation or reactivation of a change.
    pub(crate) fn record(&self, entry: &InvalidationEntry) {
        let Some(status) = entry.status.filter(|_| entry.propagation == Propagation::Fenced) else { return };
        match &entry.invalidation {
            Invalidation::Digests(digests) => {
                digests.iter().for_each(|digest| lock(&self.digests).update(digest, status))
            }
            Invalidation::Project(project) => lock(&self.projects).update(project, status),
            Invalidation::None | Invalidation::All => {}
        }
    }

    /// Returns whether a value or its project is known to be revoked.
    pub(crate) fn is_revoked(&self, digest: &Digest, project: &ProjectId) -> bool {
        lock(&self.digests).members.contains(digest) || lock(&self.projects).members.contains(project)
    }
}

impl<T> Default for RecentSet<T> {
    fn default() -> Self {
        Self { members: HashSet::new(), insertion_order: VecDeque::new() }
    }
}

impl<T: Clone + Eq + Hash> RecentSet<T> {
    fn update(&mut self, member: &T, status: Status) {
        match status {
            Status::Active => {
                if self.members.remove(member) {
                    self.insertion_order.retain(|other| other != member);
                }
            }
            Status::Inactive => {
                if self.members.insert(member.clone()) {
                    self.insertion_order.push_back(member.clone());
                }
            }
        }
        if self.insertion_order.len() > MAX_REVOCATIONS
            && let Some(oldest) = self.insertion_order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }
}

fn lock<T>(set: &Mutex<RecentSet<T>>) -> MutexGuard<'_, RecentSet<T>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
