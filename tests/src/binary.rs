//! Where the program and the test plugins are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, which lies beside the directory of this test's own executable.
///
/// # Panics
/// It has not been built.
pub fn credsmith() -> Command {
    let own = std::env::current_exe().unwrap();
    // target/debug/deps/test-0123 or target/debug/example
    let places = own.ancestors().skip(1).take(2).map(|directory| directory.join("credsmith"));
    let found: Option<PathBuf> = places.into_iter().find(|place| place.is_file());
    Command::new(found.unwrap_or_else(|| {
        panic!("the program is not beside {}; type: cargo build -p credsmith", own.display())
    }))
}

/// Writes a test plugin into `directory` and returns its path.
///
/// # Panics
/// There is none of that name.
pub fn fixture(name: &str, directory: &Path) -> PathBuf {
    let plugin =
        credsmith_bundle::fixture(name).unwrap_or_else(|| panic!("no test plugin `{name}`"));
    let path = directory.join(format!("{name}.wasm"));
    std::fs::write(&path, plugin.bytes).unwrap();
    path
}
