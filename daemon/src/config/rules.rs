//! `allow` and `forbid`: rules for the users of a service.
//!
//! A line is `{ provider = "any", claim = "groups", contains = "users" }`: a provider's id or
//! `any`, a claim, and one test.

use credsmith_core::rules::{Condition, ProviderMatch, Rule, RuleError};

use super::read::{Table, Value};
use super::report::Position;

const TESTS: &str = "contains, is_member_of, equals, regexp, any";

/// A rule and its place, for the checks that need all providers.
#[derive(Debug, Clone)]
pub(crate) struct RuleLine {
    pub(crate) rule: Rule,
    pub(crate) at: Position,
    pub(crate) key: String,
}

/// Reads a list of rules.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<RuleLine>> {
    value.list(|item| item.table(line).flatten())
}

fn line(table: &Table<'_>) -> Option<RuleLine> {
    let value = table.value();
    let provider = table.required("provider", "\"any\"", provider);
    let claim = table.required("claim", "\"groups\"", Value::text);
    let test = test(table);
    let rule = Rule::new(provider?, claim?, test?);
    let rule = rule.map_err(|error| value.fault(error.to_string())).ok()?;
    Some(RuleLine { rule, at: value.at(), key: value.key().to_owned() })
}

fn provider(value: &Value<'_>) -> Option<ProviderMatch> {
    let text = value.text()?;
    ProviderMatch::parse(&text).map_err(|error| value.fault(format!("is {text:?}: {error}"))).ok()
}

fn test(table: &Table<'_>) -> Option<Condition> {
    let tests = [
        table.get("contains").map(|value| built(&value, Value::text, Condition::contains)),
        table
            .get("is_member_of")
            .map(|value| built(&value, |value| value.list(Value::text), Condition::is_member_of)),
        table
            .get("equals")
            .map(|value| built(&value, Value::text, |text| Ok(Condition::equals(text)))),
        table
            .get("regexp")
            .map(|value| built(&value, Value::text, |text| Condition::regexp(&text))),
        table.get("any").map(|value| built(&value, Value::flag, |holds| Ok(Condition::any(holds)))),
    ];
    let mut given = tests.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(test), None) => test,
        _ => {
            table.value().fault(format!("has no test or several, expected exactly one of {TESTS}"));
            None
        }
    }
}

fn built<'r, T>(
    value: &Value<'r>,
    read: impl FnOnce(&Value<'r>) -> Option<T>,
    build: impl FnOnce(T) -> Result<Condition, RuleError>,
) -> Option<Condition> {
    build(read(value)?).map_err(|error| value.fault(error.to_string())).ok()
}
