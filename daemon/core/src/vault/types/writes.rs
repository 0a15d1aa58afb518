//! Creating, changing and deleting types.
//!
//! A change takes effect with one commit: from then on every reader uses the new definition, and
//! every credential write that was checked against the old one fails. What a change leaves to do is
//! done by `vault::jobs`. Start with [`Vault::change_type`] and [`Vault::replace_type`].

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::changes::{ChangePlan, FieldProperty, LockedProperty, former_fields, plan_change};
use super::{CredentialTypes, TypeView, definition};
use crate::access::vault::{ScopeChange, check_scope_change};
use crate::access::{ChangeType, CreateType, DeleteType, Grant};
use crate::caller::Member;
use crate::error::{Error, FieldProblem, RequestField};
use crate::field::Field;
use crate::ground::retry;
use crate::ids::{PluginName, TypeId};
use crate::link::check_link;
use crate::model::credential::Credential;
use crate::model::credential_type::{CredentialType, Deleted};
use crate::ports::audit::{Action, Actor, Event, Outcome, Target};
use crate::ports::random_16;
use crate::ports::store::Versioned;
use crate::records::CommitError;
use crate::records::credential_types::{MAX_TYPE_BYTES, TypeChange, encode};
use crate::vault::draft::{FieldDraft, Problems, TypeDraft, conflict};
use crate::vault::{CONCURRENT_READS, Vault, no_such_type};

