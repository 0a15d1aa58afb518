//! The program as a process: exit codes and sentences of everything that does not serve.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn credsmith(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_credsmith")).args(arguments).output().unwrap()
}

/// Exit code and standard error; standard output has to be empty, it is for results.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = credsmith(arguments);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A configuration that is in order, in a directory of its own.
fn configured(dir: &Path) -> String {
    let kek = dir.join("kek");
    assert!(credsmith(&["key", "init", text(&kek)]).status.success());
    let config = dir.join("credsmith.toml");
    let written = r#"
[server]
public_url = "http://127.0.0.1:8080"
listen = [{ address = "127.0.0.1:0" }]
[data]
directory = "data"
[keyring]
key = { file = "kek" }
[providers.op]
description = "d"
issuer = "https://op.example.org"
client_id = "c"
any_audience = true
"#;
    fs::write(&config, written).unwrap();
    text(&config).to_owned()
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        [].as_slice(),
        &["serve"],
        &["frobnicate"],
        &["dev", "--listen", "0.0.0.0:0"],
        &["dev", "--provider-listen", "[::]:0"],
        &["dev", "--listen", "example.org:80"],
    ] {
        let (code, said) = refused(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(!said.is_empty());
    }
}

#[test]
fn a_configuration_in_order_is_0() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = refused(&["check", "--config", &configured(dir.path())]);
    assert_eq!((code, said.as_str()), (0, "The configuration is in order.\n"));
    assert!(!dir.path().join("data").exists(), "a check leaves no trace");
}

#[test]
fn a_wrong_configuration_is_78_with_every_fault_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path());
    let wrong = fs::read_to_string(&config)
        .unwrap()
        .replace("client_id", "client_di")
        .replace("any_audience = true", "");
    fs::write(&config, wrong).unwrap();
    for command in ["check", "serve"] {
        let (code, said) = refused(&[command, "--config", &config]);
        assert_eq!(code, 78, "{said}");
        assert!(
            said.contains("credsmith.toml:12:1: providers.op.client_di: is not a known key"),
            "{said}"
        );
        assert!(said.contains("did you mean `client_id`?"), "{said}");
        assert!(said.contains("providers.op: sets neither audience nor any_audience"), "{said}");
        assert!(said.ends_with("faults.\n"), "{said}");
    }
}

#[test]
fn a_missing_configuration_is_78_in_one_line() {
    let (code, said) = refused(&["serve", "--config", "/absent/credsmith.toml"]);
    assert_eq!(code, 78);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("cannot read /absent/credsmith.toml"), "{said}");
}

#[test]
fn serve_refuses_a_key_file_that_others_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path());
    fs::set_permissions(dir.path().join("kek"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = refused(&["serve", "--config", &config]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("kek is open to others (mode 644), expected mode 600"), "{said}");
}

#[test]
fn serve_refuses_data_that_dev_made() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path());
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(dir.path().join("data/made-by-credsmith-dev"), "").unwrap();
    let (code, said) = refused(&["serve", "--config", &config]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("which `credsmith dev` made"), "{said}");
}

#[test]
fn dev_leaves_other_data_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(data.join("precious"), "x").unwrap();
    let (code, said) = refused(&[
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--provider-listen",
        "127.0.0.1:0",
        "--data",
        text(&data),
    ]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has other data in it"), "{said}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[test]
fn a_key_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let kek = dir.path().join("kek");
    assert!(credsmith(&["key", "init", text(&kek)]).status.success());
    let first = fs::read(&kek).unwrap();
    assert_eq!(fs::metadata(&kek).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, said) = refused(&["key", "init", text(&kek)]);
    assert_eq!(code, 1);
    assert!(said.contains("exists already and is not overwritten"), "{said}");
    assert_eq!(fs::read(&kek).unwrap(), first);
}

