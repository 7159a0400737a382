//! Ids of projects and accounts: one copy of each for all keys in the cache.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gatepost_domain::id::{AccountId, ProjectId};
use gatepost_domain::permit::KeyFacts;

/// Projects that are known. Beyond, all are learned anew, and keys that are cached keep their copies.
const MAX_KNOWN: usize = 65_536;

/// The projects of keys that were looked up, with their accounts.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<HashMap<ProjectId, AccountId>>);

impl Owners {
    /// Lets a key that was looked up share the ids of its owners with the others.
    pub(crate) fn share(&self, facts: &mut KeyFacts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_key_value(&facts.project) {
            Some((project, account)) if *account == facts.account => {
                facts.project = project.clone();
                facts.account = account.clone();
            }
            Some(_) | None => {
                if known.len() >= MAX_KNOWN {
                    known.clear();
                }
                known.insert(facts.project.clone(), facts.account.clone());
            }
        }
    }
}