impl Vault {
    /// Creates a type. `problems` are those that were found while the draft was read.
    ///
    /// # Errors
    /// `Invalid` with every problem, `Conflict` when the name is taken, `Internal` when the store
    /// fails.
    pub async fn create_type(
        &self,
        grant: Grant<CreateType>,
        draft: &TypeDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<TypeView, Error> {
        let blank = self.blank_type(self.options.default_plugin.clone());
        let wanted = self.apply_draft(&blank, draft, Problems::from_reading(problems))?;
        retry(|| self.try_create_type(grant.member(), &wanted)).await
    }

    async fn try_create_type(
        &self,
        member: &Member,
        wanted: &CredentialType,
    ) -> Result<TypeView, CommitError> {
        check_name(&*self.types().await?, wanted)?;
        let event = self.type_event(Some(member.into()), Action::Create, wanted, None);
        let change =
            TypeChange { after: Some(wanted), event: Some(&event), ..TypeChange::default() };
        self.records().commit_type(&change).await?;
        Ok(TypeView::new(wanted, 0))
    }

    /// A new type without name and fields.
    pub(super) fn blank_type(&self, plugin: PluginName) -> CredentialType {
        let now = self.ground.clock.now();
        CredentialType {
            id: TypeId::from_random(random_16(&*self.ground.entropy)),
            name: String::new(),
            icon: None,
            permission_scope: None,
            plugin,
            declared: false,
            fields: Vec::new(),
            former: Vec::new(),
            created: now,
            updated: now,
            closing: Vec::new(),
            deleted: None,
        }
    }

    /// Changes what `draft` names of a type. Nothing is written when nothing changes.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when a scope that the change needs is not held; `Invalid` with every
    /// problem; `Conflict` when the name is taken, the type belongs to its plugin, a field that has
    /// secure values would become plain or change its type or choices, or there are secure values
    /// and the plugin would change or compute a further plain field; `Internal` when the store
    /// fails.
    pub async fn change_type(
        &self,
        grant: Grant<ChangeType>,
        id: TypeId,
        draft: &TypeDraft,
        problems: Vec<FieldProblem>,
    ) -> Result<TypeView, Error> {
        retry(|| self.try_change_type(grant.member(), id, draft, &problems)).await
    }

    async fn try_change_type(
        &self,
        member: &Member,
        id: TypeId,
        draft: &TypeDraft,
        problems: &[FieldProblem],
    ) -> Result<TypeView, CommitError> {
        let types = self.types().await?;
        let stored = types.by_id(id).ok_or_else(no_such_type)?;
        check_rights(member, &stored.value, draft)?;
        let problems = Problems::from_reading(problems.to_vec());
        let wanted = self.apply_draft(&stored.value, draft, problems)?;
        if changed_properties(&stored.value, &wanted).is_empty() {
            return Ok(self.type_view(member, stored).await?);
        }
        if stored.value.declared {
            let why = "The definition of this type belongs to its plugin.";
            return Err(conflict([], why).into());
        }
        check_name(&types, &wanted)?;
        let wanted = CredentialType { updated: self.ground.clock.now(), ..wanted };
        self.replace_type(stored, &wanted, Some(member.into())).await?;
        Ok(self.view_of_id(member, id).await?)
    }

    /// Deletes a type, and its credentials with it, at once.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` when it has credentials and its scope is not held; `Conflict` when
    /// it belongs to its plugin; `Internal` when the store fails.
    pub async fn delete_type(&self, grant: Grant<DeleteType>, id: TypeId) -> Result<(), Error> {
        retry(|| self.try_delete_type(grant.member(), id)).await?;
        self.jobs.wake();
        Ok(())
    }

    async fn try_delete_type(&self, member: &Member, id: TypeId) -> Result<(), CommitError> {
        let types = self.types().await?;
        let stored = types.by_id(id).ok_or_else(no_such_type)?;
        let counts = self.counts.current(self.records(), id).await?;
        let touches_values = counts.total() > 0;
        let present = stored.value.permission_scope.as_deref();
        check_scope_change(member, ScopeChange { present, wanted: None, touches_values })?;
        if stored.value.declared {
            return Err(conflict([], "This type belongs to its plugin.").into());
        }
        let deleted = CredentialType { deleted: Some(self.deleted_now()), ..stored.value.clone() };
        let event = self.type_event(Some(member.into()), Action::Delete, &deleted, None);
        let change = TypeChange {
            before: Some(&**stored),
            after: Some(&deleted),
            // A caller without the scope may delete only a type without credentials: the commit
            // fails if one was created since they were counted.
            credentials: (!touches_values).then_some(counts.epoch),
            event: Some(&event),
            ..TypeChange::default()
        };
        self.records().commit_type(&change).await.map(drop)
    }

    pub(in crate::vault) fn deleted_now(&self) -> Deleted {
        let at = self.ground.clock.now();
        Deleted { at, until: at + self.options.undelete_window, purging: false }
    }

    /// Replaces `stored` with `wanted`. Where the change depends on there being no sealed values,
    /// it takes two steps. First the type is marked: a writer that seals a value of such a field
    /// has to remove the mark. Then the credentials are searched, and the definition changes only
    /// if none has such a value and the mark is still there. A mark that a crash leaves behind is
    /// harmless.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the type changed meanwhile: read again.
    pub(super) async fn replace_type(
        &self,
        stored: &Versioned<CredentialType>,
        wanted: &CredentialType,
        actor: Option<Actor>,
    ) -> Result<(), CommitError> {
        let ChangePlan { locked, reseal } = plan(&stored.value, wanted);
        if stored.value.fields != wanted.fields || stored.value.plugin != wanted.plugin {
            // What an earlier change left unsealed is sealed first: a value that was secure for a
            // moment stays secure.
            self.reseal_type(stored).await?;
        }
        let marked = match locked.as_slice() {
            [] => None,
            locked => Some(self.mark_closing(stored, locked, &wanted.fields).await?),
        };
        let note = changed_properties(&stored.value, wanted).join(", ");
        let event = self.type_event(actor, Action::Change, wanted, Some(note));
        let wanted = CredentialType { closing: Vec::new(), ..wanted.clone() };
        let change = TypeChange {
            before: Some(marked.as_ref().unwrap_or(stored)),
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

    /// Marks the fields of `locked`, and returns the marked type if no credential has a sealed
    /// value that locks one of them.
    async fn mark_closing(
        &self,
        stored: &Versioned<CredentialType>,
        locked: &[LockedProperty],
        wanted: &[Field],
    ) -> Result<Versioned<CredentialType>, CommitError> {
        let closing = closing_fields(&stored.value, locked);
        let marked = CredentialType { closing, ..stored.value.clone() };
        let change =
            TypeChange { before: Some(stored), after: Some(&marked), ..TypeChange::default() };
        let revision = self.records().commit_type(&change).await?;
        let id = stored.value.id;
        match self.find_lock(id, locked).await? {
            None => Ok(Versioned { value: marked, revision }),
            Some(lock) => {
                self.clear_closing(id).await?;
                Err(refusal_of_lock(lock, wanted).into())
            }
        }
    }

    /// Removes the mark, whichever change made it: then that change fails, and the field stays as
    /// it is.
    pub(in crate::vault) async fn clear_closing(&self, id: TypeId) -> Result<(), CommitError> {
        let Some(stored) = self.records().type_of_id(id).await? else { return Ok(()) };
        if stored.value.closing.is_empty() {
            return Ok(());
        }
        let cleared = CredentialType { closing: Vec::new(), ..stored.value.clone() };
        let change =
            TypeChange { before: Some(&stored), after: Some(&cleared), ..TypeChange::default() };
        match self.records().commit_type(&change).await {
            // Another change of the type came first, and removed the mark or made a new one.
            Ok(_) | Err(CommitError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first of `locked` for which a credential has a sealed value, shown or not.
    async fn find_lock<'a>(
        &self,
        id: TypeId,
        locked: &'a [LockedProperty],
    ) -> Result<Option<&'a LockedProperty>, Error> {
        let mut reading = stream::iter(self.all_of_type(id).await?)
            .map(|credential| self.records().credential(credential))
            .buffer_unordered(CONCURRENT_READS);
        while let Some(found) = reading.try_next().await? {
            let Some(Versioned { value: credential, .. }) = found else { continue };
            if let Some(lock) = locked.iter().find(|locked| locks(&credential, locked)) {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// `credential_type` with what `draft` names.
    pub(super) fn apply_draft(
        &self,
        credential_type: &CredentialType,
        draft: &TypeDraft,
        mut problems: Problems,
    ) -> Result<CredentialType, Error> {
        let mut wanted = credential_type.clone();
        if let Some(given) = &draft.name {
            wanted.name =
                definition::parse_name(&mut problems, &[RequestField::Name.into()], given)
                    .unwrap_or_default();
        }
        if let Some(given) = &draft.permission_scope {
            wanted.permission_scope = definition::parse_scope(&mut problems, given);
        }
        if let Some(given) = &draft.icon {
            if let Some(Err(message)) = given.as_deref().map(check_link) {
                problems.add([RequestField::Icon.into()], message);
            }
            wanted.icon.clone_from(given);
        }
        if let Some(plugin) =
            draft.plugin.as_deref().and_then(|name| self.parse_plugin(&mut problems, name))
        {
            wanted.plugin = plugin;
        }
        if let Some(given) = &draft.fields {
            wanted.fields = definition::parse_fields(&mut problems, given).unwrap_or_default();
            if !credential_type.declared {
                let (old, former) = (&credential_type.fields, &credential_type.former);
                wanted.former = former_fields(old, former, &wanted.fields);
            }
        }
        if !wanted.declared
            && (wanted.fields != credential_type.fields || wanted.plugin != credential_type.plugin)
        {
            self.check_computed(&mut problems, &wanted, draft.fields.is_some());
        }
        if encode(&wanted)?.len() > MAX_TYPE_BYTES {
            problems.add(
                [RequestField::Fields.into()],
                "All names and choices together, those of former secure fields included, are too long.",
            );
        }
        problems.into_result().map(|()| wanted)
    }

    /// Refuses plain fields that the plugin may not fill.
    fn check_computed(&self, problems: &mut Problems, wanted: &CredentialType, fields_sent: bool) {
        for (place, id) in self.options.computed_plain.refused(wanted) {
            let message = format!(
                "The plugin {} may not fill the plain field {id}: the configuration does not list it in computed_plain.",
                wanted.plugin
            );
            if fields_sent {
                let path =
                    [RequestField::Fields.into(), place.into(), RequestField::Computed.into()];
                problems.add(path, message);
            } else {
                problems.add([RequestField::Plugin.into()], message);
            }
        }
    }

    fn parse_plugin(&self, problems: &mut Problems, name: &str) -> Option<PluginName> {
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
        credential_type: &CredentialType,
        note: Option<String>,
    ) -> Event {
        let target = Target { credential_type: Some(credential_type.id), ..Target::default() };
        Event { at: self.ground.clock.now(), actor, action, target, note, outcome: Outcome::Done }
    }
}

/// What the change requires. What values of a declared type are checked against is not locked: the
/// plugin defines it, and could check otherwise without changing the definition.
fn plan(credential_type: &CredentialType, wanted: &CredentialType) -> ChangePlan {
    let mut plan = plan_change(&credential_type.fields, &credential_type.former, &wanted.fields);
    if credential_type.declared {
        plan.locked.retain(|locked| locked.property == FieldProperty::Secure);
    }
    if credential_type.plugin != wanted.plugin {
        plan.locked.push(LockedProperty::plugin());
    }
    plan
}

/// The fields whose values, when they are sealed meanwhile, end a change with these locks.
fn closing_fields(credential_type: &CredentialType, locked: &[LockedProperty]) -> Vec<String> {
    let (any, own): (Vec<_>, Vec<_>) =
        locked.iter().partition(|locked| locked.property.is_locked_by_any_field());
    let secure = credential_type.fields.iter().filter(|field| field.secure && !any.is_empty());
    let fields: BTreeSet<_> = own
        .into_iter()
        .map(|locked| &locked.field)
        .chain(secure.map(|field| &field.id))
        .cloned()
        .collect();
    fields.into_iter().collect()
}

fn locks(credential: &Credential, locked: &LockedProperty) -> bool {
    let is_sealed = if locked.property.is_locked_by_any_field() {
        !credential.sealed_fields.is_empty()
    } else {
        credential.sealed_fields.contains(&locked.field)
    };
    is_sealed && (credential.deleted.is_none() || locked.property.is_locked_by_deleted())
}

fn refusal_of_lock(lock: &LockedProperty, wanted: &[Field]) -> Error {
    if lock.property == FieldProperty::Plugin {
        return conflict([lock.property.field().into()], lock.property.why());
    }
    let index = wanted.iter().position(|field| field.id == lock.field).unwrap_or_default();
    conflict(
        [RequestField::Fields.into(), index.into(), lock.property.field().into()],
        lock.property.why(),
    )
}

/// A change of scope needs the old scope and the new one; a change of fields or plugin needs the
/// present one. Fields and a plugin that were sent, readable or not, count as a change unless they
/// equal what is stored.
fn check_rights(
    member: &Member,
    credential_type: &CredentialType,
    draft: &TypeDraft,
) -> Result<(), Error> {
    let present = credential_type.permission_scope.as_deref();
    let wanted = draft.permission_scope.as_deref().filter(|wanted| Some(*wanted) != present);
    let plugin =
        draft.plugin.as_deref().is_some_and(|plugin| plugin != credential_type.plugin.as_str());
    let fields =
        draft.fields.as_deref().is_some_and(|fields| !equals(fields, &credential_type.fields));
    check_scope_change(member, ScopeChange { present, wanted, touches_values: plugin || fields })
}

fn equals(drafts: &[Option<FieldDraft>], fields: &[Field]) -> bool {
    let read = definition::parse_fields(&mut Problems::default(), drafts);
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

/// Which properties of a type change, by their names in the API.
fn changed_properties(old: &CredentialType, new: &CredentialType) -> Vec<&'static str> {
    let properties = [
        ("name", old.name != new.name),
        ("permissionScope", old.permission_scope != new.permission_scope),
        ("icon", old.icon != new.icon),
        ("plugin", old.plugin != new.plugin),
        ("fields", old.fields != new.fields),
    ];
    properties.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}
