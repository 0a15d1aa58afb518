//! The seam between the server and whoever answers.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderValue;

use crate::{Body, Fault, ReplyBody};

/// A request as a surface gets it. Its extensions hold a [`RequestId`](crate::RequestId), a
/// [`Peer`](crate::Peer) and a [`Slot`](crate::Slot).
pub type Request = http::Request<Body>;

/// An answer. A surface may put [`Upgrade`](crate::Upgrade) or [`Quiet`](crate::Quiet) into its
/// extensions.
pub type Reply = http::Response<ReplyBody>;

/// Somebody who answers requests in one dialect.
pub trait Surface: Send + Sync + 'static {
    /// Answers. It never fails: it knows how to say no. The future is dropped when the client hangs
    /// up or the deadline passes; work that must not be cut runs in a task of the
    /// [`Drain`](crate::Drain).
    fn call(&self, request: Request) -> BoxFuture<'_, Reply>;

    /// `path` as a log may show it. A surface whose paths carry something that opens a door hides
    /// it here.
    fn logged_path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        Cow::Borrowed(path)
    }

    /// Words a fault of the layers in this dialect. It must not panic and takes no time.
    fn fault(&self, fault: Fault) -> Reply;

    /// The same for a page of `origin`, the one that the request names: without the headers that
    /// let a page see an answer, a browser keeps the fault from it. A dialect that no pages of
    /// others call need not do anything.
    fn fault_for(&self, fault: Fault, origin: Option<&HeaderValue>) -> Reply {
        let _ = origin;
        self.fault(fault)
    }
}

/// Which surface answers which paths.
#[derive(Clone)]
pub struct Surfaces {
    prefixes: Vec<(String, Arc<dyn Surface>)>,
    default: Arc<dyn Surface>,
}

impl Surfaces {
    /// `default` answers every path that no prefix claims.
    pub fn new(default: Arc<dyn Surface>) -> Self {
        Self { prefixes: Vec::new(), default }
    }

    /// Gives `prefix` and all below it to `surface`. A prefix consists of whole segments: `/api`
    /// claims `/api` and `/api/v2`, not `/apix`; a slash at its end means nothing. The longest
    /// prefix wins; of equal ones the first.
    #[must_use]
    pub fn with(mut self, prefix: &str, surface: Arc<dyn Surface>) -> Self {
        self.prefixes.push((prefix.trim_end_matches('/').to_owned(), surface));
        self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// Who answers for `path`. The path is compared as it was sent, byte by byte: no decoding, no
    /// dot segments.
    pub fn find(&self, path: &str) -> &Arc<dyn Surface> {
        self.prefixes
            .iter()
            .find(|(prefix, _)| {
                path.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map_or(&self.default, |(_, surface)| surface)
    }
}

impl fmt::Debug for Surfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.prefixes.iter().map(|(prefix, _)| prefix)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl Surface for Named {
        fn call(&self, _request: Request) -> BoxFuture<'_, Reply> {
            Box::pin(async { self.fault(Fault::NotFound) })
        }

        fn fault(&self, fault: Fault) -> Reply {
            ReplyBody::text(fault.status(), self.0)
        }
    }

    fn who(surfaces: &Surfaces, path: &str) -> Vec<u8> {
        surfaces.find(path).fault(Fault::NotFound).body().bytes().to_vec()
    }

    #[test]
    fn the_longest_whole_prefix_wins() {
        let surfaces = Surfaces::new(Arc::new(Named("rest")))
            .with("/api", Arc::new(Named("api")))
            .with("/api/v9/", Arc::new(Named("nine")))
            .with("/v1", Arc::new(Named("vault")));
        for (path, name) in [
            ("/api", "api"),
            ("/api/", "api"),
            ("/api/v2/x", "api"),
            ("/apix", "rest"),
            ("/API", "rest"),
            ("/api/v9", "nine"),
            ("/api/v9/x", "nine"),
            ("/api/v90", "api"),
            ("/v1/x", "vault"),
            ("/x/v1", "rest"),
            ("/", "rest"),
            ("", "rest"),
            ("*", "rest"),
            ("//api", "rest"),
        ] {
            assert_eq!(who(&surfaces, path), name.as_bytes(), "{path}");
        }
    }
}
