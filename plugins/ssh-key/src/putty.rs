//! Private keys in PuTTY's form (`.ppk`), versions 2 and 3: read, opened with their passphrase, and
//! written in OpenSSH's form, which everything else here reads.
//!
//! The form is that of appendix C of PuTTY's manual. The MAC is checked before a number of the key
//! is looked at; it also shows whether the passphrase is right. Never here: DSA, security keys.

use aes::Aes256;
use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::Base64;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockDecryptMut as _, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use ssh_encoding::{Decode as _, Encode as _, Reader as _};
use ssh_key::private::KeypairData;
use ssh_key::sha2::{Digest as _, Sha256};
use ssh_key::{Cipher, Kdf, LineEnding, PrivateKey};

use crate::public;
use crate::reading::{Fault, Given, damaged};

/// The beginning of such a file, up to the number of its version.
const BEGIN: &str = "PuTTY-User-Key-File-";
/// Most memory of Argon2, in KiB: PuTTY's default is a quarter of it.
const MOST_ARGON2_KIB: u32 = 32 * 1024;
/// Most work of Argon2, in KiB times passes. PuTTY chooses what takes a tenth of a second on the
/// machine that writes the key: some twenty passes over 8 MiB.
const MOST_ARGON2_WORK: u32 = 1 << 20;
/// Rounds of bcrypt of the key that is written, the default of `ssh-keygen` before OpenSSH 9.4.
const BCRYPT_ROUNDS: u32 = 16;

/// Whether `text` is a key in PuTTY's form.
pub(crate) fn is_putty(text: &str) -> bool {
    text.starts_with(BEGIN)
}

/// The same key in OpenSSH's form, with its comment, and under the same passphrase where it has
/// one.
///
/// # Errors
/// A sentence; it quotes nothing.
pub(crate) fn to_openssh(given: &Given<'_>) -> Result<String, Fault> {
    let file = File::read(given.text)?;
    let passphrase = if file.is_encrypted { Some(given.needed()?) } else { None };
    if passphrase.is_none() {
        given.not_needed()?;
    }
    let keys = file.keys(passphrase.unwrap_or_default())?;
    let private = file.opened(&keys)?;
    if !file.is_authentic(&keys.mac, &private) {
        return Err(if file.is_encrypted { given.wrong() } else { damaged() });
    }
    let key = PrivateKey::new(file.pair(&private)?, file.comment).map_err(|_| damaged())?;
    let key = match passphrase {
        Some(passphrase) => encrypted(&key, passphrase, &file.mac)?,
        None => key,
    };
    key.to_openssh(LineEnding::LF).map(|text| text.to_string()).map_err(|_| damaged())
}

/// The passphrase stays on the key. There is no randomness here: the salt comes of the MAC of the
/// file, which is another for every key and passphrase.
fn encrypted(key: &PrivateKey, passphrase: &str, mac: &[u8]) -> Result<PrivateKey, Fault> {
    let salt = Sha256::digest(mac).to_vec();
    let checkint = salt.last_chunk().map_or(0, |last| u32::from_be_bytes(*last));
    let salt = salt.get(..16).unwrap_or_default().to_vec();
    let kdf = Kdf::Bcrypt { salt, rounds: BCRYPT_ROUNDS };
    key.encrypt_with(Cipher::Aes256Ctr, kdf, checkint, passphrase).map_err(|_| damaged())
}

struct File<'a> {
    version: u8,
    algorithm: &'a str,
    is_encrypted: bool,
    comment: &'a str,
    public: Vec<u8>,
    /// `None` in version 2, and where nothing is encrypted.
    derivation: Option<Derivation>,
    private: Vec<u8>,
    mac: Vec<u8>,
}

/// How a passphrase becomes keys, in version 3.
struct Derivation {
    algorithm: Algorithm,
    memory_kib: u32,
    passes: u32,
    parallelism: u32,
    salt: Vec<u8>,
}

/// What a passphrase becomes.
struct Keys {
    cipher: [u8; 32],
    iv: [u8; 16],
    mac: Vec<u8>,
}

