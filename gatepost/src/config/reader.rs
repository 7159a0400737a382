//! Typed reading of a tree of values: every key is read by name, every error is collected, and keys that were not read
//! are errors too.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use gatepost_domain::spelling;
use gatepost_runtime::error_chain;

use super::parsers::parse_word;
use super::tree::{Node, Value, ValueSource};

/// Errors and warnings, each with the line that it is about.
#[derive(Debug, Default)]
pub(super) struct ErrorCollector {
    errors: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

impl ErrorCollector {
    pub(super) fn add(&self, source: &ValueSource, key: &str, what: &str) {
        self.errors.borrow_mut().push((source.line(), format!("{source}: {key}: {what}")));
    }

    fn warn(&self, source: &ValueSource, key: &str, what: &str) {
        self.warnings.borrow_mut().push((source.line(), format!("{source}: {key}: {what}")));
    }

    /// Returns the errors and the warnings, in the order of their lines.
    pub(super) fn into_lists(self) -> (Vec<String>, Vec<String>) {
        (by_line(self.errors.into_inner()), by_line(self.warnings.into_inner()))
    }
}

fn by_line(mut texts: Vec<(usize, String)>) -> Vec<String> {
    texts.sort_by_key(|(line, _)| *line);
    texts.into_iter().map(|(_, text)| text).collect()
}

/// Maximum of all timeouts in milliseconds: one day.
pub(super) const MAX_MS: u64 = 24 * 3600 * 1000;
/// Maximum of all limits of a body: 1 TiB.
pub(super) const MAX_BODY_BYTES: u64 = 1 << 40;

/// Which of two keys is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    First,
    Second,
    Neither,
}

/// Table of the configuration that is being read.
pub(super) struct Section<'a> {
    path: String,
    source: ValueSource,
    entries: BTreeMap<String, Node>,
    known_keys: BTreeSet<&'static str>,
    errors: &'a ErrorCollector,
}

impl<'a> Section<'a> {
    /// Returns the outermost table.
    pub(super) fn root(node: Node, errors: &'a ErrorCollector) -> Self {
        Self::new(String::new(), node, errors)
    }

    fn new(path: String, node: Node, errors: &'a ErrorCollector) -> Self {
        let kind = node.value.kind();
        let Value::Table(entries) = node.value else {
            errors.add(&node.source, &path, &format!("must be a table, not {kind}"));
            return Self { path, source: node.source, entries: BTreeMap::new(), known_keys: BTreeSet::new(), errors };
        };
        Self { path, source: node.source, entries, known_keys: BTreeSet::new(), errors }
    }

