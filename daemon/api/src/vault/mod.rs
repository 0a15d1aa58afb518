//! The vault dialect, `/v1` (`daemon/dialects/vault.md`, `tests/golden/vault/routes.txt`): users
//! sign in, see companies, and keep credentials with secure fields.
//!
//! `table` finds the row of a request, `admit` checks its caller, and once more when a body that
//! the row reads has arrived; the row's handler does the rest with a `cx::Cx`: it decodes (`body`,
//! `query`), makes one core call and encodes (`envelope`). The order of decisions: 404 and 405 of
//! the path, 401, 403, then 415, 413 and 400 of the body. One file for each resource has its rows
//! and handlers; [`routes`] lists all rows.
//!
//! Never here: a check of rights beyond those that a row names. Core judges the object of a
//! request.

mod audit_target;
mod auth;
mod body;
mod company;
mod cors;
mod credential;
mod credential_type;
mod cx;
mod envelope;
mod field_names;
mod present;
mod query;
mod refuse;
mod route;
mod table;
mod tag;
mod teapot;
#[cfg(test)]
mod test_vault;
#[cfg(test)]
mod testing;
mod user;
mod well_known;

use std::sync::Arc;

use credsmith_core::caller::{Client, Member};
use credsmith_core::company::Companies;
use credsmith_core::ports::audit::Target;
use credsmith_core::secret::Secret;
use credsmith_core::session::Sessions;
use credsmith_core::user::Users;
use credsmith_core::{Error, Kind};
use credsmith_http::{Body, Fault, Reply, Request, Surface};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, request};
use serde_json::Value;

use cors::Cors;
use cx::{Cx, Params};
use refuse::{Outcome, Refusal};
use table::Table;

use crate::bearer::{self, Bearer};
use crate::client::client;

pub(crate) use envelope::Pagination;
pub(crate) use refuse::message;
pub use route::{Access, Route};
pub use table::RouteConflict;

/// The options of the dialect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Absolute URL under which clients reach the daemon, base path included, without a trailing
    /// slash.
    pub public_url: String,
    /// Origins, as browsers spell them, whose pages may call.
    pub cors_origins: Vec<String>,
}

/// All rows of the dialect.
pub fn routes() -> Vec<Route> {
    [
        auth::routes(),
        user::routes(),
        company::routes(),
        credential::routes(),
        credential_type::routes(),
        teapot::routes(),
        well_known::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Authenticates callers by their access tokens.
pub trait Authenticator: Send + Sync + 'static {
    /// The member whose access token this is, with the present rights, who asks from there.
    ///
    /// # Errors
    /// `Unauthenticated`.
    fn authenticate<'a>(
        &'a self,
        token: &'a Secret,
        client: Client,
    ) -> BoxFuture<'a, Result<Member, Error>>;

    /// The public keys of the tokens, as a JSON Web Key Set.
    fn public_keys(&self) -> Value;
}

/// The use-cases of core that the dialect translates.
pub struct Core {
    /// Authenticates callers by their access tokens.
    pub authenticator: Arc<dyn Authenticator>,
    /// Sign-ins and sessions.
    pub sessions: Arc<Sessions>,
    /// The users.
    pub users: Arc<Users>,
    /// The companies.
    pub companies: Arc<Companies>,
    /// Types and credentials.
    pub vault: Arc<credsmith_core::vault::Vault>,
}

/// The state that all handlers share.
struct App {
    core: Core,
    cors: Cors,
}

/// The vault surface. It answers below `/v1` and `/.well-known`.
pub struct Vault {
    app: Arc<App>,
    table: Table,
}

impl Vault {
    /// A surface over core.
    ///
    /// # Errors
    /// When two rows contradict each other, which is a mistake in this crate.
    pub fn new(core: Core, options: Options) -> Result<Self, RouteConflict> {
        Self::with(routes(), core, options)
    }

    fn with(routes: Vec<Route>, core: Core, options: Options) -> Result<Self, RouteConflict> {
        let Options { public_url, cors_origins } = options;
        let cors = Cors::new(cors_origins, &public_url);
        let app = Arc::new(App { core, cors });
        Ok(Self { app, table: Table::new(routes)? })
    }

    async fn answer(&self, request: Request) -> Reply {
        let origin = self.app.cors.listed_origin(request.headers());
        let is_public = request.uri().path().starts_with("/.well-known/");
        let reply = self.decide(request).await.unwrap_or_else(refuse::present);
        let mut reply = if is_public { reply } else { envelope::no_store(reply) };
        self.app.cors.mark(&mut reply, &origin);
        reply
    }

    async fn decide(&self, request: Request) -> Result<Reply, Refusal> {
        let (parts, body) = request.into_parts();
        let found = self.table.find(parts.uri.path()).ok_or(Refusal::NotFound)?;
        if parts.method == Method::OPTIONS {
            return Ok(self.app.cors.options(&parts.headers, found.allow()));
        }
        let row = found.row(&parts.method);
        let row =
            Arc::clone(row.ok_or_else(|| Refusal::MethodNotAllowed(found.allow().to_owned()))?);
        let params = found.params(&row);
        self.serve(&row, params, parts, body).await
    }

