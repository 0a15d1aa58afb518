//! The import `keys`: private keys that stay in the host. The plugin asks for signatures.
//!
//! Reads PEM in PKCS#8, SEC 1, PKCS#1 and unencrypted OpenSSH form; signs with `ring`, whose
//! arithmetic takes the same time for every key. Never here: a private key on its way out.

use std::fmt;
use std::sync::Arc;

use credsmith_contract::pem;
use credsmith_core::secret::Secret;
use pkcs8::der::asn1::{AnyRef, BitStringRef};
use pkcs8::der::{Decode, Encode, SecretDocument};
use pkcs8::spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaKeyPair,
};
use sec1::{EcParameters, EcPrivateKey};
use ssh_key::private::{EcdsaKeypair, KeypairData};
use wasmtime::component::Resource;
use zeroize::Zeroizing;

use crate::call::grants::PreparedSetting;
use crate::call::state::State;
use crate::v0;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Largest message that is signed, in bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// A private key that signs.
pub(crate) struct SigningKey {
    pair: PrivateKey,
    /// SubjectPublicKeyInfo, DER.
    public: Vec<u8>,
}

enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithms().join(", "))
    }
}

/// The handle of a signing key.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct KeyHandle(Arc<SigningKey>);

impl v0::keys::Host for State {
    fn get(&mut self, setting: String) -> wasmtime::Result<Option<Resource<KeyHandle>>> {
        let key = match self.grants.settings.get(&setting) {
            Some(PreparedSetting::Key(key)) => key.clone(),
            _ => return Ok(None),
        };
        Ok(Some(self.table.push(KeyHandle(key))?))
    }
}

impl v0::keys::HostSigningKey for State {
    fn algorithms(&mut self, this: Resource<KeyHandle>) -> wasmtime::Result<Vec<String>> {
        let names = self.table.get(&this)?.0.algorithms();
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn public_key(&mut self, this: Resource<KeyHandle>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.0.public.clone())
    }

    fn sign(
        &mut self,
        this: Resource<KeyHandle>,
        algorithm: String,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        Ok(self.table.get(&this)?.0.sign(&algorithm, &message))
    }

    fn drop(&mut self, this: Resource<KeyHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl SigningKey {
    /// Reads a private key.
    ///
    /// # Errors
    /// A sentence for an admin, with the fix where there is one; it quotes nothing of the key.
    pub(crate) fn from_pem(pem: &Secret) -> Result<Self, String> {
        let text = pem.expose_str().ok_or("the key is not text; expected PEM")?;
        let (label, block) = private_block(text).ok_or("no PEM block `... PRIVATE KEY` in it")?;
        if label == "ENCRYPTED PRIVATE KEY" || block.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(
                "the key is encrypted; decrypt it: openssl pkey -in KEY -out PLAIN".to_owned()
            );
        }
        // The readers of these forms differ in the widths of lines that they take.
        let block = Zeroizing::new(pem::rewrap(block).ok_or("the PEM block is damaged")?);
        let block = block.as_str();
        match label {
            "OPENSSH PRIVATE KEY" => from_openssh(block),
            "PRIVATE KEY" => from_pkcs8(der_of(block)?.as_bytes()),
            "EC PRIVATE KEY" => from_sec1(der_of(block)?.as_bytes(), None),
            "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(der_of(block)?.as_bytes())),
            _ => Err("expected a PEM block `PRIVATE KEY`, `EC PRIVATE KEY`, `RSA PRIVATE KEY` or `OPENSSH PRIVATE KEY`"
                .to_owned()),
        }
    }

    /// The algorithms that [`SigningKey::sign`] accepts.
    pub(crate) fn algorithms(&self) -> &'static [&'static str] {
        match self.pair {
            PrivateKey::Ed25519(_) => &["ed25519"],
            PrivateKey::P256(_) => &["ecdsa-p256-sha256"],
            PrivateKey::P384(_) => &["ecdsa-p384-sha384"],
            PrivateKey::Rsa(_) => &["rsa-pkcs1-sha256", "rsa-pss-sha256"],
        }
    }

    /// Signs the whole message. ECDSA answers ASN.1 DER.
    ///
    /// # Errors
    /// A sentence for the plugin: not an algorithm of this key, too long, or no randomness.
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        if message.len() > MAX_MESSAGE {
            return Err(format!("the message is longer than {MAX_MESSAGE} bytes"));
        }
        let signature = match (&self.pair, algorithm) {
            (PrivateKey::Ed25519(pair), "ed25519") => Some(pair.sign(message).as_ref().to_vec()),
            (PrivateKey::P256(pair), "ecdsa-p256-sha256")
            | (PrivateKey::P384(pair), "ecdsa-p384-sha384") => pair
                .sign(&SystemRandom::new(), message)
                .ok()
                .map(|signature| signature.as_ref().to_vec()),
            (PrivateKey::Rsa(pair), "rsa-pkcs1-sha256") => {
                sign_rsa(pair, &RSA_PKCS1_SHA256, message)
            }
            (PrivateKey::Rsa(pair), "rsa-pss-sha256") => sign_rsa(pair, &RSA_PSS_SHA256, message),
            _ => return Err(format!("this key signs with {}", self.algorithms().join(" or "))),
        };
        signature.ok_or_else(|| "the signature could not be made".to_owned())
    }
}