    /// Returns a table in this one, which is empty if it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let path = self.full_key(key);
        let node = self.take(key).unwrap_or_else(Node::empty);
        Section::new(path, node, self.errors)
    }

    /// Returns a table in this one, or none if it is missing.
    pub(super) fn optional_section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let path = self.full_key(key);
        self.take(key).map(|node| Section::new(path, node, self.errors))
    }

    /// Returns whether a key that was not read yet has a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Returns whether a list that was not read yet has a value in it, or is no list.
    pub(super) fn has_items(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|node| match &node.value {
            Value::List(nodes) => !nodes.is_empty(),
            Value::Raw(text) => !text.is_empty(),
            Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::Table(_) | Value::Unsupported(_) => true,
        })
    }

    /// Returns the position of a value that was not read yet.
    pub(super) fn source_of(&self, key: &str) -> ValueSource {
        self.entries.get(key).map_or(ValueSource::Missing, |node| node.source.clone())
    }

    /// Returns all tables in a table, with their names.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let inner = self.section(key);
        let (path, errors) = (inner.path.clone(), self.errors);
        let named = inner.entries.into_iter();
        named.map(|(name, node)| (name.clone(), Section::new(format!("{path}.{name}"), node, errors))).collect()
    }

    /// Returns the strings of a table with any keys, each parsed by `parse` with its key.
    pub(super) fn named_texts<T, E: Error + 'static>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str, &str) -> Result<T, E>,
    ) -> Vec<T> {
        let Section { path, entries, errors, .. } = self.section(key);
        let mut values = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            let add_error = |what: &str| errors.add(&node.source, &format!("{path}.{name}"), what);
            let (Value::Text(text) | Value::Raw(text)) = &node.value else {
                add_error(&format!("must be a string, not {}", node.value.kind()));
                continue;
            };
            match parse(&name, text) {
                Ok(value) => values.push(value),
                Err(error) => add_error(&error_chain(&error)),
            }
        }
        values
    }

    /// Returns an array of tables.
    pub(super) fn list_of_sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let path = self.full_key(key);
        let Some(node) = self.take(key) else { return Vec::new() };
        let Value::List(nodes) = node.value else {
            self.errors.add(&node.source, &path, &format!("must be written as [[{path}]]"));
            return Vec::new();
        };
        nodes.into_iter().map(|node| Section::new(path.clone(), node, self.errors)).collect()
    }

    /// Returns a string, parsed by `parse`, whose error says what is allowed.
    pub(super) fn parsed<T, E: Error + 'static>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// Returns a string without a default, parsed by `parse`.
    pub(super) fn optional<T, E: Error + 'static>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = self.take(key)?;
        let (Value::Text(text) | Value::Raw(text)) = &node.value else {
            self.add_error(&node.source, key, &format!("must be a string, not {}", node.value.kind()));
            return None;
        };
        parse(text).map_err(|error| self.add_error(&node.source, key, &error_chain(&error))).ok()
    }

    /// Returns the value of one of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, default: T, words: &[(&'static str, T)]) -> T {
        self.parsed(key, default, |text| parse_word(text, words))
    }

    /// Returns an integer in a range.
    pub(super) fn number(&mut self, key: &'static str, default: u64, min: u64, max: u64) -> u64 {
        self.optional_number(key, min, max).unwrap_or(default)
    }

    /// Returns an integer in a range, without a default.
    pub(super) fn optional_number(&mut self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let node = self.take(key)?;
        let number = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Raw(text) => text.parse().ok(),
            Value::Text(_) | Value::Bool(_) | Value::List(_) | Value::Table(_) | Value::Unsupported(_) => None,
        };
        let allowed = number.filter(|number| (min..=max).contains(number));
        if allowed.is_none() {
            self.add_error(&node.source, key, &format!("must be a whole number from {min} to {max}"));
        }
        allowed
    }

    /// Returns one of two values, written as `true` and `false`.
    pub(super) fn choice<T>(&mut self, key: &'static str, default: T, yes: T, no: T) -> T {
        let Some(node) = self.take(key) else { return default };
        match &node.value {
            Value::Bool(true) => return yes,
            Value::Bool(false) => return no,
            Value::Raw(text) if text == "true" => return yes,
            Value::Raw(text) if text == "false" => return no,
            Value::Raw(_)
            | Value::Text(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Unsupported(_) => {
                self.add_error(&node.source, key, "must be true or false");
            }
        }
        default
    }

    /// Returns a list of strings, each parsed by `parse`. In the environment they are separated by commas.
    pub(super) fn list<T, E: Error + 'static>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(node) = self.take(key) else { return default };
        let texts: Vec<(String, ValueSource)> = match node.value {
            Value::Raw(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| (part.to_owned(), node.source.clone())).collect()
            }
            Value::List(nodes) => nodes.into_iter().filter_map(|node| self.list_item(key, node)).collect(),
            Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::Table(_) | Value::Unsupported(_) => {
                self.add_error(&node.source, key, "must be a list of strings");
                return default;
            }
        };
        let mut values = Vec::with_capacity(texts.len());
        for (text, source) in texts {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(error) => self.add_error(&source, key, &error_chain(&error)),
            }
        }
        values
    }

    fn list_item(&self, key: &'static str, node: Node) -> Option<(String, ValueSource)> {
        let kind = node.value.kind();
        let Value::Text(text) = node.value else {
            self.add_error(&node.source, key, &format!("must be a list of strings, but contains {kind}"));
            return None;
        };
        Some((text, node.source))
    }

    /// Returns the position of this table.
    pub(super) fn source(&self) -> ValueSource {
        self.source.clone()
    }

    /// Records an error of this table.
    pub(super) fn error_here(&self, what: &str) {
        self.errors.add(&self.source, &self.path, what);
    }

    /// Records a warning about this table.
    pub(super) fn warn_here(&self, what: &str) {
        self.errors.warn(&self.source, &self.path, what);
    }

    /// Reports all keys that were not read as unknown.
    pub(super) fn reject_unknown_keys(self) {
        for (name, node) in &self.entries {
            let known: Vec<&str> = self.known_keys.iter().copied().collect();
            let similar = spelling::most_similar(name, known.iter().copied());
            let hint = similar.map_or(String::new(), |similar| format!("; a similar one is {similar}"));
            let what = format!("unknown key; known keys are {}{hint}", known.join(", "));
            self.errors.add(&node.source, &self.full_key(name), &what);
        }
    }

    /// Chooses between two keys that exclude each other: the one from the source that overrides the other. The value of
    /// the other one is not read. If both are in the same source, that is an error.
    pub(super) fn choose_one(&mut self, first: &'static str, second: &'static str) -> Chosen {
        let (first_source, second_source) = (self.source_of(first), self.source_of(second));
        let (first_rank, second_rank) = (first_source.rank(), second_source.rank());
        let chosen = match first_rank.cmp(&second_rank) {
            Ordering::Greater => Chosen::First,
            Ordering::Less => Chosen::Second,
            Ordering::Equal if first_source == ValueSource::Missing => Chosen::Neither,
            Ordering::Equal => {
                self.add_error(&second_source, second, &format!("excludes {first}: set one of them"));
                Chosen::First
            }
        };
        if chosen != Chosen::First {
            self.discard(first);
        }
        if chosen != Chosen::Second {
            self.discard(second);
        }
        chosen
    }

    /// Takes a value, or a table, without reading it, and returns where it is.
    pub(super) fn discard(&mut self, key: &'static str) -> ValueSource {
        self.take(key).map_or(ValueSource::Missing, |node| node.source)
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known_keys.insert(key);
        self.entries.remove(key)
    }

    /// Records an error of a key in this table, or of a table below it.
    pub(super) fn add_error(&self, source: &ValueSource, key: &'static str, what: &str) {
        self.errors.add(source, &self.full_key(key), what);
    }

    fn full_key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Returns a time in milliseconds, at least `min`.
pub(super) fn read_ms(section: &mut Section<'_>, key: &'static str, default: Duration, min: u64) -> Duration {
    let default_ms = u64::try_from(default.as_millis()).unwrap_or(MAX_MS);
    Duration::from_millis(section.number(key, default_ms, min, MAX_MS))
}
