//! The surface of operators and their tools, on the admin socket: `/healthz` (the process answers),
//! `/readyz` (it can do its work, or why not), and the commands that only operators may give
//! (`commands`). Never on a public listener: every client that reaches this surface counts as an
//! operator.

mod audit;
mod commands;
mod leases;
mod request;
mod vault;

use std::sync::Arc;

use credsmith_core::company::Companies;
use credsmith_core::leases::Leases;
use credsmith_core::vault::Vault;
use credsmith_http::{Fault, Quiet, Reply, ReplyBody, Request, Surface};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub use audit::AuditCheck;

/// Whether the daemon can do its work.
pub trait Readiness: Send + Sync + 'static {
    /// The reasons why not, one sentence each; empty when ready.
    fn obstacles(&self) -> Vec<String>;
    /// What an operator should know although the daemon is ready, one sentence each: a provider
    /// that is down, a disabled service.
    fn warnings(&self) -> Vec<String>;
}

/// The operators' surface.
pub struct Ops {
    readiness: Arc<dyn Readiness>,
    leases: Arc<Leases>,
    vault: Option<VaultCore>,
    audit: Arc<dyn AuditCheck>,
}

/// The use-cases of the vault that operators command.
pub struct VaultCore {
    /// The companies.
    pub companies: Arc<Companies>,
    /// Types and credentials.
    pub vault: Arc<Vault>,
}

impl Ops {
    /// A surface that asks `readiness` and `audit`, and commands `leases`, and `vault` where one is
    /// configured.
    pub fn new(
        readiness: Arc<dyn Readiness>,
        leases: Arc<Leases>,
        vault: Option<VaultCore>,
        audit: Arc<dyn AuditCheck>,
    ) -> Self {
        Self { readiness, leases, vault, audit }
    }

    async fn answer(&self, mut request: Request) -> Reply {
        let probe = match request.uri().path() {
            "/healthz" => Some(quiet(StatusCode::OK, &json!({ "status": "ok" }))),
            "/readyz" => Some(self.ready()),
            _ => None,
        };
        match probe {
            Some(reply) if request.method() == Method::GET || request.method() == Method::HEAD => {
                reply
            }
            Some(_) => self.fault(Fault::MethodNotAllowed { allow: "GET, HEAD" }),
            None => match self.command(&mut request).await {
                Ok(done) => answer(StatusCode::OK, &done),
                Err(refusal) => refusal.reply(self),
            },
        }
    }

    fn ready(&self) -> Reply {
        let obstacles = self.readiness.obstacles();
        let ready = obstacles.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        quiet(
            status,
            &json!({ "ready": ready, "reasons": obstacles, "warnings": self.readiness.warnings() }),
        )
    }
}

impl Surface for Ops {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        self.answer(request).boxed()
    }

    fn fault(&self, fault: Fault) -> Reply {
        let mut reply = answer(fault.status(), &json!({ "error": fault.sentence() }));
        if let Some(allow) = fault.allow() {
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        reply
    }
}

/// Probes come every few seconds: their line in the log has level debug.
fn quiet(status: StatusCode, body: &Value) -> Reply {
    let mut reply = answer(status, body);
    reply.extensions_mut().insert(Quiet);
    reply
}

