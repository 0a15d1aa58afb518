//! Credentials: their records, their values, and what changes together with one.
//!
//! A credential is one record, which holds its plain values while they are short. Longer ones, and
//! all secure values, are stored in parts under keys that name the version that wrote them, in the
//! batch that writes the record. Reads are no snapshot: a reader that does not find a part reads
//! the record again.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credential_types::GoneRecord;
use super::credential_values::{
    MAX_PARTS, PART_BYTES, pack_plain, pack_sealed, unpack_plain, unpack_sealed,
};
use super::writing::Writing;
use super::{CommitError, Records, encoding, malformed, vault_keys as keys};
use crate::error::Error;
use crate::ids::{CompanyId, CredentialId, TypeId};
use crate::model::credential::{Credential, ValueParts};
use crate::model::credential_type::{CredentialType, Deleted, DeletedId};
use crate::model::values::{Sealed, SealedValue};
use crate::ports::audit::Event;
use crate::ports::store::Versioned;
use crate::ports::store::{Expected, Key, Revision};
use crate::secret::Secret;
use crate::time::Timestamp;

const CREDENTIAL: &str = "credential";
const VALUES: &str = "values";
const SEALED: &str = "sealed";

/// Plain values of at most this many bytes are stored in the record itself: it has room for them
/// and for the names of as many secure ones as a credential may have.
const INLINE_BYTES: usize = 8 * 1024;
/// How often a credential that changes while it is read is read again.
const READINGS: u32 = 64;

/// A change of a credential, and what belongs to the same batch.
#[derive(Debug, Default)]
pub(crate) struct CredentialChange<'a> {
    /// The credential as it was read; `None`: it is new.
    pub(crate) before: Option<&'a Versioned<Credential>>,
    /// The credential as it will be; `None`: it is removed for good.
    pub(crate) after: Option<&'a Credential>,
    /// Its secure values, when any of its values change.
    pub(crate) values: Option<&'a Sealed>,
    /// Its type, which the commit expects as it was read.
    pub(crate) credential_type: Option<&'a Versioned<CredentialType>>,
    /// The audit events of the change.
    pub(crate) events: &'a [Event],
}

#[derive(Serialize, Deserialize)]
struct CredentialRecord<'a> {
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    type_id: Cow<'a, str>,
    #[serde(rename = "co")]
    company: Cow<'a, str>,
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "at")]
    created: Timestamp,
    #[serde(rename = "mod")]
    updated: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    gone: Option<GoneRecord>,
    #[serde(rename = "sec", skip_serializing_if = "BTreeSet::is_empty", default)]
    sealed_fields: Cow<'a, BTreeSet<String>>,
    /// Base64 of the plain values, unless they are stored in parts.
    #[serde(rename = "val", skip_serializing_if = "String::is_empty", default)]
    inline: String,
    #[serde(rename = "w")]
    written: u64,
    #[serde(rename = "vp", skip_serializing_if = "is_zero", default)]
    plain_parts: u8,
    #[serde(rename = "sp", skip_serializing_if = "is_zero", default)]
    sealed_parts: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &u8) -> bool {
    *count == 0
}

impl Records {
    /// The credential of that id, deleted or not, with its plain values.
    pub(crate) async fn credential(
        &self,
        id: CredentialId,
    ) -> Result<Option<Versioned<Credential>>, Error> {
        let key = keys::credential(id);
        let mut seen = None;
        for _ in 0..READINGS {
            let Some((plain, revision)) = self.get(&key, CREDENTIAL).await? else {
                return Ok(None);
            };
            let (mut stored, inline) = decode(id, &plain, revision)?;
            let packed = match stored.value.parts.plain {
                0 => Some(inline),
                count => {
                    self.parts(count, VALUES, |part| {
                        keys::values(id, stored.value.parts.written, part)
                    })
                    .await?
                }
            };
            if let Some(packed) = packed {
                stored.value.plain = unpack_plain(&packed).map_err(Error::internal)?;
                return Ok(Some(stored));
            }
            if seen.replace(revision) == Some(revision) {
                break;
            }
        }
        Err(Error::internal(format!("values of the credential {id} are missing")))
    }

