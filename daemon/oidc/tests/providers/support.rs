//! A scripted provider over real connections, and the daemon's side of it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use credsmith_core::Error;
use credsmith_core::caller::Identity;
use credsmith_core::doubles::{Gate, ManualClock, SeededEntropy, TestTasks};
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::{ProviderView, Providers as _};
use credsmith_core::secret::Secret;
use credsmith_http::client::{AddressPolicy, IpNet};
use credsmith_http::{
    Drain, Fault, HeaderMap, HeaderValue, Listener, Reply, ReplyBody, Request, Server,
    ServerOptions, StatusCode, Surface, Surfaces, header,
};
use credsmith_oidc::{Limits, OidcProviders, Ports, ProviderOptions};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// Longer than anything here takes, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One answer of the scripted provider.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(Value),
    Raw(StatusCode, &'static str, String),
    Redirect(String),
    /// The answer comes when the gate opens.
    Held(Gate, Value),
    Never,
}

/// A request as the provider received it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, Answer>>,
    seen: Mutex<Vec<Seen>>,
}

impl Surface for Script {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Reply> {
        async move {
            let path = request.uri().path().to_owned();
            let body = request.body_mut().read(1 << 20).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            self.seen.lock().unwrap().push(Seen {
                path: path.clone(),
                headers: request.headers().clone(),
                body,
            });
            let answer = self.answers.lock().unwrap().get(&path).cloned();
            match answer {
                Some(Answer::Json(value)) => ReplyBody::json(StatusCode::OK, value.to_string()),
                Some(Answer::Raw(status, kind, body)) => {
                    ReplyBody::typed(status, HeaderValue::from_static(kind), body)
                }
                Some(Answer::Redirect(to)) => {
                    let to = HeaderValue::from_str(&to).unwrap();
                    ReplyBody::with_header(StatusCode::TEMPORARY_REDIRECT, header::LOCATION, to)
                }
                Some(Answer::Held(gate, value)) => {
                    gate.pass().await;
                    ReplyBody::json(StatusCode::OK, value.to_string())
                }
                Some(Answer::Never) => std::future::pending().await,
                None => self.fault(Fault::NotFound),
            }
        }
        .boxed()
    }

    fn fault(&self, fault: Fault) -> Reply {
        ReplyBody::text(fault.status(), "")
    }
}

/// A scripted provider on loopback.
pub(crate) struct Op {
    pub(crate) base: String,
    script: Arc<Script>,
    drain: Drain,
}

impl Op {
    /// A provider that identifies every token as `alice`, meant for `us`.
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    /// The same at this address.
    pub(crate) async fn at(address: &str) -> Self {
        let listener = Listener::tcp(address.parse().unwrap()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (script, drain) = (Arc::new(Script::default()), Drain::new());
        Server::new(ServerOptions::default(), Surfaces::new(script.clone()), drain.clone())
            .serve(listener);
        let op = Self { base, script, drain };
        op.answer("/.well-known/openid-configuration", Answer::Json(op.document()));
        op.answer("/jwks", Answer::Json(json!({ "keys": [] })));
        op.answer("/userinfo", Answer::Json(json!({ "sub": "alice", "groups": ["users"] })));
        op.answer(
            "/introspect",
            Answer::Json(json!({ "active": true, "aud": "us", "scope": "openid" })),
        );
        op
    }

    pub(crate) fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.base);
        json!({
            "issuer": self.base,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "introspection_endpoint": at("/introspect"),
            "jwks_uri": at("/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The document with these members replaced; those that are `null` are removed.
    pub(crate) fn document_with(&self, changes: Value) -> Value {
        let mut document = self.document();
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        document
    }

    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.script.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.script.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    pub(crate) async fn stop(self) {
        self.drain.begin();
        self.drain.stop();
        self.drain.wait().await;
    }
}

/// Options for a provider on loopback: a secret, tokens meant for `us`.
pub(crate) fn options(id: &str, issuer: &str) -> ProviderOptions {
    let mut options = ProviderOptions::new(ProviderId::parse(id).unwrap(), issuer, "us");
    options.client_secret = Some(Arc::new(Secret::new("s3cret&")));
    options.allow_insecure = true;
    options.addresses = AddressPolicy::allowing(vec!["127.0.0.0/8".parse::<IpNet>().unwrap()]);
    options
}

pub(crate) fn ports(clock: &ManualClock, tasks: &Arc<TestTasks>) -> Ports {
    Ports {
        clock: Arc::new(clock.clone()),
        tasks: tasks.clone(),
        entropy: Arc::new(SeededEntropy::new(1)),
    }
}

/// The daemon's side.
pub(crate) struct Daemon {
    pub(crate) providers: Arc<OidcProviders>,
    pub(crate) clock: ManualClock,
    pub(crate) tasks: Arc<TestTasks>,
}

impl Daemon {
    pub(crate) fn start(options: Vec<ProviderOptions>) -> Self {
        Self::with_limits(options, &Limits { request_timeout: PATIENCE, ..Limits::default() })
    }

    pub(crate) fn with_limits(options: Vec<ProviderOptions>, limits: &Limits) -> Self {
        let (clock, tasks) = (ManualClock::default(), Arc::new(TestTasks::new()));
        let ports = ports(&clock, &tasks);
        Self { providers: OidcProviders::start(options, limits, &ports).unwrap(), clock, tasks }
    }

    /// A daemon that knows `op` as `op`, discovered.
    pub(crate) async fn knowing(op: &Op) -> Self {
        Self::discovered(vec![options("op", &op.base)]).await
    }

    pub(crate) async fn discovered(options: Vec<ProviderOptions>) -> Self {
        let daemon = Self::start(options);
        daemon.all_ready().await;
        daemon
    }

    pub(crate) fn view(&self, id: &str) -> ProviderView {
        self.providers.get(&ProviderId::parse(id).unwrap()).unwrap()
    }

    pub(crate) async fn all_ready(&self) {
        until("providers are ready", || self.providers.list().iter().all(|view| view.ready)).await;
    }

    pub(crate) fn error(&self, id: &str) -> Option<String> {
        self.providers
            .errors()
            .into_iter()
            .find(|(provider, _)| provider.as_str() == id)
            .map(|(_, why)| why)
    }

    /// Waits until the attempts to discover `id` have failed for a reason that contains `reason`.
    pub(crate) async fn fails(&self, id: &str, reason: &str) {
        until(reason, || self.error(id).is_some_and(|why| why.contains(reason))).await;
        assert!(!self.providers.get(&ProviderId::parse(id).unwrap()).unwrap().ready);
    }

    pub(crate) async fn identify(&self, id: &str, token: &str) -> Result<Arc<Identity>, Error> {
        let id = ProviderId::parse(id).unwrap();
        let ask = self.providers.identify(&id, Arc::new(Secret::new(token)), None);
        tokio::time::timeout(PATIENCE, ask).await.expect("an answer")
    }
}

/// The lines that were logged during a test.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All that this thread, and so this test's runtime, writes from now on, until the guard is
    /// dropped.
    pub(crate) fn record() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}
