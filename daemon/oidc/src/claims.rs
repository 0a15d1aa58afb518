//! The claims about a user, merged from the answers of a provider.

use std::time::Duration;

use credsmith_core::caller::Claims;
use credsmith_core::time::Timestamp;
use serde_json::Value;

use crate::error::ProviderError;

/// How large the claims of one user may be, as JSON text.
pub(crate) const MAX_CLAIMS: usize = 64 * 1024;

/// Longest subject (OpenID Connect Core section 2: at most 255 ASCII characters).
const MAX_SUBJECT: usize = 255;

/// The members of an introspection answer that describe the token, not the user (RFC 7662 section
/// 2.2).
const TOKEN_MEMBERS: [&str; 10] =
    ["active", "aud", "sub", "iss", "client_id", "token_type", "exp", "iat", "nbf", "jti"];

/// The claims of an ID token or of a signed userinfo answer that are about the token or the
/// sign-in, not about the user: userinfo never adds them.
const OF_THE_TOKEN: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "azp",
    "at_hash",
    "c_hash",
    "s_hash",
    "sid",
    "auth_time",
    "acr",
    "amr",
    "tid",
];

/// Claims that state something about another claim: they mean the value that stands beside them.
const STATEMENTS: [(&str, &[&str]); 2] =
    [("email", &["email_verified", "xms_edov"]), ("phone_number", &["phone_number_verified"])];

/// Adds to the claims of an ID token those that only userinfo has. The ID token wins. A statement
/// such as `email_verified` counts for the address of its own source alone: else a verification of
/// one address would count for another.
pub(crate) fn complete(id_token: &mut Claims, mut userinfo: Claims) {
    userinfo.retain(|name, value| !OF_THE_TOKEN.contains(&name.as_str()) && !value.is_null());
    id_token.retain(|_, value| !value.is_null());
    for (claim, statements) in STATEMENTS {
        let (own, other) = (id_token.get(claim), userinfo.get(claim));
        if own == other {
            continue;
        }
        let misplaced = if own.is_some() { &mut userinfo } else { &mut *id_token };
        for statement in statements {
            misplaced.remove(*statement);
        }
    }
    for (name, value) in userinfo {
        id_token.entry(name).or_insert(value);
    }
}

/// The claims of a signed userinfo answer without those that are about its signature.
pub(crate) fn of_the_user(mut signed: Claims) -> Claims {
    signed.retain(|name, _| name == "sub" || !OF_THE_TOKEN.contains(&name.as_str()));
    signed
}

/// Merges the answers, the later winning: userinfo, introspection without [`TOKEN_MEMBERS`],
/// `scope` and `scope_list`, `iss` and `sub`.
///
/// # Errors
/// The reason for the log, if the result is larger than [`MAX_CLAIMS`].
pub(crate) fn merge(
    userinfo: Claims,
    introspection: Option<Claims>,
    issuer: &str,
    sub: &str,
) -> Result<Claims, &'static str> {
    let mut claims = userinfo;
    for (name, value) in introspection.unwrap_or_default() {
        if name == "scope" {
            put_scope(&mut claims, &value);
        } else if !TOKEN_MEMBERS.contains(&name.as_str()) && !value.is_null() {
            claims.insert(name, value);
        }
    }
    claims.insert("iss".into(), issuer.into());
    claims.insert("sub".into(), sub.into());
    if text_length(&claims) > MAX_CLAIMS {
        return Err("the claims of the user are too large");
    }
    Ok(claims)
}

// Some providers answer with a list instead of the string of RFC 7662.
fn put_scope(claims: &mut Claims, scope: &Value) {
    let list: Vec<&str> = match scope {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    claims.insert("scope".into(), list.join(" ").into());
    claims.insert("scope_list".into(), list.into());
}

/// The claim `name` as a user's identifier: a printable string of 1 to 255 bytes. A number or a
/// list identifies no user.
///
/// # Errors
/// The reason for the log.
pub(crate) fn subject<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, &'static str> {
    let subject = claims
        .get(name)
        .and_then(Value::as_str)
        .ok_or("the claim that names the user is missing or no string")?;
    let fits = (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control);
    fits.then_some(subject)
        .ok_or("the claim that names the user is empty, too long or has control characters")
}

/// Length of the claims as JSON text, in bytes.
pub(crate) fn text_length(claims: &Claims) -> usize {
    serde_json::to_vec(claims).map_or(usize::MAX, |text| text.len())
}

