//! Fields of log lines: `error = …`, `%error`, `?error` and `error` in a macro of `tracing`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Names;

const MACROS: &[&str] = &["trace", "debug", "info", "warn", "error", "event", "span", "info_span", "debug_span"];

/// Adds the fields of a call, if it writes a log line.
pub(super) fn of_call(call: &syn::Macro, names: &mut Names) {
    let name = call.path.segments.last().map(|segment| segment.ident.to_string());
    if name.is_some_and(|name| MACROS.contains(&name.as_str())) {
        arguments(call.tokens.clone()).iter().filter_map(|argument| field(argument)).for_each(|field| {
            names.add("log", &field);
        });
    }
}

/// Splits at the commas of the outermost level.
fn arguments(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut arguments = vec![Vec::new()];
    for token in tokens {
        match &token {
            TokenTree::Punct(mark) if mark.as_char() == ',' => arguments.push(Vec::new()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                arguments.last_mut().expect("there is one from the start").extend(group.stream());
            }
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {
                arguments.last_mut().expect("there is one from the start").push(token);
            }
        }
    }
    arguments
}

/// The name of the field that an argument sets, if it is one.
fn field(argument: &[TokenTree]) -> Option<String> {
    let mut name = String::new();
    for token in argument {
        match token {
            TokenTree::Ident(part) => name.push_str(&part.to_string()),
            TokenTree::Punct(mark) if mark.as_char() == '.' => name.push('.'),
            TokenTree::Punct(mark) if name.is_empty() && matches!(mark.as_char(), '%' | '?') => {}
            TokenTree::Punct(mark) if mark.as_char() == '=' => break,
            TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_) => return None,
        }
    }
    (!name.is_empty() && name != "target").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_field_is_found() {
        let call: syn::Macro = syn::parse_str(
            r#"tracing::warn!(target: "a", error = %failure, %id, ?kind, key.name = f(x, y), count, "it {failed}", late = 1)"#,
        )
        .unwrap();
        let mut names = Names::default();
        of_call(&call, &mut names);
        assert_eq!(
            names.0.into_iter().collect::<Vec<_>>(),
            ["log count", "log error", "log id", "log key.name", "log kind", "log late"]
        );
    }
}
