//! What the target knows: every object that was ever made, for which credential, and whether it is
//! still there.
//!
//! The parameter `how` of a request is `MANNER:TAG`. The tag names the request, so that a test
//! recognises what came of it; the manner says how the target behaves. Whatever it does goes on
//! when the daemon that asked is dead: a target knows nothing of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use credsmith_tests::{PATIENCE, Received, Target};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::site::LIMIT;

/// The target's state. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct World(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By id.
    pub(crate) objects: BTreeMap<String, Object>,
    /// By credential: when it was asked to delete.
    pub(crate) deletions: BTreeMap<String, Vec<Deletion>>,
    /// Requests that wait to be let go, as `STEP:TAG`.
    pub(crate) held: BTreeSet<String>,
    released: BTreeSet<String>,
    /// What must never be, as sentences.
    faults: Vec<String>,
    down: bool,
    calm: bool,
    limited: bool,
    seed: u64,
}

/// What a request made.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) credential: String,
    pub(crate) subject: String,
    pub(crate) tag: String,
    pub(crate) made: Instant,
    pub(crate) alive: bool,
}

/// A request to delete.
#[derive(Debug, Clone)]
pub(crate) struct Deletion {
    pub(crate) at: Instant,
    /// Whether the daemon knew what it is called.
    pub(crate) by_id: bool,
}

/// A request that the target was sent.
struct Create {
    credential: String,
    subject: String,
    manner: String,
    tag: String,
}

