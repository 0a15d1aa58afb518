//! A daemon's core in a test: every port a double, every restart a new core over what was durable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use serde_json::Map;
use tokio::task::AbortHandle;

use crate::access::operator;
use crate::audit::AuditLog;
use crate::caller::Caller;
use crate::catalogue::{Catalogue, Service};
use crate::doubles::{
    FakeProviders, ManualClock, MemoryFile, MemoryStore, RecordingAudit, ScriptedPlugins, caller,
    ground,
};
use crate::error::{Error, Kind};
use crate::ground::Ground;
use crate::ids::{HandoffId, LeaseId, ServiceId};
use crate::leases::handoff::Handoff;
use crate::leases::{Leases, LeasesDependencies, Options};
use crate::ports::audit::{Action, Event};
use crate::ports::plugins::LoadedService;
use crate::ports::{Clock, Tasks};
use crate::time::Timestamp;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Everything around a core that outlives it.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) store: MemoryStore,
    pub(crate) plugins: Arc<ScriptedPlugins>,
    pub(crate) providers: Arc<FakeProviders>,
    audit: Arc<RecordingAudit>,
    audit_file: Arc<MemoryFile>,
    pub(crate) services: Vec<Service>,
    pub(crate) options: Options,
    pub(crate) leases: Arc<Leases>,
    tasks: Arc<MortalTasks>,
    lives: u64,
}

/// Tasks that die with their daemon.
#[derive(Default)]
pub(crate) struct MortalTasks(Mutex<Vec<AbortHandle>>);

impl Tasks for MortalTasks {
    fn spawn(&self, _name: &'static str, work: BoxFuture<'static, ()>) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|task| !task.is_finished());
        running.push(tokio::spawn(work).abort_handle());
    }
}

impl MortalTasks {
    fn kill(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
            .for_each(|task| task.abort());
    }
}

pub(crate) fn id(service: &str) -> ServiceId {
    ServiceId::parse(service).unwrap()
}

/// Options with short spans, so that a test's clock has less to run through.
pub(crate) fn options() -> Options {
    Options { sweep_every: 5 * SECOND, ..Options::default() }
}

impl World {
    /// One service `ssh` without limits, not yet started.
    pub(crate) async fn new() -> Self {
        Self::with(vec![crate::doubles::service("ssh")], options()).await
    }

    /// These services, each with a plugin that makes what it is asked for.
    pub(crate) async fn with(services: Vec<Service>, options: Options) -> Self {
        let names: Vec<_> = services.iter().map(|service| service.id.as_str().to_owned()).collect();
        let plugins = Arc::new(ScriptedPlugins::with_services(names.iter().map(String::as_str)));
        let (clock, store) = (ManualClock::default(), MemoryStore::new());
        let providers = Arc::new(FakeProviders::with_users(["alice", "bob"]));
        let tasks = Arc::new(MortalTasks::default());
        let (audit, audit_file) =
            (Arc::new(RecordingAudit::new()), Arc::new(MemoryFile::default()));
        let parts =
            Assembly { clock: &clock, store: &store, plugins: &plugins, providers: &providers };
        let leases = parts.leases(&tasks, &services, &options, 0).await;
        Self {
            clock,
            store,
            plugins,
            providers,
            audit,
            audit_file,
            services,
            options,
            leases,
            tasks,
            lives: 0,
        }
    }

    /// The daemon is killed, and another one starts over what was durable.
    pub(crate) async fn crash(&mut self) {
        self.tasks.kill();
        self.store.stop_after(0);
        self.store = self.store.snapshot();
        self.tasks = Arc::new(MortalTasks::default());
        self.lives += 1;
        let Self { clock, store, plugins, providers, .. } = &*self;
        let parts = Assembly { clock, store, plugins, providers };
        self.leases = parts.leases(&self.tasks, &self.services, &self.options, self.lives).await;
    }

    /// Another daemon over the same data, at the same time.
    pub(crate) async fn second_daemon(&self) -> Arc<Leases> {
        let Self { clock, store, plugins, providers, .. } = self;
        let parts = Assembly { clock, store, plugins, providers };
        parts.leases(&self.tasks, &self.services, &self.options, 1_000_000).await
    }

    /// A crash after which something else is configured.
    pub(crate) async fn restart_with(&mut self, services: Vec<Service>) {
        self.services = services;
        self.crash().await;
    }

    /// Lets every task run that can.
    pub(crate) async fn settle(&self) {
        self.clock.run(Duration::ZERO).await;
    }

    /// Lets due work happen for so long, with the sweeper running.
    pub(crate) async fn run(&self, span: Duration) {
        self.clock.run(span).await;
    }

