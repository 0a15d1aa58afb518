//! Reads a tree strictly: a [`Table`] records which keys its reader asks for, and every other key
//! in it is a fault.
//!
//! A reader is a function `fn(&Value) -> Option<T>` that reports its fault and returns `None`.
//! Start at [`Value::table`]. No reader stops at the first fault, and none here knows a particular
//! key.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use credsmith_core::text::is_one_line;

use super::environment::Environment;
use super::report::{Position, Report, did_you_mean};
use super::source::{Entry, Kind, Node};
use super::units;

/// The state that all readers of one configuration share.
pub(crate) struct ReadContext {
    pub(crate) report: Report,
    environment: Box<dyn Environment>,
    /// Every key that readers asked for, with `*` for ids: the example has to document them.
    asked: RefCell<BTreeSet<String>>,
}

impl fmt::Debug for ReadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadContext").field("report", &self.report).finish_non_exhaustive()
    }
}

impl ReadContext {
    /// The state before the first key is read.
    pub(crate) fn new(environment: Box<dyn Environment>) -> Self {
        Self { report: Report::default(), environment, asked: RefCell::default() }
    }

    /// The source of files and variables.
    pub(crate) fn environment(&self) -> &dyn Environment {
        self.environment.as_ref()
    }

    /// Every key that readers asked for so far.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }
}

/// A value, with its place and its key for faults.
#[derive(Debug, Clone)]
pub(crate) struct Value<'r> {
    pub(crate) reading: &'r ReadContext,
    node: &'r Node,
    /// As the administrator writes it: `services.ssh.limit`.
    key: String,
    /// The same with `*` for ids and `[]` for places in lists.
    pattern: String,
}

impl<'r> Value<'r> {
    /// The root of a configuration.
    pub(crate) fn root(reading: &'r ReadContext, node: &'r Node) -> Self {
        Self { reading, node, key: String::new(), pattern: String::new() }
    }

    /// Its place.
    pub(crate) fn at(&self) -> Position {
        self.node.at
    }

