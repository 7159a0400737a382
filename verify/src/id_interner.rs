//! Interner for project and account ids: one copy of each for all cached keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gatepost_domain::id::{AccountId, ProjectId};
use gatepost_domain::key_facts::KeyFacts;

/// Maximum number of interned projects. Beyond that the interner is cleared; cached keys keep the copies they
/// have.
const MAX_PROJECTS: usize = 65_536;

/// Projects of fetched keys, with their accounts.
#[derive(Debug, Default)]
pub(crate) struct IdInterner(Mutex<HashMap<ProjectId, AccountId>>);

impl IdInterner {
    /// Replaces the project and account id of a fetched key with the shared copies.
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
