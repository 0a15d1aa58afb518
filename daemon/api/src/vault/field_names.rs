//! How bodies and queries of the dialect spell the fields that core's problems are about.

use credsmith_core::error::{FieldProblem, RequestField, Segment};

/// The key of `field` in a body, or in the query.
pub(super) const fn key(field: RequestField) -> &'static str {
    match field {
        RequestField::Name => "name",
        RequestField::Image => "image",
        RequestField::Roles => "roles",
        RequestField::Page => "page",
        RequestField::PerPage => "rpp",
        RequestField::PermissionScope => "permissionScope",
        RequestField::Suspended => "suspended",
        RequestField::Icon => "icon",
        RequestField::Plugin => "plugin",
        RequestField::Fields => "fields",
        RequestField::Id => "id",
        RequestField::Required => "required",
        RequestField::Secure => "secure",
        RequestField::ValueType => "valueType",
        RequestField::Choices => "choices",
        RequestField::Computed => "computed",
        RequestField::Type => "typeId",
        RequestField::Company => "companyId",
        RequestField::Field => "fieldId",
        RequestField::Value => "value",
        RequestField::Provider => "provider",
        RequestField::State => "state",
        RequestField::CallbackKey => "callbackKey",
        RequestField::Token => "token",
    }
}

/// `problem` with the keys of the dialect in its path.
pub(super) fn spelled(problem: &FieldProblem) -> FieldProblem {
    let path = problem.path.iter().map(|segment| match segment {
        Segment::Field(field) => key(*field).into(),
        other => other.clone(),
    });
    FieldProblem::new(path, problem.message.as_str())
}
