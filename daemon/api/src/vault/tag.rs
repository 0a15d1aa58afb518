//! Entity tags: the revision of a record in quotes (RFC 9110 sections 8.8.3 and 13.1). Never
//! derived from content, which the tag would disclose.

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The tag of a record at `revision`.
pub(super) fn of(revision: u64) -> HeaderValue {
    // Digits and quotes are always a header value.
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The name of the header whose value is [`of`].
pub(super) const NAME: HeaderName = ETAG;

/// The revisions at one of which a record has to be for a write to proceed; `None`: any will do. A
/// tag that is not one of ours, a weak one included, matches no record.
pub(super) fn expected(headers: &HeaderMap) -> Option<Vec<u64>> {
    let mut expected = None;
    for value in headers.get_all(IF_MATCH) {
        let revisions: &mut Vec<u64> = expected.get_or_insert_default();
        for tag in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if tag == b"*" {
                // A record that does not exist is a 404 in any case.
                return None;
            }
            revisions.extend(revision(tag));
        }
    }
    expected
}

/// Whether the client has the record at revision `at` already. Weak tags count.
pub(super) fn is_known(headers: &HeaderMap, at: u64) -> bool {
    let tags = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || revision(tag.strip_prefix(b"W/").unwrap_or(tag)) == Some(at))
}

fn revision(tag: &[u8]) -> Option<u64> {
    let digits = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain =
        digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_tag_comes_back() {
        for revision in [0, 7, u64::MAX] {
            let mut sent = HeaderMap::new();
            sent.insert(IF_MATCH, of(revision));
            assert_eq!(expected(&sent), Some(vec![revision]));
        }
    }

    #[test]
    fn what_a_write_expects() {
        let cases: [(&[&str], Option<Vec<u64>>); 8] = [
            (&[], None),
            (&["*"], None),
            (&["\"7\", \"8\""], Some(vec![7, 8])),
            (&["\"7\"", "\"8\""], Some(vec![7, 8])),
            (&["W/\"7\""], Some(vec![])),
            (&["7"], Some(vec![])),
            (&[""], Some(vec![])),
            (&["\"07\", \"+7\", \"x\", \"\""], Some(vec![])),
        ];
        for (values, wanted) in cases {
            assert_eq!(expected(&headers(&IF_MATCH, values)), wanted, "{values:?}");
        }
    }

    #[test]
    fn what_a_reader_has() {
        for known in ["\"7\"", "W/\"7\"", "*", "\"1\", \"7\""] {
            assert!(is_known(&headers(&IF_NONE_MATCH, &[known]), 7), "{known}");
        }
        for unknown in ["\"8\"", "7", "", "\"77\""] {
            assert!(!is_known(&headers(&IF_NONE_MATCH, &[unknown]), 7), "{unknown}");
        }
        assert!(!is_known(&HeaderMap::new(), 7));
    }
}
