//! The WaTTS dialect, `/api/v1` and `/api/v2` (`daemon/dialects/watts.md`): users of an OpenID
//! provider list services, request a credential, follow the 303 to it once, and revoke it.
//!
//! `decode` turns a request into a `decode::Call`, `Watts::act` makes the core call, `present`
//! writes the answer, `refuse` the refusal. The order of decisions is that of section 1.3:
//! malformed, unauthenticated, not acceptable, not found, precondition, action.
//!
//! Later parts of the dialect (`/oidc`, `/rsp`, the web page) become modules beside these, each
//! with its own way to authenticate beside `Watts::sign_in`.

mod body;
mod decode;
mod path;
mod present;
mod refuse;
mod rows;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use credsmith_core::Error;
use credsmith_core::caller::{Caller, Interface};
use credsmith_core::ground::Work;
use credsmith_core::ids::HandoffId;
use credsmith_core::leases::Leases;
use credsmith_core::leases::handoff::Handoff;
use credsmith_http::{Body, Fault, Reply, ReplyBody, Request, Slot, Surface};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, HOST, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode, request};
use serde::Serialize;

use decode::{Call, DecodedRequest, Issuer};
pub(crate) use refuse::RefusalBody;
pub(crate) use rows::{Row, rows};

use path::Version;
use refuse::{During, Refusal};

use crate::bearer::{self, Bearer};
use crate::client::client;
use crate::log;

const METHODS: &str = "GET, HEAD, POST, DELETE, OPTIONS";
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// For the only answer with secrets in it.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-cache, no-store");
/// The challenge of the original; it names no scheme that clients would have to understand.
const CHALLENGE: HeaderValue = HeaderValue::from_static("authorization");

/// The options of the dialect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Absolute URL under which clients reach the daemon, base path included, without a trailing
    /// slash. Locations are built from it alone, never from `Host`, unless the next one says so.
    pub public_url: String,
    /// Locations name the host that the client asked for: only where a server answers no names but
    /// its own, as a demo does, whose users say `localhost` or `127.0.0.1` as they like.
    pub as_asked: bool,
    /// The daemon's version, as `info` shows it.
    pub version: String,
    /// Largest body in bytes; 413 beyond.
    pub max_body: usize,
}

/// The WaTTS surface.
pub struct Watts {
    leases: Arc<Leases>,
    options: Options,
}

impl Watts {
    /// A surface over `leases`.
    pub fn new(leases: Arc<Leases>, options: Options) -> Self {
        Self { leases, options }
    }

    async fn answer(&self, request: Request) -> Result<Reply, Refusal> {
        let (parts, mut body) = request.into_parts();
        if parts.method == Method::OPTIONS {
            return Ok(options());
        }
        if ![Method::GET, Method::HEAD, Method::POST, Method::DELETE].contains(&parts.method) {
            return Err(refuse::fault(Fault::MethodNotAllowed { allow: METHODS }));
        }
        let behind_api = behind_api(parts.uri.path()).ok_or_else(Refusal::not_found)?;
        let bytes = self.read(&mut body).await?;
        let request =
            decode::decode(&self.leases, &parts.method, behind_api, &parts.headers, &bytes)?;
        let caller = self.sign_in(&request.call, &parts).await?;
        let work = caller.as_ref().map(|caller| self.leases.begin_work(caller)).transpose();
        let work = work.map_err(refused(During::Request))?;
        decode::negotiate(&parts.headers)?;
        self.act(request, caller, parts, work).await
    }

    async fn read(&self, body: &mut Body) -> Result<Bytes, Refusal> {
        body.read(self.options.max_body).await.map_err(|fault| refuse::fault(fault.into()))
    }

    /// The caller, where the call needs one.
    async fn sign_in(
        &self,
        call: &Call,
        parts: &request::Parts,
    ) -> Result<Option<Caller>, Refusal> {
        let issuer = match call {
            Call::Providers | Call::Info | Call::Logout => return Ok(None),
            Call::AccessToken => return Err(refuse::no_session()),
            Call::Services(issuer)
            | Call::Credentials(issuer)
            | Call::Issue(issuer, _)
            | Call::Collect(issuer, _)
            | Call::Revoke(issuer, _) => issuer,
        };
        let Bearer::Token(token) = bearer::read(&parts.headers) else {
            return Err(refuse::bad_token());
        };
        let Issuer::Configured(provider) = issuer else { return Err(refuse::unknown_issuer()) };
        let client = client(&parts.extensions);
        let sign_in = self.leases.sign_in(provider, token, Interface::Rest, client);
        // A provider may be slow, and how many wait for it has a bound of its own.
        let signed_in = Slot::of(&parts.extensions).wait_for(sign_in).await;
        signed_in.map_err(refuse::fault)?.map(Some).map_err(refused(During::Request))
    }

    async fn act(
        &self,
        request: DecodedRequest,
        caller: Option<Caller>,
        parts: request::Parts,
        work: Option<Work>,
    ) -> Result<Reply, Refusal> {
        let DecodedRequest { version, call } = request;
        let Some(caller) = caller else {
            conditional(&parts)?;
            return Ok(self.open(version, &call));
        };
        match call {
            Call::Services(_) => {
                conditional(&parts)?;
                let services =
                    self.leases.services(&caller).await.map_err(refused(During::Request))?;
                Ok(json(&present::services(version, &services)))
            }
            Call::Credentials(_) => {
                conditional(&parts)?;
                let leases =
                    self.leases.credentials(&caller).await.map_err(refused(During::Request))?;
                Ok(json(&present::credentials(version, &leases)))
            }
            Call::Issue(_, body) => {
                conditional(&parts)?;
                self.issue(version, &caller, body, &parts, work).await
            }
            Call::Collect(_, id) => self.collect(version, &caller, id, &parts).await,
            Call::Revoke(_, id) => {
                let id = id.ok_or_else(Refusal::not_found)?;
                let grant = self
                    .leases
                    .authorize_revoke(&caller, id)
                    .await
                    .map_err(refused(During::Revocation))?;
                conditional(&parts)?;
                release(&parts);
                drop(work);
                self.leases.revoke(grant).await.map_err(refused(During::Revocation))?;
                Ok(json(&present::done()))
            }
            Call::Providers | Call::Info | Call::Logout | Call::AccessToken => {
                Ok(self.open(version, &call))
            }
        }
    }