    pub(crate) async fn issue(&self, user: &Caller, service: &str) -> Result<HandoffId, Error> {
        let grant = self.leases.authorize_issue(user, service)?;
        self.leases.issue(grant, Map::new()).await
    }

    /// Issues and collects.
    pub(crate) async fn get(&self, user: &str, service: &str) -> Result<LeaseId, Error> {
        let user = caller(user);
        let handoff = self.issue(&user, service).await?;
        match self.leases.collect(&user, handoff).await? {
            Handoff::Credential { id, .. } => Ok(id),
            Handoff::Login { .. } => Err(Error::internal("a login")),
        }
    }

    pub(crate) async fn revoke(&self, user: &str, lease: LeaseId) -> Result<(), Error> {
        let grant = self.leases.authorize_revoke(&caller(user), lease).await?;
        self.leases.revoke(grant).await
    }

    /// Ids in the list of `user`.
    pub(crate) async fn listed(&self, user: &str) -> Vec<LeaseId> {
        let leases = self.leases.credentials(&caller(user)).await.unwrap();
        leases.into_iter().map(|lease| lease.id).collect()
    }

    /// The counter of `user` at `service`, as lists show it.
    pub(crate) async fn count(&self, user: &str, service: &str) -> u64 {
        let services = self.leases.services(&caller(user)).await.unwrap();
        services.into_iter().find(|view| view.id.as_str() == service).unwrap().count
    }

    /// The stage of a lease by name, `gone` when there is no record of it that
    /// counts.
    pub(crate) async fn stage(&self, lease: LeaseId) -> &'static str {
        let found = self.leases.ground.records.lease(lease).await.unwrap();
        found.map_or("gone", |stored| stored.value.state.name())
    }

    /// Names of what is at the target.
    pub(crate) fn things(&self) -> Vec<String> {
        self.plugins.things().into_iter().map(|thing| thing.name).collect()
    }

    /// How often plugins were asked to revoke.
    pub(crate) fn revocations(&self) -> usize {
        let calls = self.plugins.calls();
        calls.iter().filter(|call| matches!(call, crate::doubles::Call::Revoke(_))).count()
    }

    /// Loads another plugin for `service`.
    pub(crate) fn load(&self, service: &str, change: impl FnOnce(&mut LoadedService)) {
        let mut loaded = ScriptedPlugins::plugin("scripted");
        change(&mut loaded);
        self.plugins.load(&id(service), loaded);
    }

    /// The ledger agrees with itself.
    pub(crate) async fn assert_sound(&self) {
        let examination = self.leases.examine(operator(), |_| ()).await.unwrap();
        assert_eq!(examination.faults, Vec::<String>::new());
    }

    /// Runs `work` while time goes on.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let time = std::pin::pin!(self.clock.run(SECOND));
            if let Either::Left((done, _)) = select(&mut work, time).await {
                return done;
            }
        }
    }

    /// The ground of the daemon.
    pub(crate) fn ground(&self) -> &Arc<Ground> {
        &self.leases.ground
    }

    /// The audit events since the last call, in the order of the log: all that waits is written to
    /// a log, and echoed from there.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let (file, echo) = (Arc::clone(&self.audit_file), Arc::clone(&self.audit));
        AuditLog::new(Arc::clone(self.ground()), file, echo).finish().await.unwrap();
        self.audit.take()
    }

    /// The actions of [`World::events`].
    pub(crate) async fn actions(&self) -> Vec<Action> {
        self.events().await.into_iter().map(|event| event.action).collect()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// A kind instead of an error, to compare with.
pub(crate) fn kind<T>(result: Result<T, Error>) -> Result<T, Kind> {
    result.map_err(|error| error.kind())
}

struct Assembly<'a> {
    clock: &'a ManualClock,
    store: &'a MemoryStore,
    plugins: &'a Arc<ScriptedPlugins>,
    providers: &'a Arc<FakeProviders>,
}

impl Assembly<'_> {
    async fn leases(
        &self,
        tasks: &Arc<MortalTasks>,
        services: &[Service],
        options: &Options,
        life: u64,
    ) -> Arc<Leases> {
        let tasks = Arc::clone(tasks) as Arc<dyn Tasks>;
        let ground = ground(self.clock, self.store, tasks, 1000 + life).await;
        Leases::new(
            ground,
            LeasesDependencies {
                providers: self.providers.clone(),
                plugins: self.plugins.clone(),
                catalogue: Catalogue::new(services.to_vec()).unwrap(),
                options: options.clone(),
            },
        )
    }
}
