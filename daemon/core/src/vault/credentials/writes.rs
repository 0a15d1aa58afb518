//! Making, changing and deleting credentials.
//!
//! Every write expects the credential and its type as they were when it was judged: concurrent
//! changes never mix, and none straddles a change of the type. Who loses reads again, is judged
//! again, and merges into what is there now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::normalise::Named;
use crate::access::vault::{AtOne, ChangeValues, Delete, Rename, authorize_place};
use crate::access::{CreateCredential, Grant};
use crate::error::{Error, FieldProblem, RequestField};
use crate::ground::outcome_of;
use crate::ground::too_contended;
use crate::ids::{CredentialId, SecureValueId};
use crate::model::credential::Credential;
use crate::model::credential_type::CredentialType;
use crate::model::values::{Extent, Plain, Sealed, lagging, revealable, shown};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::credentials::CredentialChange;
use crate::secret::Secret;
use crate::vault::credentials::{CredentialView, Loaded};
use crate::vault::draft::{CredentialDraft, Problems, ValueDraft};
use crate::vault::types::definition;
use crate::vault::{ATTEMPTS, Admitted, Vault, check_version};

/// Values of a credential that were read for a change.
struct Opened {
    sealed: Sealed,
    /// What a plugin may see of them: values of fields that the type has, by field.
    visible: BTreeMap<String, Secret>,
    /// Which of these are secure.
    used: Vec<String>,
}

