//! Credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credsmith_core::access::vault::{
    AtOne as _, ChangeValues, Delete, Fetch, FetchValues, Rename, Reveal,
};
use credsmith_core::access::{CreateCredential, ListOfCompany, authorize_creation};
use credsmith_core::ids::{CompanyId, CredentialId};
use credsmith_core::vault::credentials::{
    CredentialView, StoredForm, StoredValue, TypeOfCredential,
};
use credsmith_core::vault::draft::{CredentialDraft, ValueDraft};
use futures_util::FutureExt as _;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::body::{Decoder, Object};
use super::company::CompanyOf;
use super::cx::Cx;
use super::present::{CredentialOfType, FieldBody, Moment, RecordId, Revealed, Values};
use super::route::{Access, Outcome, Route};
use crate::docs::never_null;

const FETCH: Access = Access::permissions(Fetch::PERMISSIONS);
const LIST_OF_COMPANY: Access = Access::permissions(ListOfCompany::PERMISSIONS);
const CREATE: Access = Access::permissions(CreateCredential::PERMISSIONS);
const RENAME: Access = Access::permissions(Rename::PERMISSIONS);
const CHANGE_VALUES: Access = Access::permissions(ChangeValues::PERMISSIONS);
const FETCH_VALUES: Access = Access::permissions(FetchValues::PERMISSIONS);
const REVEAL: Access = Access::permissions(Reveal::PERMISSIONS);
const DELETE: Access = Access::permissions(Delete::PERMISSIONS);

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/credential/credentials";
    const ONE: &str = "/v1/credential/credentials/{id}";
    const FIELDS: &str = "/v1/credential/credentials/{id}/fields";
    vec![
        Route::get(ONE, FETCH, |cx| fetch(cx).boxed())
            .named("getCredential")
            .summary("One credential, without its secure values.")
            .answers::<CredentialBody>(StatusCode::OK, "Credential Fetched Successfully!")
            .tagged(),
        Route::get("/v1/credential/credentials/company/{companyId}", LIST_OF_COMPANY, |cx| {
            list_of_company(cx).boxed()
        })
        .named("listCredentialsOfCompany")
        .summary("Lists the credentials of a company, by name.")
        .answers_part_of::<ListedCredential>("Company Credentials Fetched Successfully!"),
        Route::post(ALL, CREATE, |cx| create(cx).boxed())
            .named("createCredential")
            .summary("Creates a credential.")
            .reads::<CredentialSent>()
            .answers::<CredentialOfType>(StatusCode::CREATED, "Credential Created Successfully!")
            .fails(&[StatusCode::CONFLICT]),
        Route::patch(ONE, RENAME, |cx| rename(cx).boxed())
            .named("renameCredential")
            .summary("Renames a credential.")
            .reads::<RenameSent>()
            .answers::<CredentialBody>(StatusCode::OK, "Credential Updated Successfully!")
            .tagged(),
        Route::put(FIELDS, CHANGE_VALUES, |cx| change_values(cx).boxed())
            .named("setCredentialValues")
            .summary(
                "Sets the named values and keeps the others. `null` removes an optional value.",
            )
            .reads::<ValuesSent>()
            .answers::<ChangedCredential>(StatusCode::OK, "Credential Fields Updated Successfully!")
            .fails(&[StatusCode::CONFLICT])
            .tagged(),
        Route::get(FIELDS, FETCH_VALUES, |cx| values(cx).boxed())
            .named("listCredentialValues")
            .summary("All values as they are stored: secure ones encrypted, in base64.")
            .answers::<Vec<ValueBody>>(StatusCode::OK, "Credential Fields Fetched Successfully!")
            .tagged(),
        Route::get("/v1/credential/credentials/{id}/secure-values", REVEAL, |cx| {
            reveal(cx).boxed()
        })
        .named("revealSecureValues")
        .summary("All secure values, decrypted. Every call is audited.")
        .answers::<Revealed>(StatusCode::OK, "Secure Values Fetched Successfully!"),
        Route::delete(ONE, DELETE, |cx| delete(cx).boxed())
            .named("deleteCredential")
            .summary("Deletes a credential with all its values.")
            .answers::<()>(StatusCode::OK, "Credential Deleted Successfully!")
            .tagged(),
    ]
}

