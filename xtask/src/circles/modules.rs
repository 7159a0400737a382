//! The modules of a crate: their files, their children, and the names that they import.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sources::{is_for_tests, parse};

/// Steps after which a chain of re-exports is given up: more than any honest one has.
const MAX_RE_EXPORTS: usize = 16;

/// A module, in a file of its own or inside another's.
pub(super) struct Module {
    /// The place of its file.
    pub(super) file: usize,
    pub(super) parent: Option<usize>,
    pub(super) items: Vec<syn::Item>,
    children: BTreeMap<String, usize>,
    /// Paths of the names that it imports, by the name here.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths of the modules of which it imports everything.
    globs: Vec<Vec<String>>,
}

/// All modules of a crate. The first is the root.
pub(super) struct Modules {
    modules: Vec<Module>,
    files: Vec<PathBuf>,
}

impl Modules {
    /// Reads a crate from its source folder.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut modules = Self { modules: Vec::new(), files: Vec::new() };
        let root = ["lib.rs", "main.rs"].iter().map(|name| folder.join(name)).find(|file| file.is_file());
        if let Some(root) = root {
            modules.read_file(&root, folder, None)?;
        }
        Ok(modules)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &Module)> {
        self.modules.iter().enumerate()
    }

    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.files
    }

    pub(super) fn count_of_files(&self) -> usize {
        self.files.len()
    }

    /// Reads a file as a module; the files of its children are in `folder`.
    fn read_file(&mut self, file: &Path, folder: &Path, parent: Option<usize>) -> anyhow::Result<usize> {
        let at = self.files.len();
        self.files.push(file.to_path_buf());
        self.add(parse(file)?.items, at, folder, parent)
    }

    fn add(
        &mut self,
        items: Vec<syn::Item>,
        file: usize,
        folder: &Path,
        parent: Option<usize>,
    ) -> anyhow::Result<usize> {
        let at = self.modules.len();
        let module = Module {
            file,
            parent,
            items: Vec::new(),
            children: BTreeMap::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
        };
        self.modules.push(module);
        for item in items {
            self.add_item(item, at, folder)?;
        }
        Ok(at)
    }

    fn add_item(&mut self, item: syn::Item, at: usize, folder: &Path) -> anyhow::Result<()> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only these two change the tree of modules")]
        match item {
            syn::Item::Mod(module) if is_for_tests(&module.attrs) => {}
            syn::Item::Mod(module) => {
                let name = module.ident.to_string();
                let inside = folder.join(&name);
                let child = match module.content {
                    Some((_, items)) => self.add(items, self.modules[at].file, &inside, Some(at))?,
                    None => {
                        let flat = folder.join(format!("{name}.rs"));
                        let file = if flat.is_file() { flat } else { inside.join("mod.rs") };
                        self.read_file(&file, &inside, Some(at))?
                    }
                };
                self.modules[at].children.insert(name, child);
            }
            syn::Item::Use(import) => {
                if !is_for_tests(&import.attrs) {
                    self.modules[at].add_import(&import.tree);
                    self.modules[at].items.push(syn::Item::Use(import));
                }
            }
            item => self.modules[at].items.push(item),
        }
        Ok(())
    }

    /// The file that defines what a path in a module means; nothing for what another crate defines.
    pub(super) fn file_of(&self, module: usize, path: &[String]) -> Option<usize> {
        self.find(module, path, MAX_RE_EXPORTS)
    }

    fn find(&self, module: usize, path: &[String], steps: usize) -> Option<usize> {
        let Some((first, rest)) = path.split_first() else { return Some(self.modules[module].file) };
        let steps = steps.checked_sub(1)?;
        match first.as_str() {
            "crate" => self.find_in(0, rest, steps),
            "self" => self.find_in(module, rest, steps),
            "super" => self.find_super(module, rest, steps),
            _ => self.names(module, first).then(|| self.find_in(module, path, steps)).flatten(),
        }
    }

    fn find_super(&self, module: usize, rest: &[String], steps: usize) -> Option<usize> {
        let parent = self.modules[module].parent?;
        match rest.first().map(String::as_str) {
            Some("super") => self.find_super(parent, &rest[1..], steps),
            Some(_) | None => self.find_in(parent, rest, steps),
        }
    }

    /// Whether a module itself knows a name, so that a path can begin with it.
    fn names(&self, module: usize, name: &str) -> bool {
        let module = &self.modules[module];
        module.children.contains_key(name) || module.imports.contains_key(name)
    }

    /// Follows a path from a module downwards.
    fn find_in(&self, module: usize, path: &[String], steps: usize) -> Option<usize> {
        let Some((first, rest)) = path.split_first() else { return Some(self.modules[module].file) };
        if let Some(&child) = self.modules[module].children.get(first) {
            return self.find_in(child, rest, steps);
        }
        if let Some(target) = self.modules[module].imports.get(first) {
            let target = [target.as_slice(), rest].concat();
            let is_itself = target.first() == Some(first);
            return if is_itself { None } else { self.find(module, &target, steps) };
        }
        if self.modules[module].defines(first) {
            return Some(self.modules[module].file);
        }
        let steps = steps.checked_sub(1)?;
        let globs = self.modules[module].globs.iter();
        let found = globs.filter_map(|glob| self.find(module, &[glob.as_slice(), path].concat(), steps)).next();
        found.or(Some(self.modules[module].file))
    }
}

impl Module {
    fn add_import(&mut self, tree: &syn::UseTree) {
        for import in imports_of(tree) {
            match import.name {
                Some(name) => drop(self.imports.insert(name, import.path)),
                None => self.globs.push(import.path),
            }
        }
    }

    fn defines(&self, name: &str) -> bool {
        self.items.iter().any(|item| name_of(item).is_some_and(|ident| ident == name))
    }
}

/// A name that a `use` brings in; none for `*`.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
}

/// Every name that a `use` brings in.
pub(super) fn imports_of(tree: &syn::UseTree) -> Vec<Import> {
    let mut found = Vec::new();
    collect(tree, &mut Vec::new(), &mut found);
    found
}

fn collect(tree: &syn::UseTree, before: &mut Vec<String>, found: &mut Vec<Import>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            collect(&path.tree, before, found);
            before.pop();
        }
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, found)),
        syn::UseTree::Glob(_) => found.push(Import { name: None, path: before.clone() }),
        syn::UseTree::Name(name) => {
            let name = name.ident.to_string();
            let (name, path) = if name == "self" {
                (before.last().cloned().unwrap_or_default(), before.clone())
            } else {
                (name.clone(), [before.as_slice(), &[name]].concat())
            };
            found.push(Import { name: Some(name), path });
        }
        syn::UseTree::Rename(rename) => {
            let own = rename.ident.to_string();
            let path = if own == "self" { before.clone() } else { [before.as_slice(), &[own]].concat() };
            found.push(Import { name: Some(rename.rename.to_string()), path });
        }
    }
}

fn name_of(item: &syn::Item) -> Option<&syn::Ident> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other items cannot be imported by a name")]
    match item {
        syn::Item::Const(item) => Some(&item.ident),
        syn::Item::Enum(item) => Some(&item.ident),
        syn::Item::Fn(item) => Some(&item.sig.ident),
        syn::Item::Static(item) => Some(&item.ident),
        syn::Item::Struct(item) => Some(&item.ident),
        syn::Item::Trait(item) => Some(&item.ident),
        syn::Item::Type(item) => Some(&item.ident),
        syn::Item::Union(item) => Some(&item.ident),
        syn::Item::Macro(item) => item.ident.as_ref(),
        _ => None,
    }
}
