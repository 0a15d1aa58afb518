//! A daemon with a vault, for the tests.

use std::sync::Arc;
use std::time::Duration;

use crate::access::vault::{AtOne, ChangeValues, Delete, Fetch, FetchValues, Rename, Reveal};
use crate::access::{
    authorize_creation, authorize_list_of_type, authorize_type, authorize_type_change,
    authorize_type_creation, authorize_type_deletion, authorize_types,
};
use crate::caller::Member;
use crate::company::{Companies, Source};
use crate::doubles::{
    self, ManualClock, MemoryStore, ScriptedTypePlugins, TestTasks, ground, identity,
};
use crate::error::{Error, FieldProblem, Kind};
use crate::ids::{CompanyId, CredentialId, PluginName, TypeId, UserId};
use crate::paging::Paging;
use crate::ports::directory::DirectoryCompany;
use crate::rights::permission::Pattern;
use crate::rights::{Rights, Role};
use crate::secret::Secret;
use crate::vault::credentials::CredentialView;
use crate::vault::credentials::StoredValue;
use crate::vault::draft::{CredentialDraft, FieldDraft, TypeDraft, ValueDraft};
use crate::vault::types::TypeView;
use crate::vault::{AuthorizedCredential, Options, Vault};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A daemon, and what outlives it.
pub(super) struct World {
    pub(super) clock: ManualClock,
    pub(super) store: MemoryStore,
    pub(super) plugins: Arc<ScriptedTypePlugins>,
    pub(super) vault: Arc<Vault>,
    pub(super) acme: CompanyId,
    pub(super) globex: CompanyId,
    pub(super) window: Duration,
    lives: u64,
}

/// A field of a definition.
pub(super) type Draft = FieldDraft;

/// A plain field of text.
pub(super) fn field(id: &str) -> FieldDraft {
    FieldDraft {
        id: Some(id.into()),
        name: Some(format!("The {id}")),
        required: Some(false),
        secure: Some(false),
        value_type: Some("plain_text".into()),
        ..FieldDraft::default()
    }
}

/// A secure field of text.
pub(super) fn secure(id: &str) -> FieldDraft {
    FieldDraft { secure: Some(true), ..field(id) }
}

/// Values by field, as a request names them; `None` removes one.
pub(super) fn values(given: &[(&str, Option<&str>)]) -> Vec<Option<ValueDraft>> {
    let draft = |(field, value): &(&str, Option<&str>)| {
        Some(ValueDraft { field: Some((*field).into()), value: Some(value.map(Secret::new)) })
    };
    given.iter().map(draft).collect()
}

/// A member with these permissions, for these companies.
pub(super) fn member(permissions: &[&str], companies: Option<&[&str]>) -> Member {
    let role = Role {
        name: "role".into(),
        permissions: permissions.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        companies: companies.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
    };
    let (user, subject) = (UserId::from_random([1; 16]), identity("alice").subject().clone());
    doubles::member(user, subject, &[], Rights::new(vec![Arc::new(role)]))
}

pub(super) fn admin() -> Member {
    member(&["*"], None)
}

/// The kind of the error, for comparisons.
pub(super) fn kind<T>(result: Result<T, Error>) -> Kind {
    result.err().expect("an error").kind()
}

