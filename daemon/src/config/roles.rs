//! `[roles.<name>]`: permissions of the vault, and who has them.

use std::sync::Arc;

use credsmith_core::access::permission::Pattern;
use credsmith_core::access::rights::Role;

use super::read::{Table, Value};
use super::rules::{self, RuleLine};

/// Longest name of a role, in bytes.
const MAX_NAME: usize = 64;

/// A role, and the rules that give it.
#[derive(Debug)]
pub(crate) struct ConfiguredRole {
    pub(crate) role: Arc<Role>,
    /// Users with such claims have it. Without any it is given by hand alone.
    pub(crate) assign: Vec<RuleLine>,
}

impl ConfiguredRole {
    /// Whether a rule gives somebody every permission, for all companies.
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
            "is no name of a role, expected 1 to {MAX_NAME} bytes without control characters"
        ));
    }
    let permissions = table.required("permissions", "[\"company.*\"]", |value| value.list(pattern));
    let companies = table.optional("companies", |value| value.list(Value::line));
    let assign = table.or("assign", Vec::new(), rules::read);
    let role = Role { name: name.into(), permissions: permissions?, companies: companies.map(Into::into) };
    named.then(|| ConfiguredRole { role: Arc::new(role), assign })
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let text = value.text()?;
    let parsed = Pattern::parse(&text);
    if let Err(error) = &parsed {
        value.fault(format!("is {text:?}, {error}"));
    }
    parsed.ok()
}
