//! Import circles: no source files of a crate import each other in a circle.
//!
//! An import is a path in a `use` or anywhere in the code, followed through `super`, `self`, `crate` and re-exports to
//! the file that defines the item. `mod child;` alone is no import. What only tests compile is left out.

mod modules;
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::bail;

use crate::run::root;
use crate::sources::program_crates;

use modules::Modules;

/// Files that each file imports, by their places in a list of files.
type Graph = Vec<BTreeSet<usize>>;

/// Fails with every circle of every crate of the program.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut found = Vec::new();
    for (name, folder) in program_crates()? {
        let (files, graph) = imports(&folder)?;
        for circle in circles(&graph) {
            found.push(shown(&name, &files, &graph, &circle));
        }
    }
    if found.is_empty() { Ok(()) } else { bail!("files that import each other in a circle:\n{}", found.join("\n")) }
}

fn imports(folder: &std::path::Path) -> anyhow::Result<(Vec<PathBuf>, Graph)> {
    let modules = Modules::read(folder)?;
    let graph = paths::imports(&modules);
    Ok((modules.into_files(), graph))
}

fn shown(name: &str, files: &[PathBuf], graph: &Graph, circle: &[usize]) -> String {
    let mut lines = vec![format!("{name}: {} files", circle.len())];
    for &file in circle {
        for &imported in graph[file].iter().filter(|imported| circle.contains(imported)) {
            let [from, to] = [file, imported].map(|at| files[at].strip_prefix(root()).unwrap_or(&files[at]).display());
            lines.push(format!("  {from} imports {to}"));
        }
    }
    lines.join("\n")
}

/// Returns the sets of more than one file that all reach each other.
fn circles(graph: &Graph) -> Vec<Vec<usize>> {
    let reachable: Vec<BTreeSet<usize>> = (0..graph.len()).map(|from| reachable(graph, from)).collect();
    let mut circles: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for file in 0..graph.len() {
        let first =
            (0..graph.len()).find(|&other| reachable[file].contains(&other) && reachable[other].contains(&file));
        if let Some(first) = first {
            circles.entry(first).or_default().push(file);
        }
    }
    circles.into_values().filter(|circle| circle.len() > 1).collect()
}

fn reachable(graph: &Graph, from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<usize> = graph[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if seen.insert(file) {
            next.extend(&graph[file]);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles among files of a crate, by their names.
    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let (files, graph) = imports(folder.path()).unwrap();
        let name = |at: usize| files[at].strip_prefix(folder.path()).unwrap().display().to_string();
        circles(&graph).into_iter().map(|circle| circle.into_iter().map(name).collect()).collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B; fn f() -> crate::a::A { todo!() }"),
        ];
        assert_eq!(found(&files), [["a.rs", "b.rs"]]);
    }

    #[test]
    fn arrows_in_one_direction_are_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "pub struct B;"),
        ];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn a_parent_and_its_child_can_be_a_circle() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod child; use child::C; pub struct A;"),
            ("a/child.rs", "use super::A; pub struct C;"),
        ];
        assert_eq!(found(&files), [["a.rs", "a/child.rs"]]);
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_defines_the_item() {
        let files = [
            ("lib.rs", "mod a; mod b; mod prelude;"),
            ("prelude.rs", "pub use crate::a::A; pub use crate::b::*;"),
            ("a.rs", "use crate::prelude::B; pub struct A;"),
            ("b.rs", "use crate::prelude::A; pub struct B;"),
        ];
        assert_eq!(found(&files), [["a.rs", "b.rs"]]);
    }

    #[test]
    fn paths_inside_macros_count_and_tests_do_not() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn a() { println!(\"{}\", crate::b::b()); }"),
            ("b.rs", "pub fn b() {} fn c() { vec![crate::a::a()]; }"),
        ];
        assert_eq!(found(&files), [["a.rs", "b.rs"]]);
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn a() { crate::b::b() }"),
            ("b.rs", "pub fn b() {} #[cfg(test)] mod tests { use crate::a::a; }"),
        ];
        assert!(found(&files).is_empty());
    }
}
