//! The keys of types and credentials in the store. Their ids stand in keys as their 25 characters,
//! pseudonyms as their sixteen bytes.
//!
//! | key | value |
//! |---|---|
//! | `type/<type>` | the type |
//! | `type-name/<name>` | the id of the type of that name |
//! | `type-of/<plugin>` | the id of the type that the plugin declares |
//! | `reseal/<type>` | none: its credentials may have plain values of fields that are secure now |
//! | `credential/<credential>` | the credential: all but what does not fit |
//! | `values/<credential>/<written>/<part>` | plain values beyond what fits into the credential |
//! | `sealed/<credential>/<written>/<part>` | secure values, each in an envelope of its own |
//! | `of-type/<type>/<company>/<credential>` | none: which credentials there are |
//! | `of-company/<company>/<credential>` | none: the same by company |
//! | `gone-of-type/<type>/<credential>` | none: which credentials of the type can be restored |
//! | `gone/<seconds>/<credential or type>` | none: when what was deleted has to be purged |
//!
//! `<written>` has 8 bytes, `<seconds>` 12 digits. `of-type/` and `of-company/` are put again when
//! a credential gets another name, so that their revisions say which names are new.
//!
//! A credential's values are stored under the version that wrote them: a reader of the credential
//! and then of its values finds those that belong to it, or none, and never those of a later
//! version.

use super::keys::Pseudonym;
use crate::ids::{CompanyId, CredentialId, PluginName, SecureValueId, TypeId};
use crate::model::credential_type::DeletedId;
use crate::ports::store::Key;
use crate::time::Timestamp;

pub(super) const TYPE: &[u8] = b"type/";
pub(super) const GONE: &[u8] = b"gone/";
pub(super) const RESEAL: &[u8] = b"reseal/";

const ID_LEN: usize = 25;
const SECONDS_DIGITS: usize = 12;
const SECONDS_MAX: u64 = 999_999_999_999;

pub(super) fn credential_type(id: TypeId) -> Key {
    key(&[TYPE, id.as_str().as_bytes()])
}

pub(super) fn parse_type(key: &Key) -> Option<TypeId> {
    TypeId::from_bytes(key.as_bytes().strip_prefix(TYPE)?)
}

pub(super) fn type_name(name: &Pseudonym) -> Key {
    key(&[b"type-name/", name])
}

pub(super) fn type_of_plugin(plugin: &PluginName) -> Key {
    key(&[b"type-of/", plugin.as_str().as_bytes()])
}

pub(super) fn reseal(id: TypeId) -> Key {
    key(&[RESEAL, id.as_str().as_bytes()])
}

pub(super) fn parse_reseal(key: &Key) -> Option<TypeId> {
    TypeId::from_bytes(key.as_bytes().strip_prefix(RESEAL)?)
}

pub(super) fn credential(id: CredentialId) -> Key {
    key(&[b"credential/", id.as_str().as_bytes()])
}

pub(super) fn values(id: CredentialId, written: u64, part: u8) -> Key {
    key(&[b"values/", id.as_str().as_bytes(), b"/", &written.to_be_bytes(), b"/", &[part]])
}

pub(super) fn sealed(id: CredentialId, written: u64, part: u8) -> Key {
    key(&[b"sealed/", id.as_str().as_bytes(), b"/", &written.to_be_bytes(), b"/", &[part]])
}

/// The key that one secure value is sealed for. The store has no such key: the envelope is stored
/// together with the others of its credential.
pub(super) fn envelope(credential: CredentialId, id: SecureValueId) -> Key {
    key(&[b"secure-value/", credential.as_str().as_bytes(), b"/", id.as_str().as_bytes()])
}

pub(super) fn listed_of_type_prefix(id: TypeId) -> Key {
    key(&[b"of-type/", id.as_str().as_bytes(), b"/"])
}

pub(super) fn listed_of_type(type_id: TypeId, company: CompanyId, id: CredentialId) -> Key {
    let prefix = listed_of_type_prefix(type_id);
    key(&[prefix.as_bytes(), company.as_str().as_bytes(), b"/", id.as_str().as_bytes()])
}

/// Company and credential of a key that [`listed_of_type`] made.
pub(super) fn parse_listed_of_type(key: &Key) -> Option<(CompanyId, CredentialId)> {
    let bytes = key.as_bytes();
    let (rest, id) = bytes.split_at_checked(bytes.len().checked_sub(ID_LEN)?)?;
    let rest = rest.strip_suffix(b"/")?;
    let company = rest.get(rest.len().checked_sub(ID_LEN)?..)?;
    Some((CompanyId::from_bytes(company)?, CredentialId::from_bytes(id)?))
}

