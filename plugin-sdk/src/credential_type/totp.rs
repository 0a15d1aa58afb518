//! The secret behind one-time passwords (RFC 6238), as sites show it: base32, or the URI in their
//! QR code. No codes are made here.

use std::borrow::Cow;
use std::fmt;

use iri_string::types::UriStr;
use percent_encoding::percent_decode_str;

use super::kinds::is_line;

/// Fewest characters of base32: 80 bits. RFC 4226 asks for 128, but secrets of 80 bits are what
/// many sites give.
const LEAST_CHARACTERS: usize = 16;
/// Longest time that one code is valid, in seconds.
const LONGEST_PERIOD: u32 = 3600;
/// Parameters of the URI that mean something here. Others, such as `image`, are for apps.
const KNOWN: [&str; 6] = ["secret", "issuer", "algorithm", "digits", "period", "encoder"];
/// Steam's codes are made in the same way and then written in an alphabet of its own: six digits
/// would be wrong ones.
const STEAM: &str = "expected codes of digits: Steam's codes are letters, which are not made here";

/// A secret, and how codes are made of it.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret {
    text: String,
    algorithm: &'static str,
    digits: u8,
    period: u32,
    issuer: Option<String>,
    account: Option<String>,
}

/// Without the secret.
impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, digits, period, .. } = self;
        write!(f, "TotpSecret({algorithm}, {digits} digits, {period} s)")
    }
}

impl TotpSecret {
    /// Reads base32 (RFC 4648; any case, with or without padding; blanks, line ends and dashes
    /// between its characters are left out; SHA-1, six digits, thirty seconds), or a URI
    /// `otpauth://totp/...`, which says for itself.
    ///
    /// # Errors
    /// The expected form. Nothing is quoted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_matches(is_separator);
        if text.contains(':') {
            return from_uri(text);
        }
        Ok(Self {
            text: base32(text)?,
            algorithm: "SHA1",
            digits: 6,
            period: 30,
            issuer: None,
            account: None,
        })
    }

    /// The text to keep: base32 in upper case without spaces and padding, or the URI as it was.
    pub fn into_text(self) -> String {
        self.text
    }

    /// As [`into_text`](Self::into_text).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `SHA1`, `SHA256` or `SHA512`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// How many digits a code has: 6 to 8.
    pub fn digits(&self) -> u8 {
        self.digits
    }

    /// How long a code is valid, in seconds.
    pub fn period(&self) -> u32 {
        self.period
    }

    /// The issuer of the secret, where a URI names one. One line.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whose it is, where an URI says so. One line.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

/// What sites and mail programs put around a secret and between its groups.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '-' | '\u{ad}' | '\u{200b}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{feff}'
        )
}

fn base32(text: &str) -> Result<String, String> {
    let mut normal: String = text.chars().filter(|c| !is_separator(*c)).collect();
    normal.truncate(normal.trim_end_matches('=').len());
    normal.make_ascii_uppercase();
    if !normal.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')) {
        return Err("expected base32, which is A to Z and 2 to 7, or an otpauth URI".to_owned());
    }
    if normal.len() < LEAST_CHARACTERS {
        return Err(format!("expected at least {LEAST_CHARACTERS} characters of base32"));
    }
    // Five bits a character: no number of whole bytes ends after these.
    if matches!(normal.len() % 8, 1 | 3 | 6) {
        return Err(
            "expected base32 of another length: a character is missing or too many".to_owned()
        );
    }
    Ok(normal)
}

