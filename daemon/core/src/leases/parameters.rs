//! Whether the parameters of a request fit what a service offers.
//!
//! They fit when one set has all of its required keys given, and knows all given keys. Values are
//! the plugin's matter.

use serde_json::{Map, Value};

use crate::error::{Error, Kind};
use crate::ports::plugins::{Offer, Parameter};
use crate::secret::Secret;

/// Most bytes of keys and values together.
const MAX_BYTES: usize = 64 * 1024;

/// Parameters that fit.
#[derive(Debug, Default)]
pub(crate) struct Fitted {
    /// All of them, in the order of the set.
    pub(crate) all: Vec<(String, Secret)>,
    /// Those that may be kept with the lease.
    pub(crate) kept: Vec<(String, String)>,
}

/// Fits `given` to the first set of `offer` that takes it. A string stays as sent; any other value
/// becomes compact JSON text.
///
/// # Errors
/// `Invalid` when no set takes it, or when there is too much of it.
pub(crate) fn fit(offer: &Offer, given: Map<String, Value>) -> Result<Fitted, Error> {
    let none = [Vec::new()];
    let sets = if offer.parameter_sets.is_empty() { &none[..] } else { &offer.parameter_sets };
    let set = sets.iter().find(|set| takes(set, &given)).ok_or_else(|| invalid(sets, &given))?;
    collect(set, given)
}

fn takes(set: &[Parameter], given: &Map<String, Value>) -> bool {
    let complete =
        set.iter().all(|parameter| !parameter.required || given.contains_key(&parameter.key));
    complete && given.keys().all(|key| set.iter().any(|parameter| parameter.key == *key))
}

fn collect(set: &[Parameter], mut given: Map<String, Value>) -> Result<Fitted, Error> {
    let mut fitted = Fitted::default();
    let mut bytes = 0;
    for parameter in set {
        let Some(value) = given.remove(&parameter.key) else { continue };
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        bytes += parameter.key.len() + value.len();
        if bytes > MAX_BYTES {
            return Err(Error::new(Kind::Invalid, "The parameters are too large."));
        }
        if !parameter.secure {
            fitted.kept.push((parameter.key.clone(), value.clone()));
        }
        fitted.all.push((parameter.key.clone(), Secret::new(value)));
    }
    Ok(fitted)
}

/// Where there is one set only, the sentence names what is wrong with the request.
fn invalid(sets: &[Vec<Parameter>], given: &Map<String, Value>) -> Error {
    let public = "The parameters do not fit this service.";
    let [set] = sets else { return Error::new(Kind::Invalid, public) };
    let missing =
        set.iter().find(|parameter| parameter.required && !given.contains_key(&parameter.key));
    match missing {
        Some(parameter) => Error::new(
            Kind::Invalid,
            format!("{public} The parameter `{}` is missing.", parameter.key),
        ),
        None => Error::new(Kind::Invalid, format!("{public} There is one that it does not know.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(key: &str, required: bool, secure: bool) -> Parameter {
        Parameter {
            key: key.into(),
            label: String::new(),
            help: String::new(),
            kind: "text".into(),
            choices: Vec::new(),
            required,
            secure,
            default: None,
        }
    }

    fn offer(parameter_sets: Vec<Vec<Parameter>>) -> Offer {
        Offer { parameter_sets, can_revoke: true }
    }

    fn map(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    fn names(fitted: &Fitted) -> Vec<&str> {
        fitted.all.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn required_keys_must_and_unknown_keys_must_not_be_there() {
        let two = || vec![parameter("must", true, false), parameter("may", false, false)];
        let one_set = offer(vec![two()]);
        let either = offer(vec![vec![parameter("key", true, false)], two()]);
        let nothing = offer(Vec::new());
        let empty_set = offer(vec![Vec::new()]);
        let cases: &[(&Offer, &str, Option<&[&str]>)] = &[
            (&one_set, r#"{"must":""}"#, Some(&["must"])),
            (&one_set, r#"{"may":1,"must":null}"#, Some(&["must", "may"])),
            (&one_set, r#"{"may":1}"#, None),
            (&one_set, "{}", None),
            (&one_set, r#"{"must":1,"other":1}"#, None),
            (&either, r#"{"key":1}"#, Some(&["key"])),
            (&either, r#"{"must":1}"#, Some(&["must"])),
            (&either, r#"{"key":1,"must":1}"#, None),
            (&nothing, "{}", Some(&[])),
            (&nothing, r#"{"a":1}"#, None),
            (&empty_set, "{}", Some(&[])),
            (&empty_set, r#"{"a":1}"#, None),
        ];
        for (offer, given, expected) in cases {
            match (fit(offer, map(given)), expected) {
                (Ok(fitted), Some(expected)) => assert_eq!(names(&fitted), *expected, "{given}"),
                (Err(error), None) => assert_eq!(error.kind(), Kind::Invalid, "{given}"),
                (other, _) => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_complaint_names_what_is_missing() {
        let offer = offer(vec![vec![parameter("pub_key", true, false)]]);
        let missing = fit(&offer, map("{}")).unwrap_err();
        assert_eq!(
            missing.public(),
            "The parameters do not fit this service. The parameter `pub_key` is missing."
        );
        let unknown = fit(&offer, map(r#"{"pub_key":1,"<b>":1}"#)).unwrap_err();
        assert!(!unknown.public().contains("<b>"), "a caller's words are not repeated");
    }

    #[test]
    fn strings_stay_and_other_values_become_json() {
        let keys = ["a", "b", "c", "d"].map(|key| parameter(key, false, false)).to_vec();
        let given = map(r#"{"a":" x\u0001","b":{"y":[1, null]},"c":null,"d":1.50}"#);
        let values: Vec<_> = fit(&offer(vec![keys]), given)
            .unwrap()
            .all
            .into_iter()
            .map(|(_, value)| value.expose_str().unwrap().to_owned())
            .collect();
        assert_eq!(values, [" x\u{1}", r#"{"y":[1,null]}"#, "null", "1.5"]);
    }

    #[test]
    fn secure_ones_are_not_kept() {
        let set = vec![parameter("open", true, false), parameter("password", true, true)];
        let fitted = fit(&offer(vec![set]), map(r#"{"open":"a","password":"b"}"#)).unwrap();
        assert_eq!(names(&fitted), ["open", "password"]);
        assert_eq!(fitted.kept, [("open".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn size_is_bounded() {
        let offer = offer(vec![vec![parameter("a", true, true)]]);
        let sized =
            |size: usize| [("a".to_owned(), Value::from("x".repeat(size)))].into_iter().collect();
        assert!(fit(&offer, sized(MAX_BYTES - 1)).is_ok());
        assert_eq!(fit(&offer, sized(MAX_BYTES)).unwrap_err().kind(), Kind::Invalid);
    }
}
