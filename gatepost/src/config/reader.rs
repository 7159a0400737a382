//! Reading a tree of values: every key is asked for by name, every fault is kept, and what nobody
//! asked for is a fault too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Node, Origin, Value};

/// Faults, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<String>>);

impl Faults {
    pub(super) fn add(&self, origin: &Origin, key: &str, what: &str) {
        self.0.borrow_mut().push(format!("{origin}: {key}: {what}"));
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A table that is being read.
pub(super) struct Section<'a> {
    path: String,
    origin: Origin,
    entries: BTreeMap<String, Node>,
    asked: BTreeSet<&'static str>,
    faults: &'a Faults,
}

impl<'a> Section<'a> {
    /// The outermost table.
    pub(super) fn root(node: Node, faults: &'a Faults) -> Self {
        Self::of(String::new(), node, faults)
    }

    fn of(path: String, node: Node, faults: &'a Faults) -> Self {
        let kind = node.value.kind();
        let Value::Table(entries) = node.value else {
            faults.add(&node.origin, &path, &format!("must be a table, it is {kind}"));
            return Self { path, origin: node.origin, entries: BTreeMap::new(), asked: BTreeSet::new(), faults };
        };
        Self { path, origin: node.origin, entries, asked: BTreeSet::new(), faults }
    }

    /// A table in this one; an empty one if it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let path = self.key(key);
        let node = self.take(key).unwrap_or_else(Node::empty);
        Section::of(path, node, self.faults)
    }

    /// All tables in a table, by name.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let inner = self.section(key);
        let (path, faults) = (inner.path.clone(), self.faults);
        let named = inner.entries.into_iter();
        named.map(|(name, node)| (name.clone(), Section::of(format!("{path}.{name}"), node, faults))).collect()
    }

    /// A list of tables.
    pub(super) fn list_of_sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let path = self.key(key);
        let Some(node) = self.take(key) else { return Vec::new() };
        let Value::List(nodes) = node.value else {
            self.faults.add(&node.origin, &path, &format!("must be written as [[{path}]]"));
            return Vec::new();
        };
        nodes.into_iter().map(|node| Section::of(path.clone(), node, self.faults)).collect()
    }

    /// A text, read by `parse`, whose error tells what is allowed.
    pub(super) fn parsed<T, E: ToString>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The same for a key without a default.
    pub(super) fn optional<T, E: ToString>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = self.take(key)?;
        let (Value::Text(text) | Value::Raw(text)) = &node.value else {
            self.fault(&node.origin, key, &format!("must be a text, it is {}", node.value.kind()));
            return None;
        };
        parse(text).map_err(|error| self.fault(&node.origin, key, &error.to_string())).ok()
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, key: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let Some(node) = self.take(key) else { return default };
        let number = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Raw(text) => text.parse().ok(),
            Value::Text(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => None,
        };
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => number,
            None => {
                self.fault(&node.origin, key, &format!("must be a whole number from {min} to {max}"));
                default
            }
        }
    }

    /// A choice between two, written as `true` and `false`.
    pub(super) fn choice<T>(&mut self, key: &'static str, default: T, yes: T, no: T) -> T {
        let Some(node) = self.take(key) else { return default };
        match &node.value {
            Value::Bool(true) => return yes,
            Value::Bool(false) => return no,
            Value::Raw(text) if text == "true" => return yes,
            Value::Raw(text) if text == "false" => return no,
            Value::Raw(_) | Value::Text(_) | Value::Integer(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
                self.fault(&node.origin, key, "must be true or false");
            }
        }
        default
    }

    /// A list of texts, each read by `parse`. In the environment they are parted by commas.
    pub(super) fn list<T, E: ToString>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(node) = self.take(key) else { return default };
        let texts: Vec<(String, Origin)> = match node.value {
            Value::Raw(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| (part.to_owned(), node.origin.clone())).collect()
            }
            Value::List(nodes) => nodes.into_iter().filter_map(|node| self.list_item(key, node)).collect(),
            Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::Table(_) | Value::Other(_) => {
                self.fault(&node.origin, key, "must be a list of texts");
                return default;
            }
        };
        let mut values = Vec::with_capacity(texts.len());
        for (text, origin) in texts {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(error) => self.fault(&origin, key, &error.to_string()),
            }
        }
        values
    }

    fn list_item(&self, key: &'static str, node: Node) -> Option<(String, Origin)> {
        let kind = node.value.kind();
        let Value::Text(text) = node.value else {
            self.fault(&node.origin, key, &format!("must be a list of texts, it holds {kind}"));
            return None;
        };
        Some((text, node.origin))
    }

    /// Where this table stands.
    pub(super) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// A fault of a table in this one, for which there is no section any more.
    pub(super) fn fault_of(&self, origin: &Origin, key: &'static str, what: &str) {
        self.fault(origin, key, what);
    }

    /// A fault of this table.
    pub(super) fn fault_here(&self, what: &str) {
        self.faults.add(&self.origin, &self.path, what);
    }

    /// Ends the reading: what is left was asked for by nobody.
    pub(super) fn finish(self) {
        for (name, node) in &self.entries {
            let known: Vec<&str> = self.asked.iter().copied().collect();
            let key = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            self.faults.add(&node.origin, &key, &format!("unknown key; known here are {}", known.join(", ")));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked.insert(key);
        self.entries.remove(key)
    }

    fn fault(&self, origin: &Origin, key: &'static str, what: &str) {
        self.faults.add(origin, &self.key(key), what);
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}
