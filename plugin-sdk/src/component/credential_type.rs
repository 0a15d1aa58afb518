//! The world `credential-type-plugin`.

use std::marker::PhantomData;

wit_bindgen::generate!({
    path: "wit",
    world: "credential-type-plugin",
    pub_export_macro: true,
    export_macro_name: "export_credential_type_component",
    default_bindings_module: "credsmith_plugin_sdk::component::credential_type",
});

use self::credsmith::plugin::types;
use self::exports::credsmith::plugin::credential_type as wire;
use super::convert::pairs;
use crate::credential_type::{CredentialType, DeclaredType, Description};

/// A [`CredentialType`] as the component's exports.
pub struct Exported<T>(PhantomData<T>);

impl<T: CredentialType + 'static> wire::Guest for Exported<T> {
    fn describe() -> wire::Description {
        T::describe().into()
    }

    fn normalise(
        definition: Vec<types::Field>,
        values: Vec<types::Pair>,
    ) -> Result<Vec<types::Pair>, Vec<types::FieldProblem>> {
        let definition: Vec<_> = definition.into_iter().map(Into::into).collect();
        let values = values.into_iter().map(|pair| (pair.key, pair.value)).collect();
        T::normalise(&definition, values)
            .map(pairs)
            .map_err(|problems| problems.into_iter().map(Into::into).collect())
    }
}

impl From<Description> for wire::Description {
    fn from(description: Description) -> Self {
        Self {
            name: description.name,
            version: description.version,
            declares: description.declares.map(Into::into),
            extra: pairs(description.extra),
        }
    }
}

impl From<DeclaredType> for wire::DeclaredType {
    fn from(declared: DeclaredType) -> Self {
        Self {
            label: declared.label,
            icon: declared.icon,
            permission_scope: declared.permission_scope,
            fields: declared.fields.into_iter().map(Into::into).collect(),
        }
    }
}