/// The claim `name` as a point in time, a NumericDate, which may have a fraction (RFC 7519 section
/// 2).
///
/// # Errors
/// The reason for the log.
pub(crate) fn timestamp(claims: &Claims, name: &str) -> Result<Option<Timestamp>, ProviderError> {
    let wrong = || ProviderError::new(format!("`{name}` is no point in time"));
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let seconds = number.as_f64().ok_or_else(wrong)?.max(0.0);
            let since_epoch = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            Ok(Some(Timestamp::from_millis(0) + since_epoch))
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Claims {
        let Value::Object(object) = value else { panic!("no object: {value}") };
        object
    }

    #[test]
    fn the_later_answer_wins_and_token_members_are_left_out() {
        let userinfo = object(
            json!({"sub": "a", "iss": "liar", "name": "Alice", "groups": ["u"], "email": "old"}),
        );
        let introspection = object(json!({
            "active": true, "aud": "us", "sub": "a", "iss": "liar", "client_id": "c", "token_type": "Bearer", "exp": 1, "iat": 1,
            "nbf": 1, "jti": "j", "email": "new", "username": "alice", "scope": "openid  profile"
        }));
        let merged = merge(userinfo, Some(introspection), "https://op", "a").unwrap();
        assert_eq!(
            Value::Object(merged),
            json!({
                "sub": "a", "iss": "https://op", "name": "Alice", "groups": ["u"], "email": "new", "username": "alice",
                "scope": "openid profile", "scope_list": ["openid", "profile"]
            })
        );
    }

    #[test]
    fn userinfo_completes_an_id_token_and_changes_nothing_in_it() {
        let mut claims = object(json!({
            "iss": "https://op", "sub": "a", "aud": "us", "nonce": "n", "name": "Alice", "locale": null
        }));
        let userinfo = object(json!({
            "iss": "liar", "sub": "a", "aud": "liar", "acr": "high", "amr": ["mfa"], "tid": "liar",
            "name": "Mallory", "email": "a@op", "groups": ["u"], "locale": "de", "picture": null
        }));
        complete(&mut claims, userinfo);
        assert_eq!(
            Value::Object(claims),
            json!({
                "iss": "https://op", "sub": "a", "aud": "us", "nonce": "n", "name": "Alice",
                "email": "a@op", "groups": ["u"], "locale": "de"
            })
        );
    }

    #[test]
    fn a_verification_counts_for_the_address_of_its_own_source() {
        let completed = |id_token: Value, userinfo: Value| {
            let mut claims = object(id_token);
            complete(&mut claims, object(userinfo));
            Value::Object(claims)
        };
        let verified = json!({"email": "b@op", "email_verified": true, "xms_edov": true});
        for (what, id_token, userinfo, expected) in [
            ("of another", json!({"email": "a@op"}), verified.clone(), json!({"email": "a@op"})),
            (
                "of the same",
                json!({"email": "b@op"}),
                verified.clone(),
                json!({"email": "b@op", "email_verified": true, "xms_edov": true}),
            ),
            (
                "of none",
                json!({"email_verified": true}),
                json!({"email": "b@op"}),
                json!({"email": "b@op"}),
            ),
            ("of userinfo alone", json!({}), verified.clone(), verified.clone()),
            (
                "contradicted",
                json!({"email": "b@op", "email_verified": false}),
                verified,
                json!({"email": "b@op", "email_verified": false, "xms_edov": true}),
            ),
            (
                "a number",
                json!({"phone_number": "+1"}),
                json!({"phone_number": "+2", "phone_number_verified": true}),
                json!({"phone_number": "+1"}),
            ),
        ] {
            assert_eq!(completed(id_token, userinfo), expected, "{what}");
        }
    }

    #[test]
    fn an_absent_username_is_absent() {
        for introspection in
            [None, Some(object(json!({"active": true}))), Some(object(json!({"username": null})))]
        {
            let merged =
                merge(object(json!({"sub": "a"})), introspection, "https://op", "a").unwrap();
            assert_eq!(Value::Object(merged), json!({"sub": "a", "iss": "https://op"}));
        }
    }

    #[test]
    fn a_scope_may_be_a_list() {
        let merged =
            merge(Claims::new(), Some(object(json!({"scope": ["a", "b"]}))), "i", "s").unwrap();
        assert_eq!(merged["scope"], "a b");
        assert_eq!(merged["scope_list"], json!(["a", "b"]));
    }

    #[test]
    fn claims_are_bounded() {
        let large = object(json!({"sub": "a", "x": "y".repeat(MAX_CLAIMS)}));
        assert!(merge(large, None, "https://op", "a").is_err());
    }

    #[test]
    fn a_subject_is_a_short_printable_string() {
        let named = |value: Value| object(json!({ "sub": value }));
        assert_eq!(subject(&named(json!("a-1")), "sub"), Ok("a-1"));
        for bad in
            [json!(""), json!(7), json!(null), json!(["a"]), json!("a\nb"), json!("x".repeat(256))]
        {
            assert!(subject(&named(bad.clone()), "sub").is_err(), "{bad}");
        }
        assert!(subject(&named(json!("a")), "eppn").is_err());
    }
}
