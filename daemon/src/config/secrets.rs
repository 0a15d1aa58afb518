//! Secrets by reference: the configuration names the place of a secret, never its value.
//!
//! `{ file = "..." }`, `{ env = "..." }`, or `{ credential = "..." }` for a credential of systemd.
//! A literal secret is a fault. A message here never quotes a value, since the value may be the
//! secret.

use std::path::{Path, PathBuf};

use credsmith_core::secret::Secret;

use super::read::{Table, Value};
use super::source::Kind;

/// How a reference is written, for messages.
const HOW: &str = "`{ file = \"...\" }`, `{ env = \"...\" }` or `{ credential = \"...\" }`";

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Env(String),
    Credential(String),
}

/// A secret, and the file it came from if it came from one.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) secret: Secret,
    pub(crate) file: Option<PathBuf>,
}

/// Reads a reference and fetches the secret.
pub(crate) fn secret(value: &Value<'_>) -> Option<Secret> {
    secret_with(value, |_| ()).map(|(fetched, ())| fetched.secret)
}

/// Like [`secret`], and reads the other keys of the reference by `more`.
pub(crate) fn secret_with<T>(
    value: &Value<'_>,
    more: impl FnOnce(&Table<'_>) -> T,
) -> Option<(Fetched, T)> {
    if !matches!(value.kind(), Kind::Table(_)) {
        let got = value.kind().name();
        value.fault(format!(
            "is {got}, expected {HOW}: a secret is never written into the configuration"
        ));
        return None;
    }
    let (place, rest) = value.table(|table| (place(table), more(table)))?;
    Some((fetch(value, place?)?, rest))
}

/// Whether a table is a reference: it has a key for a place.
pub(crate) fn is_reference(value: &Value<'_>) -> bool {
    let Kind::Table(entries) = value.kind() else { return false };
    entries.iter().any(|entry| matches!(entry.key.as_str(), "file" | "env" | "credential"))
}

fn place(table: &Table<'_>) -> Option<Place> {
    let file = table.get("file").map(|value| value.path().map(Place::File));
    let env = table.get("env").map(|value| value.line().map(Place::Env));
    let credential =
        table.get("credential").map(|value| credential_name(&value).map(Place::Credential));
    let mut given = [file, env, credential].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(place), None) => place,
        _ => {
            table
                .value()
                .fault(format!("names no place or several, expected exactly one of {HOW}"));
            None
        }
    }
}

fn credential_name(value: &Value<'_>) -> Option<String> {
    let name = value.line()?;
    let plain = name.len() <= 255 && !name.contains('/') && name != "." && name != "..";
    if !plain {
        value.fault(
            "is not the name of a credential, expected one as LoadCredential= has it, without `/`",
        );
    }
    plain.then_some(name)
}

fn fetch(value: &Value<'_>, place: Place) -> Option<Fetched> {
    let environment = value.reading.environment();
    let (name, file, found) = match place {
        Place::File(path) => (
            format!("the file {}", path.display()),
            Some(path.clone()),
            environment.private_file(&path),
        ),
        Place::Env(name) => (format!("the variable {name}"), None, environment.variable(&name)),
        Place::Credential(name) => {
            let path = environment
                .credentials_directory()
                .map(|directory| directory.join(Path::new(&name)));
            let found = path.clone().and_then(|path| environment.private_file(&path));
            (format!("the credential {name}"), path.ok(), found)
        }
    };
    match found.map(|secret| without_line_end(&secret)) {
        Ok(secret) if has_byte_order_mark(secret.expose()) => value.fault(format!(
            "{name} begins with a byte order mark (BOM), which would be part of the secret, \
             expected the secret alone: save it as plain text without one"
        )),
        Ok(secret) if !secret.is_empty() => return Some(Fetched { secret, file }),
        Ok(_) => value.fault(format!("{name} is empty, expected a secret")),
        Err(why) => value.fault(format!("{name} {why}")),
    }
    None
}

/// Whether an editor has put the mark of UTF-8 or of UTF-16 in front. Bytes at random may begin
/// like UTF-16, but do not go on with every other byte zero.
fn has_byte_order_mark(secret: &[u8]) -> bool {
    let zeros = |bytes: &[u8], first: usize| bytes.iter().skip(first).step_by(2).all(|b| *b == 0);
    match secret {
        [0xef, 0xbb, 0xbf, ..] => true,
        [0xff, 0xfe, text @ ..] => zeros(text, 1),
        [0xfe, 0xff, text @ ..] => zeros(text, 0),
        _ => false,
    }
}

