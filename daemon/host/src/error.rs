//! Errors of the host and of loading, in sentences for an admin: the cause, and the fix.

use std::fmt;

use credsmith_core::error::FieldProblem;
use credsmith_core::text::on_one_line;

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct HostError {
    what: &'static str,
    cause: String,
}

impl HostError {
    pub(crate) fn new(what: &'static str, cause: impl fmt::Display) -> Self {
        Self { what, cause: cause.to_string() }
    }
}

/// The kind of a failure to load, for code that decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoadFault {
    /// The bytes are no component.
    NotAComponent,
    /// The bytes are not those that the configuration pins.
    WrongDigest,
    /// It is a component, of another kind than is needed here.
    WrongWorld,
    /// It imports something that the contract does not have.
    UnknownImport,
    /// It does not fit the engine or its limits.
    Unfit,
    /// It broke while it described itself or read its settings.
    Broke,
    /// Its description breaks the contract.
    BadDescription,
    /// The settings do not fit it.
    BadSettings,
    /// The grants of the configuration cannot be made.
    BadGrant,
    /// Another plugin has its name.
    NameTaken,
}

/// Why a plugin could not be loaded.
#[derive(Debug)]
pub struct LoadError {
    fault: LoadFault,
    origin: String,
    cause: String,
    fix: String,
    problems: Vec<FieldProblem>,
}

impl LoadError {
    pub(crate) fn new(
        fault: LoadFault,
        origin: &str,
        cause: impl fmt::Display,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            fault,
            origin: origin.to_owned(),
            cause: cause.to_string(),
            fix: fix.into(),
            problems: Vec::new(),
        }
    }

    pub(crate) fn with_problems(mut self, problems: Vec<FieldProblem>) -> Self {
        self.problems = problems;
        self
    }

    /// The kind of the failure.
    pub fn fault(&self) -> LoadFault {
        self.fault
    }

    /// Where the component came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The single problems, where there are several: paths begin with `settings` or name a part of
    /// the description.
    pub fn problems(&self) -> &[FieldProblem] {
        &self.problems
    }

    /// The fix.
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Paths and names of a component may be anything.
        write!(f, "plugin {}: {}", on_one_line(&self.origin), on_one_line(&self.cause))?;
        for (at, problem) in self.problems.iter().enumerate() {
            f.write_str(if at == 0 { ": " } else { "; " })?;
            write!(f, "{}: {}", on_one_line(&problem.place()), on_one_line(&problem.message))?;
        }
        write!(f, " ({})", self.fix)
    }
}

impl std::error::Error for LoadError {}
