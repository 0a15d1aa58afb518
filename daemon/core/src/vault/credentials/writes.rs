//! Creating, changing and deleting credentials.
//!
//! Every write expects the credential and its type as they were when the write was checked:
//! concurrent changes never mix, and none straddles a change of the type. A write that loses reads
//! again, is checked again, and merges into what is stored by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::normalise::RequestedValues;
use crate::access::vault::{ChangeValues, Delete, Rename, authorize_place};
use crate::access::{CreateCredential, Grant, PlaceCredential};
use crate::error::{Error, FieldProblem, RequestField};
use crate::field::Field;
use crate::ground::{outcome_of, retry};
use crate::ids::{CredentialId, SecureValueId};
use crate::model::company::Company;
use crate::model::credential::Credential;
use crate::model::credential_type::CredentialType;
use crate::model::values::{Extent, Plain, Sealed, revealable, shown, unsealed};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::credentials::CredentialChange;
use crate::secret::Secret;
use crate::vault::credentials::{CredentialSnapshot, CredentialView};
use crate::vault::draft::{CredentialDraft, Problems, ValueDraft};
use crate::vault::types::parse_name;
use crate::vault::{AuthorizedCredential, Vault};

/// Values of a credential that were read for a change.
#[derive(Default)]
struct OpenedValues {
    sealed: Sealed,
    /// The values that the plugin may see, by field: those of fields that the type has.
    visible: BTreeMap<String, Secret>,
    /// The secure fields among them.
    secure_fields: Vec<String>,
}

/// Where a credential is created, and by whose grant.
struct Place {
    grant: Grant<PlaceCredential>,
    credential_type: Arc<Versioned<CredentialType>>,
    company: Arc<Company>,
    name: String,
}

/// A change of values that a client asks for.
struct ValuesRequest {
    drafts: Option<Vec<Option<ValueDraft>>>,
    problems: Vec<FieldProblem>,
    expected: Option<Vec<u64>>,
}

