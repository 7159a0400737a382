//! The keyboard shortcuts, which `app.js` has.

use maud::html;

use crate::dashboard::answer::{self, PageResult};
use crate::dashboard::layout::{self, Page, Section};
use crate::dashboard::parts::table;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::visitor::Visitor;

/// Keys to press one after the other, and what they do.
const SHORTCUTS: [(&[&str], &str); 8] = [
    (&["/"], "Search all"),
    (&["g", "p"], "Go to the projects"),
    (&["g", "s"], "Go to the search"),
    (&["g", "a"], "Go to the access keys"),
    (&["g", "c"], "Go to the changes"),
    (&["g", "w"], "Go to the gateways"),
    (&["?"], "Show this list"),
    (&["Esc"], "Close the menu"),
];

pub(crate) async fn show(visitor: Visitor) -> PageResult {
    let content = html! {
        h1 { "Keyboard shortcuts" }
        p { "They work with a script, and not while you type in a field. Every place can be reached with Tab and Enter as well." }
        (table::of("Keyboard shortcuts", &[Text("Keys"), Text("What they do")], html! {
            @for (keys, what) in SHORTCUTS {
                tr {
                    th scope="row" {
                        @for (index, key) in keys.iter().enumerate() {
                            @if index > 0 { " then " }
                            kbd { (key) }
                        }
                    }
                    td { (what) }
                }
            }
        }))
    };
    let title = "Keyboard shortcuts";
    let page = Page { title, section: Section::Shortcuts, trail: Vec::new(), project: None, content };
    Ok(answer::html_page(layout::page(&visitor, page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_script_is_in_the_list() {
        let script = include_str!("../../../assets/app.js");
        let places = script.split("const GO = {").nth(1).unwrap().split('}').next().unwrap();
        let keys = places.split(',').map(|place| place.split(':').next().unwrap().trim());
        for key in keys {
            assert!(SHORTCUTS.iter().any(|(listed, _)| *listed == ["g", key]), "g {key}");
        }
    }
}