fn answer(status: StatusCode, body: &Value) -> Reply {
    let mut reply = ReplyBody::json(status, body.to_string());
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use credsmith_core::Error;
    use credsmith_core::audit::{AuditLog, Verdict};
    use credsmith_core::catalogue::Catalogue;
    use credsmith_core::doubles::{
        FakeProviders, ManualClock, MemoryFile, MemoryStore, RecordingAudit, ScriptedPlugins,
        TestTasks, ground,
    };
    use credsmith_core::ground::Ground;
    use credsmith_core::leases::{LeasesDependencies, Options};
    use credsmith_core::ports::audit::Action;
    use credsmith_http::Body;

    use super::*;

    struct Fixed(Vec<String>);

    impl Readiness for Fixed {
        fn obstacles(&self) -> Vec<String> {
            self.0.clone()
        }

        fn warnings(&self) -> Vec<String> {
            vec!["provider `x` is down".into()]
        }
    }

    /// A log whose verdict names the files that it was asked to verify.
    struct NoLog;

    impl AuditCheck for NoLog {
        fn verify(&self, files: Vec<PathBuf>, from: u64) -> BoxFuture<'_, Result<Verdict, Error>> {
            let faults = files.iter().map(|file| file.display().to_string()).collect();
            async move { Ok(Verdict { lines: 1, last: from, unfinished: true, repeated: 3, faults }) }.boxed()
        }
    }

    async fn leases() -> Arc<Leases> {
        let (clock, store) = (ManualClock::default(), MemoryStore::new());
        leases_over(ground(&clock, &store, Arc::new(TestTasks::new()), 7).await)
    }

    fn leases_over(ground: Arc<Ground>) -> Arc<Leases> {
        let parts = LeasesDependencies {
            providers: Arc::new(FakeProviders::with_users(["alice"])),
            plugins: Arc::new(ScriptedPlugins::with_services(["ssh"])),
            catalogue: Catalogue::new(vec![credsmith_core::doubles::service("ssh")]).unwrap(),
            options: Options::default(),
        };
        Leases::new(ground, parts)
    }

    async fn ask(
        method: Method,
        path: &str,
        reasons: &[&str],
        body: &'static str,
    ) -> (StatusCode, Value) {
        let readiness = Arc::new(Fixed(reasons.iter().map(ToString::to_string).collect()));
        let ops = Ops::new(readiness, leases().await, None, Arc::new(NoLog));
        let request =
            http::Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let reply = ops.answer(request).await;
        (reply.status(), serde_json::from_slice(reply.body().bytes()).unwrap())
    }

    #[tokio::test]
    async fn health_is_not_readiness() {
        assert_eq!(ask(Method::GET, "/healthz", &["no"], "").await.0, StatusCode::OK);
        let (status, body) = ask(Method::GET, "/readyz", &["the clock jumped"], "").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body,
            json!({ "ready": false, "reasons": ["the clock jumped"], "warnings": ["provider `x` is down"] })
        );
        assert_eq!(ask(Method::GET, "/readyz", &[], "").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn other_requests_get_a_json_no() {
        assert_eq!(ask(Method::POST, "/readyz", &[], "").await.0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(Method::GET, "/", &[], "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(
            ask(Method::PUT, "/suspensions", &[], "").await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
        let (status, body) = ask(Method::POST, "/vault/sync", &[], "{}").await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::NOT_FOUND, &json!("The vault is not configured."))
        );
    }

    #[tokio::test]
    async fn operators_command() {
        let alice = r#"{"issuer":"https://op.example","subject":"alice"}"#;
        let unseen = r#"{"issuer":"https://op.example","subject":"alice","unseen":true}"#;
        let (status, body) = ask(Method::POST, "/suspensions", &[], unseen).await;
        assert_eq!((status, &body["suspended"]["subject"]), (StatusCode::OK, &json!("alice")));
        // Each of these asks a daemon of its own: it has neither seen alice, nor suspended her.
        for method in [Method::POST, Method::DELETE] {
            assert_eq!(ask(method, "/suspensions", &[], alice).await.0, StatusCode::NOT_FOUND);
        }
        assert_eq!(ask(Method::GET, "/suspensions", &[], "").await, (StatusCode::OK, json!([])));
        assert_eq!(ask(Method::GET, "/leases/parked", &[], "").await, (StatusCode::OK, json!([])));
        assert_eq!(
            ask(Method::GET, "/ledger", &[], "").await.1,
            json!({ "counted": 0, "faults": [], "more_faults": 0 })
        );
        assert_eq!(ask(Method::POST, "/clock/trust", &[], "").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_audit_log_is_verified() {
        let verify = |body| ask(Method::POST, "/audit/verify", &[], body);
        let verdict = json!({ "lines": 1, "last": 7, "unfinished": true, "repeated": 3, "faults": ["/a", "/b"] });
        assert_eq!(verify(r#"{"files":["/a","/b"],"from":7}"#).await, (StatusCode::OK, verdict));
        assert_eq!(verify(r#"{"files":["/a"]}"#).await.1["last"], 1);
        for bad in ["{}", r#"{"files":[]}"#, r#"{"files":[1]}"#, r#"{"files":["/a"],"from":0}"#] {
            assert_eq!(verify(bad).await.0, StatusCode::BAD_REQUEST, "{bad}");
        }
        assert_eq!(
            ask(Method::GET, "/audit/verify", &[], "").await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }

    /// A command that changes something has its own event, in the batch of the change.
    #[tokio::test]
    async fn every_command_is_audited_once() {
        let alice = r#"{"issuer":"https://op.example","subject":"alice","unseen":true}"#;
        for (method, path, body, recorded) in [
            (Method::GET, "/leases/parked", "", Some("GET /leases/parked")),
            (Method::GET, "/ledger", "", Some("GET /ledger")),
            (Method::POST, "/clock/trust", "", Some("POST /clock/trust")),
            (Method::POST, "/audit/verify", r#"{"files":["/a"]}"#, Some("POST /audit/verify")),
            (Method::POST, "/leases/x/retry", "", Some("POST /leases/x/retry")),
            (Method::POST, "/suspensions", "{}", Some("POST /suspensions")),
            (Method::GET, "/nothing", "", None),
            (Method::POST, "/suspensions", alice, None),
            (Method::GET, "/suspensions", "", Some("GET /suspensions")),
        ] {
            let (clock, store) = (ManualClock::default(), MemoryStore::new());
            let ground = ground(&clock, &store, Arc::new(TestTasks::new()), 7).await;
            let leases = leases_over(Arc::clone(&ground));
            let ops = Ops::new(Arc::new(Fixed(Vec::new())), leases, None, Arc::new(NoLog));
            let request =
                http::Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
            drop(ops.answer(request).await);
            let audit = Arc::new(RecordingAudit::new());
            let file = Arc::new(MemoryFile::default());
            AuditLog::new(ground, file, audit.clone()).finish().await.unwrap();
            let events = audit.take().into_iter().filter(|event| event.action == Action::Operate);
            let asked: Vec<_> = events.map(|event| event.target.asked.unwrap()).collect();
            assert_eq!(asked, recorded.into_iter().collect::<Vec<_>>(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_command_that_makes_no_sense_says_why() {
        let lease = "/leases/01010101-0101-4101-8101-010101010101";
        for (path, body, status, sentence) in [
            ("/suspensions", "{}", StatusCode::BAD_REQUEST, "The body has no text `issuer`."),
            ("/suspensions", "[", StatusCode::BAD_REQUEST, "the body is no JSON object"),
            (
                &format!("{lease}/retry"),
                "",
                StatusCode::NOT_FOUND,
                "There is no parked lease of that id.",
            ),
            (
                "/leases/x/drop",
                r#"{"reason":"gone"}"#,
                StatusCode::NOT_FOUND,
                "There is no parked lease of that id.",
            ),
            (
                &format!("{lease}/drop"),
                r#"{"reason":" "}"#,
                StatusCode::BAD_REQUEST,
                "Dropping a lease needs a reason.",
            ),
        ] {
            let (found, answer) = ask(Method::POST, path, &[], body).await;
            assert_eq!((found, answer["error"].as_str()), (status, Some(sentence)), "{path}");
        }
    }
}
