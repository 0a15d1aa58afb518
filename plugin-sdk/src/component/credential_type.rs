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
use crate::credential_type::{CredentialType, DeclaredType, Description};
use crate::problem::FieldProblem;

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

impl From<FieldProblem> for types::FieldProblem {
    fn from(problem: FieldProblem) -> Self {
        Self { path: problem.path, message: problem.message }
    }
}

impl From<types::Field> for crate::Field {
    fn from(field: types::Field) -> Self {
        Self {
            key: field.key,
            label: field.label,
            help: field.help,
            kind: field.kind,
            choices: field.choices,
            required: field.required,
            secure: field.secure,
            computed: field.computed,
            default: field.default,
            extra: field.extra.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        }
    }
}

impl From<crate::Field> for types::Field {
    fn from(field: crate::Field) -> Self {
        Self {
            key: field.key,
            label: field.label,
            help: field.help,
            kind: field.kind,
            choices: field.choices,
            required: field.required,
            secure: field.secure,
            computed: field.computed,
            default: field.default,
            extra: pairs(field.extra),
        }
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

fn pairs(pairs: Vec<(String, String)>) -> Vec<types::Pair> {
    pairs.into_iter().map(|(key, value)| types::Pair { key, value }).collect()
}
