//! Fingerprints of secrets, by which a text is searched for many of them in one pass.
//!
//! A fingerprint is a keyed hash of a spelling's last bytes, and one of the whole spelling. A text
//! is searched with a rolling hash (Karp and Rabin, 1987): one pass for each width of window,
//! however many secrets there are, and nothing of a secret is kept. Never here: how a secret may be
//! spelled ([`super::spellings`]).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// Widths of windows, in bytes. A spelling is found by the widest that it fills.
const WIDTHS: [usize; 3] = [4, 8, 16];

/// The key of fingerprints, made by the operating system's randomness. Fingerprints of different
/// keys have nothing to do with each other.
#[derive(Debug)]
pub(crate) struct PrintKey {
    factor: u64,
    letters: [u64; 256],
}

impl Default for PrintKey {
    fn default() -> Self {
        let random = RandomState::new();
        let letters = std::array::from_fn(|letter| random.hash_one(letter));
        // An odd factor loses no bit.
        Self { factor: random.hash_one("factor") | 1, letters }
    }
}

impl PrintKey {
    fn letter(&self, byte: u8) -> u64 {
        self.letters.get(usize::from(byte)).copied().unwrap_or_default()
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |hash: u64, byte| self.next(hash, *byte))
    }

    fn next(&self, hash: u64, byte: u8) -> u64 {
        hash.wrapping_mul(self.factor).wrapping_add(self.letter(byte))
    }
}

/// The fingerprint of one spelling of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print {
    width: usize,
    window: u64,
    length: usize,
    whole: u64,
}

impl Print {
    /// The fingerprint of `spelling`; `None` where it is too short to be searched for.
    pub(crate) fn of(key: &PrintKey, spelling: &[u8]) -> Option<Self> {
        let length = spelling.len();
        let (width, bytes) =
            WIDTHS.iter().enumerate().rev().find(|(_, bytes)| **bytes <= length)?;
        let window = key.hash(spelling.get(length.checked_sub(*bytes)?..)?);
        Some(Self { width, window, length, whole: key.hash(spelling) })
    }
}

/// Hashes are random already.
#[derive(Debug, Default, Clone, Copy)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByWindow = HashMap<u64, Vec<Print>, BuildHasherDefault<AsItIs>>;

/// A set of fingerprints of one key. A fingerprint may be in it several times, and is removed as
/// often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prints([ByWindow; WIDTHS.len()]);

impl Prints {
    /// Whether there is nothing to search for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(HashMap::is_empty)
    }

    pub(crate) fn contains(&self, print: Print) -> bool {
        let same = self.0.get(print.width).and_then(|prints| prints.get(&print.window));
        same.is_some_and(|same| same.contains(&print))
    }

    pub(crate) fn add(&mut self, print: Print) {
        if let Some(prints) = self.0.get_mut(print.width) {
            prints.entry(print.window).or_default().push(print);
        }
    }

    pub(crate) fn remove(&mut self, print: Print) {
        let Some(prints) = self.0.get_mut(print.width) else { return };
        let Some(same) = prints.get_mut(&print.window) else { return };
        if let Some(at) = same.iter().position(|other| *other == print) {
            same.swap_remove(at);
        }
        if same.is_empty() {
            prints.remove(&print.window);
        }
    }

    /// Whether `hay` contains a spelling that is in the set.
    ///
    /// Takes a time that is linear in the length of `hay`. Where so much in it looks like the end
    /// of a secret that this would not hold, the answer is yes: what cannot be searched may
    /// contain one.
    pub(crate) fn found_in(&self, key: &PrintKey, hay: &[u8]) -> bool {
        self.found_in_but(key, hay, &[])
    }

    /// The same, for a spelling that is in the set and not one of `but`.
    pub(crate) fn found_in_but(&self, key: &PrintKey, hay: &[u8], but: &[Print]) -> bool {
        let mut work = Work { left: hay.len().saturating_mul(8).saturating_add(1 << 20) };
        WIDTHS.iter().zip(&self.0).any(|(width, prints)| {
            !prints.is_empty() && found(key, *width, &Sought { prints, but }, hay, &mut work)
        })
    }
}

/// Bytes that may still be hashed.
struct Work {
    left: usize,
}

/// What is searched for: fingerprints of one width, but for some.
struct Sought<'a> {
    prints: &'a ByWindow,
    but: &'a [Print],
}