impl Vault {
    /// Creates a credential. `problems` are those that were found while the draft was read. The
    /// creation is finished even if this future is dropped.
    ///
    /// # Errors
    /// `Forbidden` when the permission does not reach the company, or the scope of the type is not
    /// held; `Invalid` with every problem; `Conflict` when the type's plugin is no longer
    /// configured; the error of a plugin that failed; `Internal` when the store fails.
    pub async fn create_credential(
        self: &Arc<Self>,
        grant: Grant<CreateCredential>,
        draft: CredentialDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<CredentialView, Error> {
        let vault = Arc::clone(self);
        let work = async move {
            let id = CredentialId::from_random(random_16(&*vault.ground.entropy));
            retry(|| vault.try_create(&grant, id, &draft, &problems)).await
        };
        self.ground.detached("make a credential", Box::pin(work)).await
    }

    async fn try_create(
        &self,
        grant: &Grant<CreateCredential>,
        id: CredentialId,
        draft: &CredentialDraft,
        problems: &[FieldProblem],
    ) -> Result<CredentialView, CommitError> {
        let (types, companies) = (self.types().await?, self.companies.view().await?);
        let credential_type = draft.parsed_type_id().and_then(|id| types.by_id(id));
        let company = draft.parsed_company_id().and_then(|id| companies.by_id(id));
        let scope = credential_type.and_then(|stored| stored.value.permission_scope.as_deref());
        let grant = authorize_place(grant, &companies, company.map(|company| &**company), scope)?;

        let mut problems = Problems::from_reading(problems.to_vec());
        let name = draft.name.as_deref();
        let name =
            name.and_then(|name| parse_name(&mut problems, &[RequestField::Name.into()], name));
        if draft.type_id.is_some() && credential_type.is_none() {
            problems.add([RequestField::Type.into()], "There is no such type.");
        }
        if draft.company_id.is_some() && company.is_none() {
            problems.add([RequestField::Company.into()], "There is no such company.");
        }
        let (Some(credential_type), Some(drafts)) = (credential_type, &draft.values) else {
            return Err(problems.into_error().into());
        };
        let requested = RequestedValues::parse(&mut problems, &credential_type.value, drafts);
        let values = requested.merge(&mut problems, &credential_type.value, BTreeMap::new());
        let request = (values.as_slice(), Extent::default());
        let returned =
            self.normalise(&credential_type.value, &requested, request, problems).await?;
        let (name, company) = name
            .zip(company)
            .ok_or_else(|| Error::internal("a draft without problems lacks its name or company"))?;
        let (credential_type, company) = (Arc::clone(credential_type), Arc::clone(company));
        let place = Place { grant, credential_type, company, name };
        self.commit_created(id, place, &requested, returned).await
    }

    async fn commit_created(
        &self,
        id: CredentialId,
        place: Place,
        requested: &RequestedValues,
        returned: Vec<(String, Secret)>,
    ) -> Result<CredentialView, CommitError> {
        let Place { grant, credential_type, company, name } = place;
        let opened = OpenedValues::default();
        let (plain, sealed) =
            self.seal_returned(&credential_type.value, id, returned, &opened).await?;
        let now = self.ground.clock.now();
        let blank = Credential {
            id,
            name,
            type_id: credential_type.value.id,
            company: company.id,
            version: 0,
            created: now,
            updated: now,
            deleted: None,
            plain: Plain::new(),
            sealed_fields: BTreeSet::new(),
            parts: Default::default(),
        };
        let created = blank.with_values(1, plain, &sealed);
        let actor = Some(grant.member().into());
        let event = self.credential_event(actor, Action::Create, &created, requested.field_ids());
        let change = CredentialChange {
            after: Some(&created),
            values: Some(&sealed),
            credential_type: Some(&credential_type),
            events: &[event],
            ..CredentialChange::default()
        };
        self.commit_values(&change).await?;
        Ok(CredentialSnapshot::written(created, &credential_type, &company).view())
    }

    /// Changes the name of a credential. `None`, or the name that it has: nothing is written.
    ///
    /// # Errors
    /// `Stale` when the credential is at none of the `expected` versions; `Invalid` with every
    /// problem; those of [`Vault::authorize`], since another change may come first.
    pub async fn rename(
        &self,
        authorized: AuthorizedCredential<Rename>,
        name: Option<&str>,
        problems: Vec<FieldProblem>,
        expected: Option<&[u64]>,
    ) -> Result<CredentialView, Error> {
        let problems = &problems;
        let attempt = |authorized: Arc<AuthorizedCredential<Rename>>| async move {
            self.try_rename(&authorized, name, problems, expected).await
        };
        self.retry_authorized(authorized, attempt).await
    }

    async fn try_rename(
        &self,
        authorized: &AuthorizedCredential<Rename>,
        name: Option<&str>,
        problems: &[FieldProblem],
        expected: Option<&[u64]>,
    ) -> Result<CredentialView, CommitError> {
        let CredentialSnapshot { stored, credential_type, .. } = &authorized.snapshot;
        authorized.snapshot.check_version(expected)?;
        let mut problems = Problems::from_reading(problems.to_vec());
        let name =
            name.and_then(|name| parse_name(&mut problems, &[RequestField::Name.into()], name));
        problems.into_result()?;
        let before = &stored.value;
        let Some(name) = name.filter(|name| *name != before.name) else {
            return Ok(authorized.view());
        };
        let (version, updated) = (before.version + 1, self.ground.clock.now());
        let after = Credential { name, version, updated, ..before.clone() };
        let actor = Some(authorized.grant.member().into());
        let event = self.credential_event(actor, Action::Change, &after, Vec::new());
        let event = Event { note: Some("name".to_owned()), ..event };
        let change = CredentialChange {
            before: Some(stored),
            after: Some(&after),
            credential_type: Some(credential_type),
            events: &[event],
            ..CredentialChange::default()
        };
        self.records().commit_credential(&change).await?;
        Ok(authorized.snapshot.view_after(after))
    }

    /// Sets the values that the request names, removes those that it names without a value, and
    /// keeps the others. The plugin checks all of them together. When it had to be shown stored
    /// secure values, that is audited, whatever its answer is. The change is finished even if this
    /// future is dropped.
    ///
    /// # Errors
    /// Those of [`Vault::rename`], and those of [`Vault::create_credential`] about values. Nothing
    /// has changed then.
    pub async fn change_values(
        self: &Arc<Self>,
        authorized: AuthorizedCredential<ChangeValues>,
        drafts: Option<Vec<Option<ValueDraft>>>,
        problems: Vec<FieldProblem>,
        expected: Option<Vec<u64>>,
    ) -> Result<CredentialView, Error> {
        // The lock is awaited outside of the detached work: clients that hang up leave one change
        // of a credential behind, not a queue of them.
        let locked = self.change_locks.lock(authorized.grant.credential()).await;
        let vault = Arc::clone(self);
        let request = ValuesRequest { drafts, problems, expected };
        let work = async move {
            let _locked = locked;
            vault.run_change(authorized, &request).await
        };
        self.ground.detached("change values", Box::pin(work)).await
    }

    async fn run_change(
        &self,
        mut authorized: AuthorizedCredential<ChangeValues>,
        request: &ValuesRequest,
    ) -> Result<CredentialView, Error> {
        // It may have changed while this change waited for the lock.
        if !self.records().is_current(&authorized.snapshot.stored).await? {
            authorized = self.reauthorize(&authorized).await?;
        }
        let attempt = |authorized: Arc<AuthorizedCredential<ChangeValues>>| async move {
            self.try_change(&authorized, request).await
        };
        self.retry_authorized(authorized, attempt).await
    }

    async fn try_change(
        &self,
        authorized: &AuthorizedCredential<ChangeValues>,
        request: &ValuesRequest,
    ) -> Result<CredentialView, CommitError> {
        let snapshot = &authorized.snapshot;
        snapshot.check_version(request.expected.as_deref())?;
        let mut problems = Problems::from_reading(request.problems.clone());
        let Some(drafts) = &request.drafts else { return Err(problems.into_error().into()) };
        let definition = &snapshot.credential_type.value;
        let requested = RequestedValues::parse(&mut problems, definition, drafts);
        let opened = self.open(snapshot, &requested).await?.ok_or(CommitError::Conflict)?;
        let after = self.commit_changed(authorized, &requested, opened, problems).await?;
        Ok(snapshot.view_after(after))
    }

    async fn commit_changed(
        &self,
        authorized: &AuthorizedCredential<ChangeValues>,
        requested: &RequestedValues,
        opened: OpenedValues,
        mut problems: Problems,
    ) -> Result<Credential, CommitError> {
        let CredentialSnapshot { stored, credential_type, .. } = &authorized.snapshot;
        let (before, definition) = (&stored.value, &credential_type.value);
        let actor = Actor::from(authorized.grant.member());
        let use_event = self.use_event(&actor, before, &opened);
        let values = requested.merge(&mut problems, definition, opened.visible.clone());
        let (hidden_plain, hidden_sealed) = hidden(definition, before, &opened.sealed);
        let hidden = Extent::measure(&hidden_plain, &hidden_sealed);
        let returned = self.normalise(definition, requested, (&values, hidden), problems).await;
        let returned = match returned {
            Ok(returned) => returned,
            Err(error) => {
                // The plugin has seen stored secrets: that is audited also when it refuses.
                if let Some(event) = use_event {
                    self.ground.record(&Event { outcome: outcome_of(&error), ..event }).await?;
                }
                return Err(error.into());
            }
        };
        let (mut plain, mut sealed) =
            self.seal_returned(definition, before.id, returned, &opened).await?;
        // A new value of a plain field replaces the hidden one of that field.
        sealed.extend(hidden_sealed.into_iter().filter(|(field, _)| !plain.contains_key(field)));
        plain.extend(hidden_plain);
        let after = Credential {
            updated: self.ground.clock.now(),
            ..before.with_values(before.visible_version(definition) + 1, plain, &sealed)
        };
        let change_event =
            self.credential_event(Some(actor), Action::Change, &after, requested.field_ids());
        let events: Vec<Event> = use_event.into_iter().chain([change_event]).collect();
        let change = CredentialChange {
            before: Some(stored),
            after: Some(&after),
            values: Some(&sealed),
            credential_type: Some(credential_type),
            events: &events,
        };
        match self.commit_values(&change).await {
            Ok(()) => Ok(after),
            Err(lost) => {
                // Whatever the next attempt does, the plugin has seen them in this one.
                if let Some(event) = events.iter().find(|event| event.action == Action::Use) {
                    self.ground.record(event).await?;
                }
                Err(lost)
            }
        }
    }

    /// The event that the plugin was shown stored secure values, if it is.
    fn use_event(
        &self,
        actor: &Actor,
        credential: &Credential,
        opened: &OpenedValues,
    ) -> Option<Event> {
        let fields = &opened.secure_fields;
        (!fields.is_empty()).then(|| {
            self.credential_event(Some(actor.clone()), Action::Use, credential, fields.clone())
        })
    }

    /// Deletes a credential. An operator can restore it until its window is over.
    ///
    /// # Errors
    /// `Stale` when the credential is at none of the `expected` versions; those of
    /// [`Vault::authorize`], since another change may come first.
    pub async fn delete_credential(
        &self,
        authorized: AuthorizedCredential<Delete>,
        expected: Option<&[u64]>,
    ) -> Result<(), Error> {
        let attempt = |authorized: Arc<AuthorizedCredential<Delete>>| async move {
            self.try_delete(&authorized, expected).await
        };
        self.retry_authorized(authorized, attempt).await?;
        self.jobs.wake();
        Ok(())
    }

    async fn try_delete(
        &self,
        authorized: &AuthorizedCredential<Delete>,
        expected: Option<&[u64]>,
    ) -> Result<(), CommitError> {
        let CredentialSnapshot { stored, credential_type, .. } = &authorized.snapshot;
        authorized.snapshot.check_version(expected)?;
        let after = Credential {
            deleted: Some(self.deleted_now()),
            version: stored.value.version + 1,
            ..stored.value.clone()
        };
        let actor = Some(authorized.grant.member().into());
        let event = self.credential_event(actor, Action::Delete, &after, Vec::new());
        let change = CredentialChange {
            before: Some(stored),
            after: Some(&after),
            credential_type: Some(credential_type),
            events: &[event],
            ..CredentialChange::default()
        };
        self.records().commit_credential(&change).await.map(drop)
    }

    /// Opens the values that the plugin has to see: those that the request does not name, of fields
    /// that the type has and the plugin does not compute. `None` when the credential changed since
    /// it was read.
    async fn open(
        &self,
        snapshot: &CredentialSnapshot,
        requested: &RequestedValues,
    ) -> Result<Option<OpenedValues>, Error> {
        let CredentialSnapshot { stored, credential_type, .. } = snapshot;
        let Some(sealed) = self.records().sealed_values(stored).await? else { return Ok(None) };
        let (fields, id) = (&credential_type.value.fields, stored.value.id);
        let wanted = |field: &&Field| !field.computed && !requested.contains(&field.id);
        let plain = &stored.value.plain;
        let mut visible: BTreeMap<String, Secret> = shown(fields, plain)
            .filter(|(field, _)| wanted(field))
            .map(|(field, value)| (field.id.clone(), value.clone()))
            .collect();
        let mut secure_fields = Vec::new();
        for (field, value) in revealable(fields, &sealed).filter(|(field, _)| wanted(field)) {
            visible.insert(field.id.clone(), self.records().open_value(id, &field.id, value)?);
            secure_fields.push(field.id.clone());
        }
        // Last: an unsealed value is newer than a sealed one of the same field, which was hidden
        // when it was written.
        for (field, value) in unsealed(fields, plain).filter(|(field, _)| wanted(field)) {
            if visible.insert(field.id.clone(), value.clone()).is_none() {
                secure_fields.push(field.id.clone());
            }
        }
        Ok(Some(OpenedValues { sealed, visible, secure_fields }))
    }

    /// What the plugin returned, as it will be stored: values of secure fields in envelopes. An
    /// envelope stays as it is when its value stays.
    async fn seal_returned(
        &self,
        credential_type: &CredentialType,
        id: CredentialId,
        returned: Vec<(String, Secret)>,
        opened: &OpenedValues,
    ) -> Result<(Plain, Sealed), Error> {
        let (mut plain, mut sealed) = (Plain::new(), Sealed::new());
        for (field, value) in returned {
            if !credential_type.field(&field).is_some_and(|field| field.secure) {
                plain.insert(field, value);
                continue;
            }
            let old = opened.sealed.get(&field);
            let same = opened.visible.get(&field).is_some_and(|kept| kept.verify(value.expose()));
            let kept = match old.filter(|_| same) {
                Some(envelope) => envelope.clone(),
                None => {
                    let value_id = old.map_or_else(|| self.new_value_id(), |old| old.id);
                    self.records().seal_value(id, &field, value_id, &value).await?
                }
            };
            sealed.insert(field, kept);
        }
        Ok((plain, sealed))
    }

    pub(in crate::vault) fn new_value_id(&self) -> SecureValueId {
        SecureValueId::from_random(random_16(&*self.ground.entropy))
    }

    /// Commits a change of values. When it seals a value of a field that another change wants to
    /// make plain, it removes the mark of that change first, and has to be tried again.
    async fn commit_values(&self, change: &CredentialChange<'_>) -> Result<(), CommitError> {
        let had = |field: &str| {
            change.before.is_some_and(|before: &Versioned<Credential>| {
                before.value.sealed_fields.contains(field)
            })
        };
        let seals = |field: &String| {
            !had(field) && change.after.is_some_and(|after| after.sealed_fields.contains(field))
        };
        let is_closing =
            |stored: &&Versioned<CredentialType>| stored.value.closing.iter().any(seals);
        if let Some(stored) = change.credential_type.filter(is_closing) {
            self.clear_closing(stored.value.id).await?;
            return Err(CommitError::Conflict);
        }
        self.records().commit_credential(change).await.map(drop)
    }

    pub(in crate::vault) fn credential_event(
        &self,
        actor: Option<Actor>,
        action: Action,
        credential: &Credential,
        fields: Vec<String>,
    ) -> Event {
        let target = Target {
            company: Some(credential.company),
            credential_type: Some(credential.type_id),
            credential: Some(credential.id),
            fields,
            ..Target::default()
        };
        Event {
            at: self.ground.clock.now(),
            actor,
            action,
            target,
            note: None,
            outcome: Outcome::Done,
        }
    }
}

/// The values that are hidden, and stay: those of fields that the type does not have, and sealed
/// ones of fields that are plain now.
fn hidden(
    credential_type: &CredentialType,
    credential: &Credential,
    sealed: &Sealed,
) -> (Plain, Sealed) {
    let is_secure = |id: &str| credential_type.field(id).is_some_and(|field| field.secure);
    let plain = credential.plain.iter().filter(|(id, _)| credential_type.field(id).is_none());
    let sealed = sealed.iter().filter(|(id, _)| !is_secure(id));
    let plain = plain.map(|(id, value)| (id.clone(), value.clone())).collect();
    (plain, sealed.map(|(id, value)| (id.clone(), value.clone())).collect())
}
