//! The import `http`: requests that the plugin builds and the host completes with secrets, checks
//! and sends.
//!
//! Three guards stand here: a secret goes only where the configuration binds it; nothing that a
//! plugin or a secret contains can add a header or a request; an answer that contains a secret of
//! this call is withheld. Which hosts may be dialled at all, and by which address, is the client's
//! to guard. Never here: a redirect followed, an answer decompressed.

pub(crate) mod escape;
pub(crate) mod transport;

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use credsmith_core::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use url::Url;
use wasmtime::component::Resource;
use zeroize::Zeroizing;

use crate::call::state::State;
use crate::secrets::{Endpoint, GuardedSecret, SecretHandle};
use crate::v0::http::Failure;
use crate::{text, v0};

const MAX_URL: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Bytes that a request under construction is charged besides its texts.
const EXCHANGE_COST: usize = 1024;
/// The same for a header, or a secret, in it.
const PART_COST: usize = 256;
/// Most bytes that all requests under construction of one call hold besides two bodies.
const HEADS: usize = 1 << 20;
/// The syntaxes in which a server is likely to show a secret that it was sent.
const SYNTAXES: [&str; 4] = ["raw", "json", "form", "xml"];

/// Headers that are the client's own business, and those by which an answer could come back in
/// pieces or packed, so that a secret in it would not be seen.
const RESERVED: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// A request under construction.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Exchange {
    method: Method,
    url: Option<Url>,
    headers: HeaderMap,
    header_bytes: usize,
    body: Zeroizing<Vec<u8>>,
    max_body: usize,
    secrets: Vec<Arc<GuardedSecret>>,
    /// The bytes that were sent in place of a secret: they must not come back.
    inserted: Vec<Secret>,
    /// The first fault. It is reported when the request is sent.
    fault: Option<Failure>,
}

/// The response to a request.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct HttpResponse {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), message: message.into(), retry: false, sent: false }
}

impl Exchange {
    fn new(method: &str, url: &str, max_body: usize) -> Self {
        let mut fault = None;
        let method = match Method::from_bytes(method.as_bytes()) {
            Ok(method) if method != Method::TRACE && method != Method::CONNECT => method,
            _ => {
                fault = Some(failure("malformed", "expected a method such as GET or POST"));
                Method::GET
            }
        };
        let parsed = checked_url(url);
        let url = match parsed {
            Ok(url) => Some(url),
            Err(why) => {
                fault.get_or_insert(why);
                None
            }
        };
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            header_bytes: 0,
            body: Zeroizing::default(),
            max_body,
            secrets: Vec::new(),
            inserted: Vec::new(),
            fault,
        }
    }

    /// Records a fault and drops the content: a request with a fault is never sent.
    fn fail(&mut self, why: Failure) {
        self.fault.get_or_insert(why);
        self.headers = HeaderMap::new();
        self.header_bytes = 0;
        self.body = Zeroizing::default();
        self.secrets = Vec::new();
        self.inserted = Vec::new();
    }

    /// CallLabels how much memory of the host it holds, in bytes.
    fn size(&self) -> usize {
        let url = self.url.as_ref().map_or(0, |url| url.as_str().len());
        let inserted: usize = self.inserted.iter().map(|secret| secret.expose().len()).sum();
        let parts = self.headers.len().saturating_add(self.secrets.len()).saturating_mul(PART_COST);
        [url, inserted, parts, self.header_bytes, self.body.len()]
            .into_iter()
            .fold(EXCHANGE_COST, usize::saturating_add)
    }

    fn add_header(&mut self, name: &str, value: &[u8], sensitive: bool) {
        if self.fault.is_some() {
            return;
        }
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return self
                .fail(failure("malformed", "a header name has characters that none may have"));
        };
        if RESERVED.contains(&header.as_str()) {
            return self
                .fail(failure("malformed", format!("the header `{header}` is the host's to set")));
        }
        let Ok(mut value) = HeaderValue::from_bytes(value) else {
            return self.fail(failure(
                "malformed",
                format!("the value of `{header}` has a line end or another control character"),
            ));
        };
        value.set_sensitive(sensitive);
        self.header_bytes =
            self.header_bytes.saturating_add(header.as_str().len()).saturating_add(value.len());
        if self.headers.len() >= MAX_HEADERS || self.header_bytes > MAX_HEADER_BYTES {
            return self.fail(failure(
                "too-large",
                format!("more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them"),
            ));
        }
        self.headers.append(header, value);
    }

    fn add_secret_header(&mut self, name: &str, prefix: &str, secret: &Arc<GuardedSecret>) {
        let value = Zeroizing::new([prefix.as_bytes(), secret.value.expose()].concat());
        self.add_header(name, &value, true);
        self.note_secret(secret);
    }

    fn add_basic_auth(&mut self, user: &str, password: &Arc<GuardedSecret>) {
        if user.contains(':') || user.chars().any(char::is_control) {
            return self.fail(failure(
                "malformed",
                "a user name for basic authentication has no colon and no control character",
            ));
        }
        let pair = Zeroizing::new([user.as_bytes(), b":", password.value.expose()].concat());
        let encoded = Zeroizing::new(STANDARD.encode(&*pair));
        let value = Zeroizing::new(format!("Basic {}", *encoded));
        self.add_header("authorization", value.as_bytes(), true);
        self.note_secret(password);
        remember(&mut self.inserted, encoded.as_bytes());
    }

    fn add_body(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if self.body.len().saturating_add(bytes.len()) > self.max_body {
            return self.fail(failure(
                "too-large",
                format!("the request's body is longer than {} bytes", self.max_body),
            ));
        }
        // A buffer that grows leaves copies behind: the content of the body is therefore copied
        // into a buffer that wipes itself.
        if self.body.capacity() - self.body.len() < bytes.len() {
            let mut larger = Zeroizing::new(Vec::with_capacity(
                (self.body.len() + bytes.len()).saturating_mul(2),
            ));
            larger.extend_from_slice(&self.body);
            self.body = larger;
        }
        self.body.extend_from_slice(bytes);
    }

    fn add_secret_body(&mut self, syntax: &str, secret: &Arc<GuardedSecret>) {
        match escape::escaped(syntax, secret.value.expose()) {
            Ok(escaped) => {
                self.add_body(&escaped);
                self.note_secret(secret);
            }
            Err(why) => {
                self.fail(failure("malformed", format!("the secret `{}` {why}", secret.name)))
            }
        }
    }

    /// A server that echoes a request spells it in the syntax of its answer, which may be another
    /// than the request's.
    fn note_secret(&mut self, secret: &Arc<GuardedSecret>) {
        if self.fault.is_some() || self.secrets.iter().any(|known| Arc::ptr_eq(known, secret)) {
            return;
        }
        self.secrets.push(secret.clone());
        for spelled in
            SYNTAXES.iter().filter_map(|syntax| escape::escaped(syntax, secret.value.expose()).ok())
        {
            remember(&mut self.inserted, &spelled);
        }
    }

    /// The request, if nothing was wrong with it and each secret in it may go where it goes. What
    /// is refused once stays refused: trying again must not send what is left of it.
    fn finish(&mut self) -> Result<Request<Bytes>, Failure> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.checked().inspect_err(|why| self.fail(why.clone()))
    }

    fn checked(&mut self) -> Result<Request<Bytes>, Failure> {
        let url =
            self.url.take().ok_or_else(|| failure("malformed", "the request was sent already"))?;
        let endpoint =
            Endpoint::of(&url).ok_or_else(|| failure("malformed", "the URL names no host"))?;
        if let Some(secret) = self.secrets.iter().find(|secret| !secret.may_go_to(&endpoint)) {
            let message =
                format!("the configuration does not let `{}` go to {endpoint}", secret.name);
            return Err(failure("not-granted", message));
        }
        let mut request = Request::new(Bytes::from(std::mem::take(&mut *self.body)));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = std::mem::take(&mut self.headers);
        self.header_bytes = 0;
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| failure("malformed", "the URL cannot be sent"))?;
        Ok(request)
    }
}

