//! A directory that does what a test says.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::{Gate, lock};
use crate::ports::directory::{Directory, DirectoryCompany, DirectoryPage};
use crate::ports::plugins::{Broken, BrokenHow, CallFailure, NotStarted, Refusal};

/// The next step of a call for companies. Where no step is left, it gets the page of the companies
/// that it asks for.
#[derive(Debug, Clone)]
pub enum DirectoryStep {
    /// Gets this page, whatever the cursor.
    Page(DirectoryPage),
    /// Is refused, with a time to come back after or without one.
    Refuse(Option<Duration>),
    /// Finds no place to run.
    Busy,
    /// Breaks.
    Break(BrokenHow),
    /// Waits for the gate, then does the step.
    Wait(Gate, Box<DirectoryStep>),
    /// Does what it does where no step is left.
    Answer,
}

/// Has companies, in pages, and configurations.
#[derive(Debug, Default)]
pub struct FakeDirectory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    companies: Vec<DirectoryCompany>,
    configurations: Option<String>,
    steps: VecDeque<DirectoryStep>,
    cursors: Vec<Option<String>>,
    asked: Vec<String>,
    calls: usize,
    most_calls: usize,
}

/// Companies of a page.
const PER_PAGE: usize = 100;

impl FakeDirectory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A company: id, identifier, name.
    pub fn company(id: &str, identifier: &str, name: &str) -> DirectoryCompany {
        DirectoryCompany { id: id.into(), identifier: identifier.into(), name: name.into() }
    }

    /// It has these companies from now on, and no others.
    pub fn set(&self, companies: impl IntoIterator<Item = DirectoryCompany>) {
        lock(&self.state).companies = companies.into_iter().collect();
    }

    /// It answers this about the configurations of every company; until then it is out of reach.
    pub fn set_configurations(&self, json: &str) {
        lock(&self.state).configurations = Some(json.to_owned());
    }

    /// The next call for companies does this; one after another when called again.
    pub fn then(&self, step: DirectoryStep) {
        lock(&self.state).steps.push_back(step);
    }

    /// The cursors that were asked for, in order.
    pub fn cursors(&self) -> Vec<Option<String>> {
        lock(&self.state).cursors.clone()
    }

    /// The companies whose configurations were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    /// How many calls for companies were under way at a time, at most.
    pub fn most_calls(&self) -> usize {
        lock(&self.state).most_calls
    }

    fn begin(&self, cursor: Option<&str>) -> DirectoryStep {
        let mut state = lock(&self.state);
        state.cursors.push(cursor.map(str::to_owned));
        state.calls += 1;
        state.most_calls = state.most_calls.max(state.calls);
        state.steps.pop_front().unwrap_or(DirectoryStep::Answer)
    }

    fn page(&self, cursor: Option<&str>) -> DirectoryPage {
        let state = lock(&self.state);
        let from = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0_usize);
        let companies: Vec<_> = state.companies.iter().skip(from).take(PER_PAGE).cloned().collect();
        let next =
            (from + companies.len() < state.companies.len()).then(|| (from + PER_PAGE).to_string());
        DirectoryPage { companies, next }
    }
}

/// Counts down however the call ends.
struct Ending<'a>(&'a FakeDirectory);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.calls = state.calls.saturating_sub(1);
    }
}

#[async_trait]
impl Directory for FakeDirectory {
    async fn companies(&self, cursor: Option<&str>) -> Result<DirectoryPage, CallFailure> {
        let mut step = self.begin(cursor);
        let _ending = Ending(self);
        tokio::task::yield_now().await;
        while let DirectoryStep::Wait(gate, next) = step {
            gate.pass().await;
            step = *next;
        }
        match step {
            DirectoryStep::Page(page) => Ok(page),
            DirectoryStep::Refuse(retry_after) => Err(refusal(retry_after)),
            DirectoryStep::Busy => Err(CallFailure::NotStarted(NotStarted::Busy)),
            DirectoryStep::Break(how) => Err(CallFailure::Broken(Broken {
                how,
                cause: "a test makes it break".into(),
                last_words: None,
            })),
            DirectoryStep::Wait(..) | DirectoryStep::Answer => Ok(self.page(cursor)),
        }
    }

    async fn configurations(&self, company: &str) -> Result<String, CallFailure> {
        let mut state = lock(&self.state);
        state.asked.push(company.to_owned());
        state.configurations.clone().ok_or_else(|| refusal(None))
    }
}

fn refusal(retry_after: Option<Duration>) -> CallFailure {
    CallFailure::Refused(Refusal { user: "The directory says no.".into(), retry_after })
}
