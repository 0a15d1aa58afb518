//! The interface between the server and the dialects.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderValue;

use crate::body::Body;
use crate::fault::Fault;
use crate::reply::Reply;

/// A request as a surface receives it. Its extensions hold a [`RequestId`](crate::RequestId), a
/// [`Peer`](crate::Peer), a [`Source`](crate::Source) and a [`Slot`](crate::Slot).
pub type Request = http::Request<Body>;

/// Answers the requests of one dialect.
pub trait Surface: Send + Sync + 'static {
    /// Answers `request`. It never fails: a refusal is a reply. The future is dropped when the
    /// client disconnects or the deadline passes; work that must not be cut runs in a task of the
    /// [`Drain`](crate::Drain).
    fn call(&self, request: Request) -> BoxFuture<'_, Reply>;

    /// `path` as a log may show it. A surface whose paths carry a secret hides it here.
    fn logged_path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        Cow::Borrowed(path)
    }

    /// Presents a fault of the layers in this dialect. It must neither panic nor block.
    fn fault(&self, fault: Fault) -> Reply;

    /// As [`Surface::fault`], for a page of `origin`, which the request names: without the CORS
    /// headers a browser hides the fault from the page. A dialect that serves no foreign pages
    /// keeps this default.
    fn fault_for(&self, fault: Fault, origin: Option<&HeaderValue>) -> Reply {
        let _ = origin;
        self.fault(fault)
    }
}

/// The surfaces of a server by path prefix.
#[derive(Clone)]
pub struct Surfaces {
    prefixes: Vec<(String, Arc<dyn Surface>)>,
    default: Arc<dyn Surface>,
}

impl Surfaces {
    /// `default` answers every path under no prefix.
    pub fn new(default: Arc<dyn Surface>) -> Self {
        Self { prefixes: Vec::new(), default }
    }

    /// Routes `prefix` and all paths below it to `surface`. A prefix consists of whole segments:
    /// `/api` covers `/api` and `/api/v2`, not `/apix`; a slash at its end is ignored. The longest
    /// prefix wins; of equal ones the first.
    #[must_use]
    pub fn with(mut self, prefix: &str, surface: Arc<dyn Surface>) -> Self {
        self.prefixes.push((prefix.trim_end_matches('/').to_owned(), surface));
        self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// The surface that answers `path`. The path is compared as it was sent, byte by byte: without
    /// decoding or dot segments.
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
    use crate::reply::ReplyBody;

    struct Named(&'static str);

    impl Surface for Named {
        fn call(&self, _request: Request) -> BoxFuture<'_, Reply> {
            Box::pin(async { self.fault(Fault::NotFound) })
        }

        fn fault(&self, fault: Fault) -> Reply {
            ReplyBody::text(fault.status(), self.0)
        }
    }

    fn answer(surfaces: &Surfaces, path: &str) -> Vec<u8> {
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
            assert_eq!(answer(&surfaces, path), name.as_bytes(), "{path}");
        }
    }
}
