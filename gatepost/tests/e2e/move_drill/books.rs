//! What the store says about keys, events and usage, as an operator can export it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::admin::Admin;

use super::load::Observations;
use super::{KEYS, export, imported_value};

pub(super) struct Books {
    /// Keys by id.
    keys: HashMap<String, Value>,
    /// Events by cursor, and so in order.
    events: BTreeMap<u128, Value>,
    /// Ids of the events of first uses, by key.
    pub(super) first_uses: HashMap<String, Vec<String>>,
}

impl Books {
    /// Reads everything, also while changes are made.
    pub(super) async fn read(directory: &Path, admin: &Admin) -> Self {
        let keys = export(directory, admin, "keys").into_iter().map(|key| (text(&key, "id"), key)).collect();
        let events = export(directory, admin, "events");
        let mut first_uses: HashMap<String, Vec<String>> = HashMap::new();
        for event in events.iter().filter(|event| event["type"] == "api-key.firstUsed") {
            first_uses.entry(text(event, "subject")).or_default().push(text(event, "id"));
        }
        let events = events.into_iter().map(|event| (text(&event, "cursor").parse().unwrap(), event)).collect();
        Self { keys, events, first_uses }
    }

    /// Checks that later books have the same events, and the same keys except for their later use and revocation.
    pub(super) fn check_kept_in(&self, later: &Self) {
        for (cursor, event) in &self.events {
            assert_eq!(later.events.get(cursor), Some(event));
        }
        for (id, key) in &self.keys {
            let found = &later.keys[id];
            let mut may_differ = vec!["lastUsedAt"];
            if key["firstUsedAt"].is_null() {
                may_differ.push("firstUsedAt");
            }
            if key["isActive"] != found["isActive"] {
                may_differ.extend(["isActive", "updatedAt", "lastChangedBy", "lastChangedByType"]);
            }
            assert_eq!(without(found, &may_differ), without(key, &may_differ));
        }
    }

    /// Checks keys and first uses against what clients have observed.
    pub(super) fn check_against(&self, observed: &Observations) {
        assert_eq!(self.keys.len(), KEYS + observed.created.len());
        let ids = self.ids_by_value(observed);
        let revoked: HashSet<&String> = observed.revoked.iter().map(|value| &ids[value]).collect();
        let inactive = self.keys.iter().filter(|(_, key)| key["isActive"] == false).map(|(id, _)| id);
        assert_eq!(inactive.collect::<HashSet<_>>(), revoked);
        let twice: Vec<_> = self.first_uses.iter().filter(|(_, events)| events.len() > 1).collect();
        assert!(twice.is_empty(), "used for the first time more than once: {twice:?}");
        for value in &observed.used {
            let id = &ids[value];
            // The first use of a key that is revoked at once may not be recorded.
            assert!(self.first_uses.contains_key(id) || revoked.contains(id), "{id} has no first use");
        }
        let used: HashSet<&String> = observed.used.iter().chain(observed.unanswered.keys()).map(|v| &ids[v]).collect();
        for id in self.first_uses.keys() {
            assert!(used.contains(id), "{id} was never used");
            assert!(self.keys[id]["firstUsedAt"].is_string(), "{id} is not marked as used");
        }
    }

    /// Checks the counted uses of the project against the responses.
    pub(super) async fn check_usage(&self, admin: &Admin, project: &str, observed: &Observations) {
        let path = format!("/analytics/project-totals?projectId={project}&dateGrouping=day");
        let response = admin.send(Method::GET, &path, String::new()).await.text().await.unwrap();
        let report: Vec<Value> = serde_json::from_str(&response).unwrap();
        let counted: u64 = report.iter().map(|row| row["total"].as_u64().unwrap()).sum();
        let uses: u64 = observed.halves.iter().map(|half| half.uses).sum();
        let unanswered: u64 = observed.unanswered.values().sum();
        assert!(
            (uses..=uses + unanswered).contains(&counted),
            "{counted} counted, {uses} used, {unanswered} unanswered"
        );
    }

    /// Returns the ids of the events of which the webhook is notified: not those of imported keys.
    pub(super) fn event_ids(&self, observed: &Observations) -> HashSet<String> {
        let is_notified = |event: &&Value| match event["type"].as_str().unwrap() {
            "api-key.created" => observed.created.contains_key(event["subject"].as_str().unwrap()),
            "api-key.firstUsed" | "api-key.deleted" => true,
            _ => false,
        };
        self.events.values().filter(is_notified).map(|event| text(event, "id")).collect()
    }

    /// Returns ids by value, of created keys, and of imported ones, which have their number as a name.
    fn ids_by_value(&self, observed: &Observations) -> HashMap<String, String> {
        let created = observed.created.iter().map(|(id, value)| (value.clone(), id.clone()));
        let imported = self
            .keys
            .iter()
            .filter_map(|(id, key)| Some((imported_value(key["name"].as_str()?.parse().ok()?), id.clone())));
        created.chain(imported).collect()
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

fn without(resource: &Value, members: &[&str]) -> Value {
    let mut resource = resource.clone();
    for member in members {
        resource.as_object_mut().unwrap().remove(*member);
    }
    resource
}
