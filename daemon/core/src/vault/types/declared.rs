//! Types that plugins declare: created at the first start with the plugin, updated at every later
//! one, always under the same id. When the plugin is no longer configured, the type stays and can
//! be read.

use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::field::Field;
use crate::ground::retry;
use crate::ids::{PluginName, TypeId};
use crate::link::check_link;
use crate::model::credential_type::CredentialType;
use crate::ports::audit::Action;
use crate::ports::store::Versioned;
use crate::ports::types::{DeclaredType, TypePluginView};
use crate::records::CommitError;
use crate::records::credential_types::TypeChange;
use crate::vault::Vault;
use crate::vault::draft::{FieldDraft, Problems, TypeDraft};

impl Vault {
    /// Creates the types that the configured plugins declare, or updates them.
    pub(in crate::vault) async fn declare_types(&self) -> Result<(), Error> {
        for plugin in self.plugins.list() {
            if let Some(declared) = &plugin.declares {
                self.declare(&plugin, declared).await?;
            }
        }
        Ok(())
    }

    async fn declare(&self, plugin: &TypePluginView, declared: &DeclaredType) -> Result<(), Error> {
        retry(|| self.try_declare(&plugin.identity.name, declared)).await
    }

    async fn try_declare(
        &self,
        plugin: &PluginName,
        declared: &DeclaredType,
    ) -> Result<(), CommitError> {
        let types = self.types().await?;
        let stored = match self.records().type_of_plugin(plugin).await? {
            Some(id) => {
                Some(types.by_id(id).map(Arc::clone).ok_or_else(|| missing_type(plugin, id))?)
            }
            None => None,
        };
        let id = stored.as_ref().map(|stored| stored.value.id);
        let is_taken =
            types.by_name(&declared.name).is_some_and(|other| Some(other.value.id) != id);
        let name = declared_name(plugin, declared, is_taken);
        let wanted = self.declared_type(plugin, declared, (stored.as_deref(), name))?;
        match &stored {
            Some(stored) => self.update_declared(stored, &wanted).await,
            None => self.create_declared(&wanted).await,
        }
    }

    /// The type as its plugin declares it, under that name.
    fn declared_type(
        &self,
        plugin: &PluginName,
        declared: &DeclaredType,
        (stored, name): (Option<&Versioned<CredentialType>>, String),
    ) -> Result<CredentialType, Error> {
        let blank = || CredentialType { declared: true, ..self.blank_type(plugin.clone()) };
        let from = stored.map_or_else(blank, |stored| CredentialType {
            permission_scope: None,
            ..stored.value.clone()
        });
        let draft = TypeDraft {
            name: Some(name),
            permission_scope: declared.permission_scope.clone(),
            // An invalid picture is left out: it is no reason to refuse the type.
            icon: Some(declared.icon.clone().filter(|icon| check_link(icon).is_ok())),
            plugin: None,
            fields: Some(declared.fields.iter().map(|field| Some(field_draft(field))).collect()),
        };
        self.apply_draft(&from, &draft, Problems::default())
            .map_err(|error| invalid_declaration(plugin, &error))
    }

    async fn create_declared(&self, wanted: &CredentialType) -> Result<(), CommitError> {
        let event = self.type_event(None, Action::Create, wanted, None);
        let change =
            TypeChange { after: Some(wanted), event: Some(&event), ..TypeChange::default() };
        self.records().commit_type(&change).await.map(drop)
    }

    async fn update_declared(
        &self,
        stored: &Versioned<CredentialType>,
        wanted: &CredentialType,
    ) -> Result<(), CommitError> {
        if stored.value == *wanted {
            return Ok(());
        }
        let wanted = CredentialType { updated: self.ground.clock.now(), ..wanted.clone() };
        match self.replace_type(stored, &wanted, None).await {
            Err(CommitError::Failed(error)) if error.kind() == Kind::Conflict => {
                tracing::warn!(%error, plugin = %stored.value.plugin, credential_type = %stored.value.id,
                    "the type stays as it was: the plugin declares a field plain that has secure values");
                Ok(())
            }
            done => done,
        }
    }
}

/// The name of the type. When another type has the declared name, the plugin's name is added.
fn declared_name(plugin: &PluginName, declared: &DeclaredType, is_taken: bool) -> String {
    if is_taken { format!("{} ({plugin})", declared.name) } else { declared.name.clone() }
}

fn field_draft(field: &Field) -> FieldDraft {
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

fn invalid_declaration(plugin: &PluginName, error: &Error) -> Error {
    let problems: Vec<_> = error
        .fields()
        .iter()
        .map(|problem| format!("{}: {}", problem.place(), problem.message))
        .collect();
    Error::new(
        Kind::Invalid,
        format!(
            "The type that the plugin {plugin} declares makes no sense: {}",
            problems.join("; ")
        ),
    )
}

fn missing_type(plugin: &PluginName, id: TypeId) -> Error {
    Error::internal(format!("the type {id} that the plugin {plugin} declares is not there"))
}