impl<'a> File<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let mut lines = Lines(text.lines());
        let (version, algorithm) = lines.first()?;
        let encryption = lines.value("Encryption")?;
        let is_encrypted = match encryption {
            "none" => false,
            "aes256-cbc" => true,
            _ => return Err(Fault::key("is encrypted in a way that PuTTY's form does not have")),
        };
        let comment = lines.value("Comment")?;
        let public = lines.block("Public-Lines")?;
        let derivation =
            if is_encrypted && version == 3 { Some(Derivation::read(&mut lines)?) } else { None };
        let private = lines.block("Private-Lines")?;
        let mac = hex::decode(lines.value("Private-MAC")?).map_err(|_| damaged())?;
        if lines.0.any(|line| !line.trim().is_empty()) {
            return Err(damaged());
        }
        Ok(Self { version, algorithm, is_encrypted, comment, public, derivation, private, mac })
    }

    fn keys(&self, passphrase: &str) -> Result<Keys, Fault> {
        match (self.version, &self.derivation) {
            (2, _) => Ok(Keys::of_version_2(passphrase)),
            (_, Some(derivation)) => derivation.keys(passphrase),
            (_, None) => Ok(Keys { cipher: [0; 32], iv: [0; 16], mac: Vec::new() }),
        }
    }

    /// The private half, as it was before it was encrypted.
    fn opened(&self, keys: &Keys) -> Result<Vec<u8>, Fault> {
        if !self.is_encrypted {
            return Ok(self.private.clone());
        }
        let cipher = cbc::Decryptor::<Aes256>::new(&keys.cipher.into(), &keys.iv.into());
        cipher.decrypt_padded_vec_mut::<NoPadding>(&self.private).map_err(|_| damaged())
    }

    fn is_authentic(&self, key: &[u8], private: &[u8]) -> bool {
        let encryption = if self.is_encrypted { "aes256-cbc" } else { "none" };
        let parts: [&[u8]; 5] = [
            self.algorithm.as_bytes(),
            encryption.as_bytes(),
            self.comment.as_bytes(),
            &self.public,
            private,
        ];
        let mut covered = Vec::new();
        let encoded = parts.iter().try_for_each(|part| part.encode(&mut covered));
        let holds = match self.version {
            2 => Hmac::<Sha1>::new_from_slice(key)
                .map(|mac| mac.chain_update(&covered).verify_slice(&self.mac).is_ok()),
            _ => Hmac::<Sha256>::new_from_slice(key)
                .map(|mac| mac.chain_update(&covered).verify_slice(&self.mac).is_ok()),
        };
        encoded.is_ok() && holds.unwrap_or(false)
    }

    /// Both halves in the order in which OpenSSH writes them; PuTTY keeps them apart.
    fn pair(&self, private: &[u8]) -> Result<KeypairData, Fault> {
        let (public, private) = (&mut self.public.as_slice(), &mut &*private);
        let name = String::decode(public).map_err(|_| damaged())?;
        if name != self.algorithm {
            return Err(damaged());
        }
        let mut pair = Vec::new();
        self.write_pair(&mut pair, public, private).map_err(|_| damaged())?;
        KeypairData::decode(&mut pair.as_slice()).map_err(|_| public::unsound())
    }

    fn write_pair(
        &self,
        pair: &mut Vec<u8>,
        public: &mut &[u8],
        private: &mut &[u8],
    ) -> Result<(), ssh_key::Error> {
        let next = |from: &mut &[u8]| Vec::<u8>::decode(from);
        self.algorithm.encode(pair)?;
        match self.algorithm {
            "ssh-ed25519" => {
                let (point, seed) = (next(public)?, next(private)?);
                point.encode(pair)?;
                [seed, point].concat().encode(pair)?;
            }
            // e and n; d, p, q and the coefficient.
            "ssh-rsa" => {
                let [e, n] = [next(public)?, next(public)?];
                let [d, p, q, coefficient] =
                    [next(private)?, next(private)?, next(private)?, next(private)?];
                for number in [n, e, d, coefficient, p, q] {
                    number.encode(pair)?;
                }
            }
            // The curve and the point; the scalar.
            _ => {
                for part in [next(public)?, next(public)?, next(private)?] {
                    part.encode(pair)?;
                }
            }
        }
        public.is_finished().then_some(()).ok_or(ssh_key::Error::FormatEncoding)
    }
}

