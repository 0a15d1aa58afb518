//! The public key that a user hands in. A text that is not exactly one sound key is refused with a
//! sentence that says what it was instead.

use credsmith_plugin_sdk::Refusal;
use ssh_key::PublicKey;
use ssh_key::public::{KeyData, RsaPublicKey};

/// RSA keys shorter than this are weak (NIST SP 800-131A); a setting can ask for more.
pub(crate) const LEAST_RSA_BITS: usize = 2048;
/// RSA keys longer than this are not taken by OpenSSH.
const MOST_RSA_BITS: usize = 16384;
/// Smallest public exponent (NIST SP 800-56B): smaller ones make mistakes of others exploitable.
const LEAST_RSA_EXPONENT: u64 = 65537;
/// Longest text, in bytes. The longest key with its comment stays well below.
const MOST_BYTES: usize = 16 * 1024;

/// A key that may be certified. Its comment is left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserKey(KeyData);

impl UserKey {
    /// Reads one line of a `.pub` file.
    ///
    /// # Errors
    /// A refusal that says what is wrong. It quotes nothing of the text.
    pub(crate) fn parse(text: &str, rsa_bits: usize) -> Result<Self, Refusal> {
        let line = one_line(text)?;
        let mut words = without_options(line).split([' ', '\t']).filter(|word| !word.is_empty());
        let kind = words.next().unwrap_or_default();
        check_kind(kind)?;
        // Without its comment, which may be anything.
        let key = format!("{kind} {}", words.next().unwrap_or_default());
        let key = PublicKey::from_openssh(&key).map_err(|_| {
            Refusal::new("This is no valid SSH public key: it is damaged or cut off.")
        })?;
        let data = KeyData::from(key);
        check_strength(&data, rsa_bits)?;
        Ok(Self(data))
    }

    /// The key itself.
    pub(crate) fn into_data(self) -> KeyData {
        self.0
    }
}

/// Checks the setting that says how long RSA keys have to be.
///
/// # Errors
/// The range.
pub(crate) fn least_bits(bits: u32) -> Result<usize, String> {
    let bits = usize::try_from(bits).unwrap_or(usize::MAX);
    let fits = (LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits);
    fits.then_some(bits)
        .ok_or_else(|| format!("is not between {LEAST_RSA_BITS} and {MOST_RSA_BITS}"))
}

fn one_line(text: &str) -> Result<&str, Refusal> {
    if text.contains("PRIVATE KEY-----") || text.contains("PuTTY-User-Key-File-") {
        return Err(Refusal::new(
            "This is a private key. It must never leave your machine: make a new pair, and send the file that ends in .pub.",
        ));
    }
    if text.len() > MOST_BYTES {
        return Err(Refusal::new("This is too long for an SSH public key."));
    }
    let text = text.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']);
    if text.starts_with("-----BEGIN ") || text.starts_with("---- BEGIN ") {
        return Err(Refusal::new(
            "This key is in another format. Convert it with `ssh-keygen -i` to one line that begins with ssh- or ecdsa-.",
        ));
    }
    match text {
        "" => Err(Refusal::new("The public key is empty.")),
        _ if text.contains(['\n', '\r']) => {
            Err(Refusal::new("Send exactly one public key, on one line."))
        }
        _ if text.chars().any(|c| c.is_control() && c != '\t') => {
            Err(Refusal::new("The public key contains control characters."))
        }
        _ => Ok(text),
    }
}

