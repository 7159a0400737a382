//! Fields of forms, each with its label, hint and fault.

use maud::{Markup, html};

use crate::dashboard::form::{Form, FormFault, FormFaults};

/// A form that is shown: its entries and what is wrong with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries<'a> {
    pub(crate) form: &'a Form,
    pub(crate) faults: &'a FormFaults,
}

/// A field of one line or of several.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) is_required: bool,
    /// Members of a refusal that are about this field, besides its own name.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) input: Input,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Input {
    #[default]
    Text,
    Number,
    Secret,
    Lines,
}

impl Field {
    /// Describes an optional field of one line of text.
    pub(crate) const fn text(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        Self { name, label, hint, is_required: false, aliases: &[], input: Input::Text }
    }

    pub(crate) const fn with_input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    pub(crate) const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }
}

impl Entries<'_> {
    /// Shows what is wrong with the form, except what a field of `own` shows.
    pub(crate) fn summary(&self, own: &[Field]) -> Markup {
        let marked = own.iter().filter(|field| self.faults.iter().any(|fault| field.is_about(fault))).count();
        let is_marked = |fault: &&FormFault| own.iter().any(|field| field.is_about(fault));
        html! {
            @if !self.faults.is_empty() {
                div.fault-summary role="alert" {
                    @match marked {
                        0 => {},
                        1 => p { "Please correct the marked field." },
                        _ => p { "Please correct the " (marked) " marked fields." },
                    }
                    @for fault in self.faults.iter().filter(|fault| !is_marked(fault)) { p { (with_field(fault)) } }
                }
            }
        }
    }

    pub(crate) fn field(&self, field: &Field) -> Markup {
        let faults: Vec<&FormFault> = self.faults.iter().filter(|fault| field.is_about(fault)).collect();
        let is_faulty = !faults.is_empty();
        let (hint_id, fault_id) = (format!("{}-hint", field.name), format!("{}-fault", field.name));
        let described = [(!field.hint.is_empty()).then_some(&hint_id), is_faulty.then_some(&fault_id)];
        let described = described.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        let described = Some(described).filter(|ids| !ids.is_empty());
        let invalid = is_faulty.then_some("true");
        html! {
            div.field.faulty[is_faulty] {
                label for=(field.name) { (field.label) @if field.is_required { span.required { " required" } } }
                (self.input(field, described, invalid))
                @if !field.hint.is_empty() { p.hint id=(hint_id) { (field.hint) } }
                @if is_faulty { div id=(fault_id) { @for fault in faults { p.fault { (fault.text) } } } }
            }
        }
    }

    fn input(&self, field: &Field, described: Option<String>, invalid: Option<&str>) -> Markup {
        let value = self.form.text(field.name);
        html! {
            @if field.input == Input::Lines {
                textarea id=(field.name) name=(field.name) rows="4" required[field.is_required] spellcheck="false"
                    aria-describedby=[described] aria-invalid=[invalid] { (value) }
            } @else {
                input id=(field.name) name=(field.name) type=(field.input.html_type()) value=(value)
                    inputmode=[field.input.input_mode()] autocomplete=(field.input.autocomplete())
                    required[field.is_required] spellcheck="false" aria-describedby=[described] aria-invalid=[invalid];
            }
        }
    }

    /// Shows a check box. Several of one name choose several values.
    pub(crate) fn check(&self, name: &str, value: &str, label: Markup, hint: &str) -> Markup {
        let id = format!("{name}-{value}");
        let is_checked = self.form.all(name).any(|chosen| chosen == value);
        html! {
            div.check {
                input type="checkbox" id=(id) name=(name) value=(value) checked[is_checked];
                label for=(id) { (label) @if !hint.is_empty() { span.hint { (hint) } } }
            }
        }
    }

    pub(crate) fn choice(&self, name: &'static str, label: &str, options: &[(&str, &str)]) -> Markup {
        let chosen = self.form.text(name);
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    @for (value, text) in options {
                        option value=(value) selected[*value == chosen] { (text) }
                    }
                }
            }
        }
    }
}

impl Field {
    fn is_about(&self, fault: &FormFault) -> bool {
        let member = fault.field.split('.').next().unwrap_or_default();
        member == self.name || fault.field == self.name || self.aliases.contains(&fault.field.as_str())
    }
}

impl Input {
    fn html_type(self) -> &'static str {
        match self {
            Input::Text | Input::Number | Input::Lines => "text",
            Input::Secret => "password",
        }
    }

    fn input_mode(self) -> Option<&'static str> {
        (self == Input::Number).then_some("numeric")
    }

    fn autocomplete(self) -> &'static str {
        if self == Input::Secret { "current-password" } else { "off" }
    }
}

fn with_field(fault: &FormFault) -> String {
    if fault.field.is_empty() { format!("{}.", fault.text) } else { format!("{}: {}.", fault.field, fault.text) }
}
