//! A disk that fills and empties as a test wants.

use std::io;
use std::sync::{Arc, Mutex};

use credsmith_core::ports::store::{Batch, Key, Store, StoreError};

use super::disk::RealDisk;
use super::{Disk, FLOOR, Reserve, ReserveOptions, WithReserve};
use crate::Memory;

const RESERVE: u64 = 64 << 20;

#[derive(Clone)]
struct Toy(Arc<Mutex<ToyState>>);

struct ToyState {
    /// Free, with the reserve file not counted.
    free: u64,
    held: u64,
    can_hold: bool,
    visible: bool,
}

impl Toy {
    fn new(free: u64) -> Self {
        Self(Arc::new(Mutex::new(ToyState { free, held: 0, can_hold: true, visible: true })))
    }

    fn set(&self, change: impl FnOnce(&mut ToyState)) {
        change(&mut self.0.lock().unwrap());
    }

    fn held(&self) -> u64 {
        self.0.lock().unwrap().held
    }
}

impl Disk for Toy {
    fn free(&self) -> io::Result<u64> {
        let state = self.0.lock().unwrap();
        if state.visible { Ok(state.free) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn is_held(&self, bytes: u64) -> bool {
        self.held() == bytes
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if !state.can_hold || state.free < bytes {
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.free -= bytes;
        state.held = bytes;
        Ok(())
    }

    fn give_up(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.free += std::mem::take(&mut state.held);
        Ok(())
    }
}

fn store(disk: &Toy) -> WithReserve<Memory> {
    let options = ReserveOptions { disk: Box::new(disk.clone()), bytes: RESERVE };
    WithReserve::new(Memory::new(), Reserve::new(options))
}

/// Which batches are written: an ordinary one, one that only deletes, an urgent one, one that only
/// checks.
async fn written(store: &WithReserve<Memory>) -> [bool; 4] {
    let put = Batch::default().put(Key::new("a"), "1");
    let batches =
        [put.clone(), Batch::default().delete(Key::new("b")), put.urgent(), Batch::default()];
    let mut written = [false; 4];
    for (written, batch) in written.iter_mut().zip(batches) {
        *written = match store.commit(batch).await {
            Ok(_) => true,
            Err(StoreError::NoRoom) => false,
            Err(other) => panic!("{other:?}"),
        };
    }
    // Reads go on whatever happens.
    store.get(&Key::new("a")).await.unwrap();
    store.scan(&Key::new(""), None, 10).await.unwrap();
    written
}

const EVERYTHING: [bool; 4] = [true; 4];
const URGENT: [bool; 4] = [false, true, true, true];
const NOTHING: [bool; 4] = [false, false, false, true];

#[tokio::test]
async fn a_full_disk_stops_writes_and_revocations_go_on_from_a_reserve() {
    let disk = Toy::new(10 * RESERVE);
    let store = store(&disk);
    assert_eq!(disk.held(), RESERVE, "the reserve is taken at the start");
    assert_eq!((written(&store).await, store.trouble()), (EVERYTHING, None));

    disk.set(|state| state.free = RESERVE - 1);
    assert_eq!(written(&store).await, URGENT);
    assert!(store.trouble().unwrap().contains("almost full"));
    assert_eq!(disk.held(), RESERVE);

    disk.set(|state| state.free = FLOOR - 1);
    assert_eq!(written(&store).await, URGENT, "from the file, which is given up");
    assert_eq!(disk.held(), 0);

    disk.set(|state| state.free = 0);
    assert_eq!(written(&store).await, NOTHING);
    assert!(store.trouble().unwrap().contains("used up"));

    disk.set(|state| state.free = RESERVE);
    assert_eq!(written(&store).await, URGENT, "there is room for the file and no more");
    disk.set(|state| state.free = 3 * RESERVE);
    assert_eq!((written(&store).await, store.trouble()), (EVERYTHING, None), "by itself");
    assert_eq!(disk.held(), RESERVE, "the reserve is taken again");
}

#[tokio::test]
async fn around_the_limit_it_does_not_change_over_and_over() {
    let disk = Toy::new(3 * RESERVE);
    let store = store(&disk);
    disk.set(|state| state.free = RESERVE);
    assert_eq!(written(&store).await, EVERYTHING);
    disk.set(|state| state.free = RESERVE - 1);
    assert_eq!(written(&store).await, URGENT);
    disk.set(|state| state.free = RESERVE + 1);
    assert_eq!(written(&store).await, URGENT);
    disk.set(|state| state.free = RESERVE + RESERVE / 8);
    assert_eq!(written(&store).await, EVERYTHING);
}

#[tokio::test]
async fn a_start_on_a_full_disk_makes_room_for_itself() {
    let disk = Toy::new(FLOOR / 2);
    disk.set(|state| state.held = RESERVE);
    let store = store(&disk);
    assert_eq!(disk.held(), 0, "the engine opens with the room of the reserve");
    assert_eq!(written(&store).await, URGENT);
}

#[tokio::test]
async fn a_disk_that_can_keep_no_room_has_to_have_more_of_it() {
    let disk = Toy::new(10 * RESERVE);
    disk.set(|state| state.can_hold = false);
    let store = store(&disk);
    assert_eq!(written(&store).await, EVERYTHING);
    disk.set(|state| state.free = 2 * RESERVE - 1);
    assert_eq!(written(&store).await, URGENT);
    disk.set(|state| state.free = FLOOR);
    assert_eq!(written(&store).await, URGENT);
    disk.set(|state| state.free = FLOOR - 1);
    assert_eq!(written(&store).await, NOTHING);
}

#[tokio::test]
async fn a_disk_that_cannot_be_asked_is_not_full() {
    let disk = Toy::new(0);
    disk.set(|state| state.visible = false);
    assert_eq!(written(&store(&disk)).await, EVERYTHING);
}

#[test]
fn the_reserve_file_takes_its_room() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reserve");
    let disk = RealDisk::new(path.clone());
    assert!(disk.free().unwrap() > 0);
    disk.give_up().unwrap();
    assert!(!disk.is_held(1 << 20));
    // A file system that cannot keep room says so, and leaves nothing behind.
    match disk.take(1 << 20) {
        Ok(()) => assert!(disk.is_held(1 << 20) && !disk.is_held(2 << 20)),
        Err(_) => assert!(!path.exists()),
    }
    std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    assert!(!disk.is_held(1 << 20), "a hole keeps no room");
    disk.give_up().unwrap();
    assert!(!path.exists());
}
