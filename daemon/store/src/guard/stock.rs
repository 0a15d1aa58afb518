//! What stands in a directory: every regular file with its length and digest. Taking stock reads
//! each byte once, so that a read error shows before an engine may write.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::OpenError;

/// How much is read at a time.
const PIECE: usize = 256 << 10;
/// The lock of the directory, which is ours and always empty.
const LOCK: &str = "lock";
/// What a file system keeps in its own root.
const LOST_AND_FOUND: &str = "lost+found";

/// Opens a file for reading. Tests replace it by one that fails.
pub(super) type Reader<'a> = &'a dyn Fn(&Path) -> io::Result<Box<dyn Read>>;

/// The reader of the operating system.
pub(super) fn read_file(path: &Path) -> io::Result<Box<dyn Read>> {
    Ok(Box::new(File::open(path)?))
}

/// A file as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) length: u64,
    pub(super) digest: [u8; 32],
}

/// The files of a directory, by their path in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stock(pub(super) BTreeMap<PathBuf, Item>);

impl Stock {
    /// Reads every file of `directory`, in the folders below it too.
    ///
    /// # Errors
    /// A file or folder that cannot be read; an entry that is neither file nor folder.
    pub(super) fn take(directory: &Path, reader: Reader<'_>) -> Result<Self, OpenError> {
        let mut stock = Self::default();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for name in list(&directory.join(&folder))? {
                let relative = folder.join(name);
                let path = directory.join(&relative);
                let about = fs::symlink_metadata(&path).map_err(OpenError::io(&path, "look at"))?;
                if about.is_dir() {
                    folders.push(relative);
                } else if about.is_file() {
                    let item = read(&path, reader).map_err(OpenError::io(&path, "read"))?;
                    stock.0.insert(relative, item);
                } else {
                    let cause = io::Error::other("it is neither a file nor a directory");
                    return Err(OpenError::io(&path, "take into account")(cause));
                }
            }
        }
        Ok(stock)
    }

    /// Whether no file has any content.
    pub(super) fn is_bare(&self) -> bool {
        self.0.values().all(|item| item.length == 0)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|item| item.length).sum()
    }

    /// The files that are not as in `other`, or in one of both alone.
    pub(super) fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }

    /// One line a file: digest, length, path. The last line is a digest of those before it.
    pub(super) fn to_text(&self) -> String {
        let lines: String = self
            .0
            .iter()
            .map(|(path, item)| {
                format!("{} {} {}\n", hex(&item.digest), item.length, path.display())
            })
            .collect();
        let digest: [u8; 32] = Sha256::digest(lines.as_bytes()).into();
        format!("{lines}{}\n", hex(&digest))
    }

    /// The stock that [`Self::to_text`] wrote; `None` when the text is not whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('\n')?;
        let (lines, digest) = text.split_at(text.rfind('\n').map_or(0, |at| at + 1));
        let expected: [u8; 32] = Sha256::digest(lines.as_bytes()).into();
        if unhex(digest)? != expected {
            return None;
        }
        let item = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let digest = unhex(words.next()?)?;
            let length = words.next()?.parse().ok()?;
            Some((PathBuf::from(words.next()?), Item { length, digest }))
        };
        lines.lines().map(item).collect::<Option<_>>().map(Self)
    }
}

/// The entries of a folder that count, in the order of their names.
fn list(folder: &Path) -> Result<Vec<std::ffi::OsString>, OpenError> {
    let names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<std::ffi::OsString> = names.map_err(OpenError::io(folder, "list"))?;
    names.retain(|name| name != LOCK && name != LOST_AND_FOUND);
    names.sort();
    Ok(names)
}

/// Reads one file.
pub(super) fn read(path: &Path, reader: Reader<'_>) -> io::Result<Item> {
    let mut sum = Sha256::new();
    let length = each_piece(&mut *reader(path)?, |piece| {
        sum.update(piece);
        Ok(())
    })?;
    Ok(Item { length, digest: sum.finalize().into() })
}

/// Hands `file` to `take` piece by piece; returns how long it is.
pub(super) fn each_piece(
    file: &mut dyn Read,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut piece, mut length) = (vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                take(piece.get(..count).unwrap_or_default())?;
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_whole_is_none() {
        let item = Item { length: 3, digest: [0xab; 32] };
        let names = ["db", "blobs/1 2", "snap.00"];
        let stock = Stock(names.iter().map(|name| (name.into(), item.clone())).collect());
        let text = stock.to_text();
        assert_eq!(Stock::parse(&text), Some(stock.clone()));
        assert_eq!(Stock::parse(&Stock::default().to_text()), Some(Stock::default()));
        for length in 0..text.len() {
            assert_eq!(Stock::parse(&text[..length]), None, "{length}");
        }
        for (place, _) in text.char_indices() {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Stock::parse(&changed), None, "{place}");
        }
    }

    #[test]
    fn every_file_counts_but_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("blobs")).unwrap();
        for (name, content) in [("db", "data"), ("lock", ""), ("blobs/7", "blob")] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let before = Stock::take(directory.path(), &read_file).unwrap();
        assert_eq!(before.0.keys().collect::<Vec<_>>(), [Path::new("blobs/7"), Path::new("db")]);
        assert_eq!(before.bytes(), 8);
        fs::write(directory.path().join("blobs/7"), "blub").unwrap();
        fs::write(directory.path().join("more"), "").unwrap();
        let after = Stock::take(directory.path(), &read_file).unwrap();
        let differences = after.differences(&before);
        assert_eq!(differences, [Path::new("blobs/7"), Path::new("more")]);
        std::os::unix::fs::symlink("db", directory.path().join("link")).unwrap();
        assert!(Stock::take(directory.path(), &read_file).is_err());
    }
}
