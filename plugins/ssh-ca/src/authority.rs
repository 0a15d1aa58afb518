//! The CA: a signing key of the daemon, in the forms of OpenSSH.

use credsmith_plugin_sdk::{Algorithm, SigningKey, log};
use der::asn1::UintRef;
use der::{Decode as _, Reader as _, SliceReader};
use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData};
use ssh_key::{EcdsaCurve, Mpint, Signature};

/// A key that signs certificates.
pub(crate) struct Authority {
    key: SigningKey,
    algorithm: Algorithm,
    public: KeyData,
}

/// The bytes before the key itself in a SubjectPublicKeyInfo: RFC 8410 section 4; RFC 5480
/// section 2, an uncompressed P-256 point.
const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const P256_SPKI: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

impl Authority {
    /// Takes a key that can sign certificates.
    ///
    /// # Errors
    /// The fault.
    pub(crate) fn new(key: SigningKey) -> Result<Self, String> {
        let unfit =
            || "is not of a kind that can sign here: expected Ed25519 or ECDSA P-256".to_owned();
        let spki = key.public_key();
        let (algorithm, public) = ed25519(&spki).or_else(|| p256(&spki)).ok_or_else(unfit)?;
        if !key.algorithms().contains(&algorithm) {
            return Err(unfit());
        }
        Ok(Self { key, algorithm, public })
    }
}

fn ed25519(spki: &[u8]) -> Option<(Algorithm, KeyData)> {
    let key = spki.strip_prefix(ED25519_SPKI)?.try_into().ok()?;
    Some((Algorithm::Ed25519, KeyData::Ed25519(Ed25519PublicKey(key))))
}

fn p256(spki: &[u8]) -> Option<(Algorithm, KeyData)> {
    let key = EcdsaPublicKey::from_sec1_bytes(spki.strip_prefix(P256_SPKI)?).ok()?;
    Some((Algorithm::EcdsaP256Sha256, KeyData::Ecdsa(key)))
}

/// The traits by which `signature` and `ssh_key` use the authority as a key.
impl From<&Authority> for KeyData {
    fn from(authority: &Authority) -> Self {
        authority.public.clone()
    }
}

impl signature::Signer<Signature> for Authority {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        self.signed(message).map_err(|cause| {
            // The error type carries no text in a component.
            log::error(format!("signing failed: {cause}"));
            signature::Error::new()
        })
    }
}

impl Authority {
    fn signed(&self, message: &[u8]) -> Result<Signature, String> {
        let signed = self.key.sign(self.algorithm, message)?;
        let signature = match self.algorithm {
            Algorithm::Ed25519 => Signature::new(ssh_key::Algorithm::Ed25519, signed),
            _ => {
                let blob = ecdsa_blob(&signed).ok_or("the signature is no ECDSA signature")?;
                Signature::new(ssh_key::Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, blob)
            }
        };
        signature.map_err(|error| error.to_string())
    }
}

/// From ASN.1 (RFC 3279 section 2.2.3) to the form of RFC 5656 section 3.1.2: r and s, each an
/// mpint with its length before it.
fn ecdsa_blob(asn1: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(asn1).ok()?;
    let numbers = reader
        .sequence(|inner| Ok::<_, der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?)));
    let (r, s) = numbers.ok()?;
    let ends = reader.is_finished();
    let blob = [mpint(r.as_bytes())?, mpint(s.as_bytes())?].concat();
    ends.then_some(blob)
}

fn mpint(positive: &[u8]) -> Option<Vec<u8>> {
    let number = Mpint::from_positive_bytes(positive).ok()?;
    let bytes = number.as_bytes();
    Some([&u32::try_from(bytes.len()).ok()?.to_be_bytes(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asn1_becomes_mpints() {
        // r = 0x80 needs its zero in both forms, s = 1 in none.
        let blob = ecdsa_blob(b"\x30\x07\x02\x02\x00\x80\x02\x01\x01").unwrap();
        assert_eq!(blob, b"\0\0\0\x02\x00\x80\0\0\0\x01\x01");
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for bad in [
            &b""[..],
            b"\x30\x00",
            b"\x30\x03\x02\x01\x01",
            b"\x30\x06\x02\x01\x80\x02\x01\x01",
            b"\x30\x06\x02\x01\x01\x02\x01\x01\x00",
            b"\x30\x09\x02\x01\x01\x02\x01\x01\x02\x01\x01",
            b"\x30\x84\xff\xff\xff\xff\x02\x01\x01",
        ] {
            assert_eq!(ecdsa_blob(bad), None, "{bad:x?}");
        }
    }
}
