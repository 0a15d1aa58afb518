//! Scripted answers, and the requests that a plugin sent.

use std::fmt;

/// An answer of the script.
#[derive(Debug, Clone)]
pub struct Reply(pub(super) Answer);

#[derive(Debug, Clone)]
pub(super) enum Answer {
    Response { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    Failure { code: String, sent: bool, retry: bool },
}

impl Reply {
    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self(Answer::Response { status, headers: Vec::new(), body: Vec::new() })
    }

    /// A status with a JSON body.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::status(status).header("content-type", "application/json").body(value.to_string())
    }

    /// The answer with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Answer::Response { headers, .. } = &mut self.0 {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// The answer with this body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Answer::Response { body, .. } = &mut self.0 {
            *body = bytes.into();
        }
        self
    }

    /// No answer, and the request never left. `code` as in the contract: connect, resolve,
    /// not-granted ...
    pub fn not_sent(code: &str) -> Self {
        Self(Answer::Failure {
            code: code.into(),
            sent: false,
            retry: matches!(code, "connect" | "resolve" | "timeout"),
        })
    }

    /// No answer, although the request may have arrived.
    pub fn lost() -> Self {
        Self(Answer::Failure { code: "timeout".into(), sent: true, retry: true })
    }
}

/// A piece of a header or body.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Plain(Vec<u8>),
    /// A secret by name, and as it was written.
    Secret {
        name: String,
        written: String,
    },
}

/// A request that a plugin sent.
#[derive(Clone)]
pub struct Sent {
    /// GET, POST ...
    pub method: String,
    /// As the plugin wrote it.
    pub url: String,
    headers: Vec<(String, Vec<Piece>)>,
    body: Vec<Piece>,
}

impl Sent {
    fn new(method: &str, url: &str) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A header, a secret in it shown as `{secret:NAME}`: proof that the plugin passed the handle
    /// and not the value.
    pub fn header(&self, name: &str) -> Option<String> {
        self.pieces(name).map(shown)
    }

    /// A header as the server gets it.
    pub fn header_on_the_wire(&self, name: &str) -> Option<String> {
        self.pieces(name).map(|pieces| lossy(&written(pieces)))
    }

    /// The body as text, secrets in it shown as `{secret:NAME}`.
    pub fn body(&self) -> String {
        shown(&self.body)
    }

    /// The body as the server gets it.
    pub fn body_on_the_wire(&self) -> Vec<u8> {
        written(&self.body)
    }

    /// The body as JSON, secrets in it shown as `{secret:NAME}`; `null` when it is no JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body()).unwrap_or_default()
    }

    fn pieces(&self, name: &str) -> Option<&[Piece]> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, pieces)| pieces.as_slice())
    }

    fn set(&mut self, name: &str, pieces: Vec<Piece>) {
        self.headers.push((name.into(), pieces));
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, pieces)| (name, shown(pieces))).collect();
        f.debug_struct("Sent")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &headers)
            .field("body", &self.body())
            .finish()
    }
}

fn shown(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Plain(bytes) => lossy(bytes),
        Piece::Secret { name, .. } => format!("{{secret:{name}}}"),
    };
    pieces.iter().map(text).collect()
}

fn written(pieces: &[Piece]) -> Vec<u8> {
    let bytes = |piece: &Piece| match piece {
        Piece::Plain(bytes) => bytes.clone(),
        Piece::Secret { written, .. } => written.clone().into_bytes(),
    };
    pieces.iter().flat_map(bytes).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The calls of the contract.
pub(crate) mod imports {
    use std::cell::RefCell;

    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::{Answer, Piece, Sent};
    use crate::testing::imports::settings::Secret;
    use crate::testing::world::{Phase, current};

    /// A request in the making.
    pub(crate) struct Exchange(RefCell<Sent>);

    /// An answer.
    #[derive(Debug)]
    pub(crate) struct Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    }

    /// No answer.
    #[derive(Debug)]
    pub(crate) struct Failure {
        pub(crate) code: String,
        pub(crate) message: String,
        pub(crate) retry: bool,
        pub(crate) sent: bool,
    }

    impl Exchange {
        /// Begins one.
        pub(crate) fn new(method: &str, url: &str) -> Self {
            Self(RefCell::new(Sent::new(method, url)))
        }

        /// Adds a header.
        pub(crate) fn header(&self, name: &str, value: &str) {
            self.0.borrow_mut().set(name, vec![plain(value)]);
        }

        /// Adds a header that ends in a secret.
        pub(crate) fn header_secret(&self, name: &str, prefix: &str, secret: &Secret) {
            let value = secret.0.value.clone();
            self.0.borrow_mut().set(name, vec![plain(prefix), named(secret, value)]);
        }

        /// Adds basic authentication. The wire form shows user and password joined, not their
        /// base64.
        pub(crate) fn basic_auth(&self, user: &str, password: &Secret) {
            let value = password.0.value.clone();
            self.0.borrow_mut().set(
                "authorization",
                vec![plain(&format!("Basic {user}:")), named(password, value)],
            );
        }

        /// Appends to the body.
        pub(crate) fn body(&self, bytes: &[u8]) {
            self.0.borrow_mut().body.push(Piece::Plain(bytes.into()));
        }

        /// Appends a secret to the body.
        pub(crate) fn body_secret(&self, syntax: &str, secret: &Secret) {
            let written = escaped(syntax, &secret.0.value);
            self.0.borrow_mut().body.push(named(secret, written));
        }

        /// Takes the next answer of the script.
        pub(crate) fn send(&self) -> Result<Response, Failure> {
            let world = current();
            let sent = self.0.borrow().clone();
            if world.phase.get() != Phase::Call {
                world.problem(format!(
                    "{} {} was sent from where there is no http",
                    sent.method, sent.url
                ));
                return Err(failure("not-granted", false, false));
            }
            let Some(reply) = world.replies.borrow_mut().pop_front() else {
                world.problem(format!("no reply was scripted for {} {}", sent.method, sent.url));
                return Err(failure("connect", false, true));
            };
            world.sent.borrow_mut().push(sent);
            match reply.0 {
                Answer::Failure { code, sent, retry } => Err(failure(&code, sent, retry)),
                Answer::Response { status, mut headers, body } => {
                    if world.grease {
                        headers.push(("x-grease".into(), "ignored by every plugin".into()));
                    }
                    Ok(Response { status, headers, body })
                }
            }
        }
    }

    impl Response {
        /// The status code.
        pub(crate) fn status(&self) -> u16 {
            self.status
        }

        /// A header.
        pub(crate) fn header(&self, name: &str) -> Option<String> {
            self.headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        }

        /// Every header.
        pub(crate) fn headers(&self) -> Vec<(String, String)> {
            self.headers.clone()
        }

        /// The body.
        pub(crate) fn body(&self) -> Vec<u8> {
            self.body.clone()
        }
    }

    fn failure(code: &str, sent: bool, retry: bool) -> Failure {
        Failure { code: code.into(), message: format!("scripted failure: {code}"), retry, sent }
    }

    fn plain(text: &str) -> Piece {
        Piece::Plain(text.into())
    }

    fn named(secret: &Secret, written: String) -> Piece {
        Piece::Secret { name: secret.0.name.clone(), written }
    }

    fn escaped(syntax: &str, value: &str) -> String {
        match syntax {
            "json" => serde_json::Value::from(value).to_string().trim_matches('"').to_owned(),
            "form" => utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
            "xml" => value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;"),
            _ => value.to_owned(),
        }
    }
}
