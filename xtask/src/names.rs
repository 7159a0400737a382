//! Names that users rely on, read from the sources: `cargo xtask names` writes them, a step of the tests compares.
//!
//! Users rely on configuration keys and values, flags, paths, JSON members and values, headers, problem codes and
//! titles, metrics and their labels, log fields, Redis keys, answers of scripts and stored shapes. All of them are
//! string literals without spaces, members of serialized types, arguments of clap, or fields of log lines. The list
//! has some names more, which nobody outside sees: a changed list asks a developer whether a user notices.

mod literals;
mod log_fields;
mod members;
mod metrics;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use syn::visit::{self, Visit};

use crate::run::{print_progress, root};
use crate::sources::{files_below, is_for_tests, parse, program_crates};

/// Where the list stands, from the root.
const LIST: &str = "docs/names.txt";
/// Where users find the metrics, from the root.
const METRICS: &str = "docs/metrics.md";
/// Macros whose arguments are names of source files.
const FILE_MACROS: &[&str] = &["include_str", "scripts"];
/// Differences that a failed check prints.
const MAX_SHOWN: usize = 40;

/// Names found so far, each with its kind before it.
#[derive(Debug, Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn add(&mut self, kind: &str, name: &str) {
        self.0.insert(format!("{kind} {name}"));
    }
}

pub(crate) fn write() -> anyhow::Result<()> {
    let names = collect()?;
    std::fs::write(list_file(), text_of(&names)).with_context(|| format!("cannot write {LIST}"))?;
    print_progress(&format!("xtask: {} names in {LIST}", names.0.len()));
    Ok(())
}

/// Compares the list with the sources, and the page of metrics.
pub(crate) fn check() -> anyhow::Result<()> {
    let written = std::fs::read_to_string(list_file()).with_context(|| format!("cannot read {LIST}"))?;
    let written: BTreeSet<&str> = written.lines().collect();
    let names = collect()?;
    check_metrics(&names)?;
    let found = text_of(&names);
    let found: BTreeSet<&str> = found.lines().collect();
    let gone = written.difference(&found).map(|name| format!("- {name}"));
    let new = found.difference(&written).map(|name| format!("+ {name}"));
    let differences: Vec<String> = gone.chain(new).collect();
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences.iter().take(MAX_SHOWN).cloned().collect::<Vec<_>>().join("\n");
    bail!(
        "{} names that users may rely on have changed. If that is meant, run `cargo xtask names`, commit {LIST}, and say \
         in CHANGELOG what a user notices:\n{shown}",
        differences.len()
    )
}

fn check_metrics(names: &Names) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(root().join(METRICS)).with_context(|| format!("cannot read {METRICS}"))?;
    let differences = metrics::find_differences(names, &page);
    if differences.is_empty() { Ok(()) } else { bail!("{METRICS} is not up to date:\n{}", differences.join("\n")) }
}

fn list_file() -> PathBuf {
    root().join(LIST)
}

fn text_of(names: &Names) -> String {
    names.0.iter().map(|name| format!("{name}\n")).collect()
}

fn collect() -> anyhow::Result<Names> {
    let mut names = Names::default();
    for (_, folder) in program_crates()? {
        for file in files_below(&folder, "rs")?.iter().filter(|file| !file.ends_with("tests.rs")) {
            collect_rust(file, &mut names)?;
        }
        for file in files_below(&folder, "lua")? {
            literals::of_script(&std::fs::read_to_string(file)?, &mut names);
        }
    }
    Ok(names)
}

fn collect_rust(file: &Path, names: &mut Names) -> anyhow::Result<()> {
    Collector { names }.visit_file(&parse(file)?);
    Ok(())
}

/// Walks the items of a file and leaves out what only tests compile.
struct Collector<'a> {
    names: &'a mut Names,
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let of_trait = item.trait_.as_ref().and_then(|(path, ..)| path.segments.last());
        if of_trait.is_none_or(|name| name.ident != "Debug") {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        members::of_struct(item, self.names);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        members::of_enum(item, self.names);
        visit::visit_item_enum(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && !["doc", "cfg", "cfg_attr", "expect", "allow", "error"].iter().any(|name| list.path.is_ident(name))
        {
            literals::of_tokens(list.tokens.clone(), self.names);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if FILE_MACROS.iter().any(|name| call.path.is_ident(name)) {
            return;
        }
        log_fields::of_call(call, self.names);
        literals::of_tokens(call.tokens.clone(), self.names);
        if call.path.is_ident("error_codes") {
            literals::titles_of(call.tokens.clone(), self.names);
        }
    }

    fn visit_lit(&mut self, literal: &'ast syn::Lit) {
        literals::of_literal(literal, self.names);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        // `expect("…")` and its like are method calls; this is for exit codes alone.
        if let syn::Expr::Path(function) = &*call.func
            && function.path.segments.iter().any(|segment| segment.ident == "ExitCode")
        {
            literals::exit_codes_of(&call.args, self.names);
        }
        visit::visit_expr_call(self, call);
    }
}

fn attributes_of(item: &syn::Item) -> &[syn::Attribute] {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other items are not left out of a build for tests")]
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
