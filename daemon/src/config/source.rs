//! Reads files into one tree: the only place that parses TOML. It follows `include`, and every
//! value keeps its place.
//!
//! Two files may add to the same section (one service each, for example), but a key is set once.
//! Nothing here knows a particular key.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Position, Report};

/// Larger than any honest configuration; keeps a wrong path (say, a device) from filling the
/// memory.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most files that one configuration includes.
const MAX_FILES: usize = 256;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

/// What TOML has.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

impl Kind {
    /// Its name in a fault.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Flag(_) => "a boolean",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

/// Reads `path` and all that it includes into one table. Faults go to `report`; the readable part
/// is returned all the same, so that its own faults are found too.
pub(crate) fn read(path: &Path, report: &mut Report) -> Node {
    let mut merged = Vec::new();
    let mut open = Vec::new();
    read_into(&mut merged, path, None, &mut open, report);
    Node { at: Position { file: 0, offset: 0 }, kind: Kind::Table(merged) }
}

/// Parses `text` alone, as if it stood in `path`. Includes are followed relative to it.
pub(crate) fn read_text(path: &Path, text: String, report: &mut Report) -> Node {
    let mut merged = Vec::new();
    add_file(&mut merged, path, text, &mut Vec::new(), report);
    Node { at: Position { file: 0, offset: 0 }, kind: Kind::Table(merged) }
}

fn read_into(
    merged: &mut Vec<Entry>,
    path: &Path,
    from: Option<Position>,
    open: &mut Vec<PathBuf>,
    report: &mut Report,
) {
    let key = if from.is_some() { "include" } else { "" };
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => {
            return report.fault(from, key, format!("cannot read {}: {error}", path.display()));
        }
    };
    if open.contains(&real) {
        return report.fault(
            from,
            key,
            format!("{} includes itself, directly or through another file", path.display()),
        );
    }
    let text = match read_bounded(&real) {
        Ok(text) => text,
        Err(error) => {
            return report.fault(from, key, format!("cannot read {}: {error}", path.display()));
        }
    };
    open.push(real);
    add_file(merged, path, text, open, report);
    open.pop();
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_FILE_BYTES >> 20
        )));
    }
    Ok(text)
}

fn add_file(
    merged: &mut Vec<Entry>,
    path: &Path,
    text: String,
    open: &mut Vec<PathBuf>,
    report: &mut Report,
) {
    let (document, errors) = DeTable::parse_recoverable(&text);
    let number = report.add_source(path.to_owned(), text.clone());
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        report.fault(
            Some(Position { file: number, offset }),
            "",
            error.message().trim().replace('\n', ", "),
        );
    }
    let mut entries = table(number, document.into_inner());
    let includes = take_includes(&mut entries, report);
    merge(merged, entries, "", report);
    for (at, relative) in includes {
        if open.len() >= MAX_FILES {
            return report.fault(Some(at), "include", format!("more than {MAX_FILES} files deep"));
        }
        let target = path.parent().unwrap_or(Path::new("")).join(&relative);
        read_into(merged, &target, Some(at), open, report);
    }
}

fn take_includes(entries: &mut Vec<Entry>, report: &Report) -> Vec<(Position, String)> {
    let Some(found) = entries.iter().position(|entry| entry.key == "include") else {
        return Vec::new();
    };
    let entry = entries.remove(found);
    let Kind::List(items) = entry.value.kind else {
        let got = entry.value.kind.name();
        report.fault(Some(entry.at), "include", format!("is {got}, expected a list of paths"));
        return Vec::new();
    };
    let mut includes = Vec::new();
    for item in items {
        match item.kind {
            Kind::Text(path) if Path::new(&path).is_relative() => includes.push((item.at, path)),
            Kind::Text(_) => {
                report.fault(
                    Some(item.at),
                    "include",
                    "is absolute, expected a path relative to this file",
                );
            }
            other => report.fault(
                Some(item.at),
                "include",
                format!("is {}, expected a path", other.name()),
            ),
        }
    }
    includes
}

/// Sections of several files become one; a key that two files set is a fault at the second.
fn merge(merged: &mut Vec<Entry>, entries: Vec<Entry>, section: &str, report: &Report) {
    for entry in entries {
        let name =
            if section.is_empty() { entry.key.clone() } else { format!("{section}.{}", entry.key) };
        let Some(earlier) = merged.iter_mut().find(|earlier| earlier.key == entry.key) else {
            merged.push(entry);
            continue;
        };
        match (&mut earlier.value.kind, entry.value.kind) {
            (Kind::Table(into), Kind::Table(more)) if section.is_empty() => {
                merge(into, more, &name, report)
            }
            _ => {
                let first = report.describe(earlier.at).unwrap_or_default();
                report.fault(
                    Some(entry.at),
                    &name,
                    format!("is set a second time, first at {first}"),
                );
            }
        }
    }
}

