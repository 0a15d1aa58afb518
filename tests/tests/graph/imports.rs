//! What the files of a crate import from each other, read from their syntax. Tests are left out:
//! they may look at anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// A module: the names on the way to it from the root of its crate.
pub(super) type Module = Vec<String>;

/// The modules of a crate that stand in files of their own, and the modules that each imports from.
#[derive(Debug)]
pub(super) struct Imports {
    pub(super) of_module: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    /// Reads the crate whose root is `src/lib.rs` or `src/main.rs` below `folder`, a path from the
    /// root of the repository.
    pub(super) fn read(folder: &str) -> Self {
        let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(folder).join("src");
        let root = ["lib.rs", "main.rs"].map(|name| src.join(name));
        let root = root.into_iter().find(|root| root.exists()).unwrap();
        let mut paths = BTreeMap::new();
        read_file(&root, &src, &[], &mut paths);
        let modules: BTreeSet<_> = paths.keys().cloned().collect();
        let of_module = paths
            .into_iter()
            .map(|(module, paths)| {
                let resolved = paths.iter().map(|path| nearest(path, &modules));
                let imported = resolved.filter(|imported| *imported != module).collect();
                (module, imported)
            })
            .collect();
        Self { of_module }
    }
}

/// The module in a file of its own in which `path` ends.
fn nearest(path: &[String], modules: &BTreeSet<Module>) -> Module {
    let ancestors = (0..=path.len()).rev().map(|length| path[..length].to_vec());
    ancestors.into_iter().find(|ancestor| modules.contains(ancestor)).unwrap()
}

/// Reads a file and the files of the modules that it declares.
fn read_file(
    file: &Path,
    children: &Path,
    module: &[String],
    paths: &mut BTreeMap<Module, Vec<Module>>,
) {
    let source = fs::read_to_string(file).unwrap();
    let syntax = syn::parse_file(&source).map_err(|error| format!("{}: {error}", file.display()));
    let syntax = syntax.unwrap();
    let mut reader = Reader { module: module.to_vec(), found: Vec::new(), declared: Vec::new() };
    reader.visit_file(&syntax);
    paths.insert(module.to_vec(), reader.found);
    for child in reader.declared {
        let below = children.join(&child);
        let candidates = [children.join(format!("{child}.rs")), below.join("mod.rs")];
        let file: PathBuf = candidates.into_iter().find(|path| path.exists()).unwrap();
        let module: Module = module.iter().cloned().chain([child]).collect();
        read_file(&file, &below, &module, paths);
    }
}

/// Collects the paths of one file that stay within its crate.
struct Reader {
    module: Module,
    found: Vec<Module>,
    declared: Vec<String>,
}

impl Reader {
    /// Takes a path as it is written, if it begins at the crate or at a module near by.
    fn take(&mut self, segments: &[String]) {
        let absolute = match segments.first().map(String::as_str) {
            Some("crate") => segments[1..].to_vec(),
            Some("self") => [&self.module[..], &segments[1..]].concat(),
            Some("super") => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                let Some(kept) = self.module.len().checked_sub(ups) else { return };
                [&self.module[..kept], &segments[ups..]].concat()
            }
            _ => return,
        };
        self.found.push(absolute);
    }

    fn take_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.take_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.take_tree(item, before));
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.take(before),
            syn::UseTree::Name(name) => self.take(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.take(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.take(before),
        }
    }
}

fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl Visit<'_> for Reader {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.take_tree(&item.tree, &[]);
        }
    }

    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if is_of_tests(&item.attrs) {
            return;
        }
        match &item.content {
            None => self.declared.push(item.ident.to_string()),
            Some((_, items)) => {
                self.module.push(item.ident.to_string());
                items.iter().for_each(|item| self.visit_item(item));
                self.module.pop();
            }
        }
    }

    fn visit_item_impl(&mut self, item: &syn::ItemImpl) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    // `pub(in crate::folder)` says who may look in; it imports nothing.
    fn visit_visibility(&mut self, _: &syn::Visibility) {}

    fn visit_path(&mut self, path: &syn::Path) {
        let segments: Vec<_> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.take(&segments);
        }
        syn::visit::visit_path(self, path);
    }
}
