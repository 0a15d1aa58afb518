//! The answer to a request: checked before a plugin sees any of it, and held at the plugin's own
//! cost.
//!
//! Never here: a look at what the answer means.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use wasmtime::component::Resource;

use super::failure;
use crate::call::state::State;
use crate::secrets::guard::Guard;
use crate::secrets::prints::Prints;
use crate::v0;
use crate::v0::http::Failure;

/// Bytes that an answer is charged besides its body.
const ANSWER_COST: usize = 1024;
/// The same for a header, besides its name and value.
const HEADER_COST: usize = 128;
/// Bodies from this length on are searched on a thread of their own, so that they do not hold up
/// other guests.
const LONG: usize = 64 * 1024;

/// The response to a request.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct HttpResponse {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl HttpResponse {
    /// How much memory of the host it holds, in bytes.
    pub(super) fn size(&self) -> usize {
        let header = |(name, value): &(HeaderName, HeaderValue)| {
            HEADER_COST + name.as_str().len() + value.as_bytes().len()
        };
        let headers: usize = self.headers.iter().map(header).sum();
        ANSWER_COST.saturating_add(headers).saturating_add(self.body.len())
    }
}

/// `answer`, if it contains no secret and fits into `room` bytes. `sent`: secrets as they went out
/// in requests of this call.
pub(super) async fn checked(
    answer: Response<Bytes>,
    sent: &Arc<Prints>,
    guard: &Arc<Guard>,
    room: usize,
) -> Result<HttpResponse, Failure> {
    let (head, body) = answer.into_parts();
    // Copied, since they would otherwise keep the whole buffer that they were read into.
    let mut headers = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let copied = (
            HeaderName::from_bytes(name.as_str().as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        );
        if let (Ok(name), Ok(value)) = copied {
            headers.push((name, value));
        }
    }
    drop(head.headers);
    let body = Bytes::copy_from_slice(&body);
    let answer = HttpResponse { status: head.status.as_u16(), headers, body };
    if answer.size() > room {
        let message = format!(
            "the answer does not fit into what this call has left of its memory, {room} bytes"
        );
        return Err(Failure { sent: true, ..failure("too-large", message) });
    }
    if answer.body.len() < LONG {
        return guarded(answer, sent, guard);
    }
    let (sent, guard) = (sent.clone(), guard.clone());
    let searching = tokio::task::spawn_blocking(move || guarded(answer, &sent, &guard));
    searching.await.unwrap_or_else(|_| Err(withheld("the answer could not be searched")))
}

fn withheld(message: &str) -> Failure {
    Failure { sent: true, ..failure("malformed", message) }
}

/// Refuses an answer that contains a secret, or in which that cannot be seen.
fn guarded(answer: HttpResponse, sent: &Prints, guard: &Guard) -> Result<HttpResponse, Failure> {
    if guard.is_idle(sent) {
        return Ok(answer);
    }
    let packed = answer.headers.iter().any(|(name, value)| {
        *name == http::header::CONTENT_ENCODING
            && !value.as_bytes().eq_ignore_ascii_case(b"identity")
    });
    if packed {
        return Err(withheld("the answer is compressed although the request did not ask for it"));
    }
    let holds = |bytes: &[u8]| guard.finds(bytes, sent);
    let headers = answer.headers.iter();
    if holds(&answer.body)
        || headers
            .into_iter()
            .any(|(name, value)| holds(name.as_str().as_bytes()) || holds(value.as_bytes()))
    {
        return Err(withheld(
            "the answer contains a secret of this plugin, or an access token; it is withheld",
        ));
    }
    Ok(answer)
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
        let headers = &self.table.get(&this)?.headers;
        let found = headers.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(&name));
        Ok(found.map(|(_, value)| text(value)))
    }

    fn headers(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<Vec<(String, String)>> {
        let headers = self.table.get(&this)?.headers.iter();
        Ok(headers.map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    fn body(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.body.to_vec())
    }

    fn drop(&mut self, this: Resource<HttpResponse>) -> wasmtime::Result<()> {
        let gone = self.table.delete(this)?;
        self.limits.answers = self.limits.answers.saturating_sub(gone.size());
        Ok(())
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