/// Removes the line end that editors put at the end of a file.
fn without_line_end(secret: &Secret) -> Secret {
    let bytes = secret.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Secret::new(bytes.strip_suffix(b"\r").unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::FakeEnvironment;
    use crate::config::read::ReadContext;
    use crate::config::source;

    fn read(text: &str) -> (Option<Fetched>, Vec<String>) {
        let environment = FakeEnvironment::default()
            .with("/c/k", "hunter2\n")
            .with("/credentials/k", "hunter3")
            .with("/c/empty", "\n")
            .with("/c/bom", "\u{feff}hunter5\n")
            .with("/credentials/bom", "\u{feff}hunter5")
            .variable("BOM", "\u{feff}hunter5")
            .variable("K", "hunter4");
        let mut reading = ReadContext::new(Box::new(environment));
        let node = source::read_text(Path::new("/c/c.toml"), text.into(), &mut reading.report);
        let found = Value::root(&reading, &node)
            .table(|table| table.optional("s", |value| secret_with(value, |_| ())))
            .flatten()
            .map(|(fetched, ())| fetched);
        (found, reading.report.faults())
    }

    #[test]
    fn a_reference_names_one_place() {
        let fetched = read("s = { file = \"k\" }").0.unwrap();
        assert!(fetched.secret.verify(b"hunter2"));
        assert_eq!(fetched.file, Some("/c/k".into()));
        let fetched = read("s = { credential = \"k\" }").0.unwrap();
        assert!(fetched.secret.verify(b"hunter3"));
        assert_eq!(fetched.file, Some("/credentials/k".into()));
        let fetched = read("s = { env = \"K\" }").0.unwrap();
        assert!(fetched.secret.verify(b"hunter4"));
        assert_eq!(fetched.file, None);
    }

    #[test]
    fn a_secret_written_out_is_refused_without_being_quoted() {
        let (found, faults) = read("s = \"hunter2\"");
        assert!(found.is_none());
        assert!(faults[0].contains("s: is a string, expected `{ file = \"...\" }`"), "{faults:?}");
        assert!(!faults[0].contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn anything_but_one_place_is_refused() {
        for text in ["s = {}", "s = { file = \"k\", env = \"K\" }"] {
            let (found, faults) = read(text);
            assert!(found.is_none());
            assert!(faults[0].contains("expected exactly one of"), "{text}: {faults:?}");
        }
        assert!(
            read("s = { credential = \"../k\" }").1[0].contains("is not the name of a credential")
        );
        assert!(
            read("s = { fil = \"k\" }")
                .1
                .iter()
                .any(|fault| fault.contains("did you mean `file`?"))
        );
    }

    #[test]
    fn a_secret_with_a_byte_order_mark_is_refused() {
        for marked in [
            &b"\xef\xbb\xbfhunter2"[..],
            b"\xef\xbb\xbf",
            b"\xff\xfeh\0u\0",
            b"\xff\xfeh\0u\0\n",
            b"\xfe\xff\0h\0u",
        ] {
            assert!(has_byte_order_mark(marked), "{marked:?}");
        }
        for plain in
            [&b"hunter2"[..], b"", b"\xff\xfe\x01\x02\x03", b"\xfe\xff\x01", b"x\xef\xbb\xbf"]
        {
            assert!(!has_byte_order_mark(plain), "{plain:?}");
        }
        for text in
            ["s = { file = \"bom\" }", "s = { credential = \"bom\" }", "s = { env = \"BOM\" }"]
        {
            let (found, faults) = read(text);
            assert!(found.is_none());
            assert!(faults[0].contains("begins with a byte order mark"), "{text}: {faults:?}");
            assert!(!faults[0].contains("hunter5"), "{faults:?}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_reported_with_its_place() {
        for (text, expected) in [
            ("s = { file = \"absent\" }", "c.toml:1:5: s: the file /c/absent cannot be read"),
            ("s = { file = \"empty\" }", "the file /c/empty is empty"),
            ("s = { env = \"NONE\" }", "the variable NONE is not set"),
            ("s = { credential = \"none\" }", "the credential none cannot be read"),
        ] {
            let (found, faults) = read(text);
            assert!(found.is_none());
            assert!(faults[0].contains(expected), "{text}: {faults:?}");
        }
    }
}
