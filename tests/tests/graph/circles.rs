//! No files import each other in a circle. A folder's `mod.rs` and the files below it are one thing
//! and may know each other; siblings may not need each other both ways.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Imports, Module};

const CRATES: [&str; 7] = [
    "daemon",
    "daemon/api",
    "daemon/core",
    "daemon/dev-provider",
    "daemon/http",
    "daemon/oidc",
    "daemon/store",
];

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for folder in CRATES {
        let reachable = reachable(&between_strangers(Imports::read(folder)));
        let circle = |module: &&Module| reachable[*module].contains(*module);
        let found: Vec<_> =
            reachable.keys().filter(circle).map(|module| module.join("::")).collect();
        if !found.is_empty() {
            circles.push((folder, found));
        }
    }
    assert!(circles.is_empty(), "in circles, or between two of them: {circles:#?}");
}

/// The imports without those between a module and one above it.
fn between_strangers(imports: Imports) -> BTreeMap<Module, BTreeSet<Module>> {
    let related = |a: &Module, b: &Module| a.starts_with(b) || b.starts_with(a);
    let strangers = |(module, imported): (Module, BTreeSet<Module>)| {
        let imported = imported.into_iter().filter(|other| !related(&module, other)).collect();
        (module, imported)
    };
    imports.of_module.into_iter().map(strangers).collect()
}

/// For each module those that it reaches by one import or more.
fn reachable(imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    let from = |start: &Module| {
        let (mut found, mut waiting) = (BTreeSet::new(), vec![start]);
        while let Some(module) = waiting.pop() {
            waiting.extend(imports[module].iter().filter(|next| found.insert((*next).clone())));
        }
        (start.clone(), found)
    };
    imports.keys().map(from).collect()
}
