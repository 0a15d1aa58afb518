//! The initial content of the vault of `credsmith dev`: a type of credential and two credentials.

use std::sync::Arc;

use credsmith_core::Error;
use credsmith_core::access::{authorize_creation, authorize_type_creation};
use credsmith_core::caller::Member;
use credsmith_core::ids::{SessionId, UserId};
use credsmith_core::ports::{Entropy as _, random_16};
use credsmith_core::rights::permission::Pattern;
use credsmith_core::rights::{Rights, Role};
use credsmith_core::secret::Secret;
use credsmith_core::vault::draft::{CredentialDraft, FieldDraft, TypeDraft, ValueDraft};

use crate::system::SystemEntropy;
use crate::wire_up::VaultHalf;

const TYPE: &str = "Demo login";
const SCOPE: &str = "demo.login";

/// Fills a new vault.
///
/// # Errors Every error of the vault.
pub(super) async fn fill(half: &VaultHalf) -> Result<(), Error> {
    let filler = filler()?;
    let made = half
        .vault
        .create_type(authorize_type_creation(&filler)?, &login_type(), Vec::new())
        .await?;
    let companies = half.companies.view().await?;
    for (company, name, user) in
        [("acme", "Acme router", "admin"), ("globex", "Globex mail server", "postmaster")]
    {
        let Some(company) = companies.resolve(company) else { continue };
        let draft = CredentialDraft {
            name: Some(name.to_owned()),
            type_id: Some(made.id.to_string()),
            company_id: Some(company.id.to_string()),
            values: Some(vec![
                value("username", Secret::new(user)),
                value("password", password()),
                value(
                    "address",
                    Secret::new(format!("https://{}.example.org/", company.identifier)),
                ),
            ]),
        };
        half.vault.create_credential(authorize_creation(&filler)?, draft, Vec::new()).await?;
    }
    Ok(())
}

/// A member with every permission, used only to fill the demo.
fn filler() -> Result<Member, Error> {
    let everything = Pattern::parse("*").map_err(Error::internal)?;
    let role = Role { name: "demo".into(), permissions: vec![everything], companies: None };
    let user = UserId::from_random(random_16(&SystemEntropy));
    let session = SessionId::from_random(random_16(&SystemEntropy));
    Ok(Member::of_demonstration(user, session, Rights::new(vec![Arc::new(role)])))
}

fn login_type() -> TypeDraft {
    let field = |id: &str, name: &str, (required, secure), value_type: &str| {
        Some(FieldDraft {
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
            required: Some(required),
            secure: Some(secure),
            value_type: Some(value_type.to_owned()),
            ..FieldDraft::default()
        })
    };
    TypeDraft {
        name: Some(TYPE.to_owned()),
        permission_scope: Some(SCOPE.to_owned()),
        fields: Some(vec![
            field("username", "User name", (true, false), "plain_text"),
            field("password", "Password", (true, true), "password"),
            field("address", "Address", (false, false), "url"),
        ]),
        ..TypeDraft::default()
    }
}

fn value(field: &str, value: Secret) -> Option<ValueDraft> {
    Some(ValueDraft { field: Some(field.to_owned()), value: Some(Some(value)) })
}

fn password() -> Secret {
    let mut bytes = [0; 12];
    SystemEntropy.fill(&mut bytes);
    Secret::new(format!("demo-{}", hex::encode(bytes)))
}
