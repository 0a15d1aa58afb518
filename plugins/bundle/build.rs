//! Compiles the plugins to components and writes a table of them for `src/lib.rs`.
//!
//! A nested cargo does it, in a target directory of its own beside that of the outer build, so that
//! neither waits for the other's lock, and without the outer build's environment; once for each
//! world, since a build of two would unite the features of the SDK that choose them.
//! `CREDSMITH_PLUGINS_DIR` takes components that were built elsewhere instead: `<name>.wasm`, and
//! `fixtures/<name>.wasm` for test plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TARGET: &str = "wasm32-wasip2";
const PREBUILT: &str = "CREDSMITH_PLUGINS_DIR";
const SDK: &str = "credsmith-plugin-sdk";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = workspace_root()?;
    let out = PathBuf::from(needed("OUT_DIR")?);
    let mut groups = vec![Group::bundled(&root)?];
    if env::var_os("CARGO_FEATURE_FIXTURES").is_some() {
        groups.push(Group::fixtures(&root)?);
    }
    watch(&root, &groups);
    match env::var_os(PREBUILT) {
        Some(directory) => take_prebuilt(&mut groups, Path::new(&directory))?,
        None => build(&mut groups, &root, &out)?,
    }
    fs::write(out.join("components.rs"), table(&groups)?)?;
    Ok(())
}

fn workspace_root() -> Result<PathBuf> {
    let here = PathBuf::from(needed("CARGO_MANIFEST_DIR")?);
    Ok(here
        .ancestors()
        .nth(2)
        .ok_or("the bundle is not two levels below the workspace")?
        .to_owned())
}

fn needed(name: &str) -> Result<String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}").into())
}

/// Plugins that live in one directory, a crate each.
struct Group {
    /// The constant that `src/lib.rs` reads.
    constant: &'static str,
    /// Where the crates are.
    directory: PathBuf,
    /// Where prebuilt ones are, below the directory that is named for them.
    prebuilt: &'static str,
    /// A crate is called so, and then as its directory.
    prefix: &'static str,
    plugins: Vec<Plugin>,
}

/// Which features of the SDK a plugin asks for: they choose its world.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct World {
    defaults: bool,
    features: BTreeSet<String>,
}

/// One plugin; `component` is known once it was built.
struct Plugin {
    name: String,
    component: PathBuf,
}

impl Group {
    fn bundled(root: &Path) -> Result<Self> {
        Self::find("BUNDLED", root.join("plugins"), "", "credsmith-plugin-")
    }

    fn fixtures(root: &Path) -> Result<Self> {
        Self::find(
            "FIXTURES",
            root.join("tests/fixtures/plugins"),
            "fixtures",
            "credsmith-fixture-",
        )
    }

    fn find(
        constant: &'static str,
        directory: PathBuf,
        prebuilt: &'static str,
        prefix: &'static str,
    ) -> Result<Self> {
        let mut plugins = Vec::new();
        for entry in
            fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?
        {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // The bundle lives among the plugins.
            if name != "bundle" && entry.path().join("Cargo.toml").is_file() {
                plugins.push(Plugin { name, component: PathBuf::new() });
            }
        }
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { constant, directory, prebuilt, prefix, plugins })
    }
}

impl Plugin {
    fn world(&self, group: &Group) -> Result<World> {
        let file = group.directory.join(&self.name).join("Cargo.toml");
        let fault = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| fault(&error))?;
        let manifest: toml::Table = text.parse().map_err(|error| fault(&error))?;
        let sdk = manifest.get("dependencies").and_then(|dependencies| dependencies.get(SDK));
        let sdk = sdk.ok_or_else(|| fault(&format!("it does not depend on {SDK}")))?;
        let features = sdk.get("features").and_then(toml::Value::as_array).into_iter().flatten();
        Ok(World {
            defaults: sdk.get("default-features").and_then(toml::Value::as_bool).unwrap_or(true),
            features: features.filter_map(toml::Value::as_str).map(str::to_owned).collect(),
        })
    }
}

/// The paths and variables whose change has to run this script again.
fn watch(root: &Path, groups: &[Group]) {
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "plugin-sdk/Cargo.toml",
        "plugin-sdk/contract",
        "plugin-sdk/src",
        "plugin-sdk/wit",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for group in groups {
        println!("cargo::rerun-if-changed={}", group.directory.display());
    }
}