    /// Whether the credential is as it was read.
    pub(crate) async fn is_current(&self, stored: &Versioned<Credential>) -> Result<bool, Error> {
        let now =
            self.store.get(&keys::credential(stored.value.id)).await.map_err(Error::internal)?;
        Ok(now.is_some_and(|now| now.revision == stored.revision))
    }

    /// The secure values of a credential, still in their envelopes. `None` when it changed since it
    /// was read.
    pub(crate) async fn sealed_values(
        &self,
        stored: &Versioned<Credential>,
    ) -> Result<Option<Sealed>, Error> {
        let credential = &stored.value;
        let parts = credential.parts;
        let key = |part| keys::sealed(credential.id, parts.written, part);
        let Some(packed) = self.parts(parts.sealed, SEALED, key).await? else {
            if !self.is_current(stored).await? {
                return Ok(None);
            }
            return Err(Error::internal(format!(
                "secure values of the credential {} are missing",
                credential.id
            )));
        };
        unpack_sealed(&packed).map(Some).map_err(Error::internal)
    }

    /// All parts together; `None` when one is not there.
    async fn parts(
        &self,
        count: u8,
        field: &str,
        key: impl Fn(u8) -> Key,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let mut packed = Zeroizing::new(Vec::new());
        for part in 0..count {
            let Some((bytes, _)) = self.get(&key(part), field).await? else { return Ok(None) };
            packed.extend_from_slice(&bytes);
        }
        Ok(Some(packed))
    }

    /// Seals a secure value for its place: no other field, value or credential opens it. It is
    /// padded, since its length is shown with it. Values of earlier versions are not, and open as
    /// well.
    pub(crate) async fn seal_value(
        &self,
        credential: CredentialId,
        field: &str,
        id: crate::ids::SecureValueId,
        value: &Secret,
    ) -> Result<SealedValue, Error> {
        let envelope = self
            .keyring
            .seal_padded(&keys::envelope(credential, id), field, value.expose())
            .await?;
        Ok(SealedValue { id, envelope })
    }

    /// Opens what [`Records::seal_value`] sealed.
    pub(crate) fn open_value(
        &self,
        credential: CredentialId,
        field: &str,
        value: &SealedValue,
    ) -> Result<Secret, Error> {
        let plain =
            self.keyring.open(&keys::envelope(credential, value.id), field, &value.envelope)?;
        Ok(Secret::new(plain.to_vec()))
    }

    /// The credentials of a type that are not deleted.
    pub(crate) async fn credentials_of_type(
        &self,
        id: TypeId,
    ) -> Result<Vec<(CompanyId, CredentialId)>, Error> {
        self.scan_keys(&keys::listed_of_type_prefix(id), keys::parse_listed_of_type).await
    }

    /// The credentials of a company that are not deleted, each with the revision of its name.
    pub(crate) async fn names_of_company(
        &self,
        id: CompanyId,
    ) -> Result<Vec<(CredentialId, Revision)>, Error> {
        self.names(&keys::listed_of_company_prefix(id)).await
    }

    /// The same of a type.
    pub(crate) async fn names_of_type(
        &self,
        id: TypeId,
    ) -> Result<Vec<(CredentialId, Revision)>, Error> {
        self.names(&keys::listed_of_type_prefix(id)).await
    }

    async fn names(&self, prefix: &Key) -> Result<Vec<(CredentialId, Revision)>, Error> {
        self.scan_all(prefix, |key, stored| {
            let id = keys::trailing_credential(key).ok_or_else(|| malformed(key))?;
            Ok((id, stored.revision))
        })
        .await
    }