/// What comes after options, as a line of `authorized_keys` has them in front of the type of the
/// key (sshd(8)): they end at the first blank outside of double quotes. They say what that file
/// allows, and mean nothing to a certificate, whose restrictions are the service's.
fn without_options(line: &str) -> &str {
    if is_kind(line.split([' ', '\t']).next().unwrap_or_default()) {
        return line;
    }
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c| {
        let is_end = matches!(c, ' ' | '\t') && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    let after =
        end.and_then(|end| line.get(end..)).map(|rest| rest.trim_start_matches([' ', '\t']));
    // Where no key follows, the whole line is what was sent.
    after
        .filter(|after| is_kind(after.split([' ', '\t']).next().unwrap_or_default()))
        .unwrap_or(line)
}

/// Whether `word` is the type of a key, of one that can be certified or not.
fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

fn check_kind(kind: &str) -> Result<(), Refusal> {
    match kind {
        "ssh-ed25519"
        | "ssh-rsa"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521"
        | "sk-ssh-ed25519@openssh.com"
        | "sk-ecdsa-sha2-nistp256@openssh.com" => Ok(()),
        "ssh-dss" => {
            Err(Refusal::new("DSA keys are too weak. Make one with `ssh-keygen -t ed25519`."))
        }
        _ if kind.contains("-cert-v0") => {
            Err(Refusal::new("This is a certificate. Send the public key that it was made for."))
        }
        _ => Err(Refusal::new(
            "This is no SSH public key that can be certified. Send one line that begins with its type, such as ssh-ed25519.",
        )),
    }
}

fn check_strength(key: &KeyData, rsa_bits: usize) -> Result<(), Refusal> {
    match key {
        KeyData::Rsa(rsa) => check_rsa(rsa, rsa_bits),
        KeyData::Ed25519(key) => check_ed25519(&key.0),
        KeyData::SkEd25519(key) => check_ed25519(&key.public_key().0),
        KeyData::Ecdsa(_) | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        _ => Err(Refusal::new("Keys of this type cannot be certified.")),
    }
}

/// The points of small order, in every encoding of them but for the sign: a signature of any
/// message can be forged for such a key.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    edge(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    // One below the prime of the field, the prime itself and one above: -1, 0 and 1 again.
    edge(0xec, 0xff, 0x7f),
    edge(0xed, 0xff, 0x7f),
    edge(0xee, 0xff, 0x7f),
];

