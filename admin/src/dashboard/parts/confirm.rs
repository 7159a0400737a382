//! Typed confirmation of what cannot be undone.

use maud::{Markup, html};

use crate::dashboard::form::{Form, FormFault};

/// Name of the field.
const FIELD: &str = "confirmation";

/// Shows a field into which one of the texts must be typed. The browser checks it without a script.
pub(crate) fn field(texts: &[&str], label: Markup, form: &Form, fault: Option<&FormFault>) -> Markup {
    let pattern = texts.iter().map(|text| escape_pattern(text)).collect::<Vec<_>>().join("|");
    html! {
        div.field.faulty[fault.is_some()] {
            label for=(FIELD) { (label) }
            input id=(FIELD) name=(FIELD) type="text" required pattern=(pattern) title="The text above, letter by letter" autocomplete="off" spellcheck="false"
                value=(form.text(FIELD)) aria-invalid=[fault.map(|_| "true")]
                aria-describedby=[fault.map(|_| "confirmation-fault")];
            @if let Some(fault) = fault { p.fault #confirmation-fault role="alert" { (fault.text) } }
        }
    }
}

/// Returns a hidden field with what was typed, for a form that continues what was confirmed.
pub(crate) fn repeated(form: &Form) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(form.text(FIELD)); }
}

/// Returns the fault of a form in which none of the texts was typed.
pub(crate) fn check(form: &Form, texts: &[&str]) -> Option<FormFault> {
    let typed = form.text(FIELD);
    let is_confirmed = texts.iter().any(|text| text.trim() == typed);
    (!is_confirmed).then(|| FormFault { field: FIELD.to_owned(), text: "This is not the text above.".to_owned() })
}

/// Escapes a text for the `pattern` of an input (HTML, 4.10.5.3.6), which is a regular expression in `v` mode.
fn escape_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.trim().chars() {
        if "\\^$.|?*+()[]{}/-&~!#%,:;<=>@`\"'".contains(letter) && letter.is_ascii_punctuation() {
            pattern.push_str(&format!("\\x{:02x}", letter as u32));
        } else {
            pattern.push(letter);
        }
    }
    pattern
}