    /// The credential of that id without its values, deleted or not.
    pub(crate) async fn credential_head(
        &self,
        id: CredentialId,
    ) -> Result<Option<Credential>, Error> {
        let found = self.get(&keys::credential(id), CREDENTIAL).await?;
        let decoded = found.map(|(plain, revision)| decode(id, &plain, revision));
        Ok(decoded.transpose()?.map(|(stored, _)| stored.value))
    }

    /// The deleted credentials of a type.
    pub(crate) async fn deleted_of_type(&self, id: TypeId) -> Result<Vec<CredentialId>, Error> {
        self.scan_keys(&keys::gone_of_type_prefix(id), keys::trailing_credential).await
    }

    /// Everything that is deleted, with the second from which it has to be purged, in that order.
    pub(crate) async fn deleted(&self) -> Result<Vec<(u64, DeletedId)>, Error> {
        self.scan_keys(&Key::new(keys::GONE), keys::parse_gone).await
    }

    /// What has to be purged by `now`, at most `limit`.
    pub(crate) async fn due_for_purge(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeletedId>, Error> {
        let page = self.scan(&Key::new(keys::GONE), None, limit).await?;
        let due =
            |key: &Key| keys::parse_gone(key).filter(|(seconds, _)| *seconds <= now.as_secs());
        Ok(page.entries.iter().map_while(|(key, _)| due(key)).map(|(_, deleted)| deleted).collect())
    }

    /// Makes `change` durable: the credential, its values, its indexes.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the credential or its type is not as it was read; nothing has
    /// happened then.
    pub(crate) async fn commit_credential(
        &self,
        change: &CredentialChange<'_>,
    ) -> Result<Revision, CommitError> {
        let mut writing = self.writing();
        let before = change.before.map(|stored| &stored.value);
        let id =
            change.after.or(before).ok_or_else(|| Error::internal("a change of no credential"))?.id;
        let key = keys::credential(id);
        writing.expect(
            &key,
            change.before.map_or(Expected::Absent, |stored| Expected::At(stored.revision)),
        );
        match change.after {
            Some(after) => {
                let plain = put_values(&mut writing, change, after).await?;
                writing.put(&key, CREDENTIAL, &plain).await?;
            }
            None => {
                writing.delete(key);
                drop_parts(&mut writing, change.before);
            }
        }
        put_indexes(&mut writing, before, change.after);
        if let Some(credential_type) = change.credential_type {
            writing.expect_type(credential_type);
        }
        for event in change.events {
            writing.event(event).await?;
        }
        writing.commit().await
    }
}

/// Puts the parts of `after`, if its values change, and returns its record.
async fn put_values(
    writing: &mut Writing<'_>,
    change: &CredentialChange<'_>,
    after: &Credential,
) -> Result<Vec<u8>, Error> {
    let kept = change.before.map(|stored| stored.value.parts).unwrap_or_default();
    let plain = pack_plain(&after.plain).map_err(Error::internal)?;
    let Some(sealed) = change.values else {
        let inline: &[u8] = if kept.plain == 0 { &plain } else { &[] };
        return encode(after, kept, inline);
    };
    drop_parts(writing, change.before);
    let packed = pack_sealed(sealed).map_err(Error::internal)?;
    let written = after.version;
    let fits = plain.len() <= INLINE_BYTES;
    let parts = ValueParts {
        written,
        plain: if fits {
            0
        } else {
            put_parts(writing, VALUES, &plain, |part| keys::values(after.id, written, part)).await?
        },
        sealed: put_parts(writing, SEALED, &packed, |part| keys::sealed(after.id, written, part))
            .await?,
    };
    encode(after, parts, if fits { &plain } else { &[] })
}

async fn put_parts(
    writing: &mut Writing<'_>,
    field: &str,
    packed: &[u8],
    key: impl Fn(u8) -> Key,
) -> Result<u8, Error> {
    let mut count = 0;
    for bytes in packed.chunks(PART_BYTES) {
        if usize::from(count) == MAX_PARTS {
            return Err(Error::internal("a credential has more values than it may have"));
        }
        writing.put(&key(count), field, bytes).await?;
        count += 1;
    }
    Ok(count)
}

fn drop_parts(writing: &mut Writing<'_>, before: Option<&Versioned<Credential>>) {
    let Some(Versioned { value: credential, .. }) = before else { return };
    let parts = credential.parts;
    (0..parts.plain)
        .for_each(|part| writing.delete(keys::values(credential.id, parts.written, part)));
    (0..parts.sealed)
        .for_each(|part| writing.delete(keys::sealed(credential.id, parts.written, part)));
}

/// Writes the index keys that change, and no others.
fn put_indexes(writing: &mut Writing<'_>, before: Option<&Credential>, after: Option<&Credential>) {
    let (old, new) =
        (before.map(indexes).unwrap_or_default(), after.map(indexes).unwrap_or_default());
    old.difference(&new).for_each(|key| writing.delete(key.clone()));
    new.difference(&old).for_each(|key| writing.index(key.clone()));
    let is_live =
        |credential: Option<&Credential>| credential.is_some_and(|one| one.deleted.is_none());
    let Some(credential) = after.or(before) else { return };
    if is_live(before) != is_live(after) {
        writing.bump(&keys::credentials_space(credential.type_id));
    }
    let name = |credential: Option<&Credential>| {
        credential.filter(|one| one.deleted.is_none()).map(|one| one.name.clone())
    };
    if name(before) != name(after) {
        // Put again, so that their revision says that the name is another one.
        new.intersection(&old).for_each(|key| writing.index(key.clone()));
        writing.bump(&keys::names_of_type_space(credential.type_id));
        writing.bump(&keys::names_of_company_space(credential.company));
    }
}

fn indexes(credential: &Credential) -> BTreeSet<Key> {
    let Credential { id, type_id, company, .. } = *credential;
    match &credential.deleted {
        None => [keys::listed_of_type(type_id, company, id), keys::listed_of_company(company, id)]
            .into(),
        Some(deleted) => {
            [keys::gone_of_type(type_id, id), keys::gone(deleted.until, DeletedId::Credential(id))]
                .into()
        }
    }
}

fn encode(credential: &Credential, parts: ValueParts, inline: &[u8]) -> Result<Vec<u8>, Error> {
    let record = CredentialRecord {
        name: credential.name.as_str().into(),
        type_id: credential.type_id.as_str().into(),
        company: credential.company.as_str().into(),
        version: credential.version,
        created: credential.created,
        updated: credential.updated,
        gone: credential.deleted.as_ref().map(GoneRecord::from),
        sealed_fields: Cow::Borrowed(&credential.sealed_fields),
        inline: STANDARD_NO_PAD.encode(inline),
        written: parts.written,
        plain_parts: parts.plain,
        sealed_parts: parts.sealed,
    };
    encoding::encode(&record).map_err(Error::internal)
}

/// The credential without its values, and the values that the record holds.
fn decode(
    id: CredentialId,
    plain: &[u8],
    revision: Revision,
) -> Result<(Versioned<Credential>, Zeroizing<Vec<u8>>), Error> {
    let record: CredentialRecord<'_> = encoding::decode(plain).map_err(Error::internal)?;
    let inline =
        Zeroizing::new(STANDARD_NO_PAD.decode(record.inline.as_bytes()).map_err(Error::internal)?);
    let credential = Credential {
        id,
        name: record.name.into_owned(),
        type_id: TypeId::parse(&record.type_id).map_err(Error::internal)?,
        company: CompanyId::parse(&record.company).map_err(Error::internal)?,
        version: record.version,
        created: record.created,
        updated: record.updated,
        deleted: record.gone.map(Deleted::from),
        sealed_fields: record.sealed_fields.into_owned(),
        plain: Default::default(),
        parts: ValueParts {
            written: record.written,
            plain: record.plain_parts,
            sealed: record.sealed_parts,
        },
    };
    Ok((Versioned { value: credential, revision }, inline))
}
