//! Types of credentials: their records, and what changes together with one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::writing::Writing;
use super::{CommitError, PAGE, Records, encoding, malformed, vault_keys as keys};
use crate::error::Error;
use crate::field::{Field, ValueType};
use crate::ids::{PluginName, TypeId};
use crate::model::credential_type::{CredentialType, Deleted, DeletedId, FormerField};
use crate::ports::audit::Event;
use crate::ports::store::Versioned;
use crate::ports::store::{Expected, Key, Revision};
use crate::text::unique_fold;
use crate::time::Timestamp;

const TYPE: &str = "type";
const TYPE_NAME: &str = "type-name";
const TYPE_OF: &str = "type-of";

/// The space whose epoch moves when a type changes.
pub(crate) const TYPES: &str = "types";

/// Longest record of a type, in bytes, before it is sealed, and without what comes and goes: the
/// deletion, and the marks of a change under way. The rest of a batch is small.
pub(crate) const MAX_TYPE_BYTES: usize = 26 * 1024;

/// A change of a type, and what belongs to the same batch.
#[derive(Debug, Default)]
pub(crate) struct TypeChange<'a> {
    /// The type as it was read; `None`: it is new.
    pub(crate) before: Option<&'a Versioned<CredentialType>>,
    /// The type as it will be; `None`: its record is deleted.
    pub(crate) after: Option<&'a CredentialType>,
    /// Whether its credentials may have plain values that have to be sealed.
    pub(crate) reseal: bool,
    /// The epoch of its credentials, if the change depends on none being created or deleted since.
    pub(crate) credentials: Option<Option<Revision>>,
    /// The audit event of the change.
    pub(crate) event: Option<&'a Event>,
}

#[derive(Serialize, Deserialize)]
struct TypeRecord<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    icon: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    scope: Option<Cow<'a, str>>,
    plugin: Cow<'a, str>,
    #[serde(rename = "decl", skip_serializing_if = "std::ops::Not::not", default)]
    declared: bool,
    fields: Vec<FieldRecord<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    former: Vec<FormerRecord<'a>>,
    #[serde(rename = "at")]
    created: Timestamp,
    #[serde(rename = "mod")]
    updated: Timestamp,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    closing: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    gone: Option<GoneRecord>,
}

#[derive(Serialize, Deserialize)]
struct FieldRecord<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "n")]
    name: Cow<'a, str>,
    #[serde(rename = "req", skip_serializing_if = "std::ops::Not::not", default)]
    required: bool,
    #[serde(rename = "sec", skip_serializing_if = "std::ops::Not::not", default)]
    secure: bool,
    #[serde(rename = "t")]
    value_type: ValueType,
    #[serde(rename = "ch", skip_serializing_if = "Vec::is_empty", default)]
    choices: Vec<Cow<'a, str>>,
    #[serde(rename = "comp", skip_serializing_if = "std::ops::Not::not", default)]
    computed: bool,
}

#[derive(Serialize, Deserialize)]
struct FormerRecord<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "t")]
    value_type: ValueType,
    #[serde(rename = "ch", skip_serializing_if = "Option::is_none", default)]
    choices: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct GoneRecord {
    at: Timestamp,
    until: Timestamp,
    #[serde(rename = "purge", skip_serializing_if = "std::ops::Not::not", default)]
    purging: bool,
}

impl Records {
    /// All types, deleted ones included. Reads every record: for projections.
    pub(crate) async fn types(&self) -> Result<Vec<Versioned<CredentialType>>, Error> {
        self.scan_all(&Key::new(keys::TYPE), |key, sealed| {
            let id = keys::parse_type(key).ok_or_else(|| malformed(key))?;
            let plain = self.keyring.open(key, TYPE, &sealed.value)?;
            Ok(Versioned { value: decode(id, &plain)?, revision: sealed.revision })
        })
        .await
    }

    /// The type of that id, deleted or not.
    pub(crate) async fn type_of_id(
        &self,
        id: TypeId,
    ) -> Result<Option<Versioned<CredentialType>>, Error> {
        let Some((plain, revision)) = self.get(&keys::credential_type(id), TYPE).await? else {
            return Ok(None);
        };
        Ok(Some(Versioned { value: decode(id, &plain)?, revision }))
    }

