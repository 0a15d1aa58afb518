//! Types of credentials.

use credsmith_core::access::{
    ChangeType, CreateType, DeleteType, FetchType, ListOfType, ListTypes, authorize_list_of_type,
    authorize_type, authorize_type_change, authorize_type_creation, authorize_type_deletion,
    authorize_types,
};
use credsmith_core::ids::TypeId;
use credsmith_core::vault::draft::{FieldDraft, TypeDraft};
use credsmith_core::vault::types::TypeView;
use futures_util::FutureExt as _;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::body::{Decoder, Object};
use super::cx::Cx;
use super::present::{CredentialOfType, FieldBody, Kind, Moment, RecordId};
use super::route::{Access, Outcome, Route};
use crate::docs::never_null;

const FETCH: Access = Access::permissions(FetchType::PERMISSIONS);
const LIST: Access = Access::permissions(ListTypes::PERMISSIONS);
const CREATE: Access = Access::permissions(CreateType::PERMISSIONS);
const CHANGE: Access = Access::permissions(ChangeType::PERMISSIONS);
const DELETE: Access = Access::permissions(DeleteType::PERMISSIONS);
const LIST_CREDENTIALS: Access = Access::permissions(ListOfType::PERMISSIONS);

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/credential-type/credential-types";
    const BY_IDENTIFIER: &str = "/v1/credential-type/credential-types/{identifier}";
    const ONE: &str = "/v1/credential-type/credential-types/{id}";
    vec![
        Route::get(ALL, LIST, |cx| list(cx).boxed())
            .named("listCredentialTypes")
            .summary("Lists all types, by name.")
            .answers::<Vec<ListedType>>(StatusCode::OK, "Credential Types Fetched Successfully!"),
        Route::get(BY_IDENTIFIER, FETCH, |cx| fetch(cx).boxed())
            .named("getCredentialType")
            .summary("One type, by its id or by its name, whatever the case.")
            .answers::<TypeBody>(StatusCode::OK, "Credential Type Fetched Successfully!"),
        Route::post(ALL, CREATE, |cx| create(cx).boxed())
            .named("createCredentialType")
            .summary("Creates a type.")
            .reads::<TypeSent>()
            .answers::<CreatedType>(StatusCode::CREATED, "Credential Type Created Successfully!")
            .fails(&[StatusCode::CONFLICT]),
        Route::patch(ONE, CHANGE, |cx| change(cx).boxed())
            .named("changeCredentialType")
            .summary("Replaces the named properties. A field that has secure values, hidden ones included, keeps its valueType and choices \
                 and never becomes plain: 409.")
            .reads::<TypeChangeSent>()
            .answers::<ChangedType>(StatusCode::OK, "Credential Type Updated Successfully!")
            .fails(&[StatusCode::CONFLICT]),
        Route::delete(ONE, DELETE, |cx| delete(cx).boxed())
            .named("deleteCredentialType")
            .summary("Deletes a type, and its credentials with it.")
            .answers::<()>(StatusCode::OK, "Credential Type Deleted Successfully!")
            .fails(&[StatusCode::CONFLICT]),
        Route::get("/v1/credential-type/credential-types/{id}/credentials", LIST_CREDENTIALS, |cx| {
            credentials(cx).boxed()
        })
        .named("listCredentialsOfType")
        .summary("Lists the credentials of a type, by name.")
        .answers_part_of::<CredentialOfType>("Credentials Fetched Successfully!"),
    ]
}

/// A type.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CredentialType")]
#[serde(rename_all = "camelCase")]
struct TypeBody {
    #[serde(flatten)]
    listed: ListedType,
    created_at: Moment,
    updated_at: Moment,
}

/// A type in a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedCredentialType")]
#[serde(rename_all = "camelCase")]
struct ListedType {
    #[serde(flatten)]
    created: CreatedType,
    /// How many credentials of it the caller may see.
    credential_count: u64,
}

/// A type as it was created.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreatedCredentialType")]
#[serde(rename_all = "camelCase")]
struct CreatedType {
    id: RecordId,
    name: String,
    /// The permission that its credentials need beyond the usual ones.
    permission_scope: Option<String>,
    /// URL of its picture.
    icon: Option<String>,
    /// The plugin that checks its credentials.
    plugin: String,
    fields: Vec<FieldBody>,
}

/// The answer to an update of a type.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChangedCredentialType")]
struct ChangedType {
    id: RecordId,
    name: String,
    fields: Vec<FieldBody>,
}

