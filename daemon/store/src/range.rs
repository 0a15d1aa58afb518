//! The range of keys that a scan covers, as bounds for an ordered map.

use std::ops::Bound;

/// From the first key of a scan (included or not) to the first key after its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) lower: Bound<Vec<u8>>,
    pub(crate) upper: Bound<Vec<u8>>,
}

impl KeyRange {
    /// The keys that begin with `prefix` and come after `after`; `None` when there can be none.
    pub(crate) fn new(prefix: &[u8], after: Option<&[u8]>) -> Option<Self> {
        let upper = match successor(prefix) {
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        let lower = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.to_vec()),
        };
        match (&lower, &upper) {
            (Bound::Excluded(after), Bound::Excluded(end)) if after >= end => None,
            _ => Some(Self { lower, upper }),
        }
    }
}

/// The first byte string after all that begin with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"a", Some(b"b")),
            (b"a\xff", Some(b"b")),
            (b"a\xff\xffb\xff", Some(b"a\xff\xffc")),
            (b"", None),
            (b"\xff", None),
            (b"\xff\xff", None),
        ];
        for (prefix, end) in cases {
            assert_eq!(successor(prefix).as_deref(), end, "{}", prefix.escape_ascii());
        }
    }

    #[test]
    fn where_a_scan_continues() {
        let lower = |after: &[u8]| KeyRange::new(b"b/", Some(after)).map(|range| range.lower);
        assert_eq!(lower(b"b/1"), Some(Bound::Excluded(b"b/1".to_vec())));
        assert_eq!(lower(b"b/"), Some(Bound::Excluded(b"b/".to_vec())));
        assert_eq!(
            lower(b"a"),
            Some(Bound::Included(b"b/".to_vec())),
            "before the prefix: all of it"
        );
        assert_eq!(lower(b"b0"), None, "behind the prefix: nothing");
        assert_eq!(lower(b"c"), None);
    }
}
