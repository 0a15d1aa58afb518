//! A type of credential of the vault, as a plugin: it declares fields and checks what is put into
//! them.
//!
//! It sees plain secrets and has nothing to send them with. During `normalise` its log is counted
//! and thrown away, and a problem at a field that the request did not name loses its text. Build
//! such a plugin with `default-features = false` and the feature `credential-type`; it also brings
//! `Values`, which checks values by their kinds.

#[cfg(feature = "credential-type")]
mod kinds;
#[cfg(feature = "credential-type")]
mod totp;
#[cfg(feature = "credential-type")]
mod values;

#[cfg(feature = "credential-type")]
pub use totp::TotpSecret;
#[cfg(feature = "credential-type")]
pub use values::{MAX_VALUE, Values};

use crate::field::Field;
use crate::problem::FieldProblem;

/// A credential type plugin.
pub trait CredentialType {
    /// Describes the plugin. Pure: the same at every call.
    fn describe() -> Description;

    /// Checks and completes the fields of one credential: `values` by the keys of `definition`;
    /// computed fields are filled in here.
    ///
    /// # Errors
    /// Every problem, with its path.
    fn normalise(
        definition: &[Field],
        values: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Vec<FieldProblem>>;
}

/// The description of a credential type plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// 1 to 64 letters, digits, `-` or `_`.
    pub name: String,
    /// For people.
    pub version: String,
    /// A whole type that exists from the start. Without it, types are defined on this plugin
    /// through the API.
    pub declares: Option<DeclaredType>,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

impl Description {
    /// A plugin that types are defined on.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), declares: None, extra: Vec::new() }
    }

    /// It brings a type of its own.
    #[must_use]
    pub fn declares(mut self, declared: DeclaredType) -> Self {
        self.declares = Some(declared);
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}

/// A type that a plugin brings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeclaredType {
    /// Its label, for people.
    pub label: String,
    /// The URL of its picture, http or https, or nothing.
    pub icon: String,
    /// The permission that its credentials ask for beyond the usual ones.
    pub permission_scope: Option<String>,
    /// The fields of a credential of the type.
    pub fields: Vec<Field>,
}

impl DeclaredType {
    /// A type without fields.
    pub fn new(label: impl Into<String>, icon: impl Into<String>) -> Self {
        Self { label: label.into(), icon: icon.into(), permission_scope: None, fields: Vec::new() }
    }

    /// The permission that its credentials ask for.
    #[must_use]
    pub fn permission_scope(mut self, scope: impl Into<String>) -> Self {
        self.permission_scope = Some(scope.into());
        self
    }

    /// One more field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }
}

/// Makes a type that implements [`CredentialType`] the component's credential type. Natively it
/// only checks that the type does.
#[macro_export]
macro_rules! export_credential_type {
    ($plugin:ident) => {
        const _: () = {
            const fn implements<T: $crate::credential_type::CredentialType>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod credsmith_component {
            type Exported = $crate::component::credential_type::Exported<super::$plugin>;
            $crate::component::credential_type::export_credential_type_component!(Exported);
        }
    };
}
