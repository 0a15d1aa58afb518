//! Where a request comes from, for core.

use credsmith_core::caller::Client;
use credsmith_http::{RequestId, Source};
use http::Extensions;

/// Where the request comes from, by what the server noted in its `extensions`.
pub(crate) fn client(extensions: &Extensions) -> Client {
    let Source { address, uid } = Source::of(extensions);
    let request = extensions.get::<RequestId>().map(|id| id.as_str().into());
    Client { address, request, uid }
}