/// Adds `secret` to `known` once: a plugin may insert the same one as often as it likes.
fn remember(known: &mut Vec<Secret>, secret: &[u8]) {
    if !known.iter().any(|other| other.verify(secret)) {
        known.push(Secret::new(secret));
    }
}

fn checked_url(url: &str) -> Result<Url, Failure> {
    if url.len() > MAX_URL {
        return Err(failure("too-large", format!("the URL is longer than {MAX_URL} bytes")));
    }
    let mut parsed =
        Url::parse(url).map_err(|why| failure("malformed", format!("not a URL: {why}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(failure("malformed", "expected a URL of http or https"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(failure("malformed", "a URL here has no user and no password; use basic-auth"));
    }
    parsed.set_fragment(None);
    Ok(parsed)
}

/// Refuses an answer in which one of `secrets` came back, or in which that cannot be seen.
fn check_answer(answer: &Response<Bytes>, secrets: &[Secret]) -> Result<(), Failure> {
    if secrets.is_empty() {
        return Ok(());
    }
    let sent = |message: &str| Failure { sent: true, ..failure("malformed", message) };
    let packed = answer.headers().get_all(http::header::CONTENT_ENCODING);
    if packed.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(sent("the answer is compressed although the request did not ask for it"));
    }
    let holds = |bytes: &[u8]| secrets.iter().any(|secret| text::contains(bytes, secret.expose()));
    let headers = answer.headers().iter();
    if holds(answer.body()) || headers.into_iter().any(|(_, value)| holds(value.as_bytes())) {
        return Err(sent("the answer contains a secret that this call sent; it is withheld"));
    }
    Ok(())
}

impl v0::http::Host for State {}

impl v0::http::HostExchange for State {
    fn new(&mut self, method: String, url: String) -> wasmtime::Result<Resource<Exchange>> {
        let exchange = Exchange::new(&method, &url, self.grants.http_limits.request_bytes);
        self.held = self.held.saturating_add(exchange.size());
        let exchange = self.table.push(exchange)?;
        self.change(&exchange, |_| ())?;
        Ok(exchange)
    }

    fn header(
        &mut self,
        this: Resource<Exchange>,
        name: String,
        value: String,
    ) -> wasmtime::Result<()> {
        self.change(&this, |exchange| exchange.add_header(&name, value.as_bytes(), false))
    }

    fn header_secret(
        &mut self,
        this: Resource<Exchange>,
        name: String,
        prefix: String,
        secret: Resource<SecretHandle>,
    ) -> wasmtime::Result<()> {
        let secret = self.table.get(&secret)?.0.clone();
        self.change(&this, |exchange| exchange.add_secret_header(&name, &prefix, &secret))
    }

    fn basic_auth(
        &mut self,
        this: Resource<Exchange>,
        user: String,
        password: Resource<SecretHandle>,
    ) -> wasmtime::Result<()> {
        let password = self.table.get(&password)?.0.clone();
        self.change(&this, |exchange| exchange.add_basic_auth(&user, &password))
    }

    fn body(&mut self, this: Resource<Exchange>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.change(&this, |exchange| exchange.add_body(&bytes))
    }

    fn body_secret(
        &mut self,
        this: Resource<Exchange>,
        syntax: String,
        secret: Resource<SecretHandle>,
    ) -> wasmtime::Result<()> {
        let secret = self.table.get(&secret)?.0.clone();
        self.change(&this, |exchange| exchange.add_secret_body(&syntax, &secret))
    }

    async fn send(
        &mut self,
        this: Resource<Exchange>,
    ) -> wasmtime::Result<Result<Resource<HttpResponse>, Failure>> {
        match self.send_exchange(&this).await? {
            Ok(answer) => Ok(Ok(self.table.push(answer)?)),
            Err(failure) => Ok(Err(failure)),
        }
    }

    fn drop(&mut self, this: Resource<Exchange>) -> wasmtime::Result<()> {
        let gone = self.table.delete(this)?;
        self.held = self.held.saturating_sub(gone.size());
        Ok(())
    }
}

impl State {
    /// Changes a request under construction, within the limit of all of them together: a plugin's
    /// memory is limited, so the memory that the host keeps for it has to be as well.
    fn change(
        &mut self,
        this: &Resource<Exchange>,
        change: impl FnOnce(&mut Exchange),
    ) -> wasmtime::Result<()> {
        let most = self.grants.http_limits.request_bytes.saturating_mul(2).saturating_add(HEADS);
        let exchange = self.table.get_mut(this)?;
        let others = self.held.saturating_sub(exchange.size());
        change(exchange);
        if others.saturating_add(exchange.size()) > most {
            exchange.fail(failure(
                "too-large",
                format!(
                    "the requests that this call has begun and not sent hold more than {most} bytes"
                ),
            ));
        }
        self.held = others.saturating_add(exchange.size());
        Ok(())
    }

    async fn send_exchange(
        &mut self,
        this: &Resource<Exchange>,
    ) -> wasmtime::Result<Result<HttpResponse, Failure>> {
        let Some(transport) = self.grants.http.clone() else {
            return Ok(Err(failure("not-granted", "there is no HTTP in this operation")));
        };
        let limits = self.grants.http_limits;
        if self.requests >= limits.requests {
            return Ok(Err(failure(
                "too-many",
                format!("a call may send {} requests", limits.requests),
            )));
        }
        let exchange = self.table.get_mut(this)?;
        let others = self.held.saturating_sub(exchange.size());
        let finished = exchange.finish();
        let inserted = std::mem::take(&mut exchange.inserted);
        self.held = others.saturating_add(exchange.size());
        let request = match finished {
            Ok(request) => request,
            Err(why) => return Ok(Err(why)),
        };
        for secret in inserted {
            remember(&mut self.sent_secrets, secret.expose());
        }
        self.requests += 1;
        let own = Instant::now().checked_add(limits.timeout);
        let deadline = own.map_or(self.deadline, |own| own.min(self.deadline));
        if !self.journal.begin_request() {
            wasmtime::bail!("the call has ended");
        }
        let answer = transport.send(request, deadline, limits.response_bytes).await;
        self.journal.end_request(answer.as_ref().map_or_else(|why| why.sent, |_| true));
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = check_answer(&answer, &self.sent_secrets) {
            return Ok(Err(why));
        }
        let (head, body) = answer.into_parts();
        Ok(Ok(HttpResponse { status: head.status.as_u16(), headers: head.headers, body }))
    }
}

impl v0::http::HostResponse for State {
    fn status(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&this)?.status)
    }

    fn header(
        &mut self,
        this: Resource<HttpResponse>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        let value = self.table.get(&this)?.headers.get(name.as_str());
        Ok(value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
    }

    fn headers(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<Vec<(String, String)>> {
        let headers = self.table.get(&this)?.headers.iter();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(headers.map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    fn body(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.body.to_vec())
    }

    fn drop(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