impl World {
    /// A target in this state. `limited`: no subject ever has more than [`LIMIT`] objects at once,
    /// or that is a fault.
    pub(crate) fn serve(seed: u64, limited: bool) -> (Self, Target) {
        let world = Self::default();
        {
            let mut state = world.state();
            state.seed = seed;
            state.limited = limited;
        }
        let asked = world.clone();
        (world, Target::start(move |request| asked.answer(request)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.0.1.notify_all();
        changed
    }

    /// Waits until the state is as `is_so` says; false when it never is.
    fn until(&self, patience: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let waited = self.0.1.wait_timeout_while(self.state(), patience, |state| !is_so(state));
        !waited.unwrap().1.timed_out()
    }

    /// Waits until that many requests are held.
    pub(crate) fn await_held(&self, names: &[String]) {
        let all = |state: &State| names.iter().all(|name| state.held.contains(name));
        assert!(self.until(PATIENCE, all), "held: {:?}, wanted: {names:?}", self.state().held);
    }

    /// Lets a held request go on.
    pub(crate) fn release(&self, name: &str) {
        self.change(|state| state.released.insert(name.to_owned()));
    }

    /// From now on it does what it is asked, at once.
    pub(crate) fn calm_down(&self) {
        self.change(|state| state.calm = true);
    }

    /// Whether it is out of order: it takes requests, and never answers.
    pub(crate) fn set_down(&self, down: bool) {
        self.change(|state| state.down = down);
    }

    /// What must never be and was.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    /// The objects of `subject` that are there.
    pub(crate) fn alive(&self, subject: &str) -> Vec<Object> {
        self.state()
            .objects
            .values()
            .filter(|one| one.alive && one.subject == subject)
            .cloned()
            .collect()
    }

    fn answer(&self, request: &Received) -> (u16, String) {
        if self.state().down {
            self.until(PATIENCE, |state| !state.down);
            return (503, "{}".to_owned());
        }
        let body = request.json();
        let (status, answer) = match request.target.as_str() {
            "/create" => self.create(&body),
            "/delete" => self.delete(&body),
            other => panic!("nobody asks for {other}"),
        };
        (status, answer.to_string())
    }

    fn dice(&self, tag: &str) -> Dice {
        let text = tag
            .bytes()
            .fold(self.state().seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Dice::new(text)
    }

    fn create(&self, body: &Value) -> (u16, Value) {
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        let how = text("how");
        let (manner, tag) = how.split_once(':').unwrap();
        let create = Create {
            credential: text("credential_id"),
            subject: text("subject"),
            manner: manner.to_owned(),
            tag: tag.to_owned(),
        };
        match create.manner.as_str() {
            "plain" => made(&self.make(create)),
            "held-before" => {
                self.hold("before", tag);
                made(&self.make(create))
            }
            "held-after" => {
                let id = self.make(create);
                self.hold("after", tag);
                made(&id)
            }
            "after-first-delete" => {
                self.change(|state| state.held.insert(format!("late:{tag}")));
                let credential = create.credential.clone();
                // It lands in the very moment in which the daemon has been told that there is
                // nothing.
                self.until(PATIENCE, |state| state.deletions.contains_key(&credential));
                made(&self.make(create))
            }
            "random" => self.create_at_random(create),
            other => panic!("no manner {other}"),
        }
    }

    /// Fast, slow, refusing, failing with and without having done what was asked.
    fn create_at_random(&self, create: Create) -> (u16, Value) {
        if self.state().calm {
            return made(&self.make(create));
        }
        let mut dice = self.dice(&create.tag);
        let longest = if dice.percent(20) { 600 } else { 20 };
        let (before, after) = (dice.below(longest), dice.below(longest));
        let fate = dice.below(20);
        thread::sleep(Duration::from_millis(before));
        let answer = match fate {
            0 => (403, json!({})),
            1 => (500, json!({})),
            2 => {
                self.make(create);
                (500, json!({}))
            }
            _ => made(&self.make(create)),
        };
        thread::sleep(Duration::from_millis(after));
        answer
    }

    fn make(&self, create: Create) -> String {
        self.change(|state| {
            let Create { credential, subject, tag, .. } = create;
            if state.objects.values().any(|object| object.credential == credential) {
                state
                    .faults
                    .push(format!("{tag}: a second object for the credential {credential}"));
            }
            let id = format!("object-{}", state.objects.len());
            let object = Object {
                credential,
                subject: subject.clone(),
                tag,
                made: Instant::now(),
                alive: true,
            };
            state.objects.insert(id.clone(), object);
            let alive =
                state.objects.values().filter(|one| one.alive && one.subject == subject).count();
            if state.limited && alive > LIMIT {
                state.faults.push(format!("{subject} has {alive} objects, {LIMIT} are allowed"));
            }
            id
        })
    }

    fn delete(&self, body: &Value) -> (u16, Value) {
        let credential = body["credential_id"].as_str().unwrap().to_owned();
        let id = body["id"].as_str().map(str::to_owned);
        let tag = self.tag_of(&credential);
        if let Some(tag) = &tag {
            self.hold_where_asked("delete-before", tag);
        }
        let calm = self.state().calm;
        let mut dice = self.dice(&format!("{credential}{:?}", Instant::now()));
        let random = tag.as_deref().is_some_and(|tag| tag.starts_with("r-")) && !calm;
        if random {
            thread::sleep(Duration::from_millis(dice.below(60)));
        }
        if random && dice.percent(10) {
            return (500, json!({}));
        }
        let found = self.change(|state| {
            let deletion = Deletion { at: Instant::now(), by_id: id.is_some() };
            state.deletions.entry(credential.clone()).or_default().push(deletion);
            let mut found = false;
            for (name, object) in &mut state.objects {
                let meant = id.as_ref().map_or(object.credential == credential, |id| id == name);
                found |= meant && object.alive;
                object.alive &= !meant;
            }
            found
        });
        if let Some(tag) = &tag {
            self.hold_where_asked("delete-after", tag);
        }
        if random && dice.percent(10) {
            return (500, json!({}));
        }
        (if found { 204 } else { 404 }, json!({}))
    }

    fn tag_of(&self, credential: &str) -> Option<String> {
        let state = self.state();
        state
            .objects
            .values()
            .find(|object| object.credential == credential)
            .map(|object| object.tag.clone())
    }

    /// Holds requests about things whose tag names that step, once.
    fn hold_where_asked(&self, step: &str, tag: &str) {
        if tag.starts_with(step) {
            self.hold(step, tag);
        }
    }

    /// Tells that a request has come as far as `step`, and waits until it may go on.
    fn hold(&self, step: &str, tag: &str) {
        let name = format!("{step}:{tag}");
        self.change(|state| state.held.insert(name.clone()));
        self.until(PATIENCE, |state| state.released.contains(&name));
    }
}

fn made(id: &str) -> (u16, Value) {
    (201, json!({ "id": id, "expires_at": null }))
}