impl Keys {
    fn of_version_2(passphrase: &str) -> Self {
        let hash =
            |prefix: &[u8]| Sha1::new_with_prefix(prefix).chain_update(passphrase).finalize();
        let mut cipher = [0; 32];
        let stream = [hash(&[0, 0, 0, 0]), hash(&[0, 0, 0, 1])].concat();
        cipher.iter_mut().zip(stream).for_each(|(to, from)| *to = from);
        Self { cipher, iv: [0; 16], mac: hash(b"putty-private-key-file-mac-key").to_vec() }
    }
}

impl Derivation {
    fn read(lines: &mut Lines<'_>) -> Result<Self, Fault> {
        let algorithm = match lines.value("Key-Derivation")? {
            "Argon2id" => Algorithm::Argon2id,
            "Argon2i" => Algorithm::Argon2i,
            "Argon2d" => Algorithm::Argon2d,
            _ => return Err(damaged()),
        };
        let memory_kib = lines.number("Argon2-Memory")?;
        let passes = lines.number("Argon2-Passes")?;
        let parallelism = lines.number("Argon2-Parallelism")?;
        let salt = hex::decode(lines.value("Argon2-Salt")?).map_err(|_| damaged())?;
        Ok(Self { algorithm, memory_kib, passes, parallelism, salt })
    }

    fn keys(&self, passphrase: &str) -> Result<Keys, Fault> {
        let work = self.memory_kib.checked_mul(self.passes);
        if self.memory_kib > MOST_ARGON2_KIB || work.is_none_or(|work| work > MOST_ARGON2_WORK) {
            return Err(Fault::key(
                "takes too long to open; expected what puttygen writes without special parameters",
            ));
        }
        let params = Params::new(self.memory_kib, self.passes, self.parallelism, Some(80));
        let argon2 = Argon2::new(self.algorithm, Version::V0x13, params.map_err(|_| damaged())?);
        let mut stream = [0; 80];
        argon2
            .hash_password_into(passphrase.as_bytes(), &self.salt, &mut stream)
            .map_err(|_| damaged())?;
        let (cipher, rest) = stream.split_first_chunk().ok_or_else(damaged)?;
        let (iv, mac) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Keys { cipher: *cipher, iv: *iv, mac: mac.to_vec() })
    }
}

/// The lines of a file, in the order in which PuTTY writes them.
struct Lines<'a>(std::str::Lines<'a>);

impl<'a> Lines<'a> {
    /// The version, and the algorithm.
    fn first(&mut self) -> Result<(u8, &'a str), Fault> {
        let line = self.0.next().and_then(|line| line.strip_prefix(BEGIN)).ok_or_else(damaged)?;
        let (version, algorithm) = line.split_once(": ").ok_or_else(damaged)?;
        let version = match version {
            "2" => 2,
            "3" => 3,
            _ => {
                return Err(Fault::key(
                    "is in a form of PuTTY's that is not read; expected version 2 or 3, which puttygen of today writes",
                ));
            }
        };
        Ok((version, algorithm.trim_end()))
    }

    fn value(&mut self, name: &str) -> Result<&'a str, Fault> {
        let rest = self.0.next().and_then(|line| line.strip_prefix(name)).ok_or_else(damaged)?;
        let value = rest.strip_prefix(':').ok_or_else(damaged)?;
        Ok(value.strip_prefix(' ').unwrap_or(value))
    }

    fn number(&mut self, name: &str) -> Result<u32, Fault> {
        self.value(name)?.trim().parse().map_err(|_| damaged())
    }

    /// Base64 in as many lines as `name` says.
    fn block(&mut self, name: &str) -> Result<Vec<u8>, Fault> {
        let mut text = String::new();
        for _ in 0..self.number(name)? {
            text.push_str(self.0.next().ok_or_else(damaged)?.trim());
        }
        <Base64 as base64ct::Encoding>::decode_vec(&text).map_err(|_| damaged())
    }
}
