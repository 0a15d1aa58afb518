//! Faults of values that an admin or user filled in.

/// One fault and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// From the key inwards: `["principals", "2"]` is the third element of the setting
    /// `principals`.
    pub path: Vec<String>,
    /// The fault and the expected form, as part of a sentence that begins with the path. It
    /// never quotes a secret.
    pub message: String,
}

impl FieldProblem {
    /// A fault of a whole field.
    pub fn at(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: vec![key.into()], message: message.into() }
    }

    /// The same fault one step further in.
    #[must_use]
    pub fn within(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.path.join("."), self.message)
    }
}
