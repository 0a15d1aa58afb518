//! Types that exist because their plugin is configured: made at the first start, brought up to date
//! at every later one, always by the same id. When the plugin is gone, the type stays and can be
//! read.

use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::field::Field;
use crate::ground::too_contended;
use crate::ids::{PluginName, TypeId};
use crate::link::check_link;
use crate::model::credential_type::CredentialType;
use crate::ports::audit::Action;
use crate::ports::random_16;
use crate::ports::store::Versioned;
use crate::ports::types::{DeclaredType, TypePluginView};
use crate::records::CommitError;
use crate::records::credential_types::TypeChange;
use crate::vault::draft::{FieldDraft, TypeDraft};
use crate::vault::{ATTEMPTS, Vault};

impl Vault {
    pub(in crate::vault) async fn declare_types(&self) -> Result<(), Error> {
        for plugin in self.plugins.list() {
            if let Some(declared) = &plugin.declares {
                self.declare(&plugin, declared).await?;
            }
        }
        Ok(())
    }

    async fn declare(&self, plugin: &TypePluginView, declared: &DeclaredType) -> Result<(), Error> {
        let name = &plugin.identity.name;
        for _ in 0..ATTEMPTS {
            let types = self.types().await?;
            let present = match self.records().type_of_plugin(name).await? {
                Some(id) => Some(types.by_id(id).map(Arc::clone).ok_or_else(|| lost(name, id))?),
                None => None,
            };
            let id = present.as_ref().map(|stored| stored.value.id);
            let taken =
                types.by_name(&declared.name).is_some_and(|other| Some(other.value.id) != id);
            let wanted = self.wanted(name, declared, (present.as_deref(), taken))?;
            let done = match &present {
                Some(stored) => self.bring_up_to_date(stored, &wanted).await,
                None => self.make_declared(&wanted).await,
            };
            match done {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(too_contended())
    }

    /// The type as its plugin declares it. Where somebody else's type has its name, the plugin's
    /// name makes the difference.
    fn wanted(
        &self,
        plugin: &PluginName,
        declared: &DeclaredType,
        (present, taken): (Option<&Versioned<CredentialType>>, bool),
    ) -> Result<CredentialType, Error> {
        let now = self.ground.clock.now();
        let blank = CredentialType {
            id: TypeId::from_random(random_16(&*self.ground.entropy)),
            name: String::new(),
            icon: None,
            permission_scope: None,
            plugin: plugin.clone(),
            declared: true,
            fields: Vec::new(),
            former: Vec::new(),
            created: now,
            updated: now,
            closing: Vec::new(),
            deleted: None,
        };
        let from = present.map_or(blank, |stored| CredentialType {
            permission_scope: None,
            ..stored.value.clone()
        });
        let name =
            if taken { format!("{} ({plugin})", declared.name) } else { declared.name.clone() };
        let draft = TypeDraft {
            name: Some(name),
            permission_scope: declared.permission_scope.clone(),
            // A picture is no reason to refuse a type.
            icon: Some(declared.icon.clone().filter(|icon| check_link(icon).is_ok())),
            plugin: None,
            fields: Some(declared.fields.iter().map(|field| Some(draft(field))).collect()),
        };
        self.drawn(&from, &draft, crate::vault::draft::Problems::default())
            .map_err(|error| senseless(plugin, &error))
    }

    async fn make_declared(&self, wanted: &CredentialType) -> Result<(), CommitError> {
        let event = self.type_event(None, Action::Create, wanted, None);
        let change =
            TypeChange { after: Some(wanted), event: Some(&event), ..TypeChange::default() };
        self.records().commit_type(&change).await.map(|_| ())
    }

    async fn bring_up_to_date(
        &self,
        stored: &Versioned<CredentialType>,
        wanted: &CredentialType,
    ) -> Result<(), CommitError> {
        if stored.value == *wanted {
            return Ok(());
        }
        let wanted = CredentialType { updated: self.ground.clock.now(), ..wanted.clone() };
        match self.flip(stored, &wanted, None).await {
            Err(CommitError::Failed(error)) if error.kind() == Kind::Conflict => {
                tracing::warn!(%error, plugin = %stored.value.plugin, credential_type = %stored.value.id,
                    "the type stays as it was: the plugin declares a field plain that has secure values");
                Ok(())
            }
            done => done,
        }
    }
}

fn draft(field: &Field) -> FieldDraft {
    FieldDraft {
        id: Some(field.id.clone()),
        name: Some(field.name.clone()),
        required: Some(field.required),
        secure: Some(field.secure),
        value_type: Some(field.value_type.as_str().to_owned()),
        choices: Some(field.choices.iter().cloned().map(Some).collect()),
        computed: Some(field.computed),
    }
}

fn senseless(plugin: &PluginName, error: &Error) -> Error {
    let what: Vec<_> = error
        .fields()
        .iter()
        .map(|problem| format!("{}: {}", problem.place(), problem.message))
        .collect();
    Error::new(
        Kind::Invalid,
        format!("The type that the plugin {plugin} declares makes no sense: {}", what.join("; ")),
    )
}

fn lost(plugin: &PluginName, id: TypeId) -> Error {
    Error::internal(format!("the type {id} that the plugin {plugin} declares is not there"))
}
