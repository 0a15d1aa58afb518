//! Asking the user whether the program that began a sign-in may have the tokens.
//!
//! The client that waits may be that of an attacker who made the user follow a link: neither the
//! provider nor the address tells the two apart. So the user is shown where the program is, since
//! when it waits, and a code that the program may show too, and decides. Until a yes, nothing of
//! the sign-in is recorded, no session exists, and the client learns nothing.
//!
//! The token of a question is random and known to the page alone. It is good for one answer, for
//! two minutes.

use std::sync::Arc;
use std::time::Duration;

use super::pending::{AnswerRefusal, KeyHash, Origin, Verified};
use super::refusals::other_address;
use super::{Address, Sessions};
use crate::error::{Error, FieldProblem, Kind, RequestField};
use crate::ids::ProviderId;
use crate::ports::random_16;
use crate::secret::Secret;

/// The letters of base32 (RFC 4648 section 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of a code.
const CODE_LETTERS: usize = 6;

/// The question for the user of a sign-in, and what the user needs to know to answer it.
#[derive(Debug)]
pub struct Confirmation {
    /// The token of the answer: 256 random bits in hexadecimal digits.
    pub token: Secret,
    /// A short code of the sign-in, which its program can compute too: the first six letters of the
    /// base32 (RFC 4648) of the SHA-256 of the callback key.
    pub code: String,
    /// The address of the program.
    pub program: Address,
    /// How long ago it began the sign-in.
    pub waiting: Duration,
    /// The provider that vouched for the user.
    pub provider: ProviderId,
    /// The login name by which the provider knows the user.
    pub login: String,
}

/// The answer of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The program may have the tokens.
    Yes,
    /// It may not: the sign-in is over.
    No,
}

impl Sessions {
    /// Asks the user, until `confirm_lifetime` is over.
    ///
    /// # Errors
    /// `Unauthenticated` when the sign-in has expired while it was verified. It is audited.
    pub(super) fn ask(
        &self,
        key: &KeyHash,
        began: Origin,
        verified: Verified,
    ) -> Result<Confirmation, Error> {
        let entropy = &*self.ground.entropy;
        let halves = [random_16(entropy), random_16(entropy)];
        let token = Secret::new(hex::encode(halves.concat()));
        let confirmation = Confirmation {
            code: code(key),
            program: began.from,
            waiting: self.ground.clock.now().since(began.at),
            provider: verified.provider.clone(),
            login: verified.sign_in.login().to_owned(),
            token,
        };
        let expires = self.ground.clock.monotonic().saturating_add(self.options.confirm_lifetime);
        let token = confirmation.token.digest();
        let kept = self.pending.ask(key, token, Box::new(verified), expires);
        kept.map_err(|verified| self.too_late(&verified))?;
        tracing::debug!(sign_in = confirmation.code, "the user of a sign-in is asked");
        Ok(confirmation)
    }

    /// Takes the answer of a user whose browser is at `from`. After a yes the client that waits, or
    /// will wait, gets the tokens; after a no it gets an error. It runs to its end even if the
    /// browser disconnects.
    ///
    /// # Errors
    /// `Invalid` for a token that is unknown, was used, or is too old; `Forbidden` when the browser
    /// is not at the address that began the sign-in (the question then stands); `Unauthenticated`
    /// when the user is suspended, or the sign-in expired meanwhile; `Internal` when the store
    /// fails.
    pub async fn answer(
        self: &Arc<Self>,
        token: &Secret,
        answer: Answer,
        from: Address,
    ) -> Result<(), Error> {
        let now = self.ground.clock.monotonic();
        let soon = now.saturating_add(self.options.result_lifetime);
        let taken = self.pending.take_question(&token.digest(), self.bound_to(from), now, soon);
        let (key, verified) = taken.map_err(|refusal| match refusal {
            AnswerRefusal::Unknown => unknown_question(),
            AnswerRefusal::OtherAddress => other_address("The browser", RequestField::Token),
        })?;
        tracing::debug!(sign_in = %code(&key), ?answer, "the user of a sign-in has answered");
        let sessions = Arc::clone(self);
        let work = async move { sessions.conclude_answer(key, verified, answer).await };
        self.ground.detached("finish a confirmed sign-in", Box::pin(work)).await
    }

    async fn conclude_answer(
        &self,
        key: KeyHash,
        verified: Verified,
        answer: Answer,
    ) -> Result<(), Error> {
        match answer {
            Answer::Yes => {
                let user = self.record(&key, &verified).await?;
                self.deliver(&key, user, &verified)?;
            }
            Answer::No => {
                let error = declined();
                let subject = verified.sign_in.subject();
                let browser = verified.browser.clone();
                self.remark_failed_sign_in(&verified.provider, Some(subject), browser, &error);
                self.complete_failed(&key, error);
            }
        }
        Ok(())
    }
}

/// The short code of a sign-in. It reveals thirty bits of a hash of its key.
pub(super) fn code(key: &KeyHash) -> String {
    let [a, b, c, d, ..] = *key;
    let bits = u32::from_be_bytes([a, b, c, d]);
    let letter = |place: usize| {
        let shift = 32 - 5 * (place + 1);
        let index = (bits >> shift) & 0x1f;
        BASE32.get(index as usize).copied().map_or('A', char::from)
    };
    (0..CODE_LETTERS).map(letter).collect()
}

fn declined() -> Error {
    Error::new(Kind::Unauthenticated, "The user did not confirm this sign-in.")
}

fn unknown_question() -> Error {
    Error::new(
        Kind::Invalid,
        "This question was answered already, or is too old. Please begin again.",
    )
    .with_fields(vec![FieldProblem::new(
        [RequestField::Token.into()],
        "It is unknown, was used, or is too old.",
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by any implementation of RFC 4648: `sha256sum | xxd -r -p | base32 | head -c 6`.
    #[test]
    fn the_code_is_the_beginning_of_the_base32_of_the_hash_of_the_key() {
        let code_of = |key: &str| code(&Secret::new(key).digest());
        assert_eq!(code_of("ck0123456789abcdef0123456789abcdef"), "R5EVWE");
        assert_eq!(code(&[0xff; 32]), "777777");
        assert_eq!(code(&[0; 32]), "AAAAAA");
    }
}
