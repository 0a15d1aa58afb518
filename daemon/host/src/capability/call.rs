//! The import `call`: the request, and the identities of the user who makes it.
//!
//! Notes which claims of the user a call reads: they are what core keeps for a revoke. Never here:
//! a claim that the identity does not hold, an access token that the configuration does not grant.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_core::caller::{Identity, Subject};
use credsmith_core::ids::{LeaseId, ServiceId};
use credsmith_core::ports::plugins::CallUser;
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use sha2::{Digest, Sha256};
use wasmtime::component::Resource;

use crate::call::state::State;
use crate::options::TokenGrant;
use crate::secrets::{GuardedSecret, SecretHandle};
use crate::v0;

/// The request of one call.
#[derive(Debug)]
pub(crate) struct RequestData {
    pub(crate) service: ServiceId,
    pub(crate) lease: LeaseId,
    pub(crate) user: CallUser,
    pub(crate) additional_logins: Vec<CallUser>,
    pub(crate) parameters: Vec<(String, Secret)>,
    pub(crate) not_after: Option<Timestamp>,
}

/// The handle of a request.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct RequestHandle(pub(crate) Arc<RequestData>);

/// The handle of an identity that signed in.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct IdentityHandle {
    identity: Arc<Identity>,
    token: Option<Arc<GuardedSecret>>,
    /// Whether claims that are read here are noted. Only those of the user are: a revoke gets no
    /// other identity.
    noted: bool,
}

impl IdentityHandle {
    fn new(user: &CallUser, grant: Option<&TokenGrant>, noted: bool) -> Self {
        let token = grant.zip(user.access_token.clone()).map(|(grant, value)| {
            Arc::new(GuardedSecret {
                name: "access token".to_owned(),
                value,
                bindings: grant.destinations.clone(),
                reveal: grant.reveal,
                hmac: false,
            })
        });
        Self { identity: user.identity.clone(), token, noted }
    }
}

/// A stable, opaque name of one identity. The length before the issuer separates the two parts.
fn opaque_id(subject: &Subject) -> String {
    let mut digest = Sha256::new();
    digest.update(u64::try_from(subject.issuer.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(subject.issuer.as_bytes());
    digest.update(subject.subject.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

fn text_of(value: &Secret) -> String {
    String::from_utf8_lossy(value.expose()).into_owned()
}

impl v0::call::Host for State {}

impl v0::call::HostRequest for State {
    fn service(&mut self, this: Resource<RequestHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.0.service.to_string())
    }

    fn credential_id(&mut self, this: Resource<RequestHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.0.lease.to_string())
    }

    fn user(
        &mut self,
        this: Resource<RequestHandle>,
    ) -> wasmtime::Result<Resource<IdentityHandle>> {
        let data = self.table.get(&this)?.0.clone();
        let handle = IdentityHandle::new(&data.user, self.grants.token.as_ref(), true);
        Ok(self.table.push(handle)?)
    }

    fn additional_logins(
        &mut self,
        this: Resource<RequestHandle>,
    ) -> wasmtime::Result<Vec<Resource<IdentityHandle>>> {
        let data = self.table.get(&this)?.0.clone();
        let grant = self.grants.token.clone();
        let handles = data
            .additional_logins
            .iter()
            .map(|login| IdentityHandle::new(login, grant.as_ref(), false));
        handles.map(|handle| Ok(self.table.push(handle)?)).collect()
    }

    fn parameter(
        &mut self,
        this: Resource<RequestHandle>,
        key: String,
    ) -> wasmtime::Result<Option<String>> {
        let parameters = &self.table.get(&this)?.0.parameters;
        Ok(parameters.iter().find(|(name, _)| *name == key).map(|(_, value)| text_of(value)))
    }

    fn parameters(
        &mut self,
        this: Resource<RequestHandle>,
    ) -> wasmtime::Result<Vec<v0::types::Pair>> {
        let parameters = &self.table.get(&this)?.0.parameters;
        let pair = |(key, value): &(String, Secret)| v0::types::Pair {
            key: key.clone(),
            value: text_of(value),
        };
        Ok(parameters.iter().map(pair).collect())
    }

    fn not_after(&mut self, this: Resource<RequestHandle>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&this)?.0.not_after.map(Timestamp::as_secs))
    }

    fn drop(&mut self, this: Resource<RequestHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl v0::call::HostIdentity for State {
    fn id(&mut self, this: Resource<IdentityHandle>) -> wasmtime::Result<String> {
        Ok(opaque_id(self.table.get(&this)?.identity.subject()))
    }

    fn provider(&mut self, this: Resource<IdentityHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.identity.provider().to_string())
    }

    fn issuer(&mut self, this: Resource<IdentityHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.identity.subject().issuer.clone())
    }

    fn subject(&mut self, this: Resource<IdentityHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.identity.subject().subject.clone())
    }

    fn claim(
        &mut self,
        this: Resource<IdentityHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        let handle = self.table.get(&this)?;
        let Some(value) = handle.identity.claims().get(&name) else { return Ok(None) };
        if handle.noted {
            self.journal.claim_read(&name);
        }
        Ok(Some(value.to_string()))
    }

    fn claims(&mut self, this: Resource<IdentityHandle>) -> wasmtime::Result<Vec<v0::types::Pair>> {
        let handle = self.table.get(&this)?;
        if handle.noted {
            self.journal.all_claims_read();
        }
        let claims = handle.identity.claims().iter();
        Ok(claims
            .map(|(key, value)| v0::types::Pair { key: key.clone(), value: value.to_string() })
            .collect())
    }

    fn access_token(
        &mut self,
        this: Resource<IdentityHandle>,
    ) -> wasmtime::Result<Option<Resource<SecretHandle>>> {
        let Some(token) = self.table.get(&this)?.token.clone() else { return Ok(None) };
        Ok(Some(self.table.push(SecretHandle(token))?))
    }

    fn drop(&mut self, this: Resource<IdentityHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(issuer: &str, subject: &str) -> Subject {
        Subject { issuer: issuer.to_owned(), subject: subject.to_owned() }
    }

    #[test]
    fn an_opaque_id_is_stable_and_never_shared() {
        let id = opaque_id(&subject("https://op.example", "alice"));
        assert_eq!(id, opaque_id(&subject("https://op.example", "alice")));
        assert_eq!(id.len(), 43);
        for other in [subject("https://op.example", "bob"), subject("https://op.examplea", "lice")]
        {
            assert_ne!(id, opaque_id(&other));
        }
    }
}
