use std::collections::BTreeMap;

use futures_util::FutureExt as _;

use super::*;
use crate::doubles::{Fault, ManualClock, MemoryStore, SeededEntropy};

const SMALL: Budget = Budget { block: 4, per_key: 10 };

fn kek(seed: u64) -> Kek {
    Kek::generate(&SeededEntropy::new(seed))
}

/// A daemon of its own over `store`: its random bytes differ from those of every other.
async fn daemon(store: &MemoryStore, seed: u64, budget: Budget) -> Result<Keyring, KeyringError> {
    let entropy = Arc::new(SeededEntropy::new(seed));
    Keyring::load_with(
        Arc::new(store.clone()),
        kek(0),
        entropy,
        Arc::new(ManualClock::default()),
        budget,
    )
    .await
}

async fn keyring(store: &MemoryStore, seed: u64) -> Keyring {
    daemon(store, seed, BUDGET).await.unwrap()
}

async fn load_error(store: &MemoryStore) -> KeyringError {
    daemon(store, 99, BUDGET).await.unwrap_err()
}

fn at(name: &str) -> Key {
    Key::new(name.to_owned())
}

fn dek(number: u32) -> Key {
    records::dek_key(KeyId(number))
}

async fn seal_id(keyring: &Keyring) -> u32 {
    let sealed = keyring.seal(&at("k"), "f", b"text").await.unwrap();
    assert_eq!(&**keyring.open(&at("k"), "f", &sealed).unwrap(), b"text");
    envelope::key_id(&sealed).unwrap().0
}

/// How many seals of a data key the store says are reserved.
fn reserved(store: &MemoryStore, number: u32) -> u64 {
    let values: BTreeMap<_, _> = store.dump("keyring/").into_iter().collect();
    Dek::unwrap(&kek(0).wrapping_key(), KeyId(number), &values[&dek(number)]).unwrap().reserved
}

fn names(store: &MemoryStore) -> Vec<String> {
    store.dump("").iter().map(|(key, _)| key.as_bytes().escape_ascii().to_string()).collect()
}

#[tokio::test]
async fn a_keyring_is_made_once_and_found_again() {
    let store = MemoryStore::new();
    let first = keyring(&store, 1).await;
    assert_eq!(names(&store), ["keyring/dek/00000001", "keyring/root"]);
    assert_eq!(store.commits(), 1);
    let sealed = first.seal(&at("k"), "f", b"text").await.unwrap();

    let second = keyring(&store.snapshot(), 2).await;
    assert_eq!(&**second.open(&at("k"), "f", &sealed).unwrap(), b"text");
    assert_eq!(second.pseudonym("s", &[b"a"]), first.pseudonym("s", &[b"a"]));
    assert!(second.derive("p").verify(first.derive("p").expose()));
}

#[tokio::test]
async fn two_stores_have_nothing_in_common() {
    let one = keyring(&MemoryStore::new(), 1).await;
    let other = keyring(&MemoryStore::new(), 2).await;
    let sealed = one.seal(&at("k"), "f", b"text").await.unwrap();
    assert!(other.open(&at("k"), "f", &sealed).is_err());
    assert_ne!(one.pseudonym("s", &[b"a"]), other.pseudonym("s", &[b"a"]));
    assert!(!one.derive("p").verify(other.derive("p").expose()));
}

#[tokio::test]
async fn a_foreign_key_file_is_told_from_a_changed_keyring() {
    let store = MemoryStore::new();
    keyring(&store, 1).await;
    let foreign = Keyring::load(
        Arc::new(store.clone()),
        kek(7),
        Arc::new(SeededEntropy::new(2)),
        Arc::new(ManualClock::default()),
    );
    let error = foreign.await.unwrap_err();
    assert_eq!(error.public(), "this key file does not belong to this data");

    let value = store.dump("keyring/root")[0].1.clone();
    for bit in 0..value.len() * 8 {
        let mut changed = value.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        store.tamper(&records::root_key(), Some(changed.into()));
        let error = load_error(&store).await;
        let fits = match bit / 8 {
            0 => matches!(error, KeyringError::Damaged),
            1..=16 => matches!(error, KeyringError::WrongKey),
            _ => matches!(error, KeyringError::Envelope(_)),
        };
        assert!(fits, "bit {bit}: {error:?}");
    }
    store.tamper(&records::root_key(), Some(value.slice(..10)));
    assert!(matches!(load_error(&store).await, KeyringError::Damaged));
    store.tamper(&records::root_key(), Some(value));
    keyring(&store, 1).await;
}

