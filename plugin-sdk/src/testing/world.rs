//! The world of a plugin during a test, and a record of its actions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use credsmith_contract::duration;

use super::http::{Reply, Sent};
use super::keys::TestKey;
use crate::field::Field;

/// One line that a plugin logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// debug, info, warn or error.
    pub level: String,
    /// As the plugin wrote it.
    pub message: String,
}

/// Which function of the plugin runs: not everything is allowed everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Pure: nothing of the world may be looked at.
    Describe,
    /// Without http.
    Configure,
    /// All else.
    Call,
}

/// A secret with what the configuration grants for it.
#[derive(Clone)]
pub(super) struct HeldSecret {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) reveal: bool,
    pub(super) hmac: bool,
}

/// Everything around the plugin.
pub(super) struct World {
    pub(super) phase: Cell<Phase>,
    pub(super) settings: BTreeMap<String, String>,
    /// The durations among the settings, in seconds: a plugin reads these.
    pub(super) seconds: RefCell<BTreeMap<String, String>>,
    pub(super) secrets: BTreeMap<String, Rc<HeldSecret>>,
    pub(super) keys: BTreeMap<String, Rc<TestKey>>,
    pub(super) replies: RefCell<VecDeque<Reply>>,
    pub(super) sent: RefCell<Vec<Sent>>,
    pub(super) log: RefCell<Vec<LogLine>>,
    pub(super) now: Option<u64>,
    pub(super) random: RefCell<VecDeque<u8>>,
    pub(super) grease: bool,
    pub(super) problems: RefCell<Vec<String>>,
}

impl World {
    /// An empty world.
    pub(super) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Call),
            settings: BTreeMap::new(),
            seconds: RefCell::default(),
            secrets: BTreeMap::new(),
            keys: BTreeMap::new(),
            replies: RefCell::default(),
            sent: RefCell::default(),
            log: RefCell::default(),
            now: None,
            random: RefCell::default(),
            grease: true,
            problems: RefCell::default(),
        }
    }

    /// Reads the durations among the settings, as the daemon does before it configures a plugin,
    /// and returns what is wrong with them.
    pub(super) fn read_durations(&self, fields: &[Field]) -> Vec<String> {
        let durations = fields.iter().filter(|field| field.kind == "duration");
        let given = durations.filter_map(|field| self.settings.get_key_value(&field.key));
        let mut complaints = Vec::new();
        for (key, text) in given {
            match duration::parse(text).map(duration::in_seconds) {
                Ok(seconds) => drop(self.seconds.borrow_mut().insert(key.clone(), seconds)),
                Err(why) => complaints.push(format!("`{key}`: {why}")),
            }
        }
        complaints
    }

    /// Notes something that the daemon would not accept.
    pub(super) fn problem(&self, text: impl Into<String>) {
        self.problems.borrow_mut().push(text.into());
    }

    /// Notes that `what` was used, should the plugin be describing itself.
    pub(super) fn impure(&self, what: &str) {
        if self.phase.get() == Phase::Describe {
            self.problem(format!("describe used {what}: it has to be pure"));
        }
    }

    /// Runs `run` with this world around it.
    pub(super) fn around<R>(self: &Rc<Self>, phase: Phase, run: impl FnOnce() -> R) -> R {
        struct Back(Option<Rc<World>>);
        impl Drop for Back {
            fn drop(&mut self) {
                CURRENT.replace(self.0.take());
            }
        }
        self.phase.set(phase);
        let _back = Back(CURRENT.replace(Some(Rc::clone(self))));
        run()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The world around the running plugin. Outside of a kit there is an empty one: then a plugin has
/// no settings and no answers.
pub(super) fn current() -> Rc<World> {
    CURRENT.with_borrow(Clone::clone).unwrap_or_else(|| Rc::new(World::new()))
}
