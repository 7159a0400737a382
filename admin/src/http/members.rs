//! Known and unknown members of JSON bodies.

use std::collections::BTreeMap;

use gatepost_domain::spelling;
use serde_json::Value;
use utoipa::ToSchema;

use super::member_types::{self, Step};

/// Unknown members that a response names; beyond, it only has their number.
pub(crate) const MAX_REPORTED: usize = 20;
/// Characters of a name that a response repeats.
const MAX_NAME_CHARS: usize = 64;

/// The members of an empty object.
pub(crate) static NO_MEMBERS: Members = Members::Known(BTreeMap::new());

/// The members that a JSON value may have.
#[derive(Debug, Clone)]
pub(crate) enum Members {
    /// Any: the value is free-form.
    Any,
    Known(BTreeMap<String, Members>),
    /// The members of each value of a list.
    Each(Box<Members>),
}

/// The members of each schema of the OpenAPI document: what it shows and what is accepted cannot differ.
#[derive(Debug)]
pub(crate) struct SchemaMembers {
    document: &'static Value,
    members: BTreeMap<String, Members>,
}

impl SchemaMembers {
    pub(crate) fn of_document(document: &'static Value) -> Self {
        let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
        let find = |reference: &str| resolve(document, reference);
        let members = schemas.map(|(name, schema)| (name.clone(), Members::of_schema(schema, &find)));
        Self { document, members: members.collect() }
    }

    /// Returns the members that a body of this type may have.
    pub(crate) fn of<T: ToSchema>(&self) -> &Members {
        self.members.get(T::name().as_ref()).unwrap_or(&NO_MEMBERS)
    }

    /// Returns the place of the first value in such a body that is not of its type, and what it must be.
    pub(crate) fn type_error<T: ToSchema>(&self, body: &Value) -> Option<(Vec<Step>, String)> {
        let schema = &self.document["components"]["schemas"][T::name().as_ref()];
        let path = member_types::find_mismatch(schema, body, &|reference| resolve(self.document, reference))?;
        let expected = self.describe::<T>(&path)?;
        Some((path, expected))
    }

    /// Returns the members of such a body that only the server sets.
    pub(crate) fn read_only<T: ToSchema>(&self) -> Vec<&'static str> {
        let properties = &self.document["components"]["schemas"][T::name().as_ref()]["properties"];
        let members = properties.as_object().into_iter().flatten();
        members.filter(|(_, member)| member["readOnly"] == true).map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the names of the query parameters of a route that returns something.
    pub(crate) fn query_parameters(&self, route: &str) -> Vec<&'static str> {
        let parameters = self.document["paths"][route]["get"]["parameters"].as_array().into_iter().flatten();
        let of_query = parameters.filter(|parameter| parameter["in"] == "query");
        of_query.filter_map(|parameter| parameter["name"].as_str()).collect()
    }

    /// Returns what the value at a path of such a body must be; none if the schema does not say.
    pub(crate) fn describe<T: ToSchema>(&self, path: &[Step]) -> Option<String> {
        let schema = &self.document["components"]["schemas"][T::name().as_ref()];
        member_types::describe(schema, path, &|reference| resolve(self.document, reference))
    }
}

/// Returns the schema behind a reference within a document.
fn resolve<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

#[derive(Debug)]
pub(crate) struct UnknownMember<'a> {
    /// The path of its object; empty for the body itself.
    parent: String,
    name: &'a str,
    /// The known members of that object.
    known: &'a BTreeMap<String, Members>,
}

/// A list in place of an object, which would be parsed by the order of its values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ArrayForObject(pub(crate) String);

impl Members {
    /// Returns the members of a schema; `resolve` finds the schema behind a reference. Read-only members may have any value,
    /// as they have no effect.
    pub(crate) fn of_schema<'a>(schema: &'a Value, resolve: &impl Fn(&str) -> Option<&'a Value>) -> Self {
        if schema["readOnly"] == true {
            return Members::Any;
        }
        if let Some(referred) = schema["$ref"].as_str().and_then(resolve) {
            return Self::of_schema(referred, resolve);
        }
        if let Some(properties) = schema["properties"].as_object() {
            let members = properties.iter().map(|(name, member)| (name.clone(), Self::of_schema(member, resolve)));
            return Members::Known(members.collect());
        }
        if let Some(items) = schema.get("items") {
            return Members::Each(Box::new(Self::of_schema(items, resolve)));
        }
        // An object that may be null as well.
        let choices = schema["oneOf"].as_array().into_iter().flatten();
        let mut known = choices.map(|choice| Self::of_schema(choice, resolve)).filter(|members| !members.is_any());
        known.next().unwrap_or(Members::Any)
    }

    /// Adds a member that may have any value.
    pub(crate) fn with_any(mut self, name: &str) -> Self {
        if let Members::Known(known) = &mut self {
            known.insert(name.to_owned(), Members::Any);
        }
        self
    }

    /// Returns the unknown members of a value, in the order of their names.
    ///
    /// # Errors
    /// If there is a list in place of an object.
    pub(crate) fn unknown_in<'a>(&'a self, value: &'a Value) -> Result<Vec<UnknownMember<'a>>, ArrayForObject> {
        let mut unknown = Vec::new();
        self.collect_unknown("", value, &mut unknown)?;
        Ok(unknown)
    }

    fn collect_unknown<'a>(
        &'a self,
        path: &str,
        value: &'a Value,
        unknown: &mut Vec<UnknownMember<'a>>,
    ) -> Result<(), ArrayForObject> {
        match (self, value) {
            (Members::Known(known), Value::Object(members)) => {
                members.iter().try_for_each(|(name, member)| match known.get(name) {
                    Some(inner) => inner.collect_unknown(&join_path(path, name), member, unknown),
                    None => {
                        unknown.push(UnknownMember { parent: path.to_owned(), name, known });
                        Ok(())
                    }
                })
            }
            (Members::Known(_), Value::Array(_)) => Err(ArrayForObject(path.to_owned())),
            (Members::Each(inner), Value::Array(values)) => {
                values.iter().try_for_each(|value| inner.collect_unknown(path, value, unknown))
            }
            // Values of another type are refused when the body is deserialized.
            (Members::Known(_) | Members::Each(_) | Members::Any, _) => Ok(()),
        }
    }

    fn is_any(&self) -> bool {
        matches!(self, Members::Any)
    }
}

