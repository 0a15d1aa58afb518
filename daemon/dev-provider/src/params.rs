//! Parameters of a query or of a form.

use std::collections::BTreeMap;

use credsmith_http::{Fault, Request};
use http::header::CONTENT_TYPE;
use url::form_urlencoded;

/// Largest form that is read.
const MAX_FORM: usize = 16 * 1024;

/// Parameters by name. None is there twice (RFC 6749 section 3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(BTreeMap<String, String>);

/// A parameter came twice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

/// Why there are no parameters.
#[derive(Debug)]
pub(crate) enum Unread {
    Repeated,
    Fault(Fault),
}

impl Params {
    /// Reads `key=value&...`. An empty value counts as absent (RFC 6749 section 3.1).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Repeated> {
        let mut params = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text) {
            if params.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(Repeated);
            }
        }
        params.retain(|_, value| !value.is_empty());
        Ok(Self(params))
    }

    pub(crate) fn of_query(request: &Request) -> Result<Self, Repeated> {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// Reads the form in the body.
    pub(crate) async fn of_form(request: &mut Request) -> Result<Self, Unread> {
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Unread::Fault(Fault::UnsupportedMediaType));
        }
        let body = request
            .body_mut()
            .read(MAX_FORM)
            .await
            .map_err(|fault| Unread::Fault(fault.fault()))?;
        Self::parse(&body).map_err(|Repeated| Unread::Repeated)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same parameters with `name` set to `value`, as a query.
    pub(crate) fn query_with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(other, _)| *other != name);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair(name, value)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_once_and_an_empty_value_is_none() {
        let params = Params::parse(b"a=1&b=&c=x+y%26").unwrap();
        assert_eq!(
            (params.get("a"), params.get("b"), params.get("c")),
            (Some("1"), None, Some("x y&"))
        );
        assert_eq!(params.query_with("a", "<2>"), "c=x+y%26&a=%3C2%3E");
        assert_eq!(Params::parse(b"a=1&%61=2"), Err(Repeated));
        assert_eq!(Params::parse(b"").unwrap(), Params::default());
    }
}