fn found(key: &PrintKey, width: usize, sought: &Sought<'_>, hay: &[u8], work: &mut Work) -> bool {
    let Some(first) = hay.get(..width) else { return false };
    let gone = (0..width).fold(1_u64, |power, _| power.wrapping_mul(key.factor));
    let mut hash = key.hash(first);
    if confirmed(key, sought, hash, first, work) {
        return true;
    }
    // The window moves over `hay`: a byte enters at its end, and one leaves at its beginning.
    let entering = hay.iter().enumerate().skip(width);
    entering.zip(hay).any(|((at, enters), leaves)| {
        hash = key.next(hash, *enters).wrapping_sub(key.letter(*leaves).wrapping_mul(gone));
        sought.prints.contains_key(&hash)
            && confirmed(key, sought, hash, hay.get(..=at).unwrap_or_default(), work)
    })
}

/// Whether `before`, at whose end a window has this hash, ends with one of the spellings.
fn confirmed(
    key: &PrintKey,
    sought: &Sought<'_>,
    hash: u64,
    before: &[u8],
    work: &mut Work,
) -> bool {
    sought.prints.get(&hash).into_iter().flatten().any(|print| {
        let Some(start) = before.len().checked_sub(print.length) else { return false };
        let Some(left) = work.left.checked_sub(print.length) else { return true };
        work.left = left;
        before.get(start..).is_some_and(|bytes| key.hash(bytes) == print.whole)
            && !sought.but.contains(print)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(key: &PrintKey, spellings: &[&[u8]]) -> Prints {
        let mut prints = Prints::default();
        spellings.iter().filter_map(|one| Print::of(key, one)).for_each(|one| prints.add(one));
        prints
    }

    #[test]
    fn what_is_in_a_text_is_found_wherever_it_stands() {
        let key = PrintKey::default();
        let prints = set(&key, &[b"abcd", b"12345678", b"a secret of some length"]);
        for hay in [
            "abcd",
            "xabcd",
            "abcdx",
            "x12345678x",
            "12345678",
            "xx a secret of some length",
            "a secret of some length xx",
            "xxxxxxxxxxxxxxxxxxxxabcdxxxxxxxxxxxxxxxxxx",
        ] {
            assert!(prints.found_in(&key, hay.as_bytes()), "{hay}");
        }
        for hay in ["", "abc", "ab cd", "1234567", "a secret of some lengt", "cret of some length"]
        {
            assert!(!prints.found_in(&key, hay.as_bytes()), "{hay}");
        }
        assert!(Print::of(&key, b"abc").is_none(), "three bytes are not searched for");
    }

    #[test]
    fn what_was_added_twice_is_there_until_it_is_removed_twice() {
        let key = PrintKey::default();
        let print = Print::of(&key, b"hunter22").unwrap();
        let mut prints = Prints::default();
        prints.add(print);
        prints.add(print);
        prints.remove(print);
        assert!(prints.found_in(&key, b"it is hunter22"));
        prints.remove(print);
        assert!(!prints.found_in(&key, b"it is hunter22") && prints.is_empty());
    }

    /// Thousands of secrets with one end, and a text of nothing but that end.
    #[test]
    fn a_text_made_to_be_slow_is_taken_for_a_leak() {
        let key = PrintKey::default();
        let mut prints = Prints::default();
        for n in 0..5_000 {
            let secret = format!("{n:0>1000}the-same-end-of-all-tokens");
            prints.add(Print::of(&key, secret.as_bytes()).unwrap());
        }
        let hay = "the-same-end-of-all-tokens".repeat(40_000);
        assert!(prints.found_in(&key, hay.as_bytes()));
        assert!(!prints.found_in(&key, "the-same-end-of-all-tokens".as_bytes()));
    }

    proptest! {
        #[test]
        fn it_finds_what_a_plain_search_finds(
            needles in proptest::collection::vec("[ab]{4,20}", 1..6),
            hay in "[ab]{0,200}",
        ) {
            let key = PrintKey::default();
            let bytes: Vec<&[u8]> = needles.iter().map(|needle| needle.as_bytes()).collect();
            let expected = needles.iter().any(|needle| hay.contains(needle.as_str()));
            prop_assert_eq!(set(&key, &bytes).found_in(&key, hay.as_bytes()), expected);
        }
    }
}