/// The path and message of each problem of the error.
pub(super) fn places<T>(result: Result<T, Error>) -> Vec<String> {
    let error = result.err().expect("an error");
    let problem = |problem: &FieldProblem| format!("{}: {}", problem.place(), problem.message);
    error.fields().iter().map(problem).collect()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Arc::new(ScriptedTypePlugins::new())).await
    }

    pub(super) async fn with(plugins: Arc<ScriptedTypePlugins>) -> Self {
        let (clock, store, window) = (ManualClock::default(), MemoryStore::new(), 30 * DAY);
        let (vault, companies) = daemon(&clock, &store, &plugins, window, (0, false)).await;
        let view = companies.view().await.unwrap();
        let id = |name: &str| view.resolve(name).unwrap().id;
        let (acme, globex) = (id("acme"), id("globex"));
        let world = Self { clock, store, plugins, vault, acme, globex, window, lives: 0 };
        world.vault.declare_types().await.unwrap();
        world
    }

    /// Kills the daemon, and starts another one over what was durable. Its background work runs
    /// only in [`World::work`].
    pub(super) async fn crash(&mut self) {
        self.store.stop_after(0);
        self.store = self.store.snapshot();
        self.lives += 1;
        self.vault =
            daemon(&self.clock, &self.store, &self.plugins, self.window, (self.lives, false))
                .await
                .0;
        self.vault.declare_types().await.unwrap();
    }

    /// Another daemon over the same data, at the same time.
    pub(super) async fn second_daemon(&self) -> Arc<Vault> {
        daemon(&self.clock, &self.store, &self.plugins, self.window, (1_000_000, false)).await.0
    }

    /// From now on reads are events, too.
    pub(super) async fn audit_reads(&mut self) {
        let life = (2_000_000, true);
        self.vault = daemon(&self.clock, &self.store, &self.plugins, self.window, life).await.0;
    }

    /// Runs the background work once.
    pub(super) async fn work(&self) {
        self.vault.work_once().await.unwrap();
    }

    pub(super) async fn create_type(&self, name: &str, fields: Vec<FieldDraft>) -> TypeView {
        self.create_type_as(&admin(), name, "demo.login", fields).await.unwrap()
    }

    pub(super) async fn create_type_as(
        &self,
        member: &Member,
        name: &str,
        scope: &str,
        fields: Vec<FieldDraft>,
    ) -> Result<TypeView, Error> {
        let draft = TypeDraft {
            name: Some(name.into()),
            permission_scope: Some(scope.into()),
            fields: Some(fields.into_iter().map(Some).collect()),
            ..TypeDraft::default()
        };
        self.vault.create_type(authorize_type_creation(member)?, &draft, Vec::new()).await
    }

    pub(super) async fn change_fields(
        &self,
        id: TypeId,
        fields: Vec<FieldDraft>,
    ) -> Result<TypeView, Error> {
        let fields = Some(fields.into_iter().map(Some).collect());
        self.change_type(&admin(), id, TypeDraft { fields, ..TypeDraft::default() }).await
    }

    pub(super) async fn change_type(
        &self,
        member: &Member,
        id: TypeId,
        draft: TypeDraft,
    ) -> Result<TypeView, Error> {
        self.vault.change_type(authorize_type_change(member)?, id, &draft, Vec::new()).await
    }

    pub(super) async fn delete_type(&self, member: &Member, id: TypeId) -> Result<(), Error> {
        self.vault.delete_type(authorize_type_deletion(member)?, id).await
    }

    pub(super) async fn fetch_type(
        &self,
        member: &Member,
        identifier: &str,
    ) -> Result<TypeView, Error> {
        self.vault.fetch_type(authorize_type(member)?, identifier).await
    }

    pub(super) async fn type_names(&self, member: &Member) -> Result<Vec<String>, Error> {
        let types = self.vault.list_types(authorize_types(member)?).await?;
        Ok(types.into_iter().map(|view| view.name).collect())
    }

    pub(super) async fn create(
        &self,
        type_id: TypeId,
        name: &str,
        given: &[(&str, Option<&str>)],
    ) -> CredentialView {
        self.create_as(&admin(), (type_id, self.acme), name, given).await.unwrap()
    }

    pub(super) async fn create_as(
        &self,
        member: &Member,
        (type_id, company): (TypeId, CompanyId),
        name: &str,
        given: &[(&str, Option<&str>)],
    ) -> Result<CredentialView, Error> {
        let draft = CredentialDraft {
            name: Some(name.into()),
            type_id: Some(type_id.to_string()),
            company_id: Some(company.to_string()),
            values: Some(values(given)),
        };
        self.vault.create_credential(authorize_creation(member)?, draft, Vec::new()).await
    }

    pub(super) async fn authorized<K: AtOne>(
        &self,
        id: CredentialId,
    ) -> Result<AuthorizedCredential<K>, Error> {
        self.vault.authorize(&admin(), id).await
    }

    pub(super) async fn fetch(&self, id: CredentialId) -> Result<CredentialView, Error> {
        self.vault.fetch(self.authorized::<Fetch>(id).await?).await
    }

    pub(super) async fn change(
        &self,
        id: CredentialId,
        given: &[(&str, Option<&str>)],
    ) -> Result<CredentialView, Error> {
        self.change_at(id, given, None).await
    }

    pub(super) async fn change_at(
        &self,
        id: CredentialId,
        given: &[(&str, Option<&str>)],
        expected: Option<&[u64]>,
    ) -> Result<CredentialView, Error> {
        let authorized = self.authorized::<ChangeValues>(id).await?;
        self.vault
            .change_values(
                authorized,
                Some(values(given)),
                Vec::new(),
                expected.map(<[u64]>::to_vec),
            )
            .await
    }

    pub(super) async fn rename(
        &self,
        id: CredentialId,
        name: &str,
    ) -> Result<CredentialView, Error> {
        self.vault.rename(self.authorized::<Rename>(id).await?, Some(name), Vec::new(), None).await
    }

    pub(super) async fn delete(&self, id: CredentialId) -> Result<(), Error> {
        self.vault.delete_credential(self.authorized::<Delete>(id).await?, None).await
    }

    pub(super) async fn fetch_values(&self, id: CredentialId) -> Result<Vec<StoredValue>, Error> {
        Ok(self.vault.fetch_values(self.authorized::<FetchValues>(id).await?).await?.1)
    }

    /// Secure values by field, opened.
    pub(super) async fn reveal(&self, id: CredentialId) -> Result<Vec<(String, String)>, Error> {
        let revealed = self.vault.reveal(self.authorized::<Reveal>(id).await?).await?;
        let text = |secret: Secret| secret.expose_str().unwrap().to_owned();
        Ok(revealed.into_iter().map(|(field, value)| (field, text(value))).collect())
    }

    /// Names of the credentials of a company, that a member may list.
    pub(super) async fn credentials_of_company(
        &self,
        member: &Member,
        company: CompanyId,
    ) -> Result<Vec<String>, Error> {
        let grant = self.vault.authorize_list_of_company(member, company).await?;
        Ok(self
            .vault
            .list_of_company(grant, Paging::longest())
            .await?
            .items
            .into_iter()
            .map(|view| view.name)
            .collect())
    }

    /// Names of the credentials of a type, that a member may list.
    pub(super) async fn credentials_of_type(
        &self,
        member: &Member,
        type_id: TypeId,
    ) -> Result<Vec<String>, Error> {
        let listed =
            self.vault.list_of_type(authorize_list_of_type(member)?, type_id, Paging::longest());
        Ok(listed.await?.items.into_iter().map(|view| view.name).collect())
    }

    /// Events that wait for the audit log: action, fields, outcome, and reason or note.
    pub(super) async fn events(&self) -> Vec<String> {
        let records = self.vault.records();
        records.events_for_test().await.unwrap()
    }

    pub(super) async fn events_of(&self, action: &str) -> Vec<String> {
        let starts = format!("{action} ");
        self.events().await.into_iter().filter(|event| event.starts_with(&starts)).collect()
    }
}