/// A credential.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Credential")]
#[serde(rename_all = "camelCase")]
struct CredentialBody {
    #[serde(flatten)]
    listed: ListedCredential,
    created_at: Moment,
    updated_at: Moment,
}

/// A credential in the list of its company.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedCredential")]
struct ListedCredential {
    #[serde(flatten)]
    credential: CredentialOfType,
    #[serde(rename = "type")]
    of: TypeOf,
    company: CompanyOf,
}

/// The answer to an update of its values.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChangedCredential")]
struct ChangedCredential {
    id: RecordId,
    name: String,
    fields: Values,
}

/// The type that a credential is of.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TypeOfCredential")]
#[serde(rename_all = "camelCase")]
struct TypeOf {
    id: RecordId,
    name: String,
    fields: Vec<FieldBody>,
    permission_scope: Option<String>,
}

/// One value as it is stored.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CredentialField")]
#[serde(rename_all = "camelCase")]
struct ValueBody {
    /// A secure value's own; of a plain one, that of the credential, `-`, and that of the field.
    id: String,
    field_id: String,
    /// Of a secure value the ciphertext, in base64.
    value: String,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
#[serde(rename_all = "camelCase")]
struct CredentialSent {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    type_id: String,
    company_id: String,
    /// A value has at most 16 KiB, all of a credential together 128 KiB.
    fields: Vec<ValueSent>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
struct RenameSent {
    #[schemars(length(min = 1, max = 200), transform = never_null)]
    name: Option<String>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
struct ValuesSent {
    /// A value has at most 16 KiB, all of a credential together 128 KiB.
    fields: Vec<ChangeSent>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
#[serde(rename_all = "camelCase")]
struct ValueSent {
    /// Ignored.
    id: Option<Value>,
    field_id: String,
    value: String,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes a body that is read by hand")]
#[serde(rename_all = "camelCase")]
struct ChangeSent {
    /// Ignored.
    id: Option<Value>,
    field_id: String,
    /// `null` removes it.
    #[schemars(required, extend("type" = ["string", "null"]))]
    value: Option<String>,
}

impl From<TypeOfCredential> for TypeOf {
    fn from(of: TypeOfCredential) -> Self {
        Self {
            id: of.id.into(),
            name: of.name,
            fields: of.fields.into_iter().map(FieldBody::from).collect(),
            permission_scope: of.permission_scope,
        }
    }
}

impl From<CredentialView> for ListedCredential {
    fn from(view: CredentialView) -> Self {
        Self {
            of: view.credential_type.clone().into(),
            company: CompanyOf::from(&*view.company),
            credential: view.into(),
        }
    }
}

impl From<CredentialView> for CredentialBody {
    fn from(view: CredentialView) -> Self {
        Self {
            created_at: Moment(view.created),
            updated_at: Moment(view.updated),
            listed: view.into(),
        }
    }
}

impl From<CredentialView> for ChangedCredential {
    fn from(view: CredentialView) -> Self {
        Self { id: view.id.into(), name: view.name, fields: Values(view.values) }
    }
}

impl From<StoredValue> for ValueBody {
    fn from(stored: StoredValue) -> Self {
        let value = match stored.form {
            StoredForm::Plain(value) => value,
            StoredForm::Sealed(envelope) => STANDARD.encode(envelope),
        };
        Self { id: stored.id, field_id: stored.field, value }
    }
}

async fn fetch(cx: Cx) -> Outcome {
    let id = cx.id("id", CredentialId::parse)?;
    let at = cx.core().vault.authorize::<Fetch>(cx.member()?, id).await?;
    let view = cx.core().vault.fetch(at).await?;
    cx.tagged(view.version, &CredentialBody::from(view))
}

async fn list_of_company(cx: Cx) -> Outcome {
    let id = cx.id("companyId", CompanyId::parse)?;
    let (vault, part) = (&cx.core().vault, cx.query().part()?);
    let grant = vault.authorize_list_of_company(cx.member()?, id).await?;
    let listed = vault.list_of_company(grant, part.paging).await?;
    cx.part(&listed.map(ListedCredential::from), part.is_asked_for)
}

async fn create(mut cx: Cx) -> Outcome {
    let (draft, problems) = cx.body()?.decode(new_credential);
    let grant = authorize_creation(cx.member()?)?;
    let view = cx.core().vault.create_credential(grant, draft, problems).await?;
    cx.success(&CredentialOfType::from(view))
}

async fn rename(mut cx: Cx) -> Outcome {
    let id = cx.id("id", CredentialId::parse)?;
    let at = cx.core().vault.authorize::<Rename>(cx.member()?, id).await?;
    let present = CredentialBody::from(at.view());
    let (name, problems) = cx.body()?.decode(|object| new_name(object, &present));
    let view =
        cx.core().vault.rename(at, name.as_deref(), problems, cx.expected().as_deref()).await?;
    cx.tagged(view.version, &CredentialBody::from(view))
}

async fn change_values(mut cx: Cx) -> Outcome {
    let id = cx.id("id", CredentialId::parse)?;
    let at = cx.core().vault.authorize::<ChangeValues>(cx.member()?, id).await?;
    let present = CredentialBody::from(at.view());
    let (drafts, problems) = cx.body()?.decode(|object| changes(object, &present));
    let expected = cx.expected();
    let view = cx.core().vault.change_values(at, drafts, problems, expected).await?;
    cx.tagged(view.version, &ChangedCredential::from(view))
}

async fn values(cx: Cx) -> Outcome {
    let id = cx.id("id", CredentialId::parse)?;
    let at = cx.core().vault.authorize::<FetchValues>(cx.member()?, id).await?;
    let (version, values) = cx.core().vault.fetch_values(at).await?;
    cx.tagged(version, &values.into_iter().map(ValueBody::from).collect::<Vec<_>>())
}

async fn reveal(cx: Cx) -> Outcome {
    let id = cx.id("id", CredentialId::parse)?;
    let at = cx.core().vault.authorize::<Reveal>(cx.member()?, id).await?;
    cx.success(&Revealed(cx.core().vault.reveal(at).await?))
}

async fn delete(cx: Cx) -> Outcome {
    let id = cx.id("id", CredentialId::parse)?;
    let at = cx.core().vault.authorize::<Delete>(cx.member()?, id).await?;
    cx.core().vault.delete_credential(at, cx.expected().as_deref()).await?;
    cx.success(&())
}

fn new_credential(object: &mut Object<'_>) -> CredentialDraft {
    CredentialDraft {
        name: object.required("name", Decoder::string),
        type_id: object.required("typeId", Decoder::string),
        company_id: object.required("companyId", Decoder::string),
        values: object.required("fields", |decoder, value| decoder.list(value, value_of)),
    }
}

fn value_of(decoder: &mut Decoder, value: Value) -> Option<ValueDraft> {
    decoder.object(value, |object| {
        object.ignored("id");
        ValueDraft {
            field: object.required("fieldId", Decoder::string),
            value: object.required("value", Decoder::secret).map(Some),
        }
    })
}

fn new_name(object: &mut Object<'_>, present: &impl Serialize) -> Option<String> {
    let name = object.optional("name", Decoder::string);
    object.read_only(present);
    name
}

fn changes(object: &mut Object<'_>, present: &impl Serialize) -> Option<Vec<Option<ValueDraft>>> {
    let drafts = object.required("fields", |decoder, value| decoder.list(value, change_of));
    object.read_only(present);
    drafts
}

fn change_of(decoder: &mut Decoder, value: Value) -> Option<ValueDraft> {
    decoder.object(value, |object| {
        object.ignored("id");
        ValueDraft {
            field: object.required("fieldId", Decoder::string),
            value: object.required_or_null("value", Decoder::secret),
        }
    })
}

#[cfg(test)]
mod tests;
