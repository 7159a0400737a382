//! Source files of the crates that make up the program, parsed.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::run::root;

/// Crates of the workspace that are tools for its developers.
const TOOLS: &[&str] = &["benches", "fuzz", "test-support", "xtask", "target"];

/// Source folders of the crates that make up the program, by the folder of the crate.
pub(crate) fn program_crates() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut crates = Vec::new();
    for entry in std::fs::read_dir(root())? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !TOOLS.contains(&name) && path.join("Cargo.toml").is_file() && path.join("src").is_dir() {
            crates.push((name.to_string(), path.join("src")));
        }
    }
    crates.sort();
    Ok(crates)
}

/// Every file below a folder that ends with `.extension`, sorted.
pub(crate) fn files_below(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

pub(crate) fn parse(file: &Path) -> anyhow::Result<syn::File> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))
}

/// Returns whether an item is compiled for tests only.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}
