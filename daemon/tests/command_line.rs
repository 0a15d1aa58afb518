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