fn take_prebuilt(groups: &mut [Group], directory: &Path) -> Result<()> {
    if !directory.is_absolute() {
        return Err(format!(
            "{PREBUILT} is {}, but has to be an absolute path",
            directory.display()
        )
        .into());
    }
    for group in groups {
        for plugin in &mut group.plugins {
            let file = directory.join(group.prebuilt).join(format!("{}.wasm", plugin.name));
            if !file.is_file() {
                return Err(format!("{PREBUILT} is set, but {} is no file", file.display()).into());
            }
            println!("cargo::rerun-if-changed={}", file.display());
            plugin.component = file;
        }
    }
    Ok(())
}

fn build(groups: &mut [Group], root: &Path, out: &Path) -> Result<()> {
    ensure_target()?;
    let target = target_directory(out).join("plugins");
    for packages in worlds(groups)?.values() {
        run_cargo(root, &target, packages)?;
    }
    for group in groups {
        for plugin in &mut group.plugins {
            let file = format!("{}{}.wasm", group.prefix, plugin.name).replace('-', "_");
            plugin.component = target.join(TARGET).join("plugin").join(file);
        }
    }
    Ok(())
}

/// The packages of each world.
fn worlds(groups: &[Group]) -> Result<BTreeMap<World, Vec<String>>> {
    let mut worlds = BTreeMap::<_, Vec<_>>::new();
    for group in groups {
        for plugin in &group.plugins {
            let package = format!("{}{}", group.prefix, plugin.name);
            worlds.entry(plugin.world(group)?).or_default().push(package);
        }
    }
    Ok(worlds)
}

/// The outer build's target directory, of any profile: what is built beside it serves dev,
/// test and clippy. Cargo marks one that it made with a tag, and keeps what it knows of the
/// compiler in every one.
fn target_directory(out: &Path) -> &Path {
    let marked = |path: &&Path| {
        ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|mark| path.join(mark).is_file())
    };
    out.ancestors().find(marked).unwrap_or(out)
}

/// Installs the standard library for components where it is missing: rustup does so only where it
/// is allowed to.
fn ensure_target() -> Result<()> {
    let output = Command::new(needed("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && directory.is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).output();
    match added {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(target_missing(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(target_missing(&format!("rustup: {error}"))),
    }
}

fn target_missing(cause: &str) -> Box<dyn Error> {
    format!(
        "the plugins need the compilation target {TARGET}, and installing it failed. Type: rustup target add {TARGET}\n\
         (or set {PREBUILT} to a directory with prebuilt components)\n{}",
        cause.trim_end()
    )
    .into()
}

fn run_cargo(root: &Path, target: &Path, packages: &[String]) -> Result<()> {
    let mut cargo = Command::new(needed("CARGO")?);
    cargo.current_dir(root).args([
        "build",
        "--quiet",
        "--profile",
        "plugin",
        "--target",
        TARGET,
        "--target-dir",
    ]);
    cargo.arg(target);
    for package in packages {
        cargo.args(["--package", package]);
    }
    for name in env::vars_os().map(|(name, _)| name) {
        if name.to_str().is_some_and(|name| !may_pass(name)) {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the plugins do not compile:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Whether a variable of the outer build's environment may reach the nested one: its compiler
/// wrappers and flags break a build for another target.
fn may_pass(name: &str) -> bool {
    match name {
        "CARGO" | "CARGO_HOME" | "CARGO_NET_OFFLINE" | "CARGO_TERM_COLOR" => true,
        "RUSTFLAGS" | "TARGET" | "HOST" | "OUT_DIR" | "PROFILE" | "OPT_LEVEL" | "DEBUG"
        | "NUM_JOBS" | "LD_LIBRARY_PATH" => false,
        other => {
            !other.starts_with("CARGO")
                && !other.starts_with("RUSTC")
                && !other.starts_with("RUSTDOC")
        }
    }
}

/// Rust source: one constant for each group, also for one that was not asked for.
fn table(groups: &[Group]) -> Result<String> {
    let mut source = String::new();
    for group in groups {
        writeln!(source, "const {}: &[Bundled] = &[", group.constant)?;
        for plugin in &group.plugins {
            let path = &plugin.component;
            let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let digest = hex::encode(Sha256::digest(&bytes));
            let Plugin { name, .. } = plugin;
            writeln!(
                source,
                "    Bundled {{ name: {name:?}, bytes: include_bytes!({path:?}), sha256: {digest:?} }},"
            )?;
        }
        writeln!(source, "];")?;
    }
    Ok(source)
}