impl std::fmt::Display for ArrayForObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.0.is_empty() { "the body" } else { self.0.as_str() };
        write!(f, "{path}: must be an object, not a list")
    }
}

impl UnknownMember<'_> {
    /// Returns its path, such as `rateLimitConfigs.limit`. A long name is shortened.
    pub(crate) fn path(&self) -> String {
        join_path(&self.parent, &shortened(self.name))
    }

    /// Returns the known member that may have been meant; none if no known name is similar.
    pub(crate) fn most_similar(&self) -> Option<String> {
        let known = self.known.keys().map(String::as_str);
        Some(join_path(&self.parent, spelling::most_similar(self.name, known)?))
    }
}

impl std::fmt::Display for UnknownMember<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.most_similar() {
            Some(similar) => write!(f, "{}: unknown member; a similar known one is {similar}", self.path()),
            None => write!(f, "{}: unknown member", self.path()),
        }
    }
}

/// Returns a name as a response repeats it: the start of a long one.
pub(crate) fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Describes unknown members in the detail of a problem.
pub(crate) fn problem_detail(unknown: &[UnknownMember<'_>]) -> String {
    let named: Vec<String> = unknown.iter().take(MAX_REPORTED).map(UnknownMember::to_string).collect();
    let more = unknown.len().saturating_sub(MAX_REPORTED);
    let rest = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{rest}", named.join("; "))
}

fn join_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members() -> Members {
        let inner = json!({"type": "object", "properties": {"limit": {"type": "integer"}, "period": {}}});
        let schema = json!({"properties": {
            "quota": {"oneOf": [{"$ref": "inner"}, {"type": "null"}]},
            "quotas": {"type": ["array", "null"], "items": {"$ref": "inner"}},
            "free": {},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "was": {"$ref": "inner", "readOnly": true},
            "names": {"type": "array", "items": {"type": "string"}},
        }});
        Members::of_schema(&schema, &|_| Some(&inner))
    }

    fn paths(value: &Value) -> Vec<String> {
        members().unknown_in(value).unwrap().iter().map(UnknownMember::path).collect()
    }

    #[test]
    fn members_are_known_at_every_depth() {
        let known =
            json!({"quota": {"limit": 1}, "quotas": [{"period": "day"}], "free": {"a": {"b": 1}}, "was": {"x": 1}});
        assert_eq!(paths(&known), Vec::<String>::new());
        assert_eq!(paths(&json!({"quota": null, "quotas": null, "names": ["a"]})), Vec::<String>::new());
        let unknown = json!({"quota": {"limits": 1}, "quotas": [{}, {"x": 1}], "y": 1});
        assert_eq!(paths(&unknown), ["quota.limits", "quotas.x", "y"]);
        for (value, path) in [(json!({"quota": [1, "day"]}), "quota"), (json!([]), "")] {
            assert_eq!(members().unknown_in(&value).unwrap_err(), ArrayForObject(path.to_owned()));
        }
    }

    #[test]
    fn a_similar_member_is_named_and_a_long_name_is_shortened() {
        let known = BTreeMap::from([("limit".to_owned(), Members::Any)]);
        let unknown = |name| UnknownMember { parent: "quota".to_owned(), name, known: &known };
        let expected = "quota.limits: unknown member; a similar known one is quota.limit";
        assert_eq!(unknown("limits").to_string(), expected);
        assert_eq!(unknown("burst").to_string(), "quota.burst: unknown member");
        let long = UnknownMember { parent: "a".to_owned(), name: &"é".repeat(100), known: &known };
        assert_eq!(long.path(), format!("a.{}…", "é".repeat(MAX_NAME_CHARS)));
    }
}
