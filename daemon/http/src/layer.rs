//! The layers around a surface: deadline and panic catcher. The third, the limit of requests in
//! work, is [`Slots`](crate::slot::Slots).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderValue, StatusCode};

use crate::escape::panic_text;
use crate::fault::Fault;
use crate::reply::{Reply, ReplyBody};
use crate::surface::{Request, Surface};

/// The reply of `surface` to `request`, or the fault that prevented one.
pub(crate) async fn call(
    surface: &dyn Surface,
    request: Request,
    deadline: Duration,
) -> Result<Reply, Fault> {
    // The call itself is inside the block: a surface may panic before it returns a future.
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

/// The reply of `surface` for `fault`, for a page of `origin`; an empty 500 where that panics too.
pub(crate) fn present(surface: &dyn Surface, fault: Fault, origin: Option<&HeaderValue>) -> Reply {
    std::panic::catch_unwind(AssertUnwindSafe(|| surface.fault_for(fault, origin))).unwrap_or_else(
        |panic| {
            tracing::error!(panic = %panic_text(&*panic), "a surface panicked over a fault");
            ReplyBody::bare(StatusCode::INTERNAL_SERVER_ERROR)
        },
    )
}
