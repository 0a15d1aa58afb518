//! `allow` and `forbid`: rules for the users of a service.
//!
//! A line is `{ provider = "any", claim = "groups", has = "users" }`: a provider's id or `any`, a
//! claim, and one test. The rules of a role have no `contains`, which matches a part of a text.

use credsmith_core::rules::{Condition, ProviderMatch, Rule, RuleError};

use super::read::{Table, Value};
use super::report::Position;

const TESTS: &str = "has, is_member_of, equals, regexp, any, contains";
const TESTS_OF_ROLES: &str = "has, is_member_of, equals, regexp, any";

/// What a rule decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Service,
    Role,
}

/// A rule and its place, for the checks that need all providers.
#[derive(Debug, Clone)]
pub(crate) struct RuleLine {
    pub(crate) rule: Rule,
    pub(crate) at: Position,
    pub(crate) key: String,
}

/// Reads the rules of a service.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<RuleLine>> {
    value.list(|item| item.table(|table| line(table, Kind::Service)).flatten())
}

/// Reads the rules that assign a role.
pub(crate) fn of_role(value: &Value<'_>) -> Option<Vec<RuleLine>> {
    value.list(|item| item.table(|table| line(table, Kind::Role)).flatten())
}

fn line(table: &Table<'_>, kind: Kind) -> Option<RuleLine> {
    let value = table.value();
    let provider = table.required("provider", "\"any\"", provider);
    let claim = table.required("claim", "\"groups\"", Value::text);
    let test = test(table, kind);
    let rule = Rule::new(provider?, claim?, test?);
    let rule = rule.map_err(|error| value.fault(error.to_string())).ok()?;
    Some(RuleLine { rule, at: value.at(), key: value.key().to_owned() })
}

fn provider(value: &Value<'_>) -> Option<ProviderMatch> {
    let text = value.text()?;
    ProviderMatch::parse(&text).map_err(|error| value.fault(format!("is {text:?}: {error}"))).ok()
}

fn test(table: &Table<'_>, kind: Kind) -> Option<Condition> {
    let tests = [
        table.get("has").map(|value| built(&value, Value::text, Condition::has)),
        table.get("contains").map(|value| contains(&value, kind)),
        table
            .get("is_member_of")
            .map(|value| built(&value, |value| value.list(Value::text), Condition::is_member_of)),
        table
            .get("equals")
            .map(|value| built(&value, Value::text, |text| Ok(Condition::equals(text)))),
        table.get("regexp").map(|value| regexp(&value, kind)),
        table.get("any").map(|value| built(&value, Value::flag, |holds| Ok(Condition::any(holds)))),
    ];
    let mut given = tests.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(test), None) => test,
        _ => {
            let tests = if kind == Kind::Role { TESTS_OF_ROLES } else { TESTS };
            table.value().fault(format!("has no test or several, expected exactly one of {tests}"));
            None
        }
    }
}

/// A group that is named `not-admins-at-all` contains `admins`: no role is given for that.
fn contains(value: &Value<'_>, kind: Kind) -> Option<Condition> {
    if kind == Kind::Role {
        value.fault(
            "matches a part of a text, so that a group of another name would get the role; expected `has`, which matches \
             an element of a list, or the whole text",
        );
        return None;
    }
    built(value, Value::text, Condition::contains)
}

/// A pattern that may begin and end anywhere matches a part of a text too.
fn regexp(value: &Value<'_>, kind: Kind) -> Option<Condition> {
    let text = value.text()?;
    let is_anchored = ["^", r"\A"].iter().any(|anchor| text.contains(anchor))
        || ["$", r"\z"].iter().any(|anchor| text.contains(anchor));
    if kind == Kind::Role && !is_anchored {
        value.warning(
            "matches a part of a text, so that a group of another name may get the role; anchor it with ^ and $",
        );
    }
    built(value, |_| Some(text), |text| Condition::regexp(&text))
}

fn built<'r, T>(
    value: &Value<'r>,
    read: impl FnOnce(&Value<'r>) -> Option<T>,
    build: impl FnOnce(T) -> Result<Condition, RuleError>,
) -> Option<Condition> {
    build(read(value)?).map_err(|error| value.fault(error.to_string())).ok()
}
