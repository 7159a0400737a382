//! Ids of projects and accounts: one copy of each for all keys in the cache.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gatepost_domain::id::{AccountId, ProjectId};
use gatepost_domain::permit::KeyFacts;

/// Projects that are known. Beyond, all are learned anew, and keys that are cached keep their copies.
const MAX_PROJECTS: usize = 65_536;

/// The projects of keys that were looked up, with their accounts.
#[derive(Debug, Default)]
pub(crate) struct IdInterner(Mutex<HashMap<ProjectId, AccountId>>);

impl IdInterner {
    /// Lets a key that was looked up share the ids of its owners with the others.
    pub(crate) fn intern(&self, facts: &mut KeyFacts) {
        let mut interned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match interned.get_key_value(&facts.project) {
            Some((project, account)) if *account == facts.account => {
                facts.project = project.clone();
                facts.account = account.clone();
            }
            Some(_) | None => {
                if interned.len() >= MAX_PROJECTS {
                    interned.clear();
                }
                interned.insert(facts.project.clone(), facts.account.clone());
            }
        }
    }
}