#[tokio::test]
async fn changed_data_keys_are_refused() {
    let store = MemoryStore::new();
    keyring(&store, 1).await;
    let value = store.dump("keyring/dek/")[0].1.clone();

    // Attack: the same key under another id would be given another budget.
    store.tamper(&dek(2), Some(value.clone()));
    assert!(matches!(load_error(&store).await, KeyringError::Envelope(EnvelopeError::Tampered)));
    store.tamper(&dek(2), None);

    for odd in [
        "keyring/dek/",
        "keyring/dek/1",
        "keyring/dek/+0000001",
        "keyring/dek/0000000A",
        "keyring/dek/00000000",
    ] {
        store.tamper(&at(odd), Some(value.clone()));
        assert!(matches!(load_error(&store).await, KeyringError::Damaged), "{odd}");
        store.tamper(&at(odd), None);
    }

    store.tamper(&dek(1), None);
    assert!(matches!(load_error(&store).await, KeyringError::Damaged));
}

#[tokio::test]
async fn data_without_its_keyring_is_not_given_a_new_one() {
    let store = MemoryStore::new();
    keyring(&store, 1).await;
    store.tamper(&records::root_key(), None);
    assert!(matches!(load_error(&store).await, KeyringError::Lost));
    store.tamper(&dek(1), None);
    store.tamper(&at("lease/1"), Some(Bytes::new()));
    assert!(matches!(load_error(&store).await, KeyringError::Lost));
    assert_eq!(names(&store), ["lease/1"]);
}

#[tokio::test]
async fn daemons_that_start_at_once_agree() {
    let store = MemoryStore::new();
    let (a, b, c) = tokio::join!(keyring(&store, 1), keyring(&store, 2), keyring(&store, 3));
    assert_eq!(store.commits(), 1);
    let sealed = a.seal(&at("k"), "f", b"text").await.unwrap();
    for other in [b, c] {
        assert_eq!(&**other.open(&at("k"), "f", &sealed).unwrap(), b"text");
        assert_eq!(other.pseudonym("s", &[]), a.pseudonym("s", &[]));
    }
}

#[tokio::test]
async fn a_start_survives_what_a_store_may_answer() {
    for fault in
        [Fault::Conflict, Fault::Unknown { applied: true }, Fault::Unknown { applied: false }]
    {
        let store = MemoryStore::new();
        store.fail_next(fault);
        let made = keyring(&store, 1).await;
        let found = keyring(&store, 2).await;
        assert_eq!(made.pseudonym("s", &[]), found.pseudonym("s", &[]), "{fault:?}");
        assert_eq!(store.commits(), 1, "{fault:?}");
    }
    let store = MemoryStore::new();
    store.fail_next(Fault::Unavailable);
    assert!(matches!(load_error(&store).await, KeyringError::Store(_)));
}

#[tokio::test]
async fn seals_are_reserved_in_blocks_and_a_new_key_starts_in_time() {
    let store = MemoryStore::new();
    let keyring = daemon(&store, 1, SMALL).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(seal_id(&keyring).await);
    }
    // Two blocks of four fit ten; a third does not.
    assert_eq!(ids, [[1; 8], [2; 8]].concat().into_iter().chain([3; 4]).collect::<Vec<_>>());
    assert_eq!([1, 2, 3].map(|number| reserved(&store, number)), [8, 8, 4]);
    // One to make the keyring, one for each block.
    assert_eq!(store.commits(), 1 + 5);
}

#[tokio::test]
async fn a_crash_wastes_a_block_and_never_uses_one_twice() {
    let store = MemoryStore::new();
    let mut used = BTreeMap::new();
    for round in 0..9 {
        let keyring = daemon(&store, round, SMALL).await.unwrap();
        *used.entry(seal_id(&keyring).await).or_insert(0) += 1;
    }
    // Nine daemons, one seal each: two blocks to a key.
    assert_eq!(used, BTreeMap::from([(1, 2), (2, 2), (3, 2), (4, 2), (5, 1)]));
    let last = daemon(&store, 100, SMALL).await.unwrap();
    assert_eq!(seal_id(&last).await, 5);
    assert_eq!(reserved(&store, 5), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_share_blocks_and_respect_the_budget() {
    let store = MemoryStore::new();
    let budget = Budget { block: 16, per_key: 100 };
    let keyring = Arc::new(daemon(&store, 1, budget).await.unwrap());
    let sealing = (0..32).map(|_| {
        let keyring = Arc::clone(&keyring);
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..25 {
                ids.push(seal_id(&keyring).await);
            }
            ids
        })
    });
    let mut used = BTreeMap::new();
    for ids in futures_util::future::join_all(sealing).await {
        for id in ids.unwrap() {
            *used.entry(id).or_insert(0_u64) += 1;
        }
    }
    // 800 seals fill 50 blocks, six to a key.
    assert_eq!(used.values().sum::<u64>(), 800);
    assert_eq!(store.commits(), 1 + 50);
    for (id, count) in used {
        assert!(count <= 96 && count == reserved(&store, id), "key {id}: {count}");
    }
}

