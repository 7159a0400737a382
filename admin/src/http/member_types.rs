//! The types of members of JSON bodies in words, from the schemas of the OpenAPI document, for errors about them.

use serde_json::Value;

/// A step from a JSON value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Member(String),
    Item(usize),
}

/// Returns the path as errors show it, such as `quotas[0].limit`.
pub(crate) fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => text.extend([".", name]),
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    if text.is_empty() { "the body".to_owned() } else { text }
}

/// Returns what a value at a path must be, such as `a whole number from 1 to 16, or null`. `resolve` finds the schema
/// behind a reference. `None` if the schema does not say.
pub(crate) fn describe<'a>(
    schema: &'a Value,
    path: &[Step],
    resolve: &impl Fn(&str) -> Option<&'a Value>,
) -> Option<String> {
    let Some((step, rest)) = path.split_first() else { return type_text(schema, resolve) };
    let inner = without_reference(schema, resolve).into_iter().find_map(|schema| match step {
        Step::Member(name) => schema["properties"].get(name).or_else(|| schema.get("additionalProperties")),
        Step::Item(_) => schema.get("items"),
    });
    describe(inner?, rest, resolve)
}

/// Returns the path of the first value that is not of the type that its schema names; none if all are. The order of
/// members is that of their names.
pub(crate) fn find_mismatch<'a>(
    schema: &'a Value,
    value: &Value,
    resolve: &impl Fn(&str) -> Option<&'a Value>,
) -> Option<Vec<Step>> {
    let choices = without_reference(schema, resolve);
    let has_types = choices.iter().any(|choice| !kinds(choice).is_empty());
    if has_types && !choices.iter().any(|choice| is_of_kind(choice, value)) {
        return Some(Vec::new());
    }
    let below = |step: Step, inner: &'a Value, value: &Value| {
        // The value of a read-only member is not used.
        let mut path = find_mismatch(inner, value, resolve).filter(|_| inner["readOnly"] != true)?;
        path.insert(0, step);
        Some(path)
    };
    choices.into_iter().find_map(|choice| match value {
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let inner = choice["properties"].get(name).or_else(|| choice.get("additionalProperties"))?;
            below(Step::Member(name.clone()), inner, member)
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| below(Step::Item(index), choice.get("items")?, item))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn is_of_kind(schema: &Value, value: &Value) -> bool {
    kinds(schema).into_iter().any(|kind| match (kind, value) {
        ("null", Value::Null) | ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => true,
        ("object", Value::Object(_)) | ("array", Value::Array(_)) | ("number", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => {
            number.is_u64() || (number.is_i64() && schema["minimum"].as_i64().is_none_or(|minimum| minimum < 0))
        }
        _ => false,
    })
}

/// Returns the schemas of an object or a list behind a reference, or behind a choice of one or null.
fn without_reference<'a>(schema: &'a Value, resolve: &impl Fn(&str) -> Option<&'a Value>) -> Vec<&'a Value> {
    if let Some(referred) = schema["$ref"].as_str().and_then(resolve) {
        return without_reference(referred, resolve);
    }
    match schema["oneOf"].as_array() {
        Some(choices) => choices.iter().flat_map(|choice| without_reference(choice, resolve)).collect(),
        None => vec![schema],
    }
}

fn type_text<'a>(schema: &'a Value, resolve: &impl Fn(&str) -> Option<&'a Value>) -> Option<String> {
    let choices = without_reference(schema, resolve);
    let mut texts: Vec<String> = Vec::new();
    let mut is_nullable = false;
    for choice in choices {
        for kind in kinds(choice) {
            match kind {
                "null" => is_nullable = true,
                _ => texts.push(kind_text(kind, choice)?),
            }
        }
    }
    let text = Some(texts.join(" or ")).filter(|text| !text.is_empty())?;
    Some(if is_nullable { format!("{text}, or null") } else { text })
}

/// Returns the types that a schema names.
fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn kind_text(kind: &str, schema: &Value) -> Option<String> {
    Some(match kind {
        "string" => "a string".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => bounded("a whole number", schema),
        "number" => bounded("a number", schema),
        "object" => "an object".to_owned(),
        "array" => match kinds(&schema["items"]).first() {
            Some(&"string") => "a list of strings".to_owned(),
            Some(&"integer") => "a list of whole numbers".to_owned(),
            Some(&"number") => "a list of numbers".to_owned(),
            Some(_) | None => "a list".to_owned(),
        },
        _ => return None,
    })
}

fn bounded(what: &str, schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
        (Some(min), None) => format!("{what}, {min} or more"),
        (None, Some(max)) => format!("{what}, {max} or less"),
        (None, None) => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schemas() -> [Value; 2] {
        let inner = json!({"type": "object", "properties": {"limit": {"type": "number", "minimum": 0}}});
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"},
            "is": {"type": ["boolean", "null"]},
            "count": {"type": ["integer", "null"], "minimum": 1, "maximum": 16},
            "delays": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
            "quota": {"oneOf": [{"type": "null"}, {"$ref": "inner"}]},
            "quotas": {"type": "array", "items": {"$ref": "inner"}},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {},
            "was": {"type": "string", "readOnly": true},
        }});
        [schema, inner]
    }

    fn check(path: &[Step], expected: Option<&str>) {
        let [schema, inner] = schemas();
        assert_eq!(describe(&schema, path, &|_| Some(&inner)).as_deref(), expected, "{path:?}");
    }

    #[test]
    fn types_are_described_in_words() {
        let member = |name: &str| Step::Member(name.to_owned());
        check(&[], Some("an object"));
        check(&[member("name")], Some("a string"));
        check(&[member("is")], Some("true or false, or null"));
        check(&[member("count")], Some("a whole number from 1 to 16, or null"));
        check(&[member("delays")], Some("a list of whole numbers, or null"));
        check(&[member("delays"), Step::Item(3)], Some("a whole number, 0 or more"));
        check(&[member("quota")], Some("an object, or null"));
        check(&[member("quota"), member("limit")], Some("a number, 0 or more"));
        check(&[member("quotas")], Some("a list"));
        check(&[member("quotas"), Step::Item(0), member("limit")], Some("a number, 0 or more"));
        check(&[member("headers"), member("x")], Some("a string"));
        check(&[member("free")], None);
        check(&[member("free"), member("x")], None);
    }

    #[test]
    fn the_first_value_of_another_type_is_found() {
        let [schema, inner] = schemas();
        for (body, expected) in [
            (json!([]), Some("the body")),
            (json!({"name": "n", "is": null, "count": 3, "delays": [1], "quota": null, "free": [1], "was": 1}), None),
            (json!({"name": null}), Some("name")),
            (json!({"count": -1}), Some("count")),
            (json!({"count": 1.5}), Some("count")),
            (json!({"delays": [5, "5s"]}), Some("delays[1]")),
            (json!({"quota": {"limit": "1"}}), Some("quota.limit")),
            (json!({"quotas": [{"limit": 1}, {"limit": true}]}), Some("quotas[1].limit")),
            (json!({"headers": {"x": 1}}), Some("headers.x")),
        ] {
            let found = find_mismatch(&schema, &body, &|_| Some(&inner));
            assert_eq!(found.map(|path| path_text(&path)).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn paths_are_shown_as_in_javascript() {
        let path = [Step::Member("a".to_owned()), Step::Item(2), Step::Member("b".to_owned())];
        assert_eq!(path_text(&path), "a[2].b");
        assert_eq!(path_text(&[]), "the body");
    }
}
