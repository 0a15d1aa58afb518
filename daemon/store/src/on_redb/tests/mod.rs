//! Tests beyond the conformance suite: the order of the steps, the failure of each, what a loss of
//! power leaves, damage of the file, and the directory.

mod damage;
mod directories;
mod disk;
mod durability;
mod power;

use std::path::Path;
use std::sync::Arc;

use credsmith_core::ports::store::{Key, Store};

use self::disk::Disk;
use super::{Redb, RedbOptions, opening};
use crate::directory::Directory;
use crate::{OpenError, Safeguards};

fn options(directory: &Path) -> RedbOptions {
    RedbOptions { cache_bytes: 1 << 20, ..RedbOptions::new(directory.join("store")) }
}

/// A store on a disk in memory; it is made if the disk is empty.
fn on(disk: &Disk, options: RedbOptions) -> Result<Redb, OpenError> {
    // The guard has a directory, which is empty each time: it misses the file and the last commit,
    // which is accepted here. What is there is checked by the tests themselves.
    let place = tempfile::tempdir().unwrap();
    let directory = Directory::claim(&place.path().join("store")).unwrap();
    let options = RedbOptions {
        safeguards: Safeguards { despite_loss: true, ..Safeguards::default() },
        ..options
    };
    opening::open_guarded(options, directory, |_, options| {
        let is_new = disk.length() == 0;
        let database = opening::open_database(options, disk.clone())?;
        if is_new {
            opening::empty(&database).unwrap();
        }
        Ok(database)
    })
}

async fn value(store: &Arc<Redb>, key: &'static str) -> Option<String> {
    let found = store.get(&Key::new(key)).await.unwrap();
    found.map(|found| String::from_utf8(found.value.to_vec()).unwrap())
}
