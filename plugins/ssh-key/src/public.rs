//! Public halves, computed from private ones. The public half in a file has to agree: else an
//! attacker could submit a key under whose name another one is shown, trusted and rolled out.

use ed25519_dalek::SigningKey;
use p256::NistP256;
use p256::elliptic_curve::sec1::{FromEncodedPoint, ModulusSize, ToEncodedPoint};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, SecretKey};
use p384::NistP384;
use pkcs8::der::Decode;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BigUint, RsaPrivateKey};
use sec1::{EcParameters, EcPrivateKey};
use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};
use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey};
use ssh_key::{Mpint, PublicKey};

use crate::reading::Fault;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// RSA keys shorter than this are weak (NIST SP 800-131A).
const LEAST_RSA_BITS: usize = 2048;
/// RSA keys longer than this are not taken by OpenSSH.
const MOST_RSA_BITS: usize = 16384;

/// It is none of the known kinds.
pub(crate) fn unknown_algorithm() -> Fault {
    Fault::key(
        "expected an Ed25519, ECDSA (P-256, P-384) or RSA key that is no part of a security key",
    )
}

/// Its halves belong to different keys.
pub(crate) fn mismatch() -> Fault {
    Fault::key("has a public half that is not its own")
}

/// Its numbers make no key.
pub(crate) fn unsound() -> Fault {
    Fault::key("is damaged: its numbers do not make a key")
}

fn agree<T: PartialEq + ?Sized>(claimed: &T, computed: &T) -> Result<(), Fault> {
    (claimed == computed).then_some(()).ok_or_else(mismatch)
}

/// Of what an OpenSSH file holds, decrypted.
pub(crate) fn of_openssh(pair: &KeypairData) -> Result<PublicKey, Fault> {
    match pair {
        KeypairData::Ed25519(pair) => ed25519(&pair.private.to_bytes(), Some(pair.public.as_ref())),
        KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }) => {
            ecdsa(P256, private.as_slice(), Some(public.as_bytes()))
        }
        KeypairData::Ecdsa(EcdsaKeypair::NistP384 { public, private }) => {
            ecdsa(P384, private.as_slice(), Some(public.as_bytes()))
        }
        KeypairData::Rsa(pair) => rsa(&of_parts(pair).ok_or_else(unsound)?),
        _ => Err(unknown_algorithm()),
    }
}

/// Of PKCS#8, DER.
pub(crate) fn of_pkcs8(der: &[u8]) -> Result<PublicKey, Fault> {
    let info = PrivateKeyInfo::try_from(der).map_err(|_| unsound())?;
    match info.algorithm.oid {
        ED25519 => {
            let seed = OctetStringRef::from_der(info.private_key).map_err(|_| unsound())?;
            let seed = seed.as_bytes().try_into().map_err(|_| unsound())?;
            ed25519(seed, info.public_key)
        }
        EC => of_sec1(info.private_key, info.algorithm.parameters_oid().ok()),
        RSA => of_pkcs1(info.private_key),
        _ => Err(unknown_algorithm()),
    }
}

/// Of SEC 1, DER. `curve`: the one that the surrounding structure names.
pub(crate) fn of_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<PublicKey, Fault> {
    let key = EcPrivateKey::from_der(der).map_err(|_| unsound())?;
    let named = curve.or_else(|| key.parameters.and_then(EcParameters::named_curve));
    ecdsa(named.ok_or_else(unknown_algorithm)?, key.private_key, key.public_key)
}

/// Of PKCS#1, DER.
pub(crate) fn of_pkcs1(der: &[u8]) -> Result<PublicKey, Fault> {
    rsa(&RsaPrivateKey::from_pkcs1_der(der).map_err(|_| unsound())?)
}

fn ed25519(seed: &[u8; 32], claimed: Option<&[u8]>) -> Result<PublicKey, Fault> {
    let computed = SigningKey::from_bytes(seed).verifying_key().to_bytes();
    claimed.map_or(Ok(()), |claimed| agree(claimed, computed.as_slice()))?;
    Ok(KeyData::Ed25519(Ed25519PublicKey(computed)).into())
}

fn ecdsa(
    curve: ObjectIdentifier,
    scalar: &[u8],
    claimed: Option<&[u8]>,
) -> Result<PublicKey, Fault> {
    let computed = match curve {
        P256 => point::<NistP256>(scalar),
        P384 => point::<NistP384>(scalar),
        _ => return Err(unknown_algorithm()),
    };
    let computed = computed.ok_or_else(unsound)?;
    claimed.map_or(Ok(()), |claimed| agree(claimed, computed.as_slice()))?;
    let key = EcdsaPublicKey::from_sec1_bytes(&computed).map_err(|_| unsound())?;
    Ok(KeyData::Ecdsa(key).into())
}

/// The uncompressed point of a scalar that is in range.
fn point<C: CurveArithmetic>(scalar: &[u8]) -> Option<Vec<u8>>
where
    AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let key = SecretKey::<C>::from_slice(scalar).ok()?;
    Some(key.public_key().to_encoded_point(false).as_bytes().to_vec())
}

/// The library checks that the primes make the modulus and the exponents fit each other.
fn of_parts(pair: &RsaKeypair) -> Option<RsaPrivateKey> {
    let number = |part: &Mpint| part.as_positive_bytes().map(BigUint::from_bytes_be);
    let (public, private) = (&pair.public, &pair.private);
    let primes = vec![number(&private.p)?, number(&private.q)?];
    RsaPrivateKey::from_components(
        number(&public.n)?,
        number(&public.e)?,
        number(&private.d)?,
        primes,
    )
    .ok()
}

fn rsa(key: &RsaPrivateKey) -> Result<PublicKey, Fault> {
    let bits = key.n().bits();
    if key.primes().len() != 2 {
        return Err(unknown_algorithm());
    }
    if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
        return Err(Fault::Key(format!(
            "has {bits} bits; expected {LEAST_RSA_BITS} to {MOST_RSA_BITS} of an RSA key"
        )));
    }
    let number =
        |part: &BigUint| Mpint::from_positive_bytes(&part.to_bytes_be()).map_err(|_| unsound());
    Ok(KeyData::Rsa(RsaPublicKey { e: number(key.e())?, n: number(key.n())? }).into())
}
