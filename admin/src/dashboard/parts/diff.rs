//! A resource before and after a change, field by field.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde_json::Value;

use super::table::Column;
use super::table::Column::Text;
use super::{facts, table};

/// Fields that every change sets, and those that repeat another one: they say nothing about this change.
const UNSAID: [&str; 6] = ["key", "updatedAt", "lastChangedBy", "lastChangedByType", "firstUsedAt", "expiry"];

/// Shows the fields of a resource before and after a change. Those that differ come first and are marked; a resource
/// that is new, or was removed, has one column of values. `unchanged` says why none differs.
pub(crate) fn table(before: Option<&Value>, after: Option<&Value>, unchanged: &str) -> Markup {
    let names: BTreeSet<&str> = [before, after].into_iter().flatten().flat_map(field_names).collect();
    let (changed, same): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| field(before, name) != field(after, name));
    let is_compared = before.is_some() && after.is_some();
    let sides = [before.map(|_| Text("Before")), after.map(|_| Text("After"))];
    let columns: Vec<Column<'_>> = [Text("Field")].into_iter().chain(sides.into_iter().flatten()).collect();
    html! {
        @if is_compared && changed.is_empty() { p.hint { (unchanged) } }
        (table::of("Before and after", &columns, html! {
            @for (name, is_marked) in changed.iter().map(|name| (name, is_compared)).chain(same.iter().map(|name| (name, false))) {
                tr.differs[is_marked] {
                    th scope="row" {
                        code { (name) } @if is_marked { span.visually-hidden { " (changed)" } }
                    }
                    @for side in [before, after].into_iter().flatten() {
                        td.wrap { (value(side.get(name))) }
                    }
                }
            }
        }))
    }
}

/// Returns the names of the fields that differ, in the order of the resource.
pub(crate) fn changed_fields<'a>(before: &'a Value, after: &'a Value) -> Vec<&'a str> {
    let names: BTreeSet<&str> = [before, after].into_iter().flat_map(field_names).collect();
    names.into_iter().filter(|name| before.get(name) != after.get(name)).collect()
}

fn field_names(resource: &Value) -> impl Iterator<Item = &str> {
    let names = resource.as_object().into_iter().flat_map(|members| members.keys().map(String::as_str));
    names.filter(|name| !UNSAID.contains(name))
}

fn field<'a>(resource: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    resource.and_then(|resource| resource.get(name))
}

fn value(value: Option<&Value>) -> Markup {
    match value {
        None | Some(Value::Null) => facts::or_dash(None),
        Some(Value::String(text)) => html! { (text) },
        Some(Value::Array(items)) if items.is_empty() => facts::or_dash(None),
        Some(other) => html! { code { (other) } },
    }
}
