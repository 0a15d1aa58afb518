//! Making, changing and deleting types.
//!
//! A change is one flip: from its commit on, every reader goes by the new definition, and every
//! credential write that was judged by the old one fails. What a flip leaves to do is done by
//! [`crate::vault::jobs`]. Start with [`Vault::change_type`] and [`Vault::flip`].

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::definition;
use crate::access::vault::{ScopeChange, check_scope_change};
use crate::access::{ChangeType, CreateType, DeleteType, Grant};
use crate::caller::Member;
use crate::error::{Error, FieldProblem, RequestField};
use crate::field::Field;
use crate::ground::too_contended;
use crate::ids::{PluginName, TypeId};
use crate::link::check_link;
use crate::model::credential_type::{CredentialType, Deleted};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::credential_types::{MAX_TYPE_BYTES, TypeChange, encode};
use crate::vault::draft::{FieldDraft, Problems, TypeDraft, conflict};
use crate::vault::types::changes::{Held, Part, Plan, former, plan};
use crate::vault::types::{CredentialTypes, TypeView};
use crate::vault::{ATTEMPTS, READ_AT_A_TIME, Vault, no_such_type};

impl Vault {
    /// Makes a type. `problems` are those that were met while the draft was read.
    ///
    /// # Errors
    /// `Invalid` with every fault, `Conflict` when the name is taken, `Internal` when the store
    /// fails.
    pub async fn create_type(
        &self,
        grant: Grant<CreateType>,
        draft: &TypeDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<TypeView, Error> {
        let now = self.ground.clock.now();
        let blank = CredentialType {
            id: TypeId::from_random(random_16(&*self.ground.entropy)),
            name: String::new(),
            icon: None,
            permission_scope: None,
            plugin: self.options.default_plugin.clone(),
            declared: false,
            fields: Vec::new(),
            former: Vec::new(),
            created: now,
            updated: now,
            closing: Vec::new(),
            deleted: None,
        };
        let made = self.drawn(&blank, draft, Problems::met(problems))?;
        for _ in 0..ATTEMPTS {
            check_name(&*self.types().await?, &made)?;
            let event = self.type_event(Some(grant.member().into()), Action::Create, &made, None);
            let change =
                TypeChange { after: Some(&made), event: Some(&event), ..TypeChange::default() };
            match self.records().commit_type(&change).await {
                Ok(_) => return Ok(TypeView::of(&made, 0)),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// Changes what `draft` names about a type. Nothing else changes, and nothing is written when
    /// nothing does.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when a scope that it takes is not held; `Invalid` with every fault;
    /// `Conflict` when the name is taken, the type is its plugin's, or a field that has secure
    /// values would become plain or change its type or choices; `Internal` when the store fails.
    pub async fn change_type(
        &self,
        grant: Grant<ChangeType>,
        id: TypeId,
        draft: &TypeDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<TypeView, Error> {
        let member = grant.member();
        for _ in 0..ATTEMPTS {
            let types = self.types().await?;
            let stored = types.by_id(id).ok_or_else(no_such_type)?;
            check_rights(member, &stored.value, draft)?;
            let wanted = self.drawn(&stored.value, draft, Problems::met(problems.clone()))?;
            if !differs(&stored.value, &wanted) {
                return self.type_view(member, stored).await;
            }
            if stored.value.declared {
                return Err(conflict([], "The definition of this type belongs to its plugin."));
            }
            check_name(&types, &wanted)?;
            let wanted = CredentialType { updated: self.ground.clock.now(), ..wanted };
            match self.flip(stored, &wanted, Some(member.into())).await {
                Ok(()) => return self.view_of_id(member, id).await,
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// Deletes a type, and its credentials with it, at once.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when it has credentials and its scope is not held; `Conflict` when
    /// it is its plugin's; `Internal` when the store fails.
    pub async fn delete_type(&self, grant: Grant<DeleteType>, id: TypeId) -> Result<(), Error> {
        let member = grant.member();
        for _ in 0..ATTEMPTS {
            let types = self.types().await?;
            let stored = types.by_id(id).ok_or_else(no_such_type)?;
            let counted = self.counts.current(self.records(), id).await?;
            let scope = stored.value.permission_scope.as_deref();
            let touches_values = counted.total() > 0;
            check_scope_change(
                member,
                ScopeChange { present: scope, wanted: None, touches_values },
            )?;
            if stored.value.declared {
                return Err(conflict([], "This type belongs to its plugin."));
            }
            let deleted =
                CredentialType { deleted: Some(self.deleted_now()), ..stored.value.clone() };
            let event = self.type_event(Some(member.into()), Action::Delete, &deleted, None);
            let change = TypeChange {
                before: Some(&**stored),
                after: Some(&deleted),
                // Whoever lacks the scope deletes what has no credentials, and nobody gives it one
                // meanwhile.
                credentials: (!touches_values).then_some(counted.epoch),
                event: Some(&event),
                ..TypeChange::default()
            };
            match self.records().commit_type(&change).await {
                Ok(_) => {
                    self.jobs.wake();
                    return Ok(());
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    pub(in crate::vault) fn deleted_now(&self) -> Deleted {
        let at = self.ground.clock.now();
        Deleted { at, until: at + self.options.undelete_window, purging: false }
    }

    /// Puts `wanted` in the place of `stored`. Where fields become plain, or secure ones are to be
    /// judged otherwise, it takes two steps: first the type is marked, so that whoever seals a
    /// value of such a field has to take the mark away; then its credentials are looked through;
    /// and only if none has such a value and the mark is still there, the definition changes. A
    /// mark that is left behind by a crash harms nobody.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the type changed meanwhile: read again.
    pub(in crate::vault) async fn flip(
        &self,
        stored: &Versioned<CredentialType>,
        wanted: &CredentialType,
        actor: Option<Actor>,
    ) -> Result<(), CommitError> {
        let Plan { held, reseal } = held_by(&stored.value, wanted);
        if stored.value.fields != wanted.fields {
            // What a former change left to seal is sealed first: a value that was secure for a
            // moment stays secure.
            self.reseal_type(stored).await?;
        }
        let marked = if held.is_empty() { None } else { Some(self.mark(stored, &held).await?) };
        if marked.is_some()
            && let Some(problem) = self.first_sealed(stored.value.id, &held, &wanted.fields).await?
        {
            self.unmark(stored.value.id).await?;
            return Err(CommitError::Failed(problem));
        }
        let before = marked.as_ref().unwrap_or(stored);
        let note = changes(&stored.value, wanted).join(", ");
        let event = self.type_event(actor, Action::Change, wanted, Some(note));
        let wanted = CredentialType { closing: Vec::new(), ..wanted.clone() };
        let change = TypeChange {
            before: Some(before),
            after: Some(&wanted),
            reseal,
            event: Some(&event),
            ..TypeChange::default()
        };
        self.records().commit_type(&change).await?;
        if reseal {
            self.jobs.wake();
        }
        Ok(())
    }

    async fn mark(
        &self,
        stored: &Versioned<CredentialType>,
        held: &[Held],
    ) -> Result<Versioned<CredentialType>, CommitError> {
        let closing = held.iter().map(|held| held.field.clone()).collect();
        let of = CredentialType { closing, ..stored.value.clone() };
        let change = TypeChange { before: Some(stored), after: Some(&of), ..TypeChange::default() };
        let revision = self.records().commit_type(&change).await?;
        Ok(Versioned { value: of, revision })
    }

    /// Takes the mark away, whoever put it there: the field stays as it is.
    pub(in crate::vault) async fn unmark(&self, id: TypeId) -> Result<(), CommitError> {
        let Some(stored) = self.records().type_of_id(id).await? else { return Ok(()) };
        if stored.value.closing.is_empty() {
            return Ok(());
        }
        let of = CredentialType { closing: Vec::new(), ..stored.value.clone() };
        let change =
            TypeChange { before: Some(&stored), after: Some(&of), ..TypeChange::default() };
        match self.records().commit_type(&change).await {
            // Somebody else did something to the type, and that took the mark away or put a new one
            // there.
            Ok(_) | Err(CommitError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What to say when a sealed value, be it out of sight, holds one of `held`.
    async fn first_sealed(
        &self,
        id: TypeId,
        held: &[Held],
        wanted: &[Field],
    ) -> Result<Option<Error>, Error> {
        let mut reading = stream::iter(self.all_of_type(id).await?)
            .map(|credential| self.records().credential(credential))
            .buffer_unordered(READ_AT_A_TIME);
        while let Some(found) = reading.try_next().await? {
            let Some(Versioned { value: credential, .. }) = found else { continue };
            let holds = |held: &&Held| {
                credential.sealed_fields.contains(&held.field)
                    && (credential.deleted.is_none() || held.part.is_held_by_deleted())
            };
            if let Some(Held { field, part }) = held.iter().find(holds) {
                let place = wanted.iter().position(|other| other.id == *field).unwrap_or_default();
                let path = [RequestField::Fields.into(), place.into(), part.field().into()];
                return Ok(Some(conflict(path, part.why())));
            }
        }
        Ok(None)
    }

    /// `of` with what `draft` names.
    pub(in crate::vault) fn drawn(
        &self,
        of: &CredentialType,
        draft: &TypeDraft,
        mut problems: Problems,
    ) -> Result<CredentialType, Error> {
        let mut drawn = of.clone();
        if let Some(given) = &draft.name {
            drawn.name = definition::name(&mut problems, &[RequestField::Name.into()], given)
                .unwrap_or_default();
        }
        if let Some(given) = &draft.permission_scope {
            drawn.permission_scope = definition::scope(&mut problems, given);
        }
        if let Some(given) = &draft.icon {
            if let Some(Err(message)) = given.as_deref().map(check_link) {
                problems.add([RequestField::Icon.into()], message);
            }
            drawn.icon.clone_from(given);
        }
        if let Some(plugin) =
            draft.plugin.as_deref().and_then(|name| self.plugin(&mut problems, name))
        {
            drawn.plugin = plugin;
        }
        if let Some(given) = &draft.fields {
            drawn.fields = definition::fields(&mut problems, given).unwrap_or_default();
            if !of.declared {
                drawn.former = former(&of.fields, &of.former, &drawn.fields);
            }
        }
        if encode(&drawn)?.len() > MAX_TYPE_BYTES {
            problems.add(
                [RequestField::Fields.into()],
                "All names and choices together, those of former secure fields included, are too long.",
            );
        }
        problems.none_or_invalid().map(|()| drawn)
    }

    fn plugin(&self, problems: &mut Problems, name: &str) -> Option<PluginName> {
        let configured = self.plugins.list().into_iter().map(|plugin| plugin.identity.name);
        let configured: Vec<_> = configured.collect();
        let found = configured.iter().find(|known| known.as_str() == name).cloned();
        if found.is_none() {
            let names: Vec<_> = configured.iter().map(PluginName::as_str).collect();
            problems.add(
                [RequestField::Plugin.into()],
                format!("Expected one of {}.", names.join(", ")),
            );
        }
        found
    }

    pub(in crate::vault) fn type_event(
        &self,
        actor: Option<Actor>,
        action: Action,
        of: &CredentialType,
        note: Option<String>,
    ) -> Event {
        let target = Target { credential_type: Some(of.id), ..Target::default() };
        Event { at: self.ground.clock.now(), actor, action, target, note, outcome: Outcome::Done }
    }
}

/// What a declared type is judged by is its plugin's alone, which could judge otherwise without
/// saying so here.
fn held_by(of: &CredentialType, wanted: &CredentialType) -> Plan {
    let mut plan = plan(&of.fields, &of.former, &wanted.fields);
    if of.declared {
        plan.held.retain(|held| held.part == Part::Secure);
    }
    plan
}

/// A change of scope needs the old and the new one; one of fields or plugin the present one. What
/// was sent, readable or not, counts as a change unless it says what is there.
fn check_rights(member: &Member, of: &CredentialType, draft: &TypeDraft) -> Result<(), Error> {
    let present = of.permission_scope.as_deref();
    let wanted = draft.permission_scope.as_deref().filter(|wanted| Some(*wanted) != present);
    let plugin = draft.plugin.as_deref().is_some_and(|plugin| plugin != of.plugin.as_str());
    let fields = draft.fields.as_deref().is_some_and(|fields| !says(fields, &of.fields));
    check_scope_change(member, ScopeChange { present, wanted, touches_values: plugin || fields })
}

fn says(drafts: &[Option<FieldDraft>], fields: &[Field]) -> bool {
    let read = definition::fields(&mut Problems::default(), drafts);
    read.is_some_and(|read| read == fields)
}

fn check_name(types: &CredentialTypes, wanted: &CredentialType) -> Result<(), Error> {
    match types.by_name(&wanted.name).filter(|other| other.value.id != wanted.id) {
        None => Ok(()),
        Some(_) => {
            Err(conflict([RequestField::Name.into()], "There is a type of this name already."))
        }
    }
}

fn differs(of: &CredentialType, wanted: &CredentialType) -> bool {
    !changes(of, wanted).is_empty()
}

/// What of a type changes, in the words of the API.
fn changes(of: &CredentialType, wanted: &CredentialType) -> Vec<&'static str> {
    let parts = [
        ("name", of.name != wanted.name),
        ("permissionScope", of.permission_scope != wanted.permission_scope),
        ("icon", of.icon != wanted.icon),
        ("plugin", of.plugin != wanted.plugin),
        ("fields", of.fields != wanted.fields),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}
