//! A disk that really fills up: a file system in memory of some megabytes, which the child (this
//! program again, with a variable set) mounts where no other process sees it. Where mounting is not
//! allowed the test says so and shows nothing; `daemon/store/src/space/tests.rs` has the same on a
//! toy disk.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use credsmith_core::ports::store::{Batch, Key, Store, StoreError};
use credsmith_store::{
    Engine, MIN_RESERVE, OnDisk, OnDiskOptions, Reserve, ReserveOptions, WithReserve,
};

const CHILD: &str = "CREDSMITH_STORE_FULL_DISK";
const DISK: &str = "256m";
const NAME: &str = "a_disk_that_fills_up_ends_nothing";

#[test]
fn a_disk_that_fills_up_ends_nothing() {
    if let Some(disk) = env::var_os(CHILD) {
        for engine in Engine::ALL {
            fill(engine, Path::new(&disk));
        }
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=$0,mode=700 tmpfs \"$1\" || exit 77; exec \"$2\" --exact \"$3\" --nocapture";
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", mount, DISK])
        .arg(directory.path())
        .arg(env::current_exe().unwrap())
        .arg(NAME)
        .env(CHILD, directory.path())
        .output();
    let Ok(child) = child else { return says("there is no unshare") };
    let (out, error) =
        (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    match child.status.code() {
        Some(0) => says(&out),
        Some(77 | 1) if error.contains("unshare") || error.contains("mount:") => {
            says("mounting is not allowed here")
        }
        _ => panic!("{}: {out} {error}", child.status),
    }
}

fn says(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn fill(engine: Engine, disk: &Path) {
    let place = disk.join(engine.as_str());
    fs::create_dir(&place).unwrap();
    let reserve = Reserve::new(ReserveOptions::new(place.join("reserve"), MIN_RESERVE));
    let options = OnDiskOptions::new(engine, place.join("store"), 1 << 20);
    let store = WithReserve::new(OnDisk::open(options).unwrap(), reserve);
    assert!(place.join("reserve").exists());

    let mut number = 0;
    let mut put = async |urgent: bool| {
        number += 1;
        let id = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let batch = Batch::default().put(Key::new(format!("lease/{id:020}")), vec![7; 3000]);
        let batch = Batch { urgent, ..batch };
        match store.commit(batch).await {
            Ok(_) => true,
            Err(StoreError::NoRoom) => false,
            Err(other) => panic!("{engine}: {other:?}"),
        }
    };
    let mut ordinary = 0;
    while put(false).await {
        ordinary += 1;
    }
    assert!(store.trouble().unwrap().contains("almost full"));
    let mut revocations = 0;
    while put(true).await {
        revocations += 1;
    }
    assert!(!place.join("reserve").exists(), "the reserve file is still there");
    assert!(store.trouble().unwrap().contains("used up"));
    assert!(ordinary > 100 && revocations > 1000, "{ordinary}, then {revocations}");
    let read = store.scan(&Key::new(""), None, usize::MAX).await.unwrap();
    assert_eq!(read.entries.len(), ordinary + revocations, "reads go on, and nothing is lost");
    says(&format!(
        "{engine}: {ordinary} commits, then {revocations} urgent ones from a reserve of 2 * {MIN_RESERVE} bytes"
    ));

    // An operator makes room.
    let command = Command::new("mount").args(["-o", "remount,size=1g"]).arg(disk).status();
    assert!(command.expect("mount").success());
    assert!(put(false).await, "it does not come back by itself");
    assert_eq!(store.trouble(), None);
    assert!(place.join("reserve").exists());
    store.inner().close().await.unwrap();
    drop(store);
    fs::remove_dir_all(&place).unwrap();
    let size = format!("remount,size={DISK}");
    assert!(Command::new("mount").args(["-o", &size]).arg(disk).status().expect("mount").success());
}
