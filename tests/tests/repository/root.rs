//! What the root may hold: the parts of the project, and the files that tools and people expect
//! there.

use std::collections::BTreeSet;
use std::fs;

use super::files;

const HELD: [&str; 17] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "config",
    "daemon",
    "deny.toml",
    "plugin-sdk",
    "plugins",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "target",
    "tests",
];

#[test]
fn the_root_holds_what_is_listed_here_and_files_with_a_leading_dot() {
    let found: BTreeSet<String> = fs::read_dir(files::root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        // Cargo makes it, and may be told to make it elsewhere.
        .chain(["target".to_owned()])
        .collect();
    assert_eq!(found, HELD.map(str::to_owned).into());
}