    /// The type that `plugin` declares, if it has been created.
    pub(crate) async fn type_of_plugin(
        &self,
        plugin: &PluginName,
    ) -> Result<Option<TypeId>, Error> {
        let Some((plain, _)) = self.get(&keys::type_of_plugin(plugin), TYPE_OF).await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&plain).map_err(Error::internal)?;
        TypeId::parse(text).map(Some).map_err(Error::internal)
    }

    /// Makes `change` durable: the type, its name, and when to seal or purge what.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the type is not as it was read, or its name is taken; nothing
    /// has happened then.
    pub(crate) async fn commit_type(
        &self,
        change: &TypeChange<'_>,
    ) -> Result<Revision, CommitError> {
        let mut writing = self.writing();
        let before = change.before.map(|stored| &stored.value);
        let id = change.after.or(before).ok_or_else(|| Error::internal("a change of no type"))?.id;
        let key = keys::credential_type(id);
        writing.expect(
            &key,
            change.before.map_or(Expected::Absent, |stored| Expected::At(stored.revision)),
        );
        match change.after {
            Some(after) => writing.put(&key, TYPE, &encode(after)?).await?,
            None => writing.delete(key),
        }
        self.put_type_name(&mut writing, before, change.after).await?;
        put_type_of_plugin(&mut writing, before, change.after).await?;
        put_type_gone(&mut writing, before, change.after);
        match (change.reseal, change.after) {
            (true, _) => writing.index(keys::reseal(id)),
            (false, None) => writing.delete(keys::reseal(id)),
            _ => {}
        }
        if let Some(epoch) = change.credentials {
            writing.expect_epoch(&keys::credentials_space(id), epoch);
        }
        if let Some(event) = change.event {
            writing.event(event).await?;
        }
        writing.bump(TYPES);
        writing.commit().await
    }

    async fn put_type_name(
        &self,
        writing: &mut Writing<'_>,
        before: Option<&CredentialType>,
        after: Option<&CredentialType>,
    ) -> Result<(), Error> {
        let key = |credential_type: &CredentialType| {
            let name = unique_fold(&credential_type.name);
            keys::type_name(&self.keyring.pseudonym("type-name", &[name.as_bytes()]))
        };
        let (old, new) = (live(before).map(key), live(after).map(key));
        if old == new {
            return Ok(());
        }
        if let Some(old) = old {
            writing.delete(old);
        }
        if let Some((new, after)) = new.zip(after) {
            writing.expect(&new, Expected::Absent);
            writing.put(&new, TYPE_NAME, after.id.as_str().as_bytes()).await?;
        }
        Ok(())
    }

    /// Types whose credentials may have values to seal. The revision is what [`Records::resealed`]
    /// expects.
    pub(crate) async fn to_reseal(&self) -> Result<Vec<(TypeId, Revision)>, Error> {
        let page = self.scan(&Key::new(keys::RESEAL), None, PAGE).await?;
        let entry = |(key, found): &(Key, crate::ports::store::Versioned)| {
            Ok((keys::parse_reseal(key).ok_or_else(|| malformed(key))?, found.revision))
        };
        page.entries.iter().map(entry).collect()
    }

    /// Whether the credentials of the type may have values to seal. The revision is what
    /// [`Records::resealed`] expects.
    pub(crate) async fn reseal_pending(&self, id: TypeId) -> Result<Option<Revision>, Error> {
        let found = self.store.get(&keys::reseal(id)).await.map_err(Error::internal)?;
        Ok(found.map(|found| found.revision))
    }

    /// Records that no value of the type is left to seal.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when its fields changed again meanwhile.
    pub(crate) async fn resealed(
        &self,
        id: TypeId,
        read: Revision,
        event: &Event,
    ) -> Result<(), CommitError> {
        let mut writing = self.writing();
        let key = keys::reseal(id);
        writing.expect(&key, Expected::At(read));
        writing.event(event).await?;
        writing.delete(key);
        writing.commit().await.map(|_| ())
    }
}

impl Writing<'_> {
    /// Demands that the type is as it was read.
    pub(super) fn expect_type(&mut self, stored: &Versioned<CredentialType>) {
        self.expect(&keys::credential_type(stored.value.id), Expected::At(stored.revision));
    }
}

fn live(credential_type: Option<&CredentialType>) -> Option<&CredentialType> {
    credential_type.filter(|found| found.deleted.is_none())
}