    async fn serve(
        &self,
        row: &Route,
        params: Params,
        parts: request::Parts,
        mut body: Body,
    ) -> Outcome {
        let target = audit_target::target(row, &params);
        let mut member = self.admitted_caller(row, &target, &parts).await?;
        let sessions = &self.app.core.sessions;
        let _work = member.as_ref().map(|member| sessions.begin_work(member)).transpose()?;
        let mut sent = None;
        if row.reads_body() {
            sent = Some(cx::receive(row.body_type(), &parts.headers, &mut body).await);
            // While a body arrives slowly, its sender may be suspended, sign out or lose a role:
            // the check before the body is not enough.
            member = self.admitted_caller(row, &target, &parts).await?;
        }
        let caller = member.clone();
        let from = client(&parts.extensions);
        let cx = Cx::new(Arc::clone(&self.app), row.row(), member, params, parts, sent);
        let outcome = (row.handler)(cx).await;
        outcome.inspect_err(|refusal| match (&caller, refusal) {
            (None, Refusal::Core(error)) if error.kind() == Kind::LimitReached => {
                let target = asked(row, &target);
                self.app.core.sessions.remark_refused_stranger(from, target, error);
            }
            _ => self.remark_refusal(caller.as_ref(), row, &target, refusal),
        })
    }

    /// The caller, authenticated where the row demands it, and admitted by the row.
    async fn admitted_caller(
        &self,
        row: &Route,
        target: &Target,
        parts: &request::Parts,
    ) -> Result<Option<Member>, Refusal> {
        let member = self.member(row.access(), parts).await.inspect_err(|refusal| {
            self.remark_stranger(row, target, parts, refusal);
        })?;
        let admitted = admit(row.access(), member.as_ref());
        admitted
            .inspect_err(|refusal| self.remark_refusal(member.as_ref(), row, target, refusal))?;
        Ok(member)
    }

    /// The caller, where the row demands authentication.
    async fn member(
        &self,
        access: Access,
        parts: &request::Parts,
    ) -> Result<Option<Member>, Refusal> {
        match access {
            Access::Public => Ok(None),
            Access::Caller | Access::Needs { .. } => {
                let (token, client) = (bearer(&parts.headers)?, client(&parts.extensions));
                Ok(Some(self.app.core.authenticator.authenticate(&token, client).await?))
            }
        }
    }

    /// Audits a refusal for want of rights, whether the row refused or core did about the object,
    /// and one because of too many requests.
    fn remark_refusal(
        &self,
        caller: Option<&Member>,
        row: &Route,
        target: &Target,
        refusal: &Refusal,
    ) {
        if let (Some(caller), Refusal::Core(error)) = (caller, refusal)
            && matches!(error.kind(), Kind::Forbidden | Kind::LimitReached)
        {
            self.app.core.sessions.remark_refusal(caller, asked(row, target), error);
        }
    }

    /// Audits a bearer token that is refused. A request without any token is none.
    fn remark_stranger(
        &self,
        row: &Route,
        target: &Target,
        parts: &request::Parts,
        refusal: &Refusal,
    ) {
        let malformed = || Error::new(Kind::Unauthenticated, "This is no token of ours.");
        let error = match refusal {
            Refusal::BadToken => &malformed(),
            Refusal::Core(error) if error.kind() == Kind::Unauthenticated => error,
            _ => return,
        };
        let client = client(&parts.extensions);
        self.app.core.sessions.remark_refused_stranger(client, asked(row, target), error);
    }
}

/// The target of an event about a request of that row.
fn asked(row: &Route, target: &Target) -> Target {
    let asked = Some(format!("{} {}", row.method(), row.path()));
    Target { asked, ..target.clone() }
}

/// Checks the scopes and permissions that the row demands of `member`.
fn admit(access: Access, member: Option<&Member>) -> Result<(), Refusal> {
    let (Access::Needs { scopes, permissions }, Some(member)) = (access, member) else {
        return Ok(());
    };
    if !scopes.iter().all(|scope| member.has_scope(scope)) {
        return Err(Refusal::TokenTooNarrow(scopes));
    }
    Ok(member.rights().require(permissions)?)
}

impl Surface for Vault {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        self.answer(request).boxed()
    }

    fn fault(&self, fault: Fault) -> Reply {
        self.fault_for(fault, None)
    }

    fn fault_for(&self, fault: Fault, origin: Option<&HeaderValue>) -> Reply {
        let mut reply = envelope::no_store(present_fault(fault));
        self.app.cors.mark(&mut reply, &self.app.cors.listed_origin_from(origin));
        reply
    }
}

/// Presents a fault of HTTP in the envelope.
pub(crate) fn present_fault(fault: Fault) -> Reply {
    refuse::present(fault.into())
}

/// The bearer token.
fn bearer(headers: &HeaderMap) -> Result<Secret, Refusal> {
    match bearer::read(headers) {
        Bearer::Token(token) => Ok(token),
        Bearer::Absent => Err(Refusal::NoToken),
        Bearer::Unreadable => Err(Refusal::BadToken),
    }
}

#[cfg(test)]
mod tests;
