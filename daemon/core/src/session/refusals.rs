//! The refusals of sign-ins: a sentence for the user and the client, a cause for the log.
//!
//! Never here: a key, a code or a token. What a provider says is a cause, never a sentence.

use std::time::Duration;

use super::pending::NoRoom;
use crate::caller::Subject;
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ports::providers::ProviderRefusal;
use crate::text::short;

/// `error` with the subject as its cause, if it has none: a refusal that names no cause is that of
/// a suspended user.
pub(super) fn name_the_refused(error: Error, subject: &Subject) -> Error {
    if error.kind() != Kind::Unauthenticated || error.cause().is_some() {
        return error;
    }
    let Subject { issuer, subject } = subject;
    error.because(format!("the user {} of {} is suspended", short(subject), short(issuer)))
}

/// The texts of a provider that refused, as the cause of the refusal.
pub(super) fn refused_by_provider(error: Option<String>, description: Option<String>) -> Error {
    let refused = Error::new(Kind::Unauthenticated, "The provider did not sign you in.");
    match ProviderRefusal::new(error.as_deref(), description.as_deref(), &[]) {
        Some(said) => refused.because(said),
        None => refused.because("the browser brought neither a code nor an error"),
    }
}

/// The refusal of a browser or a client at another address. The sentence names the setting; it
/// stands at the field too, for programs that read only the fields.
pub(super) fn other_address(subject: &str, field: RequestField) -> Error {
    let sentence = format!(
        "{subject} is not at the address that began this sign-in. If this is intended, the operator sets `same_address = false`."
    );
    let problem = FieldProblem::new([field.into()], sentence.as_str());
    Error::new(Kind::Forbidden, sentence).with_fields(vec![problem])
}

pub(super) fn expired() -> Error {
    Error::new(Kind::Unauthenticated, "The sign-in was not completed in time.")
}

pub(super) fn unknown_state() -> Error {
    bad_state(
        "This sign-in is unknown, over, or took too long. Please begin again.",
        "It is unknown, or too old.",
    )
}

pub(super) fn used_state() -> Error {
    bad_state(
        "This sign-in was used already, and the program that began it may be signed in. If it is not, please begin \
         again there.",
        "It was used already.",
    )
}

fn bad_state(sentence: &'static str, problem: &'static str) -> Error {
    let problem = FieldProblem::new([RequestField::State.into()], problem);
    Error::new(Kind::Invalid, sentence).with_fields(vec![problem])
}

/// The refusal of a browser that came back at the redirect URI of another provider than the one at
/// which its sign-in began (RFC 9700 section 4.4.2.2).
pub(super) fn mixed_up() -> Error {
    Error::new(Kind::Unauthenticated, "The sign-in was not accepted. Please begin again.")
        .because("the browser came back to the redirect URI of another provider")
}

pub(super) fn no_such_provider() -> Error {
    Error::new(Kind::Invalid, "There is no such provider.").with_fields(vec![FieldProblem::new(
        [RequestField::Provider.into()],
        "There is no provider of that id to sign in at.",
    )])
}

pub(super) fn too_many_begun(wait: Duration) -> Error {
    Error::new(
        Kind::LimitReached,
        "Too many sign-ins were begun from your address; please wait a little.",
    )
    .retry_after(wait)
}

pub(super) fn no_room(no: NoRoom) -> Error {
    match no {
        NoRoom::OfAddress(wait) => Error::new(
            Kind::LimitReached,
            "Too many sign-ins from your address are pending; please finish one, or wait a little.",
        )
        .retry_after(wait.max(Duration::from_secs(1))),
        NoRoom::OfAll(wait) => too_many_pending(wait),
    }
}

pub(super) fn too_many_pending(wait: Duration) -> Error {
    too_many("Too many sign-ins are pending; please try again later.", wait)
}

pub(super) fn too_many(sentence: &'static str, wait: Duration) -> Error {
    Error::new(Kind::Busy, sentence).retry_after(wait.max(Duration::from_secs(1)))
}