async fn daemon(
    clock: &ManualClock,
    store: &MemoryStore,
    plugins: &Arc<ScriptedTypePlugins>,
    undelete_window: Duration,
    (life, audit_reads): (u64, bool),
) -> (Arc<Vault>, Arc<Companies>) {
    let ground = ground(clock, store, Arc::new(TestTasks::new()), 1000 + life).await;
    let listed =
        [("1", "acme", "Acme"), ("2", "globex", "Globex")].map(|(id, identifier, name)| {
            DirectoryCompany { id: id.into(), identifier: identifier.into(), name: name.into() }
        });
    let source = Source::Listed(listed.to_vec());
    let companies = Companies::new(Arc::clone(&ground), source, DAY);
    companies.start().await.unwrap();
    let options = Options {
        undelete_window,
        default_plugin: PluginName::parse("generic").unwrap(),
        sweep_every: Duration::from_secs(30),
        computed_plain: crate::doubles::computed_plain(),
        audit_reads,
    };
    (Vault::new(ground, plugins.clone(), companies.clone(), options), companies)
}

pub(super) fn required(draft: Draft) -> Draft {
    Draft { required: Some(true), ..draft }
}

/// `user` is required, `note` is plain, `password` and `pin` are secure.
pub(super) async fn login(world: &World) -> TypeView {
    world
        .create_type(
            "Login",
            vec![required(field("user")), secure("password"), field("note"), secure("pin")],
        )
        .await
}

pub(super) fn plain(view: &CredentialView) -> Vec<(&str, &str)> {
    view.values.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect()
}

pub(super) fn pair(field: &str, value: &str) -> (String, String) {
    (field.into(), value.into())
}

pub(super) async fn shown(world: &World, id: CredentialId) -> Vec<(String, String)> {
    world.fetch(id).await.unwrap().values
}

/// How many values the record holds plain, shown or not.
pub(super) async fn plain_count(world: &World, id: CredentialId) -> usize {
    world.vault.records().credential(id).await.unwrap().unwrap().value.plain.len()
}
