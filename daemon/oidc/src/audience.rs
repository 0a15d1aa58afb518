//! For whom an access token was meant, and whether that is good enough for us.

use serde_json::Value;

/// Which audiences of an access token a provider's users may come with.
///
/// A token says by its audience where it may be spent. Without this rule, any site that a user
/// hands a token of the same provider could spend it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// At least one of the token's audiences is one of these. A token whose audience cannot be seen
    /// is refused.
    OneOf(Vec<String>),
    /// Every token of the provider will do.
    Any,
}

impl Audiences {
    /// Judges `aud` as it stood in an introspection answer or in a verified token: a string or a
    /// list of strings (RFC 7662 section 2.2, RFC 7519 section 4.1.3).
    ///
    /// # Errors
    /// The reason for the log.
    pub(crate) fn admit(&self, aud: Option<&Value>) -> Result<(), &'static str> {
        let Self::OneOf(wanted) = self else { return Ok(()) };
        let seen = match aud {
            None | Some(Value::Null) => {
                return Err("the audience of the access token cannot be seen");
            }
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(list)) => list
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()
                .ok_or("`aud` is not a list of strings")?,
            Some(_) => return Err("`aud` is neither a string nor a list"),
        };
        let meant_for_us = seen.iter().any(|audience| wanted.iter().any(|want| want == audience));
        meant_for_us.then_some(()).ok_or("the access token is meant for somebody else")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_common_audience_is_enough_and_an_unseen_one_is_not() {
        let rule = Audiences::OneOf(vec!["us".into(), "also-us".into()]);
        for good in [json!("us"), json!(["x", "also-us"]), json!(["us"])] {
            assert!(rule.admit(Some(&good)).is_ok(), "{good}");
        }
        for bad in [
            json!("US"),
            json!("us "),
            json!([]),
            json!(["x"]),
            json!(1),
            json!(["us", 1]),
            json!({}),
            json!(null),
        ] {
            assert!(rule.admit(Some(&bad)).is_err(), "{bad}");
        }
        assert!(rule.admit(None).is_err());
        assert!(Audiences::OneOf(Vec::new()).admit(Some(&json!("us"))).is_err());
    }

    #[test]
    fn any_means_any() {
        for aud in [None, Some(json!("x")), Some(json!(7))] {
            assert!(Audiences::Any.admit(aud.as_ref()).is_ok());
        }
    }
}
