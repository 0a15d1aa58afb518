//! The public keys with which others check our tokens (RFC 7517). No envelope: its readers know
//! none.

use futures_util::FutureExt as _;
use http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::cx::Cx;
use super::envelope;
use super::route::{Access, Content, Outcome, Route};

/// A JSON Web Key Set.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes what the signer wrote")]
struct KeySet {
    /// Public keys, each with its `kid`.
    keys: Vec<Map<String, Value>>,
}

pub(super) fn routes() -> Vec<Route> {
    let keys = Content::Json {
        about: "The keys.",
        schema: |generator| generator.subschema_for::<KeySet>(),
    };
    vec![
        Route::get("/.well-known/jwks.json", Access::Public, |cx| keys_of_ours(cx).boxed())
            .named("getSigningKeys")
            .summary("The public keys of the tokens that the vault gives out.")
            .answer(StatusCode::OK, keys),
    ]
}

async fn keys_of_ours(cx: Cx) -> Outcome {
    Ok(envelope::json(StatusCode::OK, &cx.core().authenticator.public_keys()))
}
