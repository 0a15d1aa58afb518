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
use crate::OpenError;

fn options(directory: &Path) -> RedbOptions {
    RedbOptions { cache_bytes: 1 << 20, ..RedbOptions::new(directory.join("store")) }
}

/// A store on a disk in memory; it is made if the disk is empty.
fn on(disk: &Disk, options: RedbOptions) -> Result<Redb, OpenError> {
    let is_new = disk.length() == 0;
    let database = opening::open_database(&options, disk.clone())?;
    if is_new {
        opening::empty(&database).unwrap();
    }
    opening::run(options, database, None)
}

async fn value(store: &Arc<Redb>, key: &'static str) -> Option<String> {
    let found = store.get(&Key::new(key)).await.unwrap();
    found.map(|found| String::from_utf8(found.value.to_vec()).unwrap())
}
