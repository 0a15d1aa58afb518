//! The target of a request, for the audit event of a refusal: the records that its path names.

use credsmith_core::ids::{CompanyId, CredentialId, TypeId, UserId};
use credsmith_core::ports::audit::Target;

use super::cx::Params;
use super::route::{Route, parameter_name};

/// The records that the parameters of `row` name by their ids. A parameter that is no id stays out
/// of the event: it may hold anything, a misplaced secret included.
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

/// The word before each parameter, which says what kind of record the parameter names.
fn words(path: &'static str) -> impl Iterator<Item = &'static str> {
    let before = path.split('/');
    before
        .zip(path.split('/').skip(1))
        .filter_map(|(word, segment)| parameter_name(segment).map(|_| word))
}
