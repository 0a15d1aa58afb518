//! Copies of files, durable and checked: clones where the file system can, else byte by byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{ioctl_ficlone, statvfs};
use sha2::{Digest as _, Sha256};

use super::stock::{Item, Reader, Stock, each_piece};
use crate::error::OpenError;

/// Room that a copy leaves on the disk: the daemon has to write there too.
const MARGIN: u64 = 16 << 20;

/// Copies the files of `stock` from one directory to another, which is made.
///
/// # Errors
/// A file cannot be read or written, or is not as `stock` says; there is no room.
pub(super) fn files(
    stock: &Stock,
    from: &Path,
    to: &Path,
    reader: Reader<'_>,
) -> Result<(), OpenError> {
    make_directory(to)?;
    let mut has_room = false;
    for (name, item) in &stock.0 {
        let (source, target) = (from.join(name), to.join(name));
        if let Some(parent) = target.parent() {
            make_directory(parent)?;
        }
        let made = create(&target).map_err(OpenError::io(&target, "make"))?;
        if clone(&source, &made) {
            made.sync_all().map_err(OpenError::io(&target, "make durable"))?;
            continue;
        }
        if !has_room {
            check_room(to, stock.bytes())?;
            has_room = true;
        }
        let copied = bytes(&source, made, item, reader);
        copied.map_err(OpenError::io(&source, "copy"))?;
    }
    sync_directories(stock, to)
}

/// Moves the files of `from` that are not as `stock` says into the directory `aside`. Returns
/// whether there were any: without one, `aside` is not made.
pub(super) fn displace(stock: &Stock, from: &Path, aside: &Path) -> Result<bool, OpenError> {
    make_directory(from)?;
    let mut moved = Stock::default();
    for name in names(from)? {
        let (source, target) = (from.join(&name), aside.join(&name));
        // What cannot be read is moved, too.
        let item = super::stock::read(&source, &super::stock::read_file).ok();
        if item.is_some() && item.as_ref() == stock.0.get(&name) {
            continue;
        }
        make_directory(target.parent().unwrap_or(aside))?;
        match fs::rename(&source, &target) {
            // The directory is a file system of its own.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let item = item.clone().unwrap_or_default();
                let put = create(&target)
                    .and_then(|made| bytes(&source, made, &item, &super::stock::read_file))
                    .and_then(|()| fs::remove_file(&source));
                put.map_err(OpenError::io(&source, "move away"))?;
            }
            done => done.map_err(OpenError::io(&source, "move away"))?,
        }
        moved.0.insert(name, item.unwrap_or_default());
    }
    if moved.0.is_empty() {
        return Ok(false);
    }
    sync_directories(&moved, aside)?;
    Ok(true)
}

/// Puts the files of `stock` from one directory to another and removes what else is there. Doing
/// it again after it broke off goes on.
pub(super) fn replace(stock: &Stock, from: &Path, to: &Path) -> Result<(), OpenError> {
    make_directory(to)?;
    for (name, item) in &stock.0 {
        let (source, target) = (from.join(name), to.join(name));
        if let Some(parent) = target.parent() {
            make_directory(parent)?;
        }
        match fs::rename(&source, &target) {
            // It was put back before an earlier attempt broke off.
            Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => {}
            // The directory is a file system of its own.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let aside = target.with_extension("restored");
                let put = create(&aside)
                    .and_then(|made| bytes(&source, made, item, &super::stock::read_file))
                    .and_then(|()| fs::rename(&aside, &target));
                put.map_err(OpenError::io(&target, "put back"))?;
            }
            moved => moved.map_err(OpenError::io(&target, "put back"))?,
        }
    }
    let now = names(to)?;
    for name in now.iter().filter(|name| !stock.0.contains_key(*name)) {
        let extra = to.join(name);
        fs::remove_file(&extra).map_err(OpenError::io(&extra, "remove"))?;
    }
    sync_directories(stock, to)
}

/// Removes a directory and what is in it, if it is there.
pub(super) fn remove(directory: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::io(directory, "remove")(error))
        }
        _ => Ok(()),
    }
}

/// Writes a file that is whole or not there, durably.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), OpenError> {
    rename_whole(path, content).map_err(OpenError::io(path, "write"))?;
    sync_directory_of(path)
}

/// The same, but for the name: the directory is still to be made durable.
pub(super) fn rename_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = create(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// Removes a file durably; returns whether it was there.
pub(super) fn remove_file(path: &Path) -> Result<bool, OpenError> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory_of(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(OpenError::io(path, "remove")(error)),
    }
}

/// Makes a directory that no other user can read, and those above it, where they are missing.
pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(OpenError::io(path, "make the directory"))
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(OpenError::io(path, "make durable"))
}

fn sync_directory_of(path: &Path) -> Result<(), OpenError> {
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

fn sync_directories(stock: &Stock, root: &Path) -> Result<(), OpenError> {
    let mut parents: Vec<_> = stock.0.keys().filter_map(|name| name.parent()).collect();
    parents.push(Path::new(""));
    parents.sort();
    parents.dedup();
    for parent in parents {
        // `join("")` would add a slash.
        let folder = if parent == Path::new("") { root.to_owned() } else { root.join(parent) };
        sync_directory(&folder)?;
    }
    sync_directory_of(root)
}

/// Makes `target` share the content of `source`, where the file system can.
fn clone(source: &Path, target: &File) -> bool {
    File::open(source).is_ok_and(|source| ioctl_ficlone(target, source).is_ok())
}

/// Copies `source`, which must be as `item` says, into `target`, durably.
fn bytes(source: &Path, mut target: File, item: &Item, reader: Reader<'_>) -> io::Result<()> {
    let mut sum = Sha256::new();
    let length = each_piece(&mut *reader(source)?, |piece| {
        sum.update(piece);
        // Logs are made with room of zeros, which takes none in a file with holes.
        if piece.iter().all(|byte| *byte == 0) {
            let skipped = i64::try_from(piece.len()).map_err(io::Error::other)?;
            return target.seek(SeekFrom::Current(skipped)).map(drop);
        }
        target.write_all(piece)
    })?;
    target.set_len(length)?;
    let digest: [u8; 32] = sum.finalize().into();
    if (Item { length, digest }) != *item {
        return Err(io::Error::other("it gives other bytes each time that it is read"));
    }
    target.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn names(directory: &Path) -> Result<Vec<std::path::PathBuf>, OpenError> {
    // Not read: only names count here.
    let nothing = |_: &Path| Ok(Box::new(io::empty()) as Box<dyn io::Read>);
    Ok(Stock::take(directory, &nothing)?.0.into_keys().collect())
}

fn check_room(directory: &Path, bytes: u64) -> Result<(), OpenError> {
    let about = statvfs(directory).map_err(io::Error::from);
    let about = about.map_err(OpenError::io(directory, "look at the disk of"))?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if free < bytes.saturating_add(MARGIN) {
        return Err(OpenError::NoRoom {
            path: directory.to_owned(),
            needed: bytes.saturating_add(MARGIN),
            free,
        });
    }
    Ok(())
}
