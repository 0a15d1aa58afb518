//! What operators and their tools ask over the admin socket: `/healthz` (the process answers) and `/readyz` (it can do its work, or why
//! not). Never on a public listener: the reasons name internals.

use std::sync::Arc;

use credsmith_http::{Fault, Quiet, Reply, ReplyBody, Request, Surface};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

/// Whether the daemon can do its work.
pub trait Readiness: Send + Sync + 'static {
    /// Why not, one sentence each; empty when ready.
    fn obstacles(&self) -> Vec<String>;
    /// What an operator should know although the daemon is ready: a provider that is down, a disabled service.
    fn warnings(&self) -> Vec<String>;
}

/// The operators' surface.
pub struct Ops {
    readiness: Arc<dyn Readiness>,
}

impl Ops {
    /// A surface that asks `readiness`.
    pub fn new(readiness: Arc<dyn Readiness>) -> Self {
        Self { readiness }
    }

    fn answer(&self, request: &Request) -> Reply {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return self.fault(Fault::MethodNotAllowed { allow: "GET, HEAD" });
        }
        match request.uri().path() {
            "/healthz" => quiet(StatusCode::OK, &json!({ "status": "ok" })),
            "/readyz" => self.ready(),
            _ => self.fault(Fault::NotFound),
        }
    }

    fn ready(&self) -> Reply {
        let obstacles = self.readiness.obstacles();
        let ready = obstacles.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        quiet(status, &json!({ "ready": ready, "reasons": obstacles, "warnings": self.readiness.warnings() }))
    }
}

impl Surface for Ops {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        async move { self.answer(&request) }.boxed()
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

    fn ask(method: Method, path: &str, reasons: &[&str]) -> (StatusCode, Value) {
        let ops = Ops::new(Arc::new(Fixed(reasons.iter().map(ToString::to_string).collect())));
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let reply = ops.answer(&request);
        (reply.status(), serde_json::from_slice(reply.body().bytes()).unwrap())
    }

    #[test]
    fn health_is_not_readiness() {
        assert_eq!(ask(Method::GET, "/healthz", &["no"]).0, StatusCode::OK);
        let (status, body) = ask(Method::GET, "/readyz", &["the clock jumped"]);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body,
            json!({ "ready": false, "reasons": ["the clock jumped"], "warnings": ["provider `x` is down"] })
        );
        assert_eq!(ask(Method::GET, "/readyz", &[]).0, StatusCode::OK);
    }

    #[test]
    fn other_requests_get_a_json_no() {
        assert_eq!(ask(Method::POST, "/readyz", &[]).0, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(Method::GET, "/", &[]).0, StatusCode::NOT_FOUND);
    }
}
