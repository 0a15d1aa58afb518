//! What a path is about, for the audit: whoever reads of a refusal wants to know what was asked
//! for, not just how.

use credsmith_core::ids::{CompanyId, CredentialId, TypeId, UserId};
use credsmith_core::ports::audit::Target;

use super::cx::Params;
use super::route::{Route, parameter_name};

/// The records that the parameters of `row` name by their ids. A name, and whatever else callers
/// write into a path, stays out: it may be anything, a secret that was put into the wrong place
/// included.
pub(super) fn target(row: &Route, params: &Params) -> Target {
    let mut target = Target::default();
    for (word, (_, value)) in words(row.path()).zip(params) {
        match word {
            "credentials" => target.credential = CredentialId::parse(value).ok(),
            "credential-types" => target.credential_type = TypeId::parse(value).ok(),
            "company" | "companies" => target.company = CompanyId::parse(value).ok(),
            "users" => target.user = UserId::parse(value).ok(),
            _ => {}
        }
    }
    target
}

/// The word before each parameter, which says what it is.
fn words(path: &'static str) -> impl Iterator<Item = &'static str> {
    let before = path.split('/');
    before
        .zip(path.split('/').skip(1))
        .filter_map(|(word, segment)| parameter_name(segment).map(|_| word))
}