fn sign_rsa(
    pair: &RsaKeyPair,
    padding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}

/// The first block of `text` that is a private key, with its label. OpenSSL writes the parameters
/// of a curve before the key.
fn private_block(text: &str) -> Option<(&str, &str)> {
    text.match_indices("-----BEGIN ").find_map(|(start, _)| {
        let rest = text.get(start..)?;
        let label = rest.strip_prefix("-----BEGIN ")?.split("-----").next()?;
        let end = format!("-----END {label}-----");
        let length = rest.find(&end)?.checked_add(end.len())?;
        label.ends_with("PRIVATE KEY").then_some((label, rest.get(..length)?))
    })
}

fn der_of(block: &str) -> Result<SecretDocument, String> {
    SecretDocument::from_pem(block)
        .map(|(_, der)| der)
        .map_err(|_| "the PEM block is damaged".to_owned())
}

fn from_pkcs8(der: &[u8]) -> Result<SigningKey, String> {
    let info = PrivateKeyInfo::from_der(der).map_err(|_| "the key is not PKCS#8")?;
    match info.algorithm.oid {
        ED25519 => ed25519(
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map_err(|why| format!("not a usable Ed25519 key: {why}"))?,
        ),
        EC => {
            let curve = info.algorithm.parameters_oid().map_err(|_| "the key names no curve")?;
            from_sec1(info.private_key, Some(curve))
        }
        RSA => rsa(RsaKeyPair::from_der(info.private_key)),
        _ => Err("expected an Ed25519, ECDSA (P-256, P-384) or RSA key".to_owned()),
    }
}

fn from_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<SigningKey, String> {
    let key = EcPrivateKey::from_der(der).map_err(|_| "the key is not SEC 1")?;
    let named = curve.or_else(|| key.parameters.and_then(EcParameters::named_curve));
    let point = key.public_key.ok_or(
        "the key lacks its public half; add it: openssl ec -in KEY -out WHOLE (and then openssl pkey, for PKCS#8)",
    )?;
    ecdsa(named.ok_or("the key names no curve")?, key.private_key, point)
}

fn from_openssh(block: &str) -> Result<SigningKey, String> {
    let key = ssh_key::PrivateKey::from_openssh(block)
        .map_err(|_| "the OpenSSH key is damaged or of an unknown type")?;
    if key.is_encrypted() {
        return Err(
            "the key is encrypted; decrypt it: ssh-keygen -p -f KEY (and give no new passphrase)"
                .to_owned(),
        );
    }
    match key.key_data() {
        KeypairData::Ed25519(pair) => {
            let seed = pair.private.to_bytes();
            let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, pair.public.as_ref());
            ed25519(pair.map_err(|why| format!("not a usable Ed25519 key: {why}"))?)
        }
        KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }) => {
            ecdsa(P256, private.as_slice(), public.as_bytes())
        }
        KeypairData::Ecdsa(EcdsaKeypair::NistP384 { public, private }) => {
            ecdsa(P384, private.as_slice(), public.as_bytes())
        }
        KeypairData::Rsa(_) => {
            Err("an RSA key has to be PKCS#8; convert it: ssh-keygen -p -m PKCS8 -f KEY".to_owned())
        }
        _ => Err("expected an Ed25519, ECDSA (P-256, P-384) or RSA key".to_owned()),
    }
}

fn ed25519(pair: Ed25519KeyPair) -> Result<SigningKey, String> {
    let public = public_info(ED25519, None, pair.public_key().as_ref())?;
    Ok(SigningKey { pair: PrivateKey::Ed25519(pair), public })
}

fn ecdsa(curve: ObjectIdentifier, private: &[u8], point: &[u8]) -> Result<SigningKey, String> {
    let public = public_info(EC, Some(AnyRef::from(&curve)), point)?;
    let read = |algorithm: &'static EcdsaSigningAlgorithm| {
        EcdsaKeyPair::from_private_key_and_public_key(
            algorithm,
            private,
            point,
            &SystemRandom::new(),
        )
        .map_err(|why| format!("not a usable ECDSA key: {why}"))
    };
    let pair = match curve {
        P256 => PrivateKey::P256(read(&ECDSA_P256_SHA256_ASN1_SIGNING)?),
        P384 => PrivateKey::P384(read(&ECDSA_P384_SHA384_ASN1_SIGNING)?),
        _ => return Err("expected an ECDSA key of the curve P-256 or P-384".to_owned()),
    };
    Ok(SigningKey { pair, public })
}

fn rsa(pair: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<SigningKey, String> {
    let pair = pair.map_err(|why| format!("not a usable RSA key (2048 bits or more): {why}"))?;
    let public = public_info(RSA, Some(AnyRef::NULL), pair.public_key().as_ref())?;
    Ok(SigningKey { pair: PrivateKey::Rsa(pair), public })
}

/// SubjectPublicKeyInfo (RFC 5280, section 4.1), DER.
fn public_info(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> Result<Vec<u8>, String> {
    let encoded = BitStringRef::from_bytes(key).and_then(|subject_public_key| {
        SubjectPublicKeyInfo {
            algorithm: AlgorithmIdentifier { oid, parameters },
            subject_public_key,
        }
        .to_der()
    });
    encoded.map_err(|_| "the public half cannot be encoded".to_owned())
}

#[cfg(test)]
mod tests;
