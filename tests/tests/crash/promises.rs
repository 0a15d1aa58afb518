//! What the daemon promised to its users, and whether it kept it.
//!
//! A promise is an answer that was received: what was asked for and not answered may have happened
//! or not, but it must have happened whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;

use credsmith_core::leases::operate::{CountedView, Examination};
use credsmith_tests::eventually;

use crate::client::User;
use crate::site::REMOTE;
use crate::world::World;

/// What one user was promised.
#[derive(Debug, Default)]
pub(crate) struct Promises(Mutex<Promised>);

#[derive(Debug, Default)]
struct Promised {
    /// All requests, by tag.
    asked: BTreeSet<String>,
    /// Requests that were answered with a place to fetch the result from, by tag.
    issued: BTreeSet<String>,
    /// Requests that were answered with a no that leaves nothing behind.
    refused: BTreeSet<String>,
    /// By tag, the id that was handed out.
    ids: BTreeMap<String, String>,
    /// Credentials whose revocation was asked for, by id.
    revoking: BTreeSet<String>,
    /// Those whose revocation was answered with a yes.
    revoked: BTreeSet<String>,
}

/// How much of each there was, so that a test can tell that something happened at all.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Requests that were never answered.
    pub(crate) cut: usize,
    pub(crate) issued: usize,
    pub(crate) fetched: usize,
    pub(crate) revoked: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.cut += other.cut;
        self.issued += other.issued;
        self.fetched += other.fetched;
        self.revoked += other.revoked;
    }
}

impl Promises {
    fn with<T>(&self, change: impl FnOnce(&mut Promised) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    /// To be called before the daemon is asked.
    pub(crate) fn asked(&self, tag: &str) {
        self.with(|promised| promised.asked.insert(tag.to_owned()));
    }

    pub(crate) fn issued(&self, tag: &str) {
        self.with(|promised| promised.issued.insert(tag.to_owned()));
    }

    pub(crate) fn refused(&self, tag: &str) {
        self.with(|promised| promised.refused.insert(tag.to_owned()));
    }

    pub(crate) fn fetched(&self, tag: &str, id: &str) {
        self.with(|promised| promised.ids.insert(tag.to_owned(), id.to_owned()));
    }

    /// To be called before the daemon is asked.
    pub(crate) fn revoking(&self, id: &str) {
        self.with(|promised| promised.revoking.insert(id.to_owned()));
    }

    pub(crate) fn revoked(&self, id: &str) {
        self.with(|promised| promised.revoked.insert(id.to_owned()));
    }

    pub(crate) fn tally(&self) -> Tally {
        self.with(|promised| Tally {
            cut: promised.asked.len() - promised.issued.len() - promised.refused.len(),
            issued: promised.issued.len(),
            fetched: promised.ids.len(),
            revoked: promised.revoked.len(),
        })
    }

    /// Compares with what the daemon lists and what the target has, once both are at rest.
    /// `listed`: ids of credentials.
    fn check(&self, user: &User, listed: &BTreeSet<String>, world: &World) {
        let name = &user.name;
        let alive = credentials_alive(world, user);
        let state = world.state();
        let of_tag = |tag: &String| state.objects.values().find(|object| object.tag == *tag);
        self.with(|promised| {
            for tag in &promised.issued {
                let object = of_tag(tag)
                    .unwrap_or_else(|| panic!("{name}: {tag} was issued and never made"));
                let asked_back = promised.revoking.contains(&object.credential);
                assert!(
                    object.alive || asked_back,
                    "{name}: {tag} was issued, and is gone though nobody asked"
                );
            }
            for tag in &promised.refused {
                assert!(
                    of_tag(tag).is_none_or(|object| !object.alive),
                    "{name}: {tag} was refused, and is there"
                );
            }
            for (tag, id) in &promised.ids {
                assert_eq!(
                    of_tag(tag).map(|object| &object.credential),
                    Some(id),
                    "{name}: {tag} has its own id"
                );
            }
            for id in &promised.revoked {
                assert!(!listed.contains(id), "{name}: {id} was revoked, and is listed");
                assert!(!alive.contains(id), "{name}: {id} was revoked, and is there");
            }
        });
    }
}

fn credentials_alive(world: &World, user: &User) -> BTreeSet<String> {
    world.alive(&user.name).into_iter().map(|object| object.credential).collect()
}

/// Waits until nothing is under way any more, and compares: with the target, with what was
/// promised, with a recount.
pub(crate) fn assert_kept(to: SocketAddr, world: &World, users: &[(User, &Promises)]) {
    for (user, promises) in users {
        let mut listed = BTreeSet::new();
        // What a kill left behind counts until it has been cleaned up; what is being revoked is
        // listed until it is gone.
        eventually(
            &format!("{} has what the target has, and nothing else counts", user.name),
            || {
                let (Ok(list), Ok(count)) = (user.list(to, REMOTE), user.count(to, REMOTE)) else {
                    return false;
                };
                listed = list.into_iter().collect();
                count == listed.len() as u64 && listed == credentials_alive(world, user)
            },
        );
        promises.check(user, &listed, world);
    }
    assert_eq!(world.faults(), Vec::<String>::new());
    let state = world.state();
    let known: BTreeSet<&str> = users.iter().map(|(user, _)| user.name.as_str()).collect();
    let strays = state.objects.values().filter(|object| !known.contains(object.subject.as_str()));
    assert_eq!(strays.count(), 0, "every object belongs to somebody");
}

/// The ledger of a daemon that has ended agrees with itself, and with the target.
pub(crate) fn assert_sound((found, counted): &(Examination, Vec<CountedView>), world: &World) {
    assert_eq!(found.faults, Vec::<String>::new(), "contradictions in the ledger");
    let unsettled: Vec<_> = counted.iter().filter(|lease| lease.stage != "active").collect();
    assert!(unsettled.is_empty(), "left over: {unsettled:?}");
    let counted: BTreeSet<String> = counted.iter().map(|lease| lease.id.to_string()).collect();
    assert_eq!(counted.len() as u64, found.counted, "no lease is in two states");
    let state = world.state();
    let alive = state.objects.values().filter(|object| object.alive);
    let alive: BTreeSet<String> = alive.map(|object| object.credential.clone()).collect();
    assert_eq!(counted, alive, "what the ledger counts is what the target has");
}
