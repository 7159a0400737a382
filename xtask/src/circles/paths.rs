//! Paths in the code of each module, and the files that they lead to.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::Graph;
use super::modules::{Modules, imports_of};
use crate::sources::is_for_tests;

/// Returns the files that each file imports.
pub(super) fn imports(modules: &Modules) -> Graph {
    let mut graph = vec![BTreeSet::new(); modules.count_of_files()];
    for (at, module) in modules.all() {
        let mut found = Paths::default();
        module.items.iter().for_each(|item| found.visit_item(item));
        let files = found.0.iter().filter_map(|path| modules.file_of(at, path));
        graph[module.file].extend(files.filter(|&file| file != module.file));
    }
    graph
}

/// Paths of at least two parts, and single names of what was imported.
#[derive(Debug, Default)]
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        self.0.extend(imports_of(&import.tree).into_iter().map(|import| import.path));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

impl Paths {
    /// Finds `a::b::c` among the tokens of a macro.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 || path.is_empty() => {
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    self.end(&mut path);
                    colons = 0;
                    path.push(name.to_string());
                }
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    colons = 0;
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.0.push(path);
        }
    }
}
