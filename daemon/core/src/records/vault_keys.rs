//! Where types and credentials are in the store. Their ids stand in keys as their 25 characters,
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
//! | `gone/<seconds>/<credential or type>` | none: which deleted thing has to be purged when |
//!
//! `<written>` has 8 bytes, `<seconds>` 12 digits.
//!
//! A credential's values stand under the version that wrote them: who reads the credential and then
//! its values finds those that belong to it, or none, and never those of a later version.

use super::keys::Pseudonym;
use crate::ids::{CompanyId, CredentialId, PluginName, SecureValueId, TypeId};
use crate::ports::store::Key;
use crate::time::Timestamp;

pub(super) const TYPE: &[u8] = b"type/";
pub(super) const GONE: &[u8] = b"gone/";
pub(super) const RESEAL: &[u8] = b"reseal/";

const ID_LEN: usize = 25;
const SECONDS_DIGITS: usize = 12;
const SECONDS_MAX: u64 = 999_999_999_999;

/// What a key of `gone/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// A type, and its credentials with it.
    Type(TypeId),
    /// One credential.
    Credential(CredentialId),
}

pub(super) fn of_type(id: TypeId) -> Key {
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

/// What one secure value is sealed for. There is no such key in the store: the envelope lies among
/// others of its credential.
pub(super) fn envelope(of: CredentialId, id: SecureValueId) -> Key {
    key(&[b"secure-value/", of.as_str().as_bytes(), b"/", id.as_str().as_bytes()])
}

pub(super) fn of_type_prefix(id: TypeId) -> Key {
    key(&[b"of-type/", id.as_str().as_bytes(), b"/"])
}

pub(super) fn listed_of_type(of: TypeId, company: CompanyId, id: CredentialId) -> Key {
    let of_type = of_type_prefix(of);
    key(&[of_type.as_bytes(), company.as_str().as_bytes(), b"/", id.as_str().as_bytes()])
}

/// Company and credential of a key that [`listed_of_type`] made.
pub(super) fn parse_listed_of_type(key: &Key) -> Option<(CompanyId, CredentialId)> {
    let bytes = key.as_bytes();
    let (rest, id) = bytes.split_at_checked(bytes.len().checked_sub(ID_LEN)?)?;
    let rest = rest.strip_suffix(b"/")?;
    let company = rest.get(rest.len().checked_sub(ID_LEN)?..)?;
    Some((CompanyId::from_bytes(company)?, CredentialId::from_bytes(id)?))
}

pub(super) fn of_company_prefix(id: CompanyId) -> Key {
    key(&[b"of-company/", id.as_str().as_bytes(), b"/"])
}

pub(super) fn listed_of_company(company: CompanyId, id: CredentialId) -> Key {
    key(&[of_company_prefix(company).as_bytes(), id.as_str().as_bytes()])
}

pub(super) fn gone_of_type_prefix(id: TypeId) -> Key {
    key(&[b"gone-of-type/", id.as_str().as_bytes(), b"/"])
}

pub(super) fn gone_of_type(of: TypeId, id: CredentialId) -> Key {
    key(&[gone_of_type_prefix(of).as_bytes(), id.as_str().as_bytes()])
}

/// The credential at the end of an index key.
pub(super) fn trailing_credential(key: &Key) -> Option<CredentialId> {
    let bytes = key.as_bytes();
    CredentialId::from_bytes(bytes.get(bytes.len().checked_sub(ID_LEN)?..)?)
}

/// The second at which `at` has certainly come.
pub(super) fn gone(at: Timestamp, what: Gone) -> Key {
    let seconds = at.as_millis().div_ceil(1000).min(SECONDS_MAX);
    let (kind, id) = match &what {
        Gone::Type(id) => (b"type/", id.as_str()),
        Gone::Credential(id) => (b"cred/", id.as_str()),
    };
    key(&[GONE, format!("{seconds:0SECONDS_DIGITS$}").as_bytes(), b"/", kind, id.as_bytes()])
}

/// What [`gone`] was made of.
pub(super) fn parse_gone(key: &Key) -> Option<(u64, Gone)> {
    let (seconds, rest) = key.as_bytes().strip_prefix(GONE)?.split_at_checked(SECONDS_DIGITS)?;
    let seconds = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    let rest = rest.strip_prefix(b"/")?;
    let what = match (rest.strip_prefix(b"type/"), rest.strip_prefix(b"cred/")) {
        (Some(id), _) => Gone::Type(TypeId::from_bytes(id)?),
        (_, Some(id)) => Gone::Credential(CredentialId::from_bytes(id)?),
        _ => return None,
    };
    Some((seconds, what))
}

fn key(parts: &[&[u8]]) -> Key {
    Key::new(parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_give_back_what_they_name() {
        let (of, company) = (TypeId::from_random([1; 16]), CompanyId::from_random([2; 16]));
        let id = CredentialId::from_random([3; 16]);
        assert_eq!(parse_type(&of_type(of)), Some(of));
        assert_eq!(parse_reseal(&reseal(of)), Some(of));
        assert_eq!(parse_listed_of_type(&listed_of_type(of, company, id)), Some((company, id)));
        for index in [listed_of_company(company, id), gone_of_type(of, id)] {
            assert_eq!(trailing_credential(&index), Some(id));
        }
        for what in [Gone::Type(of), Gone::Credential(id)] {
            assert_eq!(parse_gone(&gone(Timestamp::from_millis(9_001), what)), Some((10, what)));
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
