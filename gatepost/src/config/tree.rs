//! Tree of unparsed values, each with its source.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueSource {
    File {
        name: String,
        line: usize,
    },
    Environment(String),
    Flag(&'static str),
    /// Nothing: the value is missing.
    Missing,
}

impl ValueSource {
    /// Returns how strong the source is: a higher one overrides a lower one.
    pub(super) fn rank(&self) -> u8 {
        match self {
            ValueSource::Missing => 0,
            ValueSource::File { .. } => 1,
            ValueSource::Environment(_) => 2,
            ValueSource::Flag(_) => 3,
        }
    }

    /// Returns the line of a value in a file; what is in none comes after all lines.
    pub(super) fn line(&self) -> usize {
        match self {
            ValueSource::File { line, .. } => *line,
            ValueSource::Environment(_) | ValueSource::Flag(_) | ValueSource::Missing => usize::MAX,
        }
    }
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueSource::File { name, line } => write!(f, "{name}:{line}"),
            ValueSource::Environment(name) => f.write_str(name),
            ValueSource::Flag(name) => f.write_str(name),
            ValueSource::Missing => f.write_str("configuration"),
        }
    }
}

/// The file is not TOML.
#[derive(Debug, thiserror::Error)]
#[error("{name}:{line}: {message}")]
pub(super) struct SyntaxError {
    name: String,
    line: usize,
    message: String,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) source: ValueSource,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// Value from the environment or a flag: its key determines its type.
    Raw(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// Type that no key has, with its description.
    Unsupported(&'static str),
}

impl Value {
    /// Returns the type of the value, for error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) | Value::Raw(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Unsupported(kind) => kind,
        }
    }
}

impl Node {
    pub(super) fn empty() -> Self {
        Self { value: Value::Table(BTreeMap::new()), source: ValueSource::Missing }
    }

    /// Parses TOML. A syntax error names its line.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, SyntaxError> {
        let file = SourceFile::new(name, text);
        match DeTable::parse(text) {
            Ok(table) => {
                let span = table.span();
                Ok(convert(DeValue::Table(table.into_inner()), &span, &file))
            }
            Err(error) => {
                let line = error.span().map_or(1, |span| file.line_at(span.start));
                Err(SyntaxError { name: name.to_owned(), line, message: error.message().to_owned() })
            }
        }
    }

    /// Sets the value at a path of keys, and replaces what is there.
    pub(super) fn set(&mut self, path: &[String], value: Node) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Node { value: Value::Table(BTreeMap::new()), source: value.source.clone() };
        }
        if let Value::Table(entries) = &mut self.value {
            let source = value.source.clone();
            let entry = entries.entry(first.clone());
            entry.or_insert(Node { value: Value::Table(BTreeMap::new()), source }).set(rest, value);
        }
    }
}

/// Name of a file, and where its lines start.
struct SourceFile<'a> {
    name: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> SourceFile<'a> {
    fn new(name: &'a str, text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { name, line_starts: std::iter::once(0).chain(line_ends.map(|(at, _)| at + 1)).collect() }
    }

    /// Returns the number of the line of a byte, from 1 on.
    fn line_at(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

fn convert(value: DeValue<'_>, span: &Range<usize>, file: &SourceFile<'_>) -> Node {
    let convert_child = |spanned: Spanned<DeValue<'_>>| {
        let span = spanned.span();
        convert(spanned.into_inner(), &span, file)
    };
    let value = match value {
        DeValue::String(value) => Value::Text(value.into_owned()),
        DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Unsupported("a number that is too large"),
        },
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Array(values) => Value::List(values.into_iter().map(convert_child).collect()),
        DeValue::Table(entries) => Value::Table(
            entries.into_iter().map(|(key, value)| (key.into_inner().into_owned(), convert_child(value))).collect(),
        ),
        DeValue::Float(_) => Value::Unsupported("a number with a fraction"),
        DeValue::Datetime(_) => Value::Unsupported("a date"),
    };
    Node { value, source: ValueSource::File { name: file.name.to_owned(), line: file.line_at(span.start) } }
}