    /// Answers a call that needs no caller. A token has no session, so a logout does nothing.
    fn open(&self, version: Version, call: &Call) -> Reply {
        match call {
            Call::Providers => json(&present::providers(version, &self.leases.providers())),
            Call::Info => json(&present::info(&self.options.version, &self.redirect_path())),
            _ => json(&present::done()),
        }
    }

    async fn issue(
        &self,
        version: Version,
        caller: &Caller,
        body: body::IssueBody,
        parts: &request::Parts,
        work: Option<Work>,
    ) -> Result<Reply, Refusal> {
        let refused = refused(During::Request);
        let grant = self.leases.authorize_issue(caller, &body.service).map_err(&refused)?;
        let parameters = body.parameters.ok_or_else(refuse::parameters_are_no_object)?;
        release(parts);
        drop(work);
        let id = self.leases.issue(grant, parameters).await.map_err(&refused)?;
        let location = self.location(version, caller, id, parts)?;
        let mut reply = reply(StatusCode::SEE_OTHER, Bytes::new());
        reply.headers_mut().insert(LOCATION, location);
        Ok(reply)
    }

    /// The address of a result. In version 1 it names no issuer: clients repeat the header.
    fn location(
        &self,
        version: Version,
        caller: &Caller,
        id: HandoffId,
        parts: &request::Parts,
    ) -> Result<HeaderValue, Refusal> {
        let base = self.base(parts);
        let provider = caller.identity.provider();
        let location = match version {
            Version::V1 => format!("{base}/api/v1/credential_data/{id}"),
            Version::V2 => format!("{base}/api/v2/{provider}/credential_data/{id}"),
        };
        HeaderValue::try_from(location)
            .map_err(|cause| refused(During::Request)(Error::internal(cause)))
    }

    /// A HEAD checks whether the data is there and leaves it: it can be read only once.
    async fn collect(
        &self,
        version: Version,
        caller: &Caller,
        id: Option<HandoffId>,
        parts: &request::Parts,
    ) -> Result<Reply, Refusal> {
        let id = id.filter(|id| self.leases.holds(caller, *id)).ok_or_else(Refusal::not_found)?;
        conditional(parts)?;
        if parts.method == Method::HEAD {
            return Ok(secret(reply(StatusCode::OK, Bytes::new())));
        }
        let handoff = self.leases.collect(caller, id).await.map_err(refused(During::Request))?;
        Ok(secret(match &handoff {
            Handoff::Credential { id, entries } => {
                json(&present::credential(version, *id, entries))
            }
            Handoff::Login { provider, message } => {
                let url = format!("{}/oidc", self.options.public_url);
                json(&present::login(provider.as_str(), &url, message))
            }
        }))
    }

    /// What the addresses of answers begin with.
    fn base(&self, parts: &request::Parts) -> Cow<'_, str> {
        let asked = parts.headers.get(HOST).filter(|_| self.options.as_asked);
        match asked.and_then(|host| host.to_str().ok()) {
            Some(host) => Cow::Owned(format!("http://{host}")),
            None => Cow::Borrowed(&self.options.public_url),
        }
    }

    /// The path of the later sign-in page, as clients show it.
    fn redirect_path(&self) -> String {
        let base_path = self.options.public_url.splitn(4, '/').nth(3);
        base_path.map_or_else(|| "/oidc".to_owned(), |path| format!("/{path}/oidc"))
    }
}

impl Surface for Watts {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        self.answer(request).map(|answer| answer.unwrap_or_else(present_refusal)).boxed()
    }

    fn logged_path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        path::without_handoff(path)
    }

    fn fault(&self, fault: Fault) -> Reply {
        present_refusal(refuse::fault(fault))
    }
}

/// Releases the slot of the request, which bounds our own work: waiting for a plugin is bounded by
/// its own queue (decision 0002).
fn release(parts: &request::Parts) {
    Slot::of(&parts.extensions).release();
}

/// The rest of a path behind `/api`, where that is a whole segment.
fn behind_api(path: &str) -> Option<&str> {
    path.strip_prefix("/api").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn conditional(parts: &request::Parts) -> Result<(), Refusal> {
    decode::precondition(&parts.method, &parts.headers).map_err(refuse::precondition)
}

/// Logs a failed core call, once, and translates it.
fn refused(during: During) -> impl Fn(Error) -> Refusal {
    move |error| {
        log::failure(&error);
        refuse::refusal(&error, during)
    }
}

fn options() -> Reply {
    ReplyBody::with_header(StatusCode::NO_CONTENT, ALLOW, HeaderValue::from_static(METHODS))
}

fn present_refusal(refusal: Refusal) -> Reply {
    let body = refuse::RefusalBody::new(&refusal.message);
    let mut reply = reply(refusal.status, encode(&body));
    let headers = reply.headers_mut();
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, CHALLENGE);
    }
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    }
    if let Some(after) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    reply
}

fn json(body: &impl Serialize) -> Reply {
    reply(StatusCode::OK, encode(body))
}

/// Text and numbers under string keys always encode; every test would notice an empty body.
fn encode(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}

fn reply(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = ReplyBody::json(status, body);
    reply.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    reply
}

fn secret(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    reply
}