fn from_uri(text: &str) -> Result<TotpSecret, String> {
    // A line end in it is of the page or the mail that it was copied from.
    let text: String = text.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let text = text.as_str();
    if text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("steam:")) {
        return Err(STEAM.to_owned());
    }
    let uri = UriStr::new(text).map_err(|_| "expected base32 or a valid otpauth URI".to_owned())?;
    if !uri.scheme_str().eq_ignore_ascii_case("otpauth") {
        return Err("expected base32 or a URI that begins with otpauth://totp/".to_owned());
    }
    if uri.authority_str().is_some_and(|kind| kind.eq_ignore_ascii_case("steam")) {
        return Err(STEAM.to_owned());
    }
    if !uri.authority_str().is_some_and(|kind| kind.eq_ignore_ascii_case("totp")) {
        return Err(
            "expected a URI of time-based codes, which begins with otpauth://totp/".to_owned()
        );
    }
    let parameters = Parameters::read(uri.query_str().unwrap_or_default())?;
    if parameters.get("encoder").is_some_and(|encoder| encoder.eq_ignore_ascii_case("steam")) {
        return Err(STEAM.to_owned());
    }
    let (prefix, account) = label(uri.path_str())?;
    let secret = parameters.get("secret").ok_or("expected a secret in the URI")?;
    base32(secret).map_err(|why| format!("{why} (as the URI's secret)"))?;
    Ok(TotpSecret {
        text: text.to_owned(),
        algorithm: algorithm(parameters.get("algorithm"))?,
        digits: number(parameters.get("digits"), 6, 6..=8)
            .ok_or("expected 6 to 8 digits in the URI")?,
        period: number(parameters.get("period"), 30, 1..=LONGEST_PERIOD).ok_or_else(|| {
            format!("expected a period of 1 to {LONGEST_PERIOD} seconds in the URI")
        })?,
        issuer: parameters
            .get("issuer")
            .map(str::to_owned)
            .or(prefix)
            .filter(|issuer| !issuer.is_empty()),
        account: Some(account),
    })
}

/// Issuer and account of the path, `/Issuer:account` or `/account`. A colon of the path parts them
/// before anything is decoded: an encoded one is a part of a name, unless it is the only one.
fn label(path: &str) -> Result<(Option<String>, String), String> {
    let path = path.strip_prefix('/').unwrap_or_default();
    let (issuer, account) = match path.split_once(':') {
        Some((issuer, account)) => (Some(decoded(issuer)?), decoded(account)?),
        None => match decoded(path)?.split_once(':') {
            Some((issuer, account)) => (Some(issuer.to_owned()), account.to_owned()),
            None => (None, decoded(path)?),
        },
    };
    let account = account.trim();
    if account.is_empty() {
        return Err("expected the name of the account in the URI".to_owned());
    }
    Ok((issuer.map(|issuer| issuer.trim().to_owned()), account.to_owned()))
}

/// The parameters of an URI that are known, decoded.
struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    fn read(query: &str) -> Result<Self, String> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(key) = KNOWN.into_iter().find(|known| *known == key) else { continue };
            // Two secrets: apps differ in which they take.
            if found.iter().any(|(known, _)| *known == key) {
                return Err("expected each parameter of the URI once".to_owned());
            }
            // A blank is a plus sign in forms, and so in what many sites make of a QR code.
            found.push((key, decoded(&value.replace('+', " "))?));
        }
        Ok(Self(found))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().ok().filter(|text| is_line(text));
    decoded
        .map(Cow::into_owned)
        .ok_or_else(|| "expected a URI whose parts are lines of text".to_owned())
}

fn algorithm(named: Option<&str>) -> Result<&'static str, String> {
    let known = ["SHA1", "SHA256", "SHA512"];
    let Some(named) = named else { return Ok("SHA1") };
    let found = known.into_iter().find(|known| known.eq_ignore_ascii_case(named));
    found.ok_or_else(|| "expected the algorithm SHA1, SHA256 or SHA512 in the URI".to_owned())
}

