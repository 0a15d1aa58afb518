//! What a daemon left: its store, read with its own key while nobody serves.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use credsmith_core::ports::store::Key;
use credsmith_tests::Site;
use serde_json::Value;

use crate::site::{Left, look_into};

/// Entries that are read together.
const PAGE: usize = 1000;
/// Characters of an id.
const ID_LEN: usize = 25;

/// Everything that has a name in the store, in order. Quicker to have than what it holds.
pub(super) struct Keys(Vec<Vec<u8>>);

/// What was there when somebody looked.
pub(super) struct Remains {
    pub(super) keys: Keys,
    /// Everything that was told: the audit log, and what it has not got yet.
    pub(super) events: Vec<Value>,
    /// By id: the record of each credential, opened, with its plain values.
    pub(super) credentials: BTreeMap<String, Vec<u8>>,
}

impl Keys {
    pub(super) fn of(site: &Site) -> Self {
        look_into(site, async |left| {
            let mut keys = Self(Vec::new());
            scan(&left, |key, _| keys.0.push(key.as_bytes().to_vec())).await;
            keys
        })
    }

    /// What comes behind `space` in the keys that begin with it.
    pub(super) fn under(&self, space: &str) -> impl Iterator<Item = &[u8]> {
        let start = self.0.partition_point(|key| key.as_slice() < space.as_bytes());
        self.0[start..].iter().map_while(move |key| key.strip_prefix(space.as_bytes()))
    }

    /// The ids at the end of the keys of `space`, in order.
    fn ids(&self, space: &str) -> Vec<String> {
        let mut ids: Vec<_> =
            self.under(space).map(|rest| text(&rest[rest.len() - ID_LEN..])).collect();
        ids.sort_unstable();
        ids
    }

    /// Secure values: of which credential, and by which of its versions they were written.
    pub(super) fn sealed(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.under("sealed/").map(|rest| {
            let (id, version) = (&rest[..ID_LEN], &rest[ID_LEN + 1..][..8]);
            (id, u64::from_be_bytes(version.try_into().unwrap()))
        })
    }
}

impl Remains {
    pub(super) fn of(site: &Site) -> Self {
        let mut remains = look_into(site, read);
        let log = std::fs::read_to_string(site.data().join("audit.jsonl")).unwrap_or_default();
        remains.events.extend(log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        remains
    }

    /// How many events are as `is_meant` says.
    pub(super) fn told(&self, is_meant: impl Fn(&Value) -> bool) -> u64 {
        self.events.iter().filter(|event| is_meant(event)).count() as u64
    }

    /// How many credentials have `text` in the open.
    pub(super) fn in_the_open(&self, text: &str) -> usize {
        let shows =
            |record: &&Vec<u8>| record.windows(text.len()).any(|part| part == text.as_bytes());
        self.credentials.values().filter(shows).count()
    }

    /// The indexes of credentials say what the records say, and there is nothing that belongs to
    /// nobody.
    pub(super) fn assert_whole(&self) {
        let records: Vec<_> = self.credentials.keys().cloned().collect();
        let ids = |space| self.keys.ids(space);
        let (live, gone) = (ids("of-type/"), ids("gone-of-type/"));
        assert_eq!(live, ids("of-company/"), "credentials by type and by company");
        let due: Vec<_> = ids("gone/").into_iter().filter(|id| gone.contains(id)).collect();
        assert_eq!(gone, due, "deleted credentials by type and by time");
        let mut indexed = [live, gone].concat();
        indexed.sort_unstable();
        assert_eq!(indexed, records, "records and indexes");
        let mut sealed: Vec<_> = self.keys.sealed().map(|(id, _)| text(id)).collect();
        let all = sealed.len();
        sealed.dedup();
        assert_eq!(sealed.len(), all, "secure values of one version alone");
        assert!(
            sealed.iter().all(|id| self.credentials.contains_key(id)),
            "secure values of a credential"
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn scan(left: &Left, mut each: impl FnMut(&Key, &[u8])) {
    let mut after = None;
    loop {
        let page = left.store.scan(&Key::new(""), after.as_ref(), PAGE).await.unwrap();
        page.entries.iter().for_each(|(key, stored)| each(key, &stored.value));
        after = page.entries.last().map(|(key, _)| key.clone());
        if !page.more {
            return;
        }
    }
}

async fn read(left: Left) -> Remains {
    let (mut keys, mut events, mut credentials) = (Vec::new(), Vec::new(), BTreeMap::new());
    scan(&left, |key, value| {
        let bytes = key.as_bytes();
        // Every record begins with the version of its format.
        let opened = |field| left.keyring.open(key, field, value).unwrap()[1..].to_vec();
        if let Some(id) = bytes.strip_prefix(b"credential/") {
            credentials.insert(text(id), with_values(opened("credential")));
        } else if bytes.starts_with(b"outbox/") {
            events.push(serde_json::from_slice(&opened("event")).unwrap());
        }
        keys.push(bytes.to_vec());
    })
    .await;
    Remains { keys: Keys(keys), events, credentials }
}

/// A record, and behind it the plain values that it holds in base64.
fn with_values(mut record: Vec<u8>) -> Vec<u8> {
    let json: Value = serde_json::from_slice(&record).unwrap();
    let values = json["val"].as_str().unwrap_or_default();
    record.extend(STANDARD_NO_PAD.decode(values).unwrap());
    record
}
