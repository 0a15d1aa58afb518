//! Running a directory plugin.

use std::rc::Rc;

use super::checks;
use super::kit::Kit;
use super::world::Phase;
use crate::description::Description;
use crate::directory::{Company, Directory, Page};
use crate::problem::FieldProblem;
use crate::refusal::Refusal;
use crate::settings::{Noted, Settings};

/// Most pages of a walk in a test: more are a walk without end.
const MAX_PAGES: usize = 1000;

/// The plugin as a directory.
impl<D: Directory> Kit<D> {
    /// The plugin's description.
    ///
    /// # Panics
    /// When the daemon would not accept it, or it differs between two calls.
    pub fn described(&self) -> Description {
        let description = self.world.around(Phase::Describe, D::describe);
        if self.world.around(Phase::Describe, D::describe) != description {
            self.world.problem("describe does not answer the same twice");
        }
        self.complain("describe", checks::description(&description));
        description
    }

    /// Has the plugin read its settings.
    ///
    /// # Errors
    /// The faults that it found in them.
    ///
    /// # Panics
    /// When it did what it may not do there.
    pub fn configured(&self) -> Result<(), Vec<FieldProblem>> {
        self.directory().map(drop)
    }

    fn directory(&self) -> Result<D, Vec<FieldProblem>> {
        let description = self.described();
        self.complain("the settings", self.world.read_durations(&description.settings));
        let settings = Settings::new(&description.settings);
        let directory = self.world.around(Phase::Configure, || D::configure(&settings));
        self.complain("configure", Vec::new());
        let faults = settings.into_faults();
        match directory {
            Ok(directory) if faults.is_empty() => Ok(directory),
            Ok(_) | Err(Noted { .. }) => Err(faults),
        }
    }

    /// Asks for the page at `cursor`.
    ///
    /// # Errors
    /// The plugin's refusal.
    ///
    /// # Panics
    /// When the settings are faulty or the daemon would not accept the answer.
    pub fn companies(&self, cursor: Option<&str>) -> Result<Page, Refusal> {
        let directory = self.ready_directory();
        let answer = self.world.around(Phase::Call, || directory.companies(cursor));
        let complaints = match &answer {
            Ok(page) => checks::page(page, cursor, &self.held_secrets()),
            Err(refusal) => checks::refusal(refusal, &self.held_secrets()),
        };
        self.complain("companies", complaints);
        answer
    }

    /// Walks from the first page to the last, as the daemon does.
    ///
    /// # Errors
    /// The first refusal.
    ///
    /// # Panics
    /// As [`companies`](Self::companies), and when the walk does not end.
    pub fn walk(&self) -> Result<Vec<Company>, Refusal> {
        let mut companies = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self.companies(cursor.as_deref())?;
            companies.extend(page.companies);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(companies),
            }
        }
        self.complain("companies", vec![format!("the walk has more than {MAX_PAGES} pages")]);
        Ok(companies)
    }

    /// Asks for the configurations of a company.
    ///
    /// # Errors
    /// The plugin's refusal.
    ///
    /// # Panics
    /// When the settings are faulty or the daemon would not accept the answer.
    pub fn configurations(&self, company_id: &str) -> Result<String, Refusal> {
        let directory = self.ready_directory();
        let answer = self.world.around(Phase::Call, || directory.configurations(company_id));
        let complaints = match &answer {
            Ok(json) => checks::configurations(json, &self.held_secrets()),
            Err(refusal) => checks::refusal(refusal, &self.held_secrets()),
        };
        self.complain("configurations", complaints);
        answer
    }

    #[expect(clippy::panic, reason = "the kit runs in tests and fails them by panicking")]
    fn ready_directory(&self) -> D {
        self.directory().unwrap_or_else(|faults| panic!("the settings are faulty: {faults:?}"))
    }

    fn held_secrets(&self) -> Vec<(String, String)> {
        let held = self.world.secrets.values().map(Rc::as_ref);
        held.map(|secret| (secret.name.clone(), secret.value.clone())).collect()
    }
}