fn number<N: std::str::FromStr + PartialOrd>(
    text: Option<&str>,
    default: N,
    range: std::ops::RangeInclusive<N>,
) -> Option<N> {
    let Some(text) = text else { return Some(default) };
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())??;
    range.contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "JBSWY3DPEHPK3PXP";

    fn why(text: &str) -> String {
        TotpSecret::parse(text).expect_err(text)
    }

    #[test]
    fn base32_has_one_spelling() {
        for text in [
            SECRET,
            "jbsw y3dp ehpk 3pxp",
            "  JBSWY3DPEHPK3PXP====  ",
            "JBSWY3DP EHPK3PXP =",
            "JBSWY3DPEHPK3PXP\n",
            "\r\n\tJBSWY3DP\r\nEHPK3PXP\t\n",
            "jbsw-y3dp-ehpk-3pxp",
            "JBSW\u{a0}Y3DP\u{a0}EHPK\u{202f}3PXP\u{a0}",
            "JBSW\u{2013}Y3DP\u{2011}EHPK\u{2212}3PXP",
            "\u{feff}JBSWY3DP\u{200b}EHPK3PXP",
        ] {
            let secret = TotpSecret::parse(text).unwrap();
            assert_eq!(secret.text(), SECRET);
            assert_eq!((secret.algorithm(), secret.digits(), secret.period()), ("SHA1", 6, 30));
            assert_eq!((secret.issuer(), secret.account()), (None, None));
        }
    }

    #[test]
    fn other_texts_are_no_base32() {
        for (text, expected) in [
            ("JBSWY3DPEHPK3PX", "at least 16"),
            ("", "at least 16"),
            ("=", "at least 16"),
            ("JBSWY3DPEHPK3PXPA", "another length"),
            ("JBSWY3DPEHPK3PX1", "A to Z"),
            ("JBSWY3DPEHPK3PX0", "A to Z"),
            ("JBSW=Y3DPEHPK3PXP", "A to Z"),
            ("JBSWY3DP_EHPK3PXP", "A to Z"),
            ("-- --", "at least 16"),
            ("JBSWY3DPEHPK3PX\u{17f}", "A to Z"),
            ("JBSWY3DPEHPK3PX\u{ff22}", "A to Z"),
            ("JBSWY3DPEHPK3PX\u{202e}", "A to Z"),
        ] {
            assert!(why(text).contains(expected), "{text:?}: {}", why(text));
        }
    }

    #[test]
    fn a_uri_says_how_codes_are_made() {
        let uri = "otpauth://totp/Acme%20Ltd:alice@example.org?secret=jbswy3dpehpk3pxp&issuer=Acme%20Ltd&algorithm=sha256&digits=8&period=60&image=x";
        let secret = TotpSecret::parse(uri).unwrap();
        assert_eq!(secret.text(), uri, "an app that reads it again sees what the site wrote");
        assert_eq!((secret.algorithm(), secret.digits(), secret.period()), ("SHA256", 8, 60));
        assert_eq!(
            (secret.issuer(), secret.account()),
            (Some("Acme Ltd"), Some("alice@example.org"))
        );
        let plain =
            TotpSecret::parse(&format!("OTPAUTH://TOTP/alice?secret={SECRET}%3D%3D")).unwrap();
        assert_eq!((plain.algorithm(), plain.digits(), plain.period()), ("SHA1", 6, 30));
        assert_eq!((plain.issuer(), plain.account()), (None, Some("alice")));
        let prefixed =
            TotpSecret::parse(&format!("otpauth://totp/Acme:bob?secret={SECRET}&issuer=")).unwrap();
        assert_eq!((prefixed.issuer(), prefixed.account()), (None, Some("bob")));
    }

    /// Names with colons, blanks as plus signs, and line ends of the page that a URI was copied
    /// from.
    #[test]
    fn uris_are_read_as_sites_write_them() {
        for (label, issuer, account) in [
            ("Acme:alice", Some("Acme"), "alice"),
            ("Acme%3Aalice", Some("Acme"), "alice"),
            ("Acme%3A%20alice", Some("Acme"), "alice"),
            ("Acme%3ACorp:alice", Some("Acme:Corp"), "alice"),
            ("Acme:alice%3Aadmin", Some("Acme"), "alice:admin"),
            ("Acme%20Ltd:alice+1@example.org", Some("Acme Ltd"), "alice+1@example.org"),
        ] {
            let secret = TotpSecret::parse(&format!("otpauth://totp/{label}?secret={SECRET}"));
            let secret = secret.unwrap();
            assert_eq!((secret.issuer(), secret.account()), (issuer, Some(account)), "{label}");
        }
        let query = "otpauth://totp/a?secret=JBSW+Y3DP+EHPK+3PXP&issuer=Acme+Ltd%2B";
        assert_eq!(TotpSecret::parse(query).unwrap().issuer(), Some("Acme Ltd+"));
        let broken = format!("\n otpauth://totp/a\r\n?secret={SECRET}\n&issuer=Acme\t\n");
        let secret = TotpSecret::parse(&broken).unwrap();
        assert_eq!(secret.text(), format!("otpauth://totp/a?secret={SECRET}&issuer=Acme"));
    }

    /// Six digits would be shown, and none of them would work.
    #[test]
    fn codes_of_steam_are_refused_in_words() {
        for uri in [
            "otpauth://totp/Steam:alice?secret=JBSWY3DPEHPK3PXP&issuer=Steam&encoder=steam",
            "otpauth://totp/Steam:alice?encoder=STEAM&secret=JBSWY3DPEHPK3PXP",
            "otpauth://steam/alice?secret=JBSWY3DPEHPK3PXP",
            "steam://JBSWY3DPEHPK3PXP",
            "STEAM://JBSWY3DPEHPK3PXP",
        ] {
            assert!(why(uri).contains("Steam"), "{uri}: {}", why(uri));
        }
    }

    #[test]
    fn other_uris_are_refused() {
        for (uri, expected) in [
            ("https://totp/a?secret=JBSWY3DPEHPK3PXP", "begins with otpauth"),
            ("otpauth://hotp/a?secret=JBSWY3DPEHPK3PXP&counter=1", "time-based"),
            ("otpauth:totp/a?secret=JBSWY3DPEHPK3PXP", "time-based"),
            ("otpauth://totp@evil/a?secret=JBSWY3DPEHPK3PXP", "time-based"),
            ("otpauth://totp/?secret=JBSWY3DPEHPK3PXP", "account"),
            ("otpauth://totp?secret=JBSWY3DPEHPK3PXP", "account"),
            ("otpauth://totp/Acme:?secret=JBSWY3DPEHPK3PXP", "account"),
            ("otpauth://totp/a", "a secret"),
            ("otpauth://totp/a?secret=", "at least 16"),
            ("otpauth://totp/a?secret=JBSWY3DP", "at least 16"),
            ("otpauth://totp/a?SECRET=JBSWY3DPEHPK3PXP", "a secret"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&secret=KRUGKIDROVUWG2ZA", "once"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&algorithm=MD5", "SHA1"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&digits=5", "6 to 8"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&digits=%2B6", "6 to 8"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&period=0", "period"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&period=99999999999", "period"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&period=", "period"),
            ("otpauth://totp/a%0Ab?secret=JBSWY3DPEHPK3PXP", "lines of text"),
            ("otpauth://totp/a%E2%80%AEb?secret=JBSWY3DPEHPK3PXP", "lines of text"),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&issuer=%FF", "lines of text"),
            ("otpauth://totp/a b?secret=JBSWY3DPEHPK3PXP", "valid"),
            ("otpauth://totp/ä?secret=JBSWY3DPEHPK3PXP", "valid"),
            ("otpauth://totp/a?secret=%ZZ", "valid"),
        ] {
            assert!(why(uri).contains(expected), "{uri}: {}", why(uri));
            assert!(!why(uri).contains("JBSW"));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", TotpSecret::parse(SECRET)).contains("JBSW"));
    }
}