    /// Its whole key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> &'r Kind {
        &self.node.kind
    }

    /// Reports a fault at this value.
    pub(crate) fn fault(&self, message: impl Into<String>) {
        self.reading.report.fault(Some(self.node.at), &self.key, message);
    }

    /// Reports a warning at this value.
    pub(crate) fn warning(&self, message: impl Into<String>) {
        self.reading.report.warning(Some(self.node.at), &self.key, message);
    }

    fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.fault(format!("is {}, expected {expected}", self.node.kind.name()));
        None
    }

    /// A string as written.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.node.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => self.mismatch("a string"),
        }
    }

    /// A string that is one line: not empty, without control characters.
    pub(crate) fn line(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() || !is_one_line(&text) {
            self.fault("is empty or has control characters, expected one line of text");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.node.kind {
            Kind::Flag(flag) => Some(flag),
            _ => self.mismatch("true or false"),
        }
    }

    /// An integer in `range`.
    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        match self.node.kind {
            Kind::Integer(number) if range.contains(&number) => Some(number),
            Kind::Integer(number) => {
                self.fault(format!("is {number}, expected {expected}"));
                None
            }
            _ => self.mismatch(&expected),
        }
    }

    /// A count in `range`.
    pub(crate) fn count(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.integer(i64::from(*range.start())..=i64::from(*range.end()))?;
        u32::try_from(number).ok()
    }

    /// A duration like `1h30m` in `range`.
    pub(crate) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let expected = format!(
            "a duration from \"{}\" to \"{}\", like \"1h30m\", \"15m\" or \"500ms\"",
            units::show_duration(*range.start()),
            units::show_duration(*range.end())
        );
        let Kind::Text(text) = &self.node.kind else { return self.mismatch(&expected) };
        match credsmith_contract::duration::parse(text) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            _ => {
                self.fault(format!("is {text:?}, expected {expected}"));
                None
            }
        }
    }

    /// A size in bytes like `64KiB` in `range`.
    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!(
            "a size from \"{}\" to \"{}\", like \"512B\", \"64KiB\" or \"1MiB\"",
            units::show_size(*range.start()),
            units::show_size(*range.end())
        );
        let Kind::Text(text) = &self.node.kind else { return self.mismatch(&expected) };
        match units::size(text) {
            Some(size) if range.contains(&size) => Some(size),
            _ => {
                self.fault(format!("is {text:?}, expected {expected}"));
                None
            }
        }
    }

    /// One of the named values.
    pub(crate) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let expected = names().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let Kind::Text(text) = &self.node.kind else {
            return self.mismatch(&format!("one of {expected}"));
        };
        let found = choices.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
        if found.is_none() {
            self.fault(format!(
                "is {text:?}, expected one of {expected}{}",
                did_you_mean(text, names())
            ));
        }
        found
    }

    /// A `T` parsed from a string; `expected` completes the fault.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, expected: &str) -> Option<T> {
        let Kind::Text(text) = &self.node.kind else { return self.mismatch(expected) };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fault(format!("is {text:?}, expected {expected}"));
        }
        parsed
    }

    /// A path; a relative one starts at the directory of its configuration file.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let text = self.line()?;
        let file = self.reading.report.path_of(self.node.at.file)?;
        Some(file.parent().map_or_else(|| PathBuf::from(&text), |directory| directory.join(&text)))
    }

    /// A list. `None` if any item has a fault; the faults of all items are reported.
    pub(crate) fn list<T>(&self, read: impl Fn(&Value<'r>) -> Option<T>) -> Option<Vec<T>> {
        let Kind::List(items) = &self.node.kind else { return self.mismatch("a list") };
        let mut values = Vec::with_capacity(items.len());
        for (place, node) in items.iter().enumerate() {
            let item = Value {
                reading: self.reading,
                node,
                key: format!("{}[{place}]", self.key),
                pattern: format!("{}[]", self.pattern),
            };
            values.push(read(&item));
        }
        values.into_iter().collect()
    }

    /// A table with a fixed set of keys: those that `read` asks for. Any other is a fault.
    pub(crate) fn table<T>(&self, read: impl FnOnce(&Table<'r>) -> T) -> Option<T> {
        let Kind::Table(entries) = &self.node.kind else { return self.mismatch("a table") };
        let table = Table { value: self.clone(), entries, known: RefCell::default() };
        let result = read(&table);
        table.refuse_unknown();
        Some(result)
    }

    /// A table whose keys the administrator chooses, in the order of the file.
    pub(crate) fn named<T>(&self, read: impl Fn(&str, &Value<'r>) -> Option<T>) -> Option<Vec<T>> {
        let Kind::Table(entries) = &self.node.kind else { return self.mismatch("a table") };
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            values.push(read(&entry.key, &self.child(entry, "*")));
        }
        values.into_iter().collect()
    }

    fn child(&self, entry: &'r Entry, pattern: &str) -> Value<'r> {
        Value {
            reading: self.reading,
            node: &entry.value,
            key: join(&self.key, &entry.key),
            pattern: join(&self.pattern, pattern),
        }
    }
}

/// A table with a fixed set of keys.
#[derive(Debug)]
pub(crate) struct Table<'r> {
    value: Value<'r>,
    entries: &'r [Entry],
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'r> Table<'r> {
    /// The table as a value, for faults.
    pub(crate) fn value(&self) -> &Value<'r> {
        &self.value
    }

    /// The value of `key`, if it is set.
    pub(crate) fn get(&self, key: &'static str) -> Option<Value<'r>> {
        self.known.borrow_mut().insert(key);
        self.value.reading.asked.borrow_mut().insert(join(&self.value.pattern, key));
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.value.child(entry, key))
    }

    /// The value of `key` by `read`, if it is set.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'r>) -> Option<T>,
    ) -> Option<T> {
        read(&self.get(key)?)
    }

    /// The value of `key` by `read`, else `default` (also after a fault: the daemon does not start
    /// then anyway).
    pub(crate) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'r>) -> Option<T>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// The value of `key` by `read`; its absence is a fault that shows `example`.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value<'r>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(value) => read(&value),
            None => {
                let whole = join(&self.value.key, key);
                let report = &self.value.reading.report;
                report.fault(
                    Some(self.value.at()),
                    &whole,
                    format!("is missing, expected `{key} = {example}`"),
                );
                None
            }
        }
    }

    /// A section. An absent one is read from an empty table, so that its missing keys are reported
    /// all the same.
    pub(crate) fn section<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Table<'r>) -> T,
    ) -> Option<T> {
        match self.get(key) {
            Some(value) => value.table(read),
            None => {
                let value = Value {
                    reading: self.value.reading,
                    node: self.value.node,
                    key: join(&self.value.key, key),
                    pattern: join(&self.value.pattern, key),
                };
                Some(read(&Table { value, entries: &[], known: RefCell::default() }))
            }
        }
    }

    fn refuse_unknown(&self) {
        let known = self.known.borrow();
        for entry in self.entries.iter().filter(|entry| !known.contains(entry.key.as_str())) {
            let whole = join(&self.value.key, &entry.key);
            let hint = did_you_mean(&entry.key, known.iter().copied());
            let all = known.iter().copied().collect::<Vec<_>>().join(", ");
            self.value.reading.report.fault(
                Some(entry.at),
                &whole,
                format!("is not a known key, expected one of {all}{hint}"),
            );
        }
    }
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::fake::FakeEnvironment;
    use crate::config::source;

    fn faults(text: &str, read: impl FnOnce(&Table<'_>)) -> Vec<String> {
        let mut reading = ReadContext::new(Box::new(FakeEnvironment::default()));
        let node = source::read_text(Path::new("c.toml"), text.into(), &mut reading.report);
        Value::root(&reading, &node).table(read);
        reading.report.faults()
    }

    #[test]
    fn an_unknown_key_is_reported_with_the_nearest_known_one() {
        let found = faults("lisen = 1\n", |table| {
            table.get("listen");
            table.get("public_url");
        });
        assert_eq!(
            found,
            [
                "c.toml:1:1: lisen: is not a known key, expected one of listen, public_url (did you mean `listen`?)"
            ]
        );
    }

    #[test]
    fn a_missing_key_is_reported_with_an_example() {
        let found = faults("[a]\n", |table| {
            table.section("a", |a| a.required("b", "\"x\"", Value::text));
            table.section("c", |c| c.required("d", "1", |value| value.count(0..=1)));
        });
        assert_eq!(
            found,
            [
                "c.toml:1:1: a.b: is missing, expected `b = \"x\"`",
                "c.toml:1:1: c.d: is missing, expected `d = 1`",
            ]
        );
    }

    #[test]
    fn each_wrong_value_says_what_was_expected() {
        let text = "a = 1\nb = \"x\"\nc = 99\nd = \"15\"\ne = \"64\"\nf = \"jsn\"\ng = [1, \"x\"]\nh = \"\"\n";
        let found = faults(text, |table| {
            table.optional("a", Value::text);
            table.optional("b", Value::flag);
            table.optional("c", |value| value.count(1..=10));
            table.optional("d", |value| {
                value.duration(Duration::from_secs(1)..=Duration::from_secs(3600))
            });
            table.optional("e", |value| value.size(1..=1024));
            table.optional("f", |value| value.one_of(&[("json", 1), ("human", 2)]));
            table.optional("g", |value| value.list(Value::text));
            table.optional("h", Value::line);
        });
        assert_eq!(
            found,
            [
                "c.toml:1:5: a: is an integer, expected a string",
                "c.toml:2:5: b: is a string, expected true or false",
                "c.toml:3:5: c: is 99, expected an integer from 1 to 10",
                "c.toml:4:5: d: is \"15\", expected a duration from \"1s\" to \"1h\", like \"1h30m\", \"15m\" or \"500ms\"",
                "c.toml:5:5: e: is \"64\", expected a size from \"1B\" to \"1KiB\", like \"512B\", \"64KiB\" or \"1MiB\"",
                "c.toml:6:5: f: is \"jsn\", expected one of \"json\", \"human\" (did you mean `json`?)",
                "c.toml:7:6: g[0]: is an integer, expected a string",
                "c.toml:8:5: h: is empty or has control characters, expected one line of text",
            ]
        );
    }

    #[test]
    fn a_relative_path_starts_at_its_file() {
        let mut reading = ReadContext::new(Box::new(FakeEnvironment::default()));
        let node = source::read_text(
            Path::new("/etc/c/c.toml"),
            "a = \"x/y\"\nb = \"/z\"\n".into(),
            &mut reading.report,
        );
        Value::root(&reading, &node).table(|table| {
            assert_eq!(table.optional("a", Value::path), Some("/etc/c/x/y".into()));
            assert_eq!(table.optional("b", Value::path), Some("/z".into()));
        });
    }
}