async fn put_type_of_plugin(
    writing: &mut Writing<'_>,
    before: Option<&CredentialType>,
    after: Option<&CredentialType>,
) -> Result<(), Error> {
    match (before, after) {
        (None, Some(created)) if created.declared => {
            let key = keys::type_of_plugin(&created.plugin);
            writing.expect(&key, Expected::Absent);
            writing.put(&key, TYPE_OF, created.id.as_str().as_bytes()).await
        }
        (Some(removed), None) if removed.declared => {
            writing.delete(keys::type_of_plugin(&removed.plugin));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn put_type_gone(
    writing: &mut Writing<'_>,
    before: Option<&CredentialType>,
    after: Option<&CredentialType>,
) {
    let key = |credential_type: &CredentialType| {
        let gone = DeletedId::Type(credential_type.id);
        credential_type.deleted.as_ref().map(|deleted| keys::gone(deleted.until, gone))
    };
    let (old, new) = (before.and_then(key), after.and_then(key));
    if old != new {
        old.into_iter().for_each(|key| writing.delete(key));
        new.into_iter().for_each(|key| writing.index(key));
    }
}

/// The record of a type before it is sealed.
pub(crate) fn encode(credential_type: &CredentialType) -> Result<Vec<u8>, Error> {
    encoding::encode(&TypeRecord::from(credential_type)).map_err(Error::internal)
}

fn decode(id: TypeId, plain: &[u8]) -> Result<CredentialType, Error> {
    let TypeRecord {
        name,
        icon,
        scope,
        plugin,
        declared,
        fields,
        former,
        created,
        updated,
        closing,
        gone,
    } = encoding::decode(plain).map_err(Error::internal)?;
    Ok(CredentialType {
        id,
        name: name.into_owned(),
        icon: icon.map(Cow::into_owned),
        permission_scope: scope.map(Cow::into_owned),
        plugin: PluginName::parse(&plugin).map_err(Error::internal)?,
        declared,
        fields: fields.into_iter().map(Field::from).collect(),
        former: former.into_iter().map(FormerField::from).collect(),
        created,
        updated,
        closing: closing.into_iter().map(Cow::into_owned).collect(),
        deleted: gone.map(Deleted::from),
    })
}

impl<'a> From<&'a CredentialType> for TypeRecord<'a> {
    fn from(credential_type: &'a CredentialType) -> Self {
        Self {
            name: credential_type.name.as_str().into(),
            icon: credential_type.icon.as_deref().map(Cow::Borrowed),
            scope: credential_type.permission_scope.as_deref().map(Cow::Borrowed),
            plugin: credential_type.plugin.as_str().into(),
            declared: credential_type.declared,
            fields: credential_type.fields.iter().map(FieldRecord::from).collect(),
            former: credential_type.former.iter().map(FormerRecord::from).collect(),
            created: credential_type.created,
            updated: credential_type.updated,
            closing: credential_type.closing.iter().map(|id| Cow::Borrowed(id.as_str())).collect(),
            gone: credential_type.deleted.as_ref().map(GoneRecord::from),
        }
    }
}

impl<'a> From<&'a Field> for FieldRecord<'a> {
    fn from(field: &'a Field) -> Self {
        Self {
            id: field.id.as_str().into(),
            name: field.name.as_str().into(),
            required: field.required,
            secure: field.secure,
            value_type: field.value_type,
            choices: field.choices.iter().map(|choice| Cow::Borrowed(choice.as_str())).collect(),
            computed: field.computed,
        }
    }
}

impl From<FieldRecord<'_>> for Field {
    fn from(record: FieldRecord<'_>) -> Self {
        Self {
            id: record.id.into_owned(),
            name: record.name.into_owned(),
            required: record.required,
            secure: record.secure,
            value_type: record.value_type,
            choices: record.choices.into_iter().map(Cow::into_owned).collect(),
            computed: record.computed,
        }
    }
}

impl<'a> From<&'a FormerField> for FormerRecord<'a> {
    fn from(former: &'a FormerField) -> Self {
        Self {
            id: former.id.as_str().into(),
            value_type: former.value_type,
            choices: former.choices.as_deref().map(Cow::Borrowed),
        }
    }
}

impl From<FormerRecord<'_>> for FormerField {
    fn from(record: FormerRecord<'_>) -> Self {
        Self {
            id: record.id.into_owned(),
            value_type: record.value_type,
            choices: record.choices.map(Cow::into_owned),
        }
    }
}

impl From<&Deleted> for GoneRecord {
    fn from(deleted: &Deleted) -> Self {
        Self { at: deleted.at, until: deleted.until, purging: deleted.purging }
    }
}

impl From<GoneRecord> for Deleted {
    fn from(record: GoneRecord) -> Self {
        Self { at: record.at, until: record.until, purging: record.purging }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_comes_back_as_it_was() {
        let field = Field {
            id: "color".into(),
            name: "Colour".into(),
            required: true,
            secure: true,
            value_type: ValueType::Choice,
            choices: vec!["red".into()],
            computed: false,
        };
        let at = Timestamp::from_secs(1);
        let whole = CredentialType {
            id: TypeId::from_random([1; 16]),
            name: "Ünïcode \"quoted\"".into(),
            icon: Some("https://example.com".into()),
            permission_scope: Some("a.b".into()),
            plugin: PluginName::parse("generic").unwrap(),
            declared: true,
            former: vec![
                FormerField::from_field(&field),
                FormerField { id: "c".into(), choices: None, ..FormerField::from_field(&field) },
            ],
            fields: vec![
                field.clone(),
                Field { id: "b".into(), computed: true, required: false, ..field },
            ],
            created: at,
            updated: at,
            closing: vec!["b".into()],
            deleted: Some(Deleted { at, until: at, purging: true }),
        };
        assert_eq!(decode(whole.id, &encode(&whole).unwrap()).unwrap(), whole);
        let bare = CredentialType {
            icon: None,
            permission_scope: None,
            declared: false,
            fields: Vec::new(),
            former: Vec::new(),
            closing: Vec::new(),
            deleted: None,
            ..whole
        };
        assert_eq!(decode(bare.id, &encode(&bare).unwrap()).unwrap(), bare);
    }
}