pub(super) fn listed_of_company_prefix(id: CompanyId) -> Key {
    key(&[b"of-company/", id.as_str().as_bytes(), b"/"])
}

pub(super) fn listed_of_company(company: CompanyId, id: CredentialId) -> Key {
    key(&[listed_of_company_prefix(company).as_bytes(), id.as_str().as_bytes()])
}

pub(super) fn gone_of_type_prefix(id: TypeId) -> Key {
    key(&[b"gone-of-type/", id.as_str().as_bytes(), b"/"])
}

pub(super) fn gone_of_type(type_id: TypeId, id: CredentialId) -> Key {
    key(&[gone_of_type_prefix(type_id).as_bytes(), id.as_str().as_bytes()])
}

/// The credential at the end of an index key.
pub(super) fn trailing_credential(key: &Key) -> Option<CredentialId> {
    let bytes = key.as_bytes();
    CredentialId::from_bytes(bytes.get(bytes.len().checked_sub(ID_LEN)?..)?)
}

/// The key with the second by which `at` has passed.
pub(super) fn gone(at: Timestamp, deleted: DeletedId) -> Key {
    let seconds = at.as_millis().div_ceil(1000).min(SECONDS_MAX);
    let (kind, id) = match &deleted {
        DeletedId::Type(id) => (b"type/", id.as_str()),
        DeletedId::Credential(id) => (b"cred/", id.as_str()),
    };
    key(&[GONE, format!("{seconds:0SECONDS_DIGITS$}").as_bytes(), b"/", kind, id.as_bytes()])
}

/// The second and the id of a key that [`gone`] made.
pub(super) fn parse_gone(key: &Key) -> Option<(u64, DeletedId)> {
    let (seconds, rest) = key.as_bytes().strip_prefix(GONE)?.split_at_checked(SECONDS_DIGITS)?;
    let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    let rest = rest.strip_prefix(b"/")?;
    let deleted = match (rest.strip_prefix(b"type/"), rest.strip_prefix(b"cred/")) {
        (Some(id), _) => DeletedId::Type(TypeId::from_bytes(id)?),
        (_, Some(id)) => DeletedId::Credential(CredentialId::from_bytes(id)?),
        _ => return None,
    };
    Some((seconds, deleted))
}

/// The space whose epoch moves when a credential of the type is created, deleted or restored.
pub(crate) fn credentials_space(id: TypeId) -> String {
    format!("credentials/{id}")
}

/// The space whose epoch moves when a credential of the type is created, renamed, deleted or
/// restored.
pub(crate) fn names_of_type_space(id: TypeId) -> String {
    format!("names-of-type/{id}")
}

/// The same of the credentials of a company.
pub(crate) fn names_of_company_space(id: CompanyId) -> String {
    format!("names-of-company/{id}")
}

fn key(parts: &[&[u8]]) -> Key {
    Key::new(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parsed_back() {
        let (type_id, company) = (TypeId::from_random([1; 16]), CompanyId::from_random([2; 16]));
        let id = CredentialId::from_random([3; 16]);
        assert_eq!(parse_type(&credential_type(type_id)), Some(type_id));
        assert_eq!(parse_reseal(&reseal(type_id)), Some(type_id));
        assert_eq!(
            parse_listed_of_type(&listed_of_type(type_id, company, id)),
            Some((company, id))
        );
        for index in [listed_of_company(company, id), gone_of_type(type_id, id)] {
            assert_eq!(trailing_credential(&index), Some(id));
        }
        for deleted in [DeletedId::Type(type_id), DeletedId::Credential(id)] {
            let key = gone(Timestamp::from_millis(9_001), deleted);
            assert_eq!(parse_gone(&key), Some((10, deleted)));
        }
        assert_eq!(parse_gone(&Key::new("gone/12/x")), None);
        assert_eq!(parse_listed_of_type(&Key::new("of-type/x")), None);
        assert_eq!(trailing_credential(&Key::new("short")), None);
    }

    #[test]
    fn a_version_of_values_is_a_key_of_its_own() {
        let id = CredentialId::from_random([3; 16]);
        assert_ne!(values(id, 1, 0), values(id, 256, 0));
        assert_ne!(values(id, 1, 0), values(id, 1, 1));
        assert_ne!(values(id, 1, 0), sealed(id, 1, 0));
    }
}
