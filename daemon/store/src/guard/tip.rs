//! The tip: a small file beside the store that knows the last acknowledged commit. It is written
//! and synced after each group of commits, before any of them is acknowledged.
//!
//! Two places in the file are written in turn, each within one sector, so that a write that breaks
//! off leaves the earlier one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::copy;
use super::reached::{REACHED_BYTES, Reached};

/// First bytes of a place: what the file is, and its format.
const MAGIC: &[u8; 8] = b"csm-tip1";
const NUMBER_BYTES: usize = 8;
const CHECK_BYTES: usize = 16;
const SIGNED_BYTES: usize = MAGIC.len() + NUMBER_BYTES + REACHED_BYTES;
const PLACE_BYTES: usize = SIGNED_BYTES + CHECK_BYTES;
/// Distance of both places: they never share a page.
const APART: usize = 4096;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// There is no file, or an empty one.
    Missing,
    /// There is one, and neither place in it is whole.
    Damaged,
    /// The last acknowledged commit.
    At(Reached),
}

/// The open file.
#[derive(Debug)]
pub(super) struct Tip {
    file: File,
    /// How often it was written: which place is next.
    number: u64,
}

impl Tip {
    /// Reads the file at `path`, without changing it.
    pub(super) fn look(path: &Path) -> io::Result<Known> {
        Ok(match read(path)? {
            None => Known::Missing,
            Some(bytes) => newest(&bytes).map_or(Known::Damaged, |(_, reached)| Known::At(reached)),
        })
    }

    /// Opens the file for writing. Where it is missing or damaged it is made first, with `reached`
    /// in both places: whole, or not at all. A new name in the directory is not durable yet.
    pub(super) fn open(path: &Path, reached: Reached) -> io::Result<Self> {
        let number = read(path)?.and_then(|bytes| newest(&bytes)).map(|(number, _)| number);
        let number = if let Some(number) = number {
            number
        } else {
            let mut bytes = place(2, reached);
            bytes.resize(APART, 0);
            bytes.extend_from_slice(&place(1, reached));
            copy::rename_whole(path, &bytes)?;
            2
        };
        Ok(Self { file: OpenOptions::new().write(true).open(path)?, number })
    }

    /// Records `reached`, durably.
    pub(super) fn advance(&mut self, reached: Reached) -> io::Result<()> {
        let number = self.number.wrapping_add(1);
        let offset = if number.is_multiple_of(2) { 0 } else { APART as u64 };
        self.file.write_all_at(&place(number, reached), offset)?;
        self.file.sync_data()?;
        self.number = number;
        Ok(())
    }
}

/// The content; `None` without one: a version that made the file in place may have been killed
/// before its first write.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(2 * APART as u64).read_to_end(&mut bytes)?;
            Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn place(number: u64, reached: Reached) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &number.to_be_bytes(), &reached.to_bytes()].concat();
    let check = check(&bytes);
    bytes.extend_from_slice(&check);
    bytes
}

fn newest(bytes: &[u8]) -> Option<(u64, Reached)> {
    let places = [0, APART].into_iter().filter_map(|at| whole(bytes.get(at..at + PLACE_BYTES)?));
    places.max_by_key(|(number, _)| *number)
}

fn whole(place: &[u8]) -> Option<(u64, Reached)> {
    let (signed, found) = place.split_at_checked(SIGNED_BYTES)?;
    if found != check(signed) {
        return None;
    }
    let (number, reached) = signed.strip_prefix(MAGIC)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), Reached::from_bytes(reached.try_into().ok()?)))
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: u64) -> Reached {
        Reached { revision, entries: 1, sum: 2 }
    }

    #[test]
    fn a_write_that_broke_off_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tip");
        assert_eq!(Tip::look(&path).unwrap(), Known::Missing);
        let mut tip = Tip::open(&path, Reached::default()).unwrap();
        assert_eq!(Tip::look(&path).unwrap(), Known::At(Reached::default()));
        for revision in 1..5 {
            tip.advance(at(revision)).unwrap();
            assert_eq!(Tip::look(&path).unwrap(), Known::At(at(revision)));
            let whole = std::fs::read(&path).unwrap();
            let newer = if tip.number.is_multiple_of(2) { 0 } else { APART };
            for place in 0..PLACE_BYTES {
                let mut torn = whole.clone();
                torn[newer + place] ^= 1;
                std::fs::write(&path, torn).unwrap();
                let before = if revision == 1 { Reached::default() } else { at(revision - 1) };
                assert_eq!(Tip::look(&path).unwrap(), Known::At(before), "{revision} {place}");
            }
            std::fs::write(&path, &whole).unwrap();
            assert_eq!(Tip::open(&path, at(99)).unwrap().number, tip.number, "it goes on");
        }
        std::fs::write(&path, "nothing of ours").unwrap();
        assert_eq!(Tip::look(&path).unwrap(), Known::Damaged);
    }

    #[test]
    fn a_tip_without_content_is_a_missing_one_and_a_new_one_is_whole_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tip");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Tip::look(&path).unwrap(), Known::Missing);
        // The file takes the place of the empty one: that one stays as it is.
        let empty = File::open(&path).unwrap();
        let mut tip = Tip::open(&path, at(3)).unwrap();
        assert_eq!(empty.metadata().unwrap().len(), 0, "it was written in place");
        assert_eq!(Tip::look(&path).unwrap(), Known::At(at(3)));
        let bytes = std::fs::read(&path).unwrap();
        for place in [0, APART] {
            assert_eq!(whole(&bytes[place..place + PLACE_BYTES]).unwrap().1, at(3));
        }
        tip.advance(at(4)).unwrap();
        assert_eq!(Tip::look(&path).unwrap(), Known::At(at(4)));
    }
}
