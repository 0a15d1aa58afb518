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
use crate::vault::types::definition::MAX_NAME_CHARS;

impl Vault {
    /// Creates the types that the configured plugins declare, or updates them.
    ///
    /// What is stored keeps no daemon from starting: then the type stays as it was, and the log
    /// says why.
    ///
    /// # Errors
    /// `Invalid` when a plugin declares a new type that makes no sense.
    pub(in crate::vault) async fn declare_types(&self) -> Result<(), Error> {
        for plugin in self.plugins.list() {
            let Some(declared) = &plugin.declares else { continue };
            match self.declare(&plugin, declared).await {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Invalid && self.is_new(&plugin).await => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!(%error, cause = error.cause(), plugin = %plugin.identity.name,
                        "the type that a plugin declares stays as it was, or is not there");
                }
            }
        }
        Ok(())
    }

    /// Whether nothing is stored of the type that the plugin declares: then what is wrong with it
    /// is wrong with the plugin.
    async fn is_new(&self, plugin: &TypePluginView) -> bool {
        matches!(self.records().type_of_plugin(&plugin.identity.name).await, Ok(None))
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
        let blank = || CredentialType { declared: true, ..self.blank_type(plugin.clone()) };
        let from = stored.as_ref().map_or_else(blank, |stored| CredentialType {
            permission_scope: None,
            ..stored.value.clone()
        });
        let is_taken =
            |name: &str| types.by_name(name).is_some_and(|other| other.value.id != from.id);
        let name = declared_name((plugin, from.id), declared, is_taken);
        let wanted = self.declared_type(plugin, declared, (&from, name))?;
        for (_, field) in self.options.computed_plain.refused(&wanted) {
            tracing::warn!(%plugin, field, "the plugin declares a plain field that it may not fill: list it in computed_plain, or it stays empty");
        }
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
        (from, name): (&CredentialType, String),
    ) -> Result<CredentialType, Error> {
        let draft = TypeDraft {
            name: Some(name),
            permission_scope: declared.permission_scope.clone(),
            // An invalid picture is left out: it is no reason to refuse the type.
            icon: Some(declared.icon.clone().filter(|icon| check_link(icon).is_ok())),
            plugin: None,
            fields: Some(declared.fields.iter().map(|field| Some(field_draft(field))).collect()),
        };
        self.apply_draft(from, &draft, Problems::default())
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

/// The name of the type: as declared, or, when another type has that name, with the plugin's name
/// behind it, or its own id, or the id and a number. Users name types as they like: there is always
/// a name that is free.
fn declared_name(
    (plugin, id): (&PluginName, TypeId),
    declared: &DeclaredType,
    is_taken: impl Fn(&str) -> bool,
) -> String {
    let numbered = (2_u64..).map(|number| format!(" ({id} {number})"));
    let suffixes =
        [String::new(), format!(" ({plugin})"), format!(" ({id})")].into_iter().chain(numbered);
    let mut names = suffixes.map(|suffix| {
        let room = MAX_NAME_CHARS.saturating_sub(suffix.chars().count());
        let name: String = declared.name.chars().take(room).collect();
        if suffix.is_empty() { declared.name.clone() } else { name + &suffix }
    });
    names.find(|name| !is_taken(name)).unwrap_or_else(|| id.to_string())
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
