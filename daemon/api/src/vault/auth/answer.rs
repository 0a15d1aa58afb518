//! The answer of the user to the question of a sign-in: a form of our own page, sent once.
//!
//! Never here: an answer that a page of another site sent for its visitor.

use credsmith_core::secret::Secret;
use credsmith_core::session::Answer;
use credsmith_core::{Error, Kind};
use futures_util::FutureExt as _;
use http::StatusCode;
use schemars::JsonSchema;

use super::super::cx::Cx;
use super::super::refuse::Refusal;
use super::super::route::{Access, Outcome, Route};
use super::{client_address, page, wants_json, with_pages};

/// The fields of the form.
#[derive(JsonSchema)]
#[schemars(rename = "AnswerSent")]
#[expect(dead_code, reason = "it describes a form; its fields are read by hand")]
struct Fields {
    /// The token of the page.
    token: String,
    /// `yes` or `no`.
    answer: String,
}

pub(super) fn route() -> Route {
    let row = Route::post("/v1/auth/confirm", Access::Public, |cx| confirm(cx).boxed())
        .named("confirmSignIn")
        .summary("Takes the answer of the user whom the page of a sign-in asks: its program gets the tokens after a yes only.")
        .reads_form::<Fields>()
        .fails(&[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]);
    with_pages(
        row,
        &[
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ],
    )
}

/// The address of the form, from that of the page: a proxy may serve us below a path.
pub(super) fn relative_path(page: &Cx) -> String {
    let deeper = page.path().matches('/').count().saturating_sub(REDIRECT.matches('/').count());
    format!("{}confirm", "../".repeat(deeper))
}

/// The address of the page, where its provider has none of its own.
const REDIRECT: &str = "/v1/auth/redirect";

async fn confirm(mut cx: Cx) -> Outcome {
    let nonce = cx.core().sessions.nonce();
    match take(&mut cx).await {
        Ok(Answer::Yes) => Ok(page::signed_in(&nonce)),
        Ok(Answer::No) => Ok(page::declined(&nonce)),
        Err(refusal) if wants_json(&cx) => Err(refusal),
        Err(refusal) => Ok(page::not_signed_in(&nonce, refusal)),
    }
}

async fn take(cx: &mut Cx) -> Result<Answer, Refusal> {
    if !cx.is_of_our_page() {
        let sentence = "Only the page of the sign-in itself may answer for you.";
        return Err(Error::new(Kind::Forbidden, sentence).into());
    }
    let from = client_address(cx);
    let form = cx.form()?;
    let required = |name: &'static str| {
        form.one(name)?.ok_or_else(|| Refusal::invalid([name.into()], "This is required."))
    };
    let answer = match required("answer")? {
        "yes" => Answer::Yes,
        "no" => Answer::No,
        _ => return Err(Refusal::invalid(["answer".into()], "Expected yes or no.")),
    };
    let token = Secret::new(required("token")?);
    cx.core().sessions.answer(&token, answer, from).await?;
    Ok(answer)
}
