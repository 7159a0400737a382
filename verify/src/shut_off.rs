//! What was shut off lately: keys that a new master of the store may give out as usable once more.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatepost_domain::change::{Fence, Scope};
use gatepost_domain::digest::Digest;
use gatepost_domain::id::ProjectId;
use gatepost_domain::record::{Record, Status};
use gatepost_store::Entry;

/// Values, and projects, that are remembered; the oldest is forgotten first.
const MAX_SHUT_OFF: usize = 10_000;

/// The values and projects that this gateway has heard to be shut off, and not to be in use again.
#[derive(Debug, Default)]
pub(crate) struct ShutOff {
    values: Mutex<Latest<Digest>>,
    projects: Mutex<Latest<ProjectId>>,
}

#[derive(Debug)]
struct Latest<T> {
    members: HashSet<T>,
    order: VecDeque<T>,
}

impl ShutOff {
    /// Hears of a change.
    pub(crate) fn hear(&self, entry: &Entry) {
        let Ok(told) = &entry.told else { return };
        let status = match &told.new {
            Some(Record::ApiKey(key)) => key.status,
            Some(Record::Project(project)) => project.status,
            Some(Record::Account(_) | Record::AccessKey(_) | Record::Webhook(_)) | None => return,
        };
        if told.fence == Fence::Down {
            return;
        }
        match &told.scope {
            Scope::Digests(digests) => digests.iter().for_each(|digest| lock(&self.values).note(digest, status)),
            Scope::Project(project) => lock(&self.projects).note(project, status),
            Scope::None | Scope::All => {}
        }
    }

    /// Whether a value, or its project, is among them.
    pub(crate) fn judge(&self, digest: &Digest, project: &ProjectId) -> Status {
        let is_off = lock(&self.values).members.contains(digest) || lock(&self.projects).members.contains(project);
        if is_off { Status::Inactive } else { Status::Active }
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { members: HashSet::new(), order: VecDeque::new() }
    }
}

impl<T: Clone + Eq + Hash> Latest<T> {
    fn note(&mut self, member: &T, status: Status) {
        match status {
            Status::Active => {
                if self.members.remove(member) {
                    self.order.retain(|other| other != member);
                }
            }
            Status::Inactive => {
                if self.members.insert(member.clone()) {
                    self.order.push_back(member.clone());
                }
            }
        }
        if self.order.len() > MAX_SHUT_OFF
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }
}

fn lock<T>(latest: &Mutex<Latest<T>>) -> MutexGuard<'_, Latest<T>> {
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}
