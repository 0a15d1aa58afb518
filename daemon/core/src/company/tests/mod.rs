//! Companies over a fake directory and a store in memory: the daemon is killed, the directory is
//! slow or lies.

mod configurations;
mod sync;
mod views;
mod walks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Companies, Source, Synchronised};
use crate::access::operator;
use crate::doubles::{FakeDirectory, ManualClock, MemoryStore, TestTasks, ground};
use crate::error::Error;
use crate::model::companies::CompanyView;
use crate::model::company::Company;
use crate::ports::directory::DirectoryCompany;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The surroundings of a daemon, which outlive it.
struct World {
    clock: ManualClock,
    store: MemoryStore,
    directory: Arc<FakeDirectory>,
    tasks: Arc<TestTasks>,
    daemons: u64,
}

impl World {
    fn new() -> Self {
        Self {
            clock: ManualClock::default(),
            store: MemoryStore::new(),
            directory: Arc::new(FakeDirectory::new()),
            tasks: Arc::new(TestTasks::new()),
            daemons: 0,
        }
    }

    /// A world with that many companies in the directory.
    fn with(companies: usize) -> Self {
        let world = Self::new();
        world.directory.set(numbered(0..companies));
        world
    }

    async fn companies_from(&mut self, source: Source) -> Arc<Companies> {
        self.daemons += 1;
        let ground =
            ground(&self.clock, &self.store, self.tasks.clone(), 1000 + self.daemons).await;
        Companies::new(ground, source, HOUR)
    }

    /// The companies of a daemon that is not started yet.
    async fn companies(&mut self) -> Arc<Companies> {
        self.companies_from(Source::Directory(self.directory.clone())).await
    }

    /// The companies of a started daemon with this list in its configuration.
    async fn listed(&mut self, list: Vec<DirectoryCompany>) -> Arc<Companies> {
        let companies = self.companies_from(Source::Listed(list)).await;
        companies.start().await.unwrap();
        companies
    }

    /// Kills the daemon; only durable records remain.
    fn crash(&mut self) {
        self.store.stop_after(0);
        self.store = self.store.snapshot();
    }

    fn events(&self) -> usize {
        self.store.dump("outbox/").len()
    }
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<DirectoryCompany> {
    numbers
        .map(|n| FakeDirectory::company(&n.to_string(), &format!("id{n}"), &format!("Company {n}")))
        .collect()
}

async fn sync(companies: &Arc<Companies>) -> Result<Synchronised, Error> {
    companies.sync(operator(), false).await
}

/// All companies by the directory's id. Checks that none is there twice.
async fn all(companies: &Companies) -> BTreeMap<String, Arc<Company>> {
    let view = companies.view().await.unwrap();
    let all: BTreeMap<_, _> =
        view.all().map(|company| (company.directory_id.clone(), Arc::clone(company))).collect();
    assert_eq!(all.len(), view.len(), "no company is there twice");
    all
}

fn present(view: &CompanyView) -> usize {
    view.all().filter(|company| company.missing_since.is_none()).count()
}
