//! `[cors]`: web pages of other origins that may call the vault.

use super::origin::Origin;
use super::read::{Table, Value};

/// Reads the exact origins, as browsers send them.
pub(crate) fn read(table: &Table<'_>) -> Vec<String> {
    table.or("origins", Vec::new(), |value| value.list(origin))
}

fn origin(value: &Value<'_>) -> Option<String> {
    let expected = "an origin like \"https://vault.example.org\", without a path";
    let origin: Origin = value.parsed(expected)?;
    Some(origin.serialized())
}