impl Vault {
    /// Makes a credential. `problems` are those that were met while the draft was read. What has
    /// begun goes on to its end when this future is dropped.
    ///
    /// # Errors
    /// `Forbidden` when the permission does not reach the company, or the scope of the type is not
    /// held; `Invalid` with every fault; `Conflict` when the type's plugin is not configured any
    /// more; what else a plugin's failure is; `Internal` when the store fails.
    pub async fn create_credential(
        self: &Arc<Self>,
        grant: Grant<CreateCredential>,
        draft: CredentialDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<CredentialView, Error> {
        let vault = Arc::clone(self);
        let work = async move { vault.run_creation(grant, &draft, problems).await };
        self.ground.detached("make a credential", Box::pin(work)).await
    }

    async fn run_creation(
        &self,
        grant: Grant<CreateCredential>,
        draft: &CredentialDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<CredentialView, Error> {
        let id = CredentialId::from_random(random_16(&*self.ground.entropy));
        for _ in 0..ATTEMPTS {
            let (types, companies) = (self.types().await?, self.companies.view().await?);
            let of = draft.type_id().and_then(|id| types.by_id(id));
            let company = draft.company_id().and_then(|id| companies.by_id(id));
            let scope = of.and_then(|of| of.value.permission_scope.as_deref());
            let place =
                authorize_place(&grant, &companies, company.map(|company| &**company), scope)?;

            let mut problems = Problems::met(problems.clone());
            let name = draft.name.as_deref();
            let name = name.and_then(|name| {
                definition::name(&mut problems, &[RequestField::Name.into()], name)
            });
            if draft.of.is_some() && of.is_none() {
                problems.add([RequestField::Type.into()], "There is no such type.");
            }
            if draft.company.is_some() && company.is_none() {
                problems.add([RequestField::Company.into()], "There is no such company.");
            }
            let (Some(of), Some(drafts)) = (of, &draft.values) else {
                return Err(problems.into_error());
            };
            let named = Named::read(&mut problems, &of.value, drafts);
            let whole = named.join(&mut problems, &of.value, BTreeMap::new());
            let returned =
                self.normalise(&of.value, &named, (&whole, Extent::default()), problems).await?;
            let Some((name, company)) = name.zip(company) else {
                return Err(Error::internal("a draft without problems lacks its name or company"));
            };

            let (plain, sealed) = self.sorted(&of.value, id, returned, &Opened::nothing()).await?;
            let now = self.ground.clock.now();
            let blank = Credential {
                id,
                name,
                of: of.value.id,
                company: company.id,
                version: 0,
                created: now,
                updated: now,
                deleted: None,
                plain: Plain::new(),
                sealed_fields: BTreeSet::new(),
                parts: Default::default(),
            };
            let made = blank.with_values(1, plain, &sealed);
            let event = self.credential_event(
                Some(place.member().into()),
                Action::Create,
                &made,
                named.fields(),
            );
            let change = CredentialChange {
                after: Some(&made),
                values: Some(&sealed),
                of: Some(of),
                events: &[event],
                ..CredentialChange::default()
            };
            match self.commit_values(&change).await {
                Ok(()) => return Ok(Loaded::fresh(made, of, company).view()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// Calls a credential something else. `None`, or what it is called already: nothing is written.
    ///
    /// # Errors
    /// `Stale` when it is at none of the `expected` versions; `Invalid` with every fault; what
    /// [`Vault::authorize`] says, since another change may have come first.
    pub async fn rename(
        &self,
        mut at: Admitted<Rename>,
        name: Option<&str>,
        problems: Vec<FieldProblem>,
        expected: Option<&[u64]>,
    ) -> Result<CredentialView, Error> {
        for _ in 0..ATTEMPTS {
            check_version(expected, &at.loaded)?;
            let mut problems = Problems::met(problems.clone());
            let name = name.and_then(|name| {
                definition::name(&mut problems, &[RequestField::Name.into()], name)
            });
            problems.none_or_invalid()?;
            let before = &at.loaded.stored;
            let Some(name) = name.filter(|name| *name != before.value.name) else {
                return Ok(at.view());
            };
            let after = Credential {
                name,
                version: before.value.version + 1,
                updated: self.ground.clock.now(),
                ..before.value.clone()
            };
            let event = self.credential_event(
                Some(at.grant.member().into()),
                Action::Change,
                &after,
                Vec::new(),
            );
            let event = Event { note: Some("name".to_owned()), ..event };
            let change = CredentialChange {
                before: Some(before),
                after: Some(&after),
                of: Some(&at.loaded.of),
                events: &[event],
                ..CredentialChange::default()
            };
            match self.records().commit_credential(&change).await {
                Ok(_) => return Ok(at.loaded.with(after).view()),
                Err(CommitError::Conflict) => at = self.again(at).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// Sets the values that the request names, and keeps the others; takes away those that are
    /// named without a value. The plugin judges the whole; where it had to be shown stored secure
    /// values, that is told, whatever it says, and whether or not anybody still waits: what has
    /// begun goes on to its end when this future is dropped.
    ///
    /// # Errors
    /// As [`Vault::rename`], and what [`Vault::create_credential`] says of values. Nothing has
    /// changed then.
    pub async fn change_values(
        self: &Arc<Self>,
        at: Admitted<ChangeValues>,
        drafts: Option<Vec<Option<ValueDraft>>>,
        problems: Vec<FieldProblem>,
        expected: Option<Vec<u64>>,
    ) -> Result<CredentialView, Error> {
        // Waited for out here: clients that hang up leave one change of a credential behind, not a
        // queue of them.
        let queued = self.queue.lock(at.grant.credential()).await;
        let vault = Arc::clone(self);
        let work = async move {
            let _queued = queued;
            vault.run_change(at, drafts.as_deref(), problems, expected.as_deref()).await
        };
        self.ground.detached("change values", Box::pin(work)).await
    }

    async fn run_change(
        &self,
        mut at: Admitted<ChangeValues>,
        drafts: Option<&[Option<ValueDraft>]>,
        problems: Vec<FieldProblem>,
        expected: Option<&[u64]>,
    ) -> Result<CredentialView, Error> {
        if !self.records().is_current(&at.loaded.stored).await? {
            at = self.again(at).await?;
        }
        for _ in 0..ATTEMPTS {
            check_version(expected, &at.loaded)?;
            let mut problems = Problems::met(problems.clone());
            let Some(drafts) = drafts else { return Err(problems.into_error()) };
            let named = Named::read(&mut problems, &at.loaded.of.value, drafts);
            let Some(opened) = self.open(&at.loaded, &named).await? else {
                at = self.again(at).await?;
                continue;
            };
            match self.change_once(&at, &named, opened, problems).await {
                Ok(after) => return Ok(at.loaded.with(after).view()),
                Err(CommitError::Conflict) => at = self.again(at).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    async fn change_once(
        &self,
        at: &Admitted<ChangeValues>,
        named: &Named,
        opened: Opened,
        mut problems: Problems,
    ) -> Result<Credential, CommitError> {
        let Loaded { stored, of, .. } = &at.loaded;
        let (before, actor) = (&stored.value, Actor::from(at.grant.member()));
        let whole = named.join(&mut problems, &of.value, opened.visible.clone());
        let use_event = (!opened.used.is_empty()).then(|| {
            self.credential_event(Some(actor.clone()), Action::Use, before, opened.used.clone())
        });
        let (hidden_plain, hidden_sealed) = hidden(&of.value, before, &opened.sealed);
        let hidden = Extent::of(&hidden_plain, &hidden_sealed);
        let returned = match self.normalise(&of.value, named, (&whole, hidden), problems).await {
            Ok(returned) => returned,
            Err(error) => {
                // The plugin has seen stored secrets: that is told also when nothing comes of it.
                if let Some(event) = use_event {
                    self.ground.record(&Event { outcome: outcome_of(&error), ..event }).await?;
                }
                return Err(error.into());
            }
        };
        let (mut plain, mut sealed) = self.sorted(&of.value, before.id, returned, &opened).await?;
        // A new value of a plain field takes the place of what was kept out of sight under its
        // name.
        sealed.extend(hidden_sealed.into_iter().filter(|(field, _)| !plain.contains_key(field)));
        plain.extend(hidden_plain);
        let after = Credential {
            updated: self.ground.clock.now(),
            ..before.with_values(before.version_seen(&of.value) + 1, plain, &sealed)
        };
        let change_event =
            self.credential_event(Some(actor), Action::Change, &after, named.fields());
        let events: Vec<Event> = use_event.into_iter().chain([change_event]).collect();
        let change = CredentialChange {
            before: Some(stored),
            after: Some(&after),
            values: Some(&sealed),
            of: Some(of),
            events: &events,
        };
        match self.commit_values(&change).await {
            Ok(()) => Ok(after),
            Err(lost) => {
                // Whatever comes of another attempt, the plugin has seen them in this one.
                if let Some(event) = events.iter().find(|event| event.action == Action::Use) {
                    self.ground.record(event).await?;
                }
                Err(lost)
            }
        }
    }

    /// Deletes a credential. An operator can bring it back for a while.
    ///
    /// # Errors
    /// `Stale` when it is at none of the `expected` versions; what [`Vault::authorize`] says, since
    /// another change may have come first.
    pub async fn delete_credential(
        &self,
        mut at: Admitted<Delete>,
        expected: Option<&[u64]>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            check_version(expected, &at.loaded)?;
            let before = &at.loaded.stored;
            let after = Credential {
                deleted: Some(self.deleted_now()),
                version: before.value.version + 1,
                ..before.value.clone()
            };
            let actor = Some(at.grant.member().into());
            let event = self.credential_event(actor, Action::Delete, &after, Vec::new());
            let change = CredentialChange {
                before: Some(before),
                after: Some(&after),
                of: Some(&at.loaded.of),
                events: &[event],
                ..CredentialChange::default()
            };
            match self.records().commit_credential(&change).await {
                Ok(_) => {
                    self.jobs.wake();
                    return Ok(());
                }
                Err(CommitError::Conflict) => at = self.again(at).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// The same leave, judged by how everything is now.
    pub(in crate::vault) async fn again<K: AtOne>(
        &self,
        at: Admitted<K>,
    ) -> Result<Admitted<K>, Error> {
        self.authorize(at.grant.member(), at.grant.credential()).await
    }

    /// Opens what the plugin has to see of a credential: values that the request does not name, of
    /// fields that the type has and nobody computes. `None` when it changed since it was read.
    async fn open(&self, loaded: &Loaded, named: &Named) -> Result<Option<Opened>, Error> {
        let Loaded { stored, of, .. } = loaded;
        let Some(sealed) = self.records().sealed_values(stored).await? else { return Ok(None) };
        let (fields, id) = (&of.value.fields, stored.value.id);
        let wanted = |field: &&crate::field::Field| !field.computed && !named.names(&field.id);
        let plain = &stored.value.plain;
        let mut visible: BTreeMap<String, Secret> = shown(fields, plain)
            .filter(|(field, _)| wanted(field))
            .map(|(field, value)| (field.id.clone(), value.clone()))
            .collect();
        let mut used = Vec::new();
        for (field, value) in revealable(fields, &sealed).filter(|(field, _)| wanted(field)) {
            visible.insert(field.id.clone(), self.records().open_value(id, &field.id, value)?);
            used.push(field.id.clone());
        }
        // Last: a value in the open is newer than one that was kept out of sight.
        for (field, value) in lagging(fields, plain).filter(|(field, _)| wanted(field)) {
            if visible.insert(field.id.clone(), value.clone()).is_none() {
                used.push(field.id.clone());
            }
        }
        Ok(Some(Opened { sealed, visible, used }))
    }

    /// What the plugin returned, as it will be kept: plain fields in the open, secure ones in
    /// envelopes. An envelope stays as it is when what is in it stays.
    async fn sorted(
        &self,
        of: &CredentialType,
        id: CredentialId,
        returned: Vec<(String, Secret)>,
        opened: &Opened,
    ) -> Result<(Plain, Sealed), Error> {
        let (mut plain, mut sealed) = (Plain::new(), Sealed::new());
        for (field, value) in returned {
            if !of.field(&field).is_some_and(|field| field.secure) {
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

    /// Commits a change of values. Whoever seals a value of a field that somebody wants to make
    /// plain takes that mark away first.
    async fn commit_values(&self, change: &CredentialChange<'_>) -> Result<(), CommitError> {
        let had = |field: &str| {
            change.before.is_some_and(|before: &Versioned<Credential>| {
                before.value.sealed_fields.contains(field)
            })
        };
        let seals = |field: &String| {
            !had(field) && change.after.is_some_and(|after| after.sealed_fields.contains(field))
        };
        if let Some(of) =
            change.of.filter(|of: &&Versioned<CredentialType>| of.value.closing.iter().any(seals))
        {
            self.unmark(of.value.id).await?;
            return Err(CommitError::Conflict);
        }
        self.records().commit_credential(change).await.map(|_| ())
    }

    pub(in crate::vault) fn credential_event(
        &self,
        actor: Option<Actor>,
        action: Action,
        of: &Credential,
        fields: Vec<String>,
    ) -> Event {
        let target = Target {
            company: Some(of.company),
            credential_type: Some(of.of),
            credential: Some(of.id),
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

impl Opened {
    fn nothing() -> Self {
        Self { sealed: Sealed::new(), visible: BTreeMap::new(), used: Vec::new() }
    }
}

/// Values that are out of sight, and stay: of fields that the type does not have, and sealed ones
/// of fields that are plain now.
fn hidden(of: &CredentialType, credential: &Credential, sealed: &Sealed) -> (Plain, Sealed) {
    let plain = credential.plain.iter().filter(|(id, _)| of.field(id).is_none());
    let sealed = sealed.iter().filter(|(id, _)| !of.field(id).is_some_and(|field| field.secure));
    let plain = plain.map(|(id, value)| (id.clone(), value.clone())).collect();
    (plain, sealed.map(|(id, value)| (id.clone(), value.clone())).collect())
}
