//! The layers around a surface: deadline and panic catcher. The third, the limit of requests in
//! work, is [`Slots`](crate::slot::Slots).

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderValue, StatusCode};

use crate::escape::Escaped;
use crate::{Fault, Reply, ReplyBody, Request, Surface};

/// How much of a panic's text is logged.
const PANIC_CHARS: usize = 500;

/// What `surface` says to `request`, or the fault that kept it from saying anything.
pub(crate) async fn ask(
    surface: &dyn Surface,
    request: Request,
    deadline: Duration,
) -> Result<Reply, Fault> {
    // The call itself is inside: a surface may panic before it has made a future.
    let answer = AssertUnwindSafe(async move { surface.call(request).await }).catch_unwind();
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(panic)) => {
            tracing::error!(panic = %panic_text(&*panic), "a request handler panicked");
            Err(Fault::Panicked)
        }
        Err(_) => Err(Fault::Deadline),
    }
}

/// `fault` in the words of `surface`, for a page of `origin`; bare, where even that panics.
pub(crate) fn word(surface: &dyn Surface, fault: Fault, origin: Option<&HeaderValue>) -> Reply {
    std::panic::catch_unwind(AssertUnwindSafe(|| surface.fault_for(fault, origin))).unwrap_or_else(
        |panic| {
            tracing::error!(panic = %panic_text(&*panic), "a surface panicked over a fault");
            ReplyBody::bare(StatusCode::INTERNAL_SERVER_ERROR)
        },
    )
}

/// What a panic said, fit for the log.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    Escaped { text, limit: PANIC_CHARS }.to_string()
}
