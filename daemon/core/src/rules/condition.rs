//! The conditions that a rule can put on the value of a claim.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::RuleError;

/// Most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 1024 * 1024;
/// Most bytes of text that a pattern is tried on; a claim with more is not judged.
const MAX_MATCHED: usize = 16 * 1024;

/// A condition on the value of a claim. Texts are compared byte by byte; a number or a boolean
/// never equals a text.
#[derive(Clone)]
pub struct Condition(Kind);

#[derive(Clone)]
enum Kind {
    Any(bool),
    Equals(String),
    IsMemberOf(Vec<String>),
    Has(String),
    Contains(String),
    Regexp(Regex),
}

/// The judgement of a condition about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It cannot judge such a value.
    Unfit,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Condition {
    /// Holds, or not, for every value: whether the claim is there at all.
    pub fn any(holds: bool) -> Self {
        Self(Kind::Any(holds))
    }

    /// The claim is exactly this text.
    pub fn equals(text: impl Into<String>) -> Self {
        Self(Kind::Equals(text.into()))
    }

    /// The claim is one of these texts. They are trimmed; the claim is not.
    ///
    /// # Errors
    /// No text, or an empty one.
    pub fn is_member_of<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, RuleError> {
        let texts: Vec<_> = texts.into_iter().map(|text| text.as_ref().trim().to_owned()).collect();
        if texts.is_empty() {
            return Err(RuleError::new("`is_member_of` needs at least one text"));
        }
        if texts.iter().any(String::is_empty) {
            return Err(RuleError::new("`is_member_of` has an empty text in its list"));
        }
        Ok(Self(Kind::IsMemberOf(texts)))
    }

    /// The claim is a list that has this text as an element, or exactly this text.
    ///
    /// # Errors
    /// An empty text: it is no group and no role.
    pub fn has(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        if text.is_empty() {
            return Err(RuleError::new("`has` needs a text that is not empty"));
        }
        Ok(Self(Kind::Has(text)))
    }

    /// The claim is a list that has this text as an element, or a text that has it as a part. For
    /// the rules of services, as WaTTS has them; [`Condition::has`] is what is mostly meant.
    ///
    /// # Errors
    /// An empty text: every text contains it.
    pub fn contains(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        if text.is_empty() {
            return Err(RuleError::new("`contains` needs a text that is not empty"));
        }
        Ok(Self(Kind::Contains(text)))
    }

    /// The claim is a text in which the pattern is found, or a list with such an element. The
    /// pattern is not anchored.
    ///
    /// # Errors
    /// What is wrong with the pattern; or that it takes more than 1 MiB when compiled.
    pub fn regexp(pattern: &str) -> Result<Self, RuleError> {
        // The look-up cache of lazily built states is a second pool of memory, beside the program's
        // own.
        let built = RegexBuilder::new(pattern)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .build();
        match built {
            Ok(regex) => Ok(Self(Kind::Regexp(regex))),
            Err(regex::Error::CompiledTooBig(_)) => Err(RuleError::new(
                "the pattern takes more than 1 MiB when compiled: make it simpler",
            )),
            // The library draws the place on lines of its own, and says on the last one what is
            // wrong.
            Err(error) => {
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default();
                let why = why.strip_prefix("error: ").unwrap_or(why);
                Err(RuleError::new(format!("the pattern is not a regular expression: {why}")))
            }
        }
    }

    /// Its name in a configuration.
    pub fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Any(_) => "any",
            Kind::Equals(_) => "equals",
            Kind::IsMemberOf(_) => "is_member_of",
            Kind::Has(_) => "has",
            Kind::Contains(_) => "contains",
            Kind::Regexp(_) => "regexp",
        }
    }

    pub(super) fn judge(&self, value: &Value) -> Verdict {
        match &self.0 {
            Kind::Any(holds) => Verdict::from(*holds),
            Kind::Equals(text) => Verdict::from(value.as_str() == Some(text)),
            Kind::IsMemberOf(texts) => Verdict::from(
                value.as_str().is_some_and(|value| texts.iter().any(|text| text == value)),
            ),
            Kind::Has(text) => has(text, value),
            Kind::Contains(text) => contains(text, value),
            Kind::Regexp(regex) => matches(regex, value),
        }
    }
}

/// The condition by its name: the texts of a rule are for the configuration, not for logs.
impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.name())
    }
}

fn has(text: &str, value: &Value) -> Verdict {
    match value {
        Value::String(value) => Verdict::from(value == text),
        Value::Array(elements) => {
            Verdict::from(elements.iter().any(|element| element.as_str() == Some(text)))
        }
        _ => Verdict::Unfit,
    }
}

fn contains(text: &str, value: &Value) -> Verdict {
    match value {
        Value::String(value) => Verdict::from(value.contains(text)),
        _ => has(text, value),
    }
}

fn matches(regex: &Regex, value: &Value) -> Verdict {
    match value {
        Value::String(value) if value.len() <= MAX_MATCHED => Verdict::from(regex.is_match(value)),
        Value::Array(elements) => matches_any(regex, elements),
        _ => Verdict::Unfit,
    }
}

/// A text among the elements may match whatever the others are; but that none does can only be said
/// of a list of texts.
fn matches_any(regex: &Regex, elements: &[Value]) -> Verdict {
    let texts = || elements.iter().filter_map(Value::as_str);
    if texts().map(str::len).sum::<usize>() > MAX_MATCHED {
        return Verdict::Unfit;
    }
    if texts().any(|text| regex.is_match(text)) {
        return Verdict::Yes;
    }
    if elements.iter().all(Value::is_string) { Verdict::No } else { Verdict::Unfit }
}
