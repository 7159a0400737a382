//! Links of Markdown files: a relative one leads to a file of this tree, and its fragment to a heading or an anchor there.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What of a Markdown file has to do with links.
#[derive(Default)]
struct Document {
    /// The line and the target of each link and picture.
    links: Vec<(usize, String)>,
    /// Fragments that lead into the file.
    anchors: HashSet<String>,
}

/// Returns a sentence for each broken link in the Markdown files among these, which are all files of the tree.
pub(crate) fn find_broken(files: &[PathBuf], read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let parents = files.iter().flat_map(|file| file.ancestors());
    let known: HashSet<&Path> = parents.collect();
    let markdown = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let documents: HashMap<&Path, Document> =
        markdown.filter_map(|file| Some((file.as_path(), parse(&read(file)?)))).collect();
    let links = documents.iter().flat_map(|(file, document)| document.links.iter().map(move |link| (*file, link)));
    let mut broken: Vec<String> = links
        .filter(|(file, (_, target))| !leads_somewhere(file, target, &known, &documents))
        .map(|(file, (line, target))| format!("{}:{line}: the link to {target} leads nowhere", file.display()))
        .collect();
    broken.sort();
    broken
}

/// Returns whether a link is one to another site, or leads to a file and an anchor of the tree.
fn leads_somewhere(from: &Path, target: &str, known: &HashSet<&Path>, documents: &HashMap<&Path, Document>) -> bool {
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    if ["https:", "http:", "mailto:"].iter().any(|scheme| path.starts_with(scheme)) {
        return true;
    }
    let file = if path.is_empty() { from.to_owned() } else { resolve(from, path) };
    let has_anchor = |document: &Document| fragment.is_empty() || document.anchors.contains(fragment);
    known.contains(file.as_path()) && documents.get(file.as_path()).is_none_or(has_anchor)
}

/// Returns the path from the root of the tree of what a file calls `path`.
fn resolve(from: &Path, path: &str) -> PathBuf {
    let whole = from.parent().unwrap_or(from).join(path);
    whole.components().fold(PathBuf::new(), |mut resolved, component| {
        match component {
            Component::ParentDir if resolved.pop() => {}
            Component::CurDir => {}
            Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                resolved.push(component);
            }
        }
        resolved
    })
}

fn parse(text: &str) -> Document {
    let mut document = Document::default();
    let mut heading: Option<String> = None;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let line = text[..range.start].matches('\n').count() + 1;
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.links.push((line, dest_url.into_string()));
            }
            Event::Html(html) | Event::InlineHtml(html) => add_html(&mut document, line, &html),
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            Event::End(TagEnd::Heading(_)) => add_heading(&mut document, &heading.take().unwrap_or_default()),
            Event::Start(_)
            | Event::End(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }
    document
}

/// Adds the links and anchors of a tag.
fn add_html(document: &mut Document, line: usize, html: &str) {
    let values = |attribute: &'static str| {
        html.split(attribute).skip(1).filter_map(|rest| rest.split_once('"').map(|(value, _)| value.to_owned()))
    };
    document.anchors.extend(values(" id=\"").chain(values(" name=\"")));
    let targets = values(" href=\"").chain(values(" src=\"")).chain(values(" srcset=\""));
    document.links.extend(targets.map(|target| (line, target)));
}

/// Adds the anchor that GitHub makes of a heading: letters, digits, `-` and `_` in lower case, and a number if it repeats.
fn add_heading(document: &mut Document, heading: &str) {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || "-_ ".contains(*character));
    let anchor: String = kept.map(|character| if character == ' ' { '-' } else { character }).collect();
    let anchor = anchor.to_lowercase();
    let mut numbered = (1..).map(|number| format!("{anchor}-{number}"));
    let free = if document.anchors.contains(&anchor) {
        numbered.find(|numbered| !document.anchors.contains(numbered)).unwrap_or(anchor)
    } else {
        anchor
    };
    document.anchors.insert(free);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "# A guide\n\n## Keys, and `limits`!\n\n## Again\n\n## Again\n\n<a id=\"here\"></a>Text.\n";

    /// Returns the broken links of `docs/page.md` with this text, next to `docs/guide.md`, in a tree with few files.
    fn broken(text: &str) -> Vec<String> {
        let files = ["README.md", "docs/page.md", "docs/guide.md", "docs/images/a.png"].map(PathBuf::from);
        find_broken(&files, |file| match file.to_str() {
            Some("docs/page.md") => Some(text.to_owned()),
            Some("docs/guide.md") => Some(GUIDE.to_owned()),
            _ => Some(String::new()),
        })
    }

    #[test]
    fn links_lead_to_files_headings_and_anchors() {
        let valid = [
            "[a](guide.md) [b](../README.md) [c](images) [d](../docs/./guide.md)",
            "[a](guide.md#a-guide) [b](guide.md#keys-and-limits) [c](guide.md#again-1) [d](guide.md#here)",
            "# Own\n\n[a](#own) <https://example.com/x#y> [b](https://example.com/nowhere.md)",
            "| a |\n|---|\n| [a](guide.md#again) |\n\n![a](images/a.png) <img src=\"images/a.png\">",
            "```sh\n[a](nowhere.md)\n```\n\n`[a](nowhere.md)`",
        ];
        for text in valid {
            assert_eq!(broken(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        let invalid = [
            ("[a](nowhere.md)", "nowhere.md"),
            ("[a](../docs2/guide.md)", "../docs2/guide.md"),
            ("[a](../../guide.md)", "../../guide.md"),
            ("[a](guide.md#again-2)", "guide.md#again-2"),
            ("[a](#guide)", "#guide"),
            ("![a](images/b.png)", "images/b.png"),
            ("<picture><source srcset=\"images/b.png\"></picture>", "images/b.png"),
            ("[a][ref]\n\n[ref]: nowhere.md", "nowhere.md"),
        ];
        for (text, target) in invalid {
            let expected = format!("docs/page.md:3: the link to {target} leads nowhere");
            assert_eq!(broken(&format!("First line.\n\n{text}\n")), [expected], "{text}");
        }
    }
}