fn table(file: usize, table: DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| Entry {
            at: at(file, key.span()),
            key: key.into_inner().into_owned(),
            value: node(file, value),
        })
        .collect();
    // The parser sorts by key; the order of the file decides which provider comes first.
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn node(file: usize, value: Spanned<DeValue<'_>>) -> Node {
    let place = at(file, value.span());
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Kind::Integer(number),
            // Too large for any key: represented as a value that no key takes, so that the reader
            // reports it at its place.
            Err(_) => Kind::Float(f64::INFINITY),
        },
        DeValue::Float(number) => Kind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Kind::Flag(flag),
        DeValue::Datetime(date) => Kind::Date(date.to_string()),
        DeValue::Array(items) => {
            Kind::List(items.into_iter().map(|item| node(file, item)).collect())
        }
        DeValue::Table(entries) => Kind::Table(table(file, entries)),
    };
    Node { at: place, kind }
}

fn at(file: usize, span: Range<usize>) -> Position {
    Position { file, offset: span.start }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn keys(node: &Node) -> Vec<&str> {
        let Kind::Table(entries) = &node.kind else { panic!("not a table") };
        entries.iter().map(|entry| entry.key.as_str()).collect()
    }

    #[test]
    fn the_order_of_the_file_is_kept() {
        let mut report = Report::default();
        let node = read_text(Path::new("x"), "z = 1\na = 2\n[m]\n[b]\n".into(), &mut report);
        assert_eq!(keys(&node), ["z", "a", "m", "b"]);
    }

    #[test]
    fn sections_of_several_files_become_one() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "more/s.toml", "[services.b]\nx = 1\n");
        let main =
            write(dir.path(), "main.toml", "include = [\"more/s.toml\"]\n[services.a]\nx = 1\n");
        let mut report = Report::default();
        let node = read(&main, &mut report);
        assert_eq!(report.faults(), Vec::<String>::new());
        let Kind::Table(entries) = node.kind else { panic!() };
        assert_eq!(keys(&entries[0].value), ["a", "b"]);
    }

    #[test]
    fn a_key_set_twice_is_a_fault_that_names_the_first_place() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "b.toml", "[services.a]\nx = 1\n");
        let main = write(dir.path(), "main.toml", "include = [\"b.toml\"]\n[services.a]\nx = 1\n");
        let mut report = Report::default();
        read(&main, &mut report);
        let faults = report.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("b.toml:1:11: services.a: is set a second time, first at "),
            "{faults:?}"
        );
        assert!(faults[0].ends_with("main.toml:2:11"), "{faults:?}");
    }

    #[test]
    fn a_circle_of_includes_ends() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "b.toml", "include = [\"main.toml\"]\n");
        let main = write(dir.path(), "main.toml", "include = [\"b.toml\"]\n");
        let mut report = Report::default();
        read(&main, &mut report);
        let faults = report.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("includes itself"), "{faults:?}");
    }

    #[test]
    fn includes_are_lists_of_relative_paths_that_exist() {
        let dir = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("include = \"a.toml\"", "expected a list of paths"),
            ("include = [3]", "is an integer, expected a path"),
            ("include = [\"/etc/x.toml\"]", "expected a path relative to this file"),
            ("include = [\"absent.toml\"]", "cannot read"),
        ] {
            let main = write(dir.path(), "main.toml", text);
            let mut report = Report::default();
            read(&main, &mut report);
            let faults = report.faults();
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            assert!(faults[0].contains(expected), "{text}: {faults:?}");
        }
    }

    #[test]
    fn every_fault_of_syntax_is_reported_at_once() {
        let mut report = Report::default();
        read_text(Path::new("x.toml"), "a = \nb = 1\nb = 2\nc = [1,\n".into(), &mut report);
        let faults = report.faults();
        assert!(faults.len() >= 3, "{faults:?}");
        assert!(faults[0].starts_with("x.toml:1:"), "{faults:?}");
    }

    #[test]
    fn a_number_beyond_64_bits_is_kept_for_its_reader_to_refuse() {
        let mut report = Report::default();
        let node = read_text(Path::new("x"), "a = 99999999999999999999\n".into(), &mut report);
        let Kind::Table(entries) = node.kind else { panic!() };
        assert!(matches!(entries[0].value.kind, Kind::Float(_)));
    }
}
