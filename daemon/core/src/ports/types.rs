//! Plugins behind types of credentials: they check, normalise and compute values. The host
//! sandboxes; they see plain secrets and have nothing to send them with.

use async_trait::async_trait;

use crate::error::FieldProblem;
use crate::field::Field;
use crate::ids::PluginName;
use crate::ports::plugins::{Broken, PluginIdentity};
use crate::secret::Secret;

/// A loaded plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePluginView {
    /// Which one; its name is how types refer to it.
    pub identity: PluginIdentity,
    /// The type that it brings, if it brings a whole one.
    pub declares: Option<DeclaredType>,
}

/// A type that exists because its plugin is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredType {
    /// Its name for people.
    pub name: String,
    /// URL of its picture.
    pub icon: Option<String>,
    /// The permission that its credentials need beyond the usual ones.
    pub permission_scope: Option<String>,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// One value of a credential on its way through a plugin.
#[derive(Debug, Clone)]
pub struct TypeValue {
    /// The id of its field.
    pub field: String,
    /// The value.
    pub value: Secret,
    /// Whether the request brought it. The others come from the store.
    pub named: bool,
}

/// Why values were not normalised.
#[derive(Debug)]
pub enum NormaliseFailure {
    /// They do not fit the type. A path is a field id alone, or empty where no field of the type is
    /// meant. Of a field that the request did not name, the message says only that it does not fit:
    /// else an update would disclose what is stored.
    Invalid(Vec<FieldProblem>),
    /// There was no place to run in time.
    Busy,
    /// No such plugin is loaded.
    NotLoaded,
    /// The plugin broke.
    Broken(Broken),
}

/// The configured plugins for types of credentials.
#[async_trait]
pub trait TypePlugins: Send + Sync + 'static {
    /// All of them, in the order of the configuration; `generic` is always among them.
    fn list(&self) -> Vec<TypePluginView>;

    /// Checks and normalises the values of one credential, and fills in computed fields. What comes
    /// back is the whole credential.
    ///
    /// # Errors
    /// See [`NormaliseFailure`]. Dropping the future ends the plugin.
    async fn normalise(
        &self,
        plugin: &PluginName,
        definition: &[Field],
        values: &[TypeValue],
    ) -> Result<Vec<(String, Secret)>, NormaliseFailure>;
}