/// A number by its first byte, all in between, and its last.
const fn edge(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

fn check_ed25519(key: &[u8; 32]) -> Result<(), Refusal> {
    let mut unsigned = *key;
    if let Some(last) = unsigned.last_mut() {
        *last &= 0x7f;
    }
    let weak = SMALL_ORDER.contains(&unsigned);
    let refusal =
        || Refusal::new("This Ed25519 key is weak. Make another with `ssh-keygen -t ed25519`.");
    (!weak).then_some(()).ok_or_else(refusal)
}

fn check_rsa(key: &RsaPublicKey, least: usize) -> Result<(), Refusal> {
    let weak = || {
        Refusal::new("This RSA key is weak or damaged. Make another with `ssh-keygen -t ed25519`.")
    };
    let modulus = key.n.as_positive_bytes().ok_or_else(weak)?;
    let exponent = key.e.as_positive_bytes().and_then(small_number).ok_or_else(weak)?;
    let bits = bits(modulus);
    if bits < least {
        return Err(Refusal::new(format!(
            "This RSA key has {bits} bits; at least {least} are needed. Better make one with `ssh-keygen -t ed25519`."
        )));
    }
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
    let sound = bits <= MOST_RSA_BITS
        && odd(modulus)
        && exponent >= LEAST_RSA_EXPONENT
        && exponent % 2 == 1;
    sound.then_some(()).ok_or_else(weak)
}

/// How many bits a number without leading zero bytes has.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn small_number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use ssh_key::Mpint;

    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn refusal(text: &str) -> String {
        UserKey::parse(text, LEAST_RSA_BITS).unwrap_err().user
    }

    fn rsa(bits: usize, exponent: u64) -> String {
        let mut modulus = vec![0xc3; bits / 8];
        modulus[0] = 0x80;
        rsa_of(&modulus, exponent)
    }

    fn rsa_of(modulus: &[u8], exponent: u64) -> String {
        let exponent = exponent.to_be_bytes();
        let first = exponent.iter().position(|byte| *byte != 0).unwrap_or(7);
        let key = RsaPublicKey {
            e: Mpint::from_positive_bytes(&exponent[first..]).unwrap(),
            n: Mpint::from_positive_bytes(modulus).unwrap(),
        };
        PublicKey::from(KeyData::Rsa(key)).to_openssh().unwrap()
    }

    #[test]
    fn sound_keys_are_taken() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        let sk = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo=";
        for key in [
            ED25519.to_owned(),
            format!("  {ED25519} alice@laptop\n"),
            format!("{ED25519} command=\"x\" looks like an option but is a comment"),
            format!("{ED25519} BEGIN of the week"),
            format!("{ED25519} -----BEGIN here"),
            format!("{ED25519}\r\n"),
            format!("\u{feff}{ED25519}"),
            ED25519.replace(' ', "\t"),
            ED25519.replace(' ', "   "),
            format!("{}\t \talice", ED25519.replace(' ', " \t ")),
            format!("restrict {ED25519}"),
            format!("command=\"echo \\\"a b\\\" ssh-rsa AAAA\",no-pty\t{ED25519} alice"),
            format!("environment=\"A=b c\",from=\"10.0.0.0/8,*.example.org\"  {ED25519}"),
            ecdsa.to_owned(),
            sk.to_owned(),
            rsa(2048, 65537),
            rsa(4096, 65537),
            rsa(16384, 65537),
        ] {
            assert!(UserKey::parse(&key, LEAST_RSA_BITS).is_ok(), "{key}");
        }
    }

    #[test]
    fn a_comment_changes_nothing() {
        let with = format!("{ED25519} \"quotes\" and more");
        assert_eq!(UserKey::parse(&with, LEAST_RSA_BITS), UserKey::parse(ED25519, LEAST_RSA_BITS));
    }

    #[test]
    fn other_things_get_a_clear_no() {
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----";
        let two = format!("{ED25519}\n{ED25519}");
        let cases = [
            ("", "empty"),
            (" \n ", "empty"),
            (private, "private key"),
            (
                "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
                "another format",
            ),
            (two.as_str(), "exactly one"),
            ("ssh-dss AAAAB3NzaC1kc3MAAACBAJ", "DSA"),
            (
                "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t",
                "certificate",
            ),
            ("command=\"/bin/sh\",no-pty ssh-ed25519 AAAA", "damaged"),
            ("restrict ssh-ed25519 AAAA", "damaged"),
            ("command=\"never closed ssh-ed25519 AAAA", "no SSH public key"),
            ("restrict restrict ssh-ed25519 AAAA", "no SSH public key"),
            ("restrict ssh-dss AAAAB3NzaC1kc3MAAACBAJ", "DSA"),
            ("PuTTY-User-Key-File-3: ssh-ed25519", "private key"),
            ("ssh-ed448 AAAA", "no SSH public key"),
            ("ssh-ed25519", "damaged"),
            ("ssh-ed25519 AAAA", "damaged"),
            ("ssh-ed25519 !!!!", "damaged"),
            ("ssh-ed25519 AAAA\u{7}", "control characters"),
        ];
        for (text, expected) in cases {
            assert!(refusal(text).contains(expected), "{text:?}: {}", refusal(text));
        }
    }

    #[test]
    fn a_key_is_what_it_says() {
        let data = ED25519.split(' ').nth(1).unwrap();
        assert!(refusal(&format!("ssh-rsa {data}")).contains("damaged"));
        assert!(refusal(&format!("ssh-ed25519 {data}AAAA")).contains("damaged"));
        assert!(refusal(&format!("ssh-ed25519 {}", &data[..40])).contains("damaged"));
    }

    #[test]
    fn long_texts_are_not_looked_at() {
        assert!(refusal(&format!("{ED25519} {}", "x".repeat(MOST_BYTES))).contains("too long"));
    }

    #[test]
    fn weak_rsa_keys_are_refused() {
        for (key, expected) in [
            (rsa(1024, 65537), "1024 bits"),
            (rsa(2040, 65537), "2040 bits"),
            (rsa(2048, 3), "weak"),
            (rsa(2048, 1), "weak"),
            (rsa(2048, 65538), "weak"),
            (rsa_of(&[0xc2; 256], 65537), "weak"),
        ] {
            assert!(refusal(&key).contains(expected), "{}", refusal(&key));
        }
        let stricter = UserKey::parse(&rsa(2048, 65537), 3072).unwrap_err();
        assert!(stricter.user.contains("at least 3072"));
    }

    /// A certificate for such a key can be used by anyone who sees it.
    #[test]
    fn ed25519_keys_under_which_anybody_can_sign_are_refused() {
        let line = |key: [u8; 32]| {
            PublicKey::from(KeyData::Ed25519(ssh_key::public::Ed25519PublicKey(key)))
                .to_openssh()
                .unwrap()
        };
        for mut key in SMALL_ORDER {
            assert!(refusal(&line(key)).contains("weak"), "{key:x?}");
            key[31] |= 0x80;
            assert!(refusal(&line(key)).contains("weak"), "{key:x?}");
        }
    }

    #[test]
    fn the_least_length_has_a_range() {
        assert_eq!(least_bits(3072), Ok(3072));
        assert!(least_bits(1024).is_err() && least_bits(20000).is_err());
    }
}
