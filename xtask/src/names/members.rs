//! Members of JSON and stored shapes, and arguments of commands: fields and variants whose names a derive uses.

use syn::punctuated::Punctuated;

use super::Names;

/// What a derive makes of the names of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Json,
    CommandLine,
}

/// Adds the fields of a struct.
pub(super) fn of_struct(item: &syn::ItemStruct, names: &mut Names) {
    if let Some(used) = use_of(&item.attrs) {
        of_fields(&item.fields, used, rename_rule(&item.attrs), names);
    }
}

/// Adds the variants of an enum and their fields.
pub(super) fn of_enum(item: &syn::ItemEnum, names: &mut Names) {
    let Some(used) = use_of(&item.attrs) else { return };
    let rule = rename_rule(&item.attrs);
    for variant in &item.variants {
        add(&variant.ident.to_string(), &variant.attrs, used, rule.as_deref(), names);
        of_fields(&variant.fields, used, None, names);
    }
}

fn of_fields(fields: &syn::Fields, used: Use, rule: Option<String>, names: &mut Names) {
    for field in fields {
        if let Some(name) = &field.ident {
            add(&name.to_string(), &field.attrs, used, rule.as_deref(), names);
        }
    }
}

fn add(name: &str, attributes: &[syn::Attribute], used: Use, rule: Option<&str>, names: &mut Names) {
    let is_inlined = ["skip", "flatten"].iter().any(|word| setting(attributes, word).is_some());
    if is_inlined {
        return;
    }
    let name = name.trim_start_matches("r#");
    match used {
        Use::Json => {
            let renamed = setting(attributes, "rename").unwrap_or_else(|| renamed(name, rule));
            names.add("member", &renamed);
        }
        Use::CommandLine => names.add("argument", &separated(name, '-')),
    }
}

fn use_of(attributes: &[syn::Attribute]) -> Option<Use> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let derived = attribute.parse_args_with(Punctuated::<syn::Path, syn::Token![,]>::parse_terminated).ok()?;
        for name in derived.iter().filter_map(|path| path.segments.last()).map(|segment| segment.ident.to_string()) {
            match name.as_str() {
                "Serialize" | "Deserialize" | "ToSchema" | "IntoParams" => found = Some(Use::Json),
                "Parser" | "Args" | "Subcommand" | "ValueEnum" => found = Some(Use::CommandLine),
                _ => {}
            }
        }
    }
    found
}

fn rename_rule(attributes: &[syn::Attribute]) -> Option<String> {
    setting(attributes, "rename_all")
}

/// The value of `#[serde(name = "value")]`, empty for `#[serde(name)]`.
fn setting(attributes: &[syn::Attribute], name: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let read = attribute.parse_nested_meta(|meta| {
            let value = meta.value().and_then(|value| value.parse::<syn::LitStr>()).map(|value| value.value());
            if meta.path.is_ident(name) {
                found = Some(value.unwrap_or_default());
            }
            Ok(())
        });
        if read.is_err() {
            return None;
        }
    }
    found
}

/// A name as serde writes it by the rules that this project uses.
fn renamed(name: &str, rule: Option<&str>) -> String {
    match rule {
        Some("camelCase") => camel_case(name),
        Some("kebab-case") => separated(name, '-'),
        Some("lowercase") => name.to_lowercase(),
        Some(_) | None => name.to_string(),
    }
}

fn camel_case(name: &str) -> String {
    let mut shown = String::new();
    for (at, part) in name.split('_').enumerate() {
        let (first, rest) = part.split_at(part.len().min(1));
        shown.push_str(&if at == 0 { first.to_lowercase() } else { first.to_uppercase() });
        shown.push_str(rest);
    }
    shown
}

fn separated(name: &str, mark: char) -> String {
    let mut shown = String::new();
    for (at, letter) in name.char_indices() {
        if letter == '_' || letter.is_uppercase() && at > 0 {
            shown.push(mark);
        }
        if letter != '_' {
            shown.extend(letter.to_lowercase());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(item: &str) -> Vec<String> {
        let mut names = Names::default();
        if item.contains("enum") {
            of_enum(&syn::parse_str(item).unwrap(), &mut names);
        } else {
            of_struct(&syn::parse_str(item).unwrap(), &mut names);
        }
        names.0.into_iter().collect()
    }

    #[test]
    fn members_are_named_as_serde_names_them() {
        let item = r#"#[derive(Debug, Serialize)] #[serde(rename_all = "camelCase")] struct S {
            project_id: u8, #[serde(rename = "type")] kind: u8, #[serde(flatten)] rest: u8,
            #[serde(default, skip_serializing_if = "Option::is_none")] end: Option<u8> }"#;
        assert_eq!(found(item), ["member end", "member projectId", "member type"]);
    }

    #[test]
    fn arguments_are_named_as_clap_names_them() {
        assert_eq!(found("#[derive(Args)] struct S { admin_listen: u8 }"), ["argument admin-listen"]);
        assert_eq!(found("#[derive(Subcommand)] enum C { AccessKey, Up }"), ["argument access-key", "argument up"]);
    }

    #[test]
    fn other_types_have_no_names_that_users_see() {
        assert!(found("#[derive(Debug)] struct S { inner: u8 }").is_empty());
    }
}