/// The pattern of a permission scope.
const SCOPE: &str = r"^[a-z0-9_]+(\.[a-z0-9_]+)+$";

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
#[serde(rename_all = "camelCase")]
struct TypeSent {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Words of a-z, 0-9 and _ with dots between them.
    #[schemars(regex(pattern = SCOPE))]
    permission_scope: String,
    icon: Option<String>,
    /// One of those configured.
    #[schemars(transform = never_null)]
    plugin: Option<String>,
    #[schemars(length(max = 64))]
    fields: Vec<FieldSent>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
#[serde(rename_all = "camelCase")]
struct TypeChangeSent {
    #[schemars(length(min = 1, max = 200), transform = never_null)]
    name: Option<String>,
    #[schemars(regex(pattern = SCOPE), transform = never_null)]
    permission_scope: Option<String>,
    /// `null`: none.
    icon: Option<String>,
    #[schemars(transform = never_null)]
    plugin: Option<String>,
    #[schemars(length(max = 64), transform = never_null)]
    fields: Option<Vec<FieldSent>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
#[serde(rename_all = "camelCase")]
struct FieldSent {
    #[schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9_]*$"), length(max = 64))]
    id: String,
    #[schemars(length(min = 1, max = 200))]
    name: String,
    required: bool,
    secure: bool,
    value_type: Kind,
    #[schemars(transform = never_null)]
    choices: Option<Vec<String>>,
    #[schemars(transform = never_null)]
    computed: Option<bool>,
}

impl From<TypeView> for CreatedType {
    fn from(view: TypeView) -> Self {
        Self {
            id: view.id.into(),
            name: view.name,
            permission_scope: view.permission_scope,
            icon: view.icon,
            plugin: view.plugin.to_string(),
            fields: view.fields.into_iter().map(FieldBody::from).collect(),
        }
    }
}

impl From<TypeView> for ListedType {
    fn from(view: TypeView) -> Self {
        Self { credential_count: view.credential_count, created: view.into() }
    }
}

impl From<TypeView> for TypeBody {
    fn from(view: TypeView) -> Self {
        Self {
            created_at: Moment(view.created),
            updated_at: Moment(view.updated),
            listed: view.into(),
        }
    }
}

impl From<TypeView> for ChangedType {
    fn from(view: TypeView) -> Self {
        let fields = view.fields.into_iter().map(FieldBody::from).collect();
        Self { id: view.id.into(), name: view.name, fields }
    }
}

async fn list(cx: Cx) -> Outcome {
    let types = cx.core().vault.list_types(authorize_types(cx.member()?)?).await?;
    cx.success(&types.into_iter().map(ListedType::from).collect::<Vec<_>>())
}

async fn fetch(cx: Cx) -> Outcome {
    let grant = authorize_type(cx.member()?)?;
    let view = cx.core().vault.fetch_type(grant, cx.param("identifier")?).await?;
    cx.success(&TypeBody::from(view))
}

async fn create(mut cx: Cx) -> Outcome {
    let (draft, problems) = cx.body()?.decode(new_type);
    let grant = authorize_type_creation(cx.member()?)?;
    let view = cx.core().vault.create_type(grant, &draft, problems).await?;
    cx.success(&CreatedType::from(view))
}

async fn change(mut cx: Cx) -> Outcome {
    let id = cx.id("id", TypeId::parse)?;
    let grant = authorize_type_change(cx.member()?)?;
    let present = TypeBody::from(cx.core().vault.type_to_change(&grant, id).await?);
    let (draft, problems) = cx.body()?.decode(|object| changed_type(object, &present));
    let view = cx.core().vault.change_type(grant, id, &draft, problems).await?;
    cx.success(&ChangedType::from(view))
}

async fn delete(cx: Cx) -> Outcome {
    let id = cx.id("id", TypeId::parse)?;
    cx.core().vault.delete_type(authorize_type_deletion(cx.member()?)?, id).await?;
    cx.success(&())
}

async fn credentials(cx: Cx) -> Outcome {
    let id = cx.id("id", TypeId::parse)?;
    let part = cx.query().part()?;
    let grant = authorize_list_of_type(cx.member()?)?;
    let listed = cx.core().vault.list_of_type(grant, id, part.paging).await?;
    cx.part(&listed.map(CredentialOfType::from), part.is_asked_for)
}

fn new_type(object: &mut Object<'_>) -> TypeDraft {
    TypeDraft {
        name: object.required("name", Decoder::string),
        permission_scope: object.required("permissionScope", Decoder::string),
        icon: object.nullable("icon", Decoder::string),
        plugin: object.optional("plugin", Decoder::string),
        fields: object.required("fields", |decoder, value| decoder.list(value, field)),
    }
}

fn changed_type(object: &mut Object<'_>, present: &impl Serialize) -> TypeDraft {
    let draft = TypeDraft {
        name: object.optional("name", Decoder::string),
        permission_scope: object.optional("permissionScope", Decoder::string),
        icon: object.nullable("icon", Decoder::string),
        plugin: object.optional("plugin", Decoder::string),
        fields: object.optional("fields", |decoder, value| decoder.list(value, field)),
    };
    object.read_only(present);
    draft
}

fn field(decoder: &mut Decoder, value: Value) -> Option<FieldDraft> {
    decoder.object(value, |object| FieldDraft {
        id: object.required("id", Decoder::string),
        name: object.required("name", Decoder::string),
        required: object.required("required", Decoder::boolean),
        secure: object.required("secure", Decoder::boolean),
        value_type: object.required("valueType", Decoder::string),
        choices: object.optional("choices", |decoder, value| decoder.list(value, Decoder::string)),
        computed: object.optional("computed", Decoder::boolean),
    })
}

#[cfg(test)]
mod tests;
