//! The discovery document (OpenID Connect Discovery 1.0 section 3), read member by member.
//!
//! Only what is used is looked at. Documents of the field have members that are empty, of another
//! type, or a text where a list belongs; none of them keeps a provider down that does not need the
//! member. What is needed and cannot be used is named.

use serde_json::{Map, Value};
use url::Url;

use crate::answer::Object;
use crate::error::ProviderError;
use crate::options::check_endpoint;

/// A discovery document.
pub(crate) struct Metadata {
    members: Map<String, Value>,
    allow_insecure: bool,
}

impl Metadata {
    /// The document, of a provider with this setting.
    pub(crate) fn new(document: Object, allow_insecure: bool) -> Self {
        Self { members: document.0, allow_insecure }
    }

    /// A text that is optional; `null` and an empty text count as absent.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ProviderError> {
        match self.members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => {
                Err(ProviderError::new(format!("`{name}` in the discovery document is no text")))
            }
        }
    }

    /// A text that is needed.
    ///
    /// # Errors
    /// It is absent or something else.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ProviderError> {
        self.text(name)?.ok_or_else(|| {
            ProviderError::new(format!("the discovery document names no {name}, which is needed"))
        })
    }

    /// The URL of an endpoint that is optional.
    ///
    /// # Errors
    /// It is no URL that may receive a token.
    pub(crate) fn endpoint(&self, name: &str) -> Result<Option<Url>, ProviderError> {
        self.text(name)?.map(|text| self.checked(name, text)).transpose()
    }

    /// The URL of an endpoint that is needed.
    ///
    /// # Errors
    /// It is absent, or no URL that may receive a token.
    pub(crate) fn required_endpoint(&self, name: &str) -> Result<Url, ProviderError> {
        self.checked(name, self.required(name)?)
    }

    fn checked(&self, name: &str, text: &str) -> Result<Url, ProviderError> {
        check_endpoint(text, self.allow_insecure).map_err(|problem| {
            ProviderError::new(format!("{name} in the discovery document: {problem}"))
        })
    }

    /// The texts of a list. One text stands for a list of words; entries that are no texts are left
    /// out. `None` if it is absent or something else.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&str>> {
        match self.members.get(name)? {
            Value::String(text) => Some(text.split_ascii_whitespace().collect()),
            Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }

    /// Whether a member is true, which some write as a text.
    pub(crate) fn flag(&self, name: &str) -> bool {
        match self.members.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Metadata {
        Metadata::new(Object::parse(value.to_string().as_bytes()).unwrap(), false)
    }

    #[test]
    fn a_text_is_there_or_not_or_wrong() {
        let found = document(json!({"a": "x", "b": "", "c": null, "d": 7, "e": ["x"]}));
        assert_eq!(found.text("a"), Ok(Some("x")));
        for absent in ["b", "c", "z"] {
            assert_eq!(found.text(absent), Ok(None), "{absent}");
            assert!(found.required(absent).unwrap_err().to_string().contains(absent));
        }
        for wrong in ["d", "e"] {
            assert!(found.text(wrong).unwrap_err().to_string().contains("is no text"), "{wrong}");
        }
    }

    #[test]
    fn one_text_stands_for_a_list_and_odd_entries_are_left_out() {
        let found = document(json!({"a": "x y", "b": ["x", 7, null, "y"], "c": [], "d": 7}));
        assert_eq!(found.list("a"), Some(vec!["x", "y"]));
        assert_eq!(found.list("b"), Some(vec!["x", "y"]));
        assert_eq!(found.list("c"), Some(vec![]));
        assert_eq!((found.list("d"), found.list("z")), (None, None));
    }

    #[test]
    fn true_may_be_a_text() {
        let found = document(json!({"a": true, "b": "true", "c": "True", "d": "false", "e": 1}));
        assert_eq!(
            ["a", "b", "c", "d", "e", "z"].map(|name| found.flag(name)),
            [true, true, true, false, false, false]
        );
    }
}
