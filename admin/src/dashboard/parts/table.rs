//! A table.

use maud::{Markup, html};

/// Heading of a column.
#[derive(Clone, Copy)]
pub(crate) enum Column<'a> {
    Text(&'a str),
    /// Numbers, aligned at their last digits.
    Number(&'a str),
    /// A column whose cells speak for themselves. Screen readers read its heading.
    Hidden(&'a str),
}

/// Shows a table, which scrolls by itself where the screen is narrow. Screen readers read its name.
pub(crate) fn of(name: &str, columns: &[Column<'_>], rows: Markup) -> Markup {
    html! {
        div.table-scroll tabindex="0" role="region" aria-label=(name) {
            table {
                caption.visually-hidden { (name) }
                thead { tr { @for column in columns { (heading(*column)) } } }
                tbody { (rows) }
            }
        }
    }
}

fn heading(column: Column<'_>) -> Markup {
    match column {
        Column::Text(text) => html! { th scope="col" { (text) } },
        Column::Number(text) => html! { th.number scope="col" { (text) } },
        Column::Hidden(text) => html! { th scope="col" { span.visually-hidden { (text) } } },
    }
}
