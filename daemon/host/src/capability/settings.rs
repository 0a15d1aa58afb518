//! The import `settings`: plain values, and secrets by handle.
//!
//! Never here: a secret's value, but for `reveal` where the configuration grants it.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};
use wasmtime::component::Resource;
use zeroize::Zeroizing;

use crate::call::grants::PreparedSetting;
use crate::call::state::State;
use crate::secrets::{GuardedSecret, SecretHandle};
use crate::v0;

impl v0::settings::Host for State {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.grants.settings.keys().cloned().collect())
    }

    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(match self.grants.settings.get(&key) {
            Some(PreparedSetting::Text(text)) => Some(text.clone()),
            _ => None,
        })
    }

    fn get_secret(&mut self, key: String) -> wasmtime::Result<Option<Resource<SecretHandle>>> {
        let secret = match self.grants.settings.get(&key) {
            Some(PreparedSetting::Secret(secret)) => secret.clone(),
            _ => return Ok(None),
        };
        Ok(Some(self.table.push(SecretHandle(secret))?))
    }
}

impl v0::settings::HostSecret for State {
    fn reveal(&mut self, this: Resource<SecretHandle>) -> wasmtime::Result<Result<String, String>> {
        let secret = self.table.get(&this)?.0.clone();
        Ok(reveal(&secret))
    }

    fn hmac(
        &mut self,
        this: Resource<SecretHandle>,
        algorithm: String,
        prefix: String,
        messages: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let secret = self.table.get(&this)?.0.clone();
        Ok(chained_hmac(&secret, &algorithm, &prefix, &messages))
    }

    fn drop(&mut self, this: Resource<SecretHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

fn reveal(secret: &Arc<GuardedSecret>) -> Result<String, String> {
    if !secret.reveal {
        return Err(format!("the configuration does not grant `reveal` for `{}`", secret.name));
    }
    let text = secret.value.expose_str().map(str::to_owned);
    text.ok_or_else(|| format!("`{}` is not text", secret.name))
}

fn chained_hmac(
    secret: &Arc<GuardedSecret>,
    algorithm: &str,
    prefix: &str,
    messages: &[Vec<u8>],
) -> Result<Vec<u8>, String> {
    if !secret.hmac {
        return Err(format!("the configuration does not grant `hmac` for `{}`", secret.name));
    }
    // Without a message the answer would be the key itself.
    if messages.is_empty() {
        return Err("an HMAC needs a message".to_owned());
    }
    let step: fn(&[u8], &[u8]) -> Option<Vec<u8>> = match algorithm {
        "sha256" => hmac_once::<Hmac<Sha256>>,
        "sha512" => hmac_once::<Hmac<Sha512>>,
        _ => return Err("expected `sha256` or `sha512`".to_owned()),
    };
    let first = Zeroizing::new([prefix.as_bytes(), secret.value.expose()].concat());
    messages
        .iter()
        .try_fold(first, |key, message| step(&key, message).map(Zeroizing::new))
        .map(|last| last.to_vec())
        .ok_or_else(|| "the HMAC could not be computed".to_owned())
}

fn hmac_once<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use credsmith_core::secret::Secret;

    fn guarded(value: &str, reveal: bool, hmac: bool) -> Arc<GuardedSecret> {
        let value = Arc::new(Secret::new(value));
        Arc::new(GuardedSecret {
            name: "api_key".to_owned(),
            value,
            bindings: Vec::new(),
            reveal,
            hmac,
        })
    }

    #[test]
    fn nothing_is_granted_by_itself() {
        let secret = guarded("hunter2", false, false);
        let refused = reveal(&secret).unwrap_err();
        assert!(
            refused.contains("`reveal` for `api_key`") && !refused.contains("hunter2"),
            "{refused}"
        );
        assert!(
            chained_hmac(&secret, "sha256", "", &[vec![1]])
                .unwrap_err()
                .contains("`hmac` for `api_key`")
        );
        assert_eq!(reveal(&guarded("hunter2", true, false)).unwrap(), "hunter2");
    }

    #[test]
    fn one_step_is_rfc_4231_case_2() {
        let secret = guarded("efe", false, true);
        let message = b"what do ya want for nothing?".to_vec();
        // Key "Jefe", given as prefix and secret.
        let short = chained_hmac(&secret, "sha256", "J", std::slice::from_ref(&message)).unwrap();
        assert_eq!(
            hex::encode(&short),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = chained_hmac(&secret, "sha512", "J", &[message]).unwrap();
        assert_eq!(hex::encode(long.get(..8).unwrap()), "164b7a7bfcf819e2");
    }

    #[test]
    fn a_chain_feeds_each_code_into_the_next() {
        // The signing key that Amazon documents as the example of its derivation (AWS Signature
        // Version 4).
        let secret = guarded("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", false, true);
        let messages =
            ["20150830", "us-east-1", "iam", "aws4_request"].map(|part| part.as_bytes().to_vec());
        let key = chained_hmac(&secret, "sha256", "AWS4", &messages).unwrap();
        assert_eq!(
            hex::encode(&key),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn the_key_itself_never_comes_out() {
        let secret = guarded("hunter2", false, true);
        assert!(chained_hmac(&secret, "sha256", "", &[]).is_err());
        assert!(chained_hmac(&secret, "md5", "", &[vec![1]]).is_err());
    }
}
