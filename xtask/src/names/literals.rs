//! String literals that look like a name: no space in them, and a letter.

use proc_macro2::{TokenStream, TokenTree};

use super::Names;

/// Adds the names among the literals of a macro call or an attribute.
pub(super) fn of_tokens(tokens: TokenStream, names: &mut Names) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => of_tokens(group.stream(), names),
            TokenTree::Literal(literal) => {
                if let Ok(literal) = syn::parse_str::<syn::Lit>(&literal.to_string()) {
                    of_literal(&literal, names);
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// Adds a literal if it is a name.
pub(super) fn of_literal(literal: &syn::Lit, names: &mut Names) {
    if let syn::Lit::Str(text) = literal {
        add(&text.value(), names);
    } else if let syn::Lit::ByteStr(bytes) = literal {
        add(&String::from_utf8_lossy(&bytes.value()), names);
    }
}

/// Adds the titles of problems, which have spaces.
pub(super) fn titles_of(tokens: TokenStream, names: &mut Names) {
    for token in tokens {
        if let Ok(syn::Lit::Str(text)) = syn::parse_str::<syn::Lit>(&token.to_string()) {
            names.add("problem", &text.value());
        }
    }
}

/// Adds the literal arguments of a call that makes an exit code.
pub(super) fn exit_codes_of<'a>(arguments: impl IntoIterator<Item = &'a syn::Expr>, names: &mut Names) {
    for argument in arguments {
        if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(code), .. }) = argument {
            names.add("exit", code.base10_digits());
        }
    }
}

/// Adds the names among the strings of a Lua script.
pub(super) fn of_script(text: &str, names: &mut Names) {
    for line in text.lines().map(|line| line.split("--").next().unwrap_or_default()) {
        for quote in ['\'', '"'] {
            line.split(quote).skip(1).step_by(2).for_each(|text| add(text, names));
        }
    }
}

fn add(text: &str, names: &mut Names) {
    let text = without_arguments(text);
    let is_name = text.contains(|letter: char| letter.is_ascii_alphabetic())
        && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if is_name {
        names.add("text", &text);
    }
}

/// A format string without the names of its arguments, which are variables.
fn without_arguments(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        shown.push_str(before);
        shown.push('{');
        rest = after.split_once('}').map_or(after, |(argument, after)| {
            let is_path = text.starts_with('/') && !argument.contains(char::is_uppercase);
            if is_path {
                shown.push_str(argument);
            }
            shown.push('}');
            after
        });
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tokens: &str) -> Vec<String> {
        let mut names = Names::default();
        of_tokens(tokens.parse().unwrap(), &mut names);
        names.0.into_iter().collect()
    }

    #[test]
    fn names_are_taken_and_sentences_are_not() {
        assert_eq!(
            found(r#"call("x-api-key", "a sentence", [b"rate:{key}"], 7, "{key}:{n}", "")"#),
            ["text rate:{}", "text x-api-key"]
        );
    }

    #[test]
    fn parameters_of_paths_keep_their_names() {
        assert_eq!(found(r#""/api-keys/{id}""#), ["text /api-keys/{id}"]);
    }

    #[test]
    fn strings_of_scripts_are_names() {
        let mut names = Names::default();
        of_script("return {'ok', \"no\"} -- 'comment'", &mut names);
        assert_eq!(names.0.into_iter().collect::<Vec<_>>(), ["text no", "text ok"]);
    }
}
