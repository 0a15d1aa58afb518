//! `[roles.<name>]`: permissions of the vault, and rules that assign them.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use credsmith_api::vault::{self, Access, Route};
use credsmith_core::ports::directory::DirectoryCompany;
use credsmith_core::rights::Role;
use credsmith_core::rights::permission::Pattern;
use credsmith_core::text::fold;

use super::read::{Table, Value};
use super::report::{did_you_mean, nearest};
use super::rules::{self, RuleLine};

/// Longest name of a role, in bytes.
const MAX_NAME: usize = 64;

/// A role, and the rules that assign it.
#[derive(Debug)]
pub(crate) struct ConfiguredRole {
    pub(crate) role: Arc<Role>,
    /// Users whose claims match have it. Without any rule only administrators assign it.
    pub(crate) assign: Vec<RuleLine>,
}

impl ConfiguredRole {
    /// Whether a rule assigns every permission, for all companies.
    pub(crate) fn makes_an_admin(&self) -> bool {
        let everything = self.role.permissions.iter().any(|pattern| pattern.as_str() == "*");
        everything && self.role.companies.is_none() && !self.assign.is_empty()
    }
}

/// Reads all roles in the order of the file.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<ConfiguredRole>> {
    value.named(|name, value| value.table(|table| role(name, table)).flatten())
}

fn role(name: &str, table: &Table<'_>) -> Option<ConfiguredRole> {
    let value = table.value();
    let named = name.len() <= MAX_NAME && !name.is_empty() && !name.chars().any(char::is_control);
    if !named {
        value.fault(format!(
            "is not the name of a role, expected 1 to {MAX_NAME} bytes without control characters"
        ));
    }
    let permissions = table.required("permissions", "[\"company.*\"]", |value| value.list(pattern));
    let companies = table.optional("companies", |value| value.list(Value::line));
    let assign = table.or("assign", Vec::new(), rules::of_role);
    let role =
        Role { name: name.into(), permissions: permissions?, companies: companies.map(Into::into) };
    named.then(|| ConfiguredRole { role: Arc::new(role), assign })
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let text = value.text()?;
    let parsed = Pattern::parse(&text);
    match &parsed {
        Ok(pattern) => warn_if_it_covers_nothing(value, pattern),
        Err(error) => value.fault(format!("is {text:?}, {error}")),
    }
    parsed.ok()
}

/// Warns about a permission that covers no route: it is most likely misspelled. A permission whose
/// first word is not nearly one that routes have is taken for the scope of a type, which only the
/// vault knows.
fn warn_if_it_covers_nothing(value: &Value<'_>, pattern: &Pattern) {
    let known = &*PERMISSIONS;
    if known.iter().any(|permission| pattern.covers(permission)) {
        return;
    }
    let space = |permission: &str| permission.split('.').next().unwrap_or_default().to_owned();
    let spaces: BTreeSet<String> = known.iter().map(|permission| space(permission)).collect();
    if nearest(&space(pattern.as_str()), spaces.iter().map(String::as_str)).is_none() {
        return;
    }
    let all_of: Vec<String> = spaces.iter().map(|space| format!("{space}.*")).collect();
    let hint = did_you_mean(
        pattern.as_str(),
        known.iter().copied().chain(all_of.iter().map(String::as_str)),
    );
    value
        .warning(format!("is {:?}, which covers no permission of a route{hint}", pattern.as_str()));
}

/// Every permission that a route needs: collected once, however many permissions a configuration
/// has.
static PERMISSIONS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let needed = |route: &Route| match route.access() {
        Access::Needs { permissions, .. } => permissions,
        Access::Public | Access::Caller => &[],
    };
    vault::routes().iter().flat_map(needed).copied().collect()
});

/// Warns about identifiers in `companies` that match no company, or several: the role then has no
/// effect for them.
pub(super) fn warn_of_unknown_companies(
    root: &Value<'_>,
    roles: &[ConfiguredRole],
    listed: &[DirectoryCompany],
) {
    let count = |identifier: &str| {
        listed.iter().filter(|company| fold(&company.identifier) == fold(identifier)).count()
    };
    for role in roles {
        for identifier in role.role.companies.iter().flat_map(|companies| companies.iter()) {
            let matches = match count(identifier) {
                0 => "none of the companies in the list",
                1 => continue,
                _ => "several companies in the list, so that the role covers none of them",
            };
            let key = format!("roles.{}.companies", role.role.name);
            root.reading.report.warning(
                None,
                &key,
                format!("names {identifier:?}, which matches {matches}"),
            );
        }
    }
}
