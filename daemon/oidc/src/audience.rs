//! The audience of an access token, and whether this daemon accepts it.

use serde_json::Value;

/// The audiences of access tokens that are accepted from a provider.
///
/// The audience of a token names the services that it may be used at. Without this rule, every site
/// that receives a user's token of the same provider could use it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// At least one of the token's audiences is one of these. A token of unknown audience is
    /// refused.
    OneOf(Vec<String>),
    /// Every token of the provider is accepted.
    Any,
}

impl Audiences {
    /// Checks `aud` of an introspection answer or of a verified token: a string or a list of
    /// strings (RFC 7662 section 2.2, RFC 7519 section 4.1.3).
    ///
    /// # Errors
    /// The reason for the log.
    pub(crate) fn check(&self, aud: Option<&Value>) -> Result<(), &'static str> {
        let Self::OneOf(wanted) = self else { return Ok(()) };
        let seen = match aud {
            None | Some(Value::Null) => {
                return Err(
                    "the audience of the access token cannot be seen; `any_audience` accepts such \
                     tokens",
                );
            }
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(list)) => list
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()
                .ok_or("`aud` is not a list of strings")?,
            Some(_) => return Err("`aud` is neither a string nor a list"),
        };
        let accepted = seen.iter().any(|audience| wanted.iter().any(|want| want == audience));
        accepted.then_some(()).ok_or(
            "the access token is meant for another audience; `audience` names those that are \
             accepted, `any_audience` accepts all",
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_common_audience_is_enough_and_an_unknown_one_is_not() {
        let rule = Audiences::OneOf(vec!["us".into(), "also-us".into()]);
        for good in [json!("us"), json!(["x", "also-us"]), json!(["us"])] {
            assert!(rule.check(Some(&good)).is_ok(), "{good}");
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
            assert!(rule.check(Some(&bad)).is_err(), "{bad}");
        }
        assert!(rule.check(None).is_err());
        assert!(Audiences::OneOf(Vec::new()).check(Some(&json!("us"))).is_err());
    }

    #[test]
    fn any_accepts_every_audience() {
        for aud in [None, Some(json!("x")), Some(json!(7))] {
            assert!(Audiences::Any.check(aud.as_ref()).is_ok());
        }
    }
}