#[test]
fn help_is_on_standard_output() {
    let help = credsmith(&["serve", "--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("78  the configuration is wrong"));
}

#[test]
fn a_bundled_directory_shows_what_it_takes() {
    let output = credsmith(&["plugin", "inspect", "bundled:connectwise"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("world    directory-plugin\nsha256   "), "{said}");
    for part in [
        "name     connectwise ",
        "  site (url, required)",
        "  private_key (secret, required)",
        "v4_6_release",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// `credsmith plugin inspect` of what has no end, or no beginning, ends at once and says why.
#[test]
fn inspect_of_what_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [text(dir.path()), text(&pipe), "/dev/zero", "/dev/null"] {
        let (code, said) = refused(&["plugin", "inspect", path]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(path) && said.contains("not a regular file"), "{said}");
    }
    let (code, said) = refused(&["plugin", "inspect", "/absent.wasm"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/absent.wasm cannot be read"), "{said}");
}

/// The configuration with a service of `plugin`, and `bounds` as keys of `[plugins]`.
fn with_service(dir: &Path, plugin: &str, bounds: &str) -> String {
    let config = configured(dir);
    let service = format!(
        "[plugins]\n{bounds}\n[services.one]\ndescription = \"d\"\nplugin = \"{plugin}\"\nallow = [{{ provider = \"op\", claim = \"sub\", any = true }}]\n"
    );
    fs::write(&config, fs::read_to_string(&config).unwrap() + &service).unwrap();
    config
}

/// An unsigned number in LEB128, as WebAssembly writes numbers.
fn number(mut value: usize, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    number(content.len(), &mut section);
    section.extend_from_slice(content);
    section
}

/// A component of `functions` functions of this body.
fn component(functions: usize, body: &[u8]) -> Vec<u8> {
    let mut indices = Vec::new();
    number(functions, &mut indices);
    indices.resize(indices.len() + functions, 0);
    let mut code = Vec::new();
    number(functions, &mut code);
    for _ in 0..functions {
        number(body.len(), &mut code);
        code.extend_from_slice(body);
    }
    let types = [1, 0x60, 0, 0];
    let module =
        [b"\0asm\x01\0\0\0".to_vec(), section(1, &types), section(3, &indices), section(10, &code)];
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module.concat())].concat()
}

/// Loops in loops that all change all variables: a compiler has each of them flow through each
/// loop.
fn nested_loops(depth: usize, variables: usize) -> Vec<u8> {
    let mut body = vec![1];
    number(variables, &mut body);
    body.push(0x7f);
    (0..depth).for_each(|_| body.extend([0x03, 0x40]));
    for variable in 0..variables {
        body.push(0x20);
        number(variable, &mut body);
        body.extend([0x41, 1, 0x6a, 0x21]);
        number(variable, &mut body);
    }
    (0..depth).for_each(|_| body.extend([0x20, 0, 0x0d, 0, 0x0b]));
    body.push(0x0b);
    body
}

/// Attack: a small component that takes a compiler hours, or all memory. It costs the daemon the
/// bounds of the configuration and no more.
#[test]
fn a_compile_bomb_meets_the_bounds_of_time_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let bombs = [
        ("loops.wasm", component(4, &nested_loops(1000, 4000)), "compile_timeout = \"1s\""),
        ("many.wasm", component(20_000, &nested_loops(5, 60)), "compile_memory = \"64MiB\""),
    ];
    for (name, bomb, bounds) in bombs {
        fs::write(dir.path().join(name), &bomb).unwrap();
        let _ = fs::remove_file(dir.path().join("kek"));
        let config = with_service(dir.path(), name, bounds);
        let begun = std::time::Instant::now();
        let output = credsmith(&["plugin", "list", "--config", &config]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("compiling it took more than"), "{name}: {said}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
    }
}

/// What the daemon has compiled, `credsmith plugin list` does not compile again; where the daemon
/// has no data yet, the command makes none.
#[test]
fn plugin_list_uses_the_artefacts_of_the_daemon() {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let dir = tempfile::tempdir().unwrap();
    let config = with_service(dir.path(), "bundled:info", "");
    let list = || {
        let output = credsmith(&["plugin", "list", "--config", &config]);
        assert!(output.status.success(), "{output:?}");
    };
    list();
    assert!(!dir.path().join("data").exists());
    let artefacts = dir.path().join("data/artefacts");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&artefacts).unwrap();
    let kept = || {
        let entries = fs::read_dir(&artefacts).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().ino()))
            .collect::<Vec<_>>()
    };
    list();
    let first = kept();
    assert_eq!(first.len(), 1, "{first:?}");
    list();
    assert_eq!(kept(), first, "a file that is written anew is another one");
}

/// `inspect` says where a component has its time and its randomness from, or that it has none.
#[test]
fn inspect_remarks_on_a_component_without_randomness() {
    let said = |name: &str| {
        let output = credsmith(&["plugin", "inspect", name]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said("bundled:info").contains("\nremark   It has no source of randomness"));
    assert!(!said("bundled:ssh-ca").contains("remark"));
    assert!(!said("bundled:totp").contains("remark"));
}