/// Two daemons over one store, as a shared store allows: they share the budget of a key as well.
#[tokio::test]
async fn daemons_share_the_budget_of_a_key() {
    let store = MemoryStore::new();
    let (a, b) = (daemon(&store, 1, SMALL).await.unwrap(), daemon(&store, 2, SMALL).await.unwrap());
    let mut used = BTreeMap::new();
    for _ in 0..15 {
        let (one, other) = tokio::join!(seal_id(&a), seal_id(&b));
        for id in [one, other] {
            *used.entry(id).or_insert(0_u64) += 1;
        }
    }
    for (id, count) in used {
        assert!(
            count <= reserved(&store, id) && reserved(&store, id) <= SMALL.per_key,
            "key {id}: {count}"
        );
    }
}

#[tokio::test]
async fn a_reservation_survives_what_a_store_may_answer() {
    let store = MemoryStore::new();
    let keyring = daemon(&store, 1, Budget { block: 1, per_key: 3 }).await.unwrap();
    let faults =
        [Fault::Conflict, Fault::Unknown { applied: true }, Fault::Unknown { applied: false }];
    for fault in faults.into_iter().cycle().take(12) {
        store.fail_next(fault);
        let id = seal_id(&keyring).await;
        assert!(reserved(&store, id) <= 3, "{fault:?}");
    }
    store.fail_next(Fault::Unavailable);
    let error = keyring.seal(&at("k"), "f", b"text").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    seal_id(&keyring).await;

    for _ in 0..COMMIT_ATTEMPTS {
        store.fail_next(Fault::Conflict);
    }
    assert!(
        keyring
            .seal(&at("k"), "f", b"text")
            .await
            .unwrap_err()
            .cause()
            .unwrap()
            .contains("other daemons")
    );
    seal_id(&keyring).await;
}

/// A request that is given up while it reserves leaves the keyring fit for the next.
#[tokio::test]
async fn a_reservation_may_be_dropped_anywhere() {
    for polls in 1..20 {
        let store = MemoryStore::new();
        let keyring = daemon(&store, 1, SMALL).await.unwrap();
        {
            let key = at("k");
            let mut sealing = Box::pin(keyring.seal(&key, "f", b"text"));
            for _ in 0..polls {
                if (&mut sealing).now_or_never().is_some() {
                    break;
                }
            }
        }
        for _ in 0..9 {
            let id = seal_id(&keyring).await;
            assert!(reserved(&store, id) <= SMALL.per_key);
        }
    }
}

#[tokio::test]
async fn what_does_not_open_is_not_explained_to_callers() {
    let keyring = keyring(&MemoryStore::new(), 1).await;
    let sealed = keyring.seal(&at("k"), "f", b"text").await.unwrap();
    let mut other_key = sealed.to_vec();
    other_key[4] = 9;
    let errors = [
        keyring.open(&at("other"), "f", &sealed),
        keyring.open(&at("k"), "other", &sealed),
        keyring.open(&at("k"), "f", &other_key),
        keyring.open(&at("k"), "f", b"short"),
    ]
    .map(Result::unwrap_err);
    for error in &errors {
        assert_eq!((error.kind(), error.public()), (Kind::Internal, errors[0].public()));
    }
    assert!(errors[2].cause().unwrap().contains("key 9"));
}

/// Attack: a data key's record, which the KEK wraps, is offered as a value that a data key sealed.
#[tokio::test]
async fn the_keyrings_own_records_do_not_open_as_values() {
    let store = MemoryStore::new();
    let keyring = keyring(&store, 1).await;
    let value = store.dump("keyring/dek/")[0].1.clone();
    assert!(keyring.open(&dek(1), "dek", &value).is_err());
}

#[tokio::test]
async fn pseudonyms_and_derived_keys_depend_on_all_they_are_given() {
    let keyring = keyring(&MemoryStore::new(), 1).await;
    let parts: [(&str, &[&[u8]]); 6] = [
        ("s", &[b"ab", b"c"]),
        ("s", &[b"a", b"bc"]),
        ("s", &[b"abc"]),
        ("t", &[b"abc"]),
        ("s", &[]),
        ("", &[b"s"]),
    ];
    let names: std::collections::BTreeSet<_> =
        parts.iter().map(|(space, parts)| keyring.pseudonym(space, parts)).collect();
    assert_eq!(names.len(), parts.len());

    let key = keyring.derive("artefacts");
    assert_eq!(key.len(), 32);
    assert!(key.verify(keyring.derive("artefacts").expose()));
    assert!(!key.verify(keyring.derive("artefact").expose()));
    assert_ne!(keyring.pseudonym("artefacts", &[])[..], key.expose()[..16]);
}

#[tokio::test]
async fn it_is_not_printed() {
    assert_eq!(format!("{:?}", keyring(&MemoryStore::new(), 1).await), "Keyring(1 data keys)");
}
