//! Faults and warnings of a configuration, each at its place.
//!
//! A line reads `file:line:column: key: what is wrong, what was expected (did you mean ...)`.
//! Nothing here decides what a fault is. No line may quote the value of a secret: the caller that
//! reports a fault chooses the words.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A place in one of the files of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Which file, by its number in the report.
    pub(crate) file: usize,
    /// Bytes from its beginning.
    pub(crate) offset: usize,
}

/// A file as it was read.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

/// The severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// The daemon does not start.
    Fault,
    /// The daemon starts and logs it.
    Warning,
}

#[derive(Debug)]
struct Problem {
    severity: Severity,
    at: Option<Position>,
    key: String,
    message: String,
}

/// Collects problems while a configuration is read. Shared by all readers, hence the cell.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sources: Vec<Source>,
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    /// Registers a file, so that problems can name a place in it.
    pub(crate) fn add_source(&mut self, path: PathBuf, text: String) -> usize {
        self.sources.push(Source { path, text });
        self.sources.len() - 1
    }

    /// The path of a registered file.
    pub(crate) fn path_of(&self, file: usize) -> Option<&std::path::Path> {
        self.sources.get(file).map(|source| source.path.as_path())
    }

    /// Adds a problem that stops the start. An empty `key` means the file as a whole.
    pub(crate) fn fault(&self, at: Option<Position>, key: &str, message: impl Into<String>) {
        self.add(Severity::Fault, at, key, message.into());
    }

    /// Adds a problem that an operator may have intended.
    pub(crate) fn warning(&self, at: Option<Position>, key: &str, message: impl Into<String>) {
        self.add(Severity::Warning, at, key, message.into());
    }

    fn add(&self, severity: Severity, at: Option<Position>, key: &str, message: String) {
        self.problems.borrow_mut().push(Problem { severity, at, key: key.to_owned(), message });
    }

    /// Whether there is a fault.
    pub(crate) fn has_faults(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Fault)
    }

    /// The faults, one a line, in the order of their places.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.lines(Severity::Fault)
    }

    /// The warnings, likewise.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.lines(Severity::Warning)
    }

    fn lines(&self, severity: Severity) -> Vec<String> {
        let problems = self.problems.borrow();
        let mut chosen: Vec<_> =
            problems.iter().filter(|problem| problem.severity == severity).collect();
        chosen.sort_by_key(|problem| problem.at);
        chosen.into_iter().map(|problem| self.line(problem)).collect()
    }

    fn line(&self, problem: &Problem) -> String {
        let mut line = String::new();
        if let Some(place) = problem.at.and_then(|at| self.describe(at)) {
            let _ = write!(line, "{place}: ");
        }
        if !problem.key.is_empty() {
            let _ = write!(line, "{}: ", problem.key);
        }
        line.push_str(&problem.message);
        line
    }

    /// A fault that was found after the configuration was read, as a line like the others.
    pub(crate) fn late_line(&self, at: Position, key: &str, message: &str) -> String {
        let message = message.to_owned();
        self.line(&Problem {
            severity: Severity::Fault,
            at: Some(at),
            key: key.to_owned(),
            message,
        })
    }

    /// `file:line:column`, both counted from one, the column in characters.
    pub(crate) fn describe(&self, at: Position) -> Option<String> {
        let source = self.sources.get(at.file)?;
        let before = source.text.get(..at.offset.min(source.text.len())).unwrap_or(&source.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some(format!("{}:{line}:{column}", source.path.display()))
    }
}

/// The known name that is most similar to `written`, if it is similar enough to be a likely
/// correction.
pub(crate) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&written.to_lowercase(), &name.to_lowercase());
    let (score, name) =
        known.into_iter().map(|name| (likeness(name), name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.8).then_some(name)
}

/// ` (did you mean ...?)`, or nothing.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let mut report = Report::default();
        let file = report.add_source("a.toml".into(), "x = 1\nöö = 2\n".into());
        let place = |offset| report.describe(Position { file, offset }).unwrap();
        assert_eq!(place(0), "a.toml:1:1");
        assert_eq!(place(6), "a.toml:2:1");
        assert_eq!(place(10), "a.toml:2:3");
        assert_eq!(place(9999), "a.toml:3:1");
    }

    #[test]
    fn lines_come_in_the_order_of_the_file_and_warnings_apart() {
        let mut report = Report::default();
        let file = report.add_source("a.toml".into(), "x = 1\ny = 2\n".into());
        report.fault(Some(Position { file, offset: 6 }), "y", "second");
        report.fault(Some(Position { file, offset: 0 }), "x", "first");
        report.warning(None, "", "by the way");
        assert_eq!(report.faults(), ["a.toml:1:1: x: first", "a.toml:2:1: y: second"]);
        assert_eq!(report.warnings(), ["by the way"]);
    }

    #[test]
    fn only_a_near_name_is_proposed() {
        assert_eq!(nearest("isuer", ["issuer", "client_id"]), Some("issuer"));
        assert_eq!(nearest("Listen", ["listen"]), Some("listen"));
        assert_eq!(nearest("zzz", ["issuer", "client_id"]), None);
    }
}
