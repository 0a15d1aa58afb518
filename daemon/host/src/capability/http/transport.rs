//! From the guests' runtime to the daemon's HTTP client and back.
//!
//! Connections live on the daemon's runtime: a busy guest must not slow the network of others.
//! Never here: a choice of destination.

use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use credsmith_http::client::{CallLimits, Client};
use http::{Request, Response};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::v0::http::Failure;

/// Sends a request that has passed every check of the capability.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// One request, one answer of at most `most` bytes, both before `deadline`.
    async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
        most: usize,
    ) -> Result<Response<Bytes>, Failure>;
}

/// The client of one service.
pub(crate) struct ServiceClient {
    client: Client,
    network: Handle,
}

impl ServiceClient {
    /// `network`: the runtime on which connections live.
    pub(crate) fn new(client: Client, network: Handle) -> Self {
        Self { client, network }
    }
}

#[async_trait]
impl Transport for ServiceClient {
    async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
        most: usize,
    ) -> Result<Response<Bytes>, Failure> {
        let client = self.client.clone();
        let limits = CallLimits {
            deadline: deadline.saturating_duration_since(Instant::now()),
            max_response_bytes: most,
        };
        let sending = self.network.spawn(async move { client.send(request, limits).await });
        match AbortOnDropHandle::new(sending).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(Failure {
                code: why.code.as_str().to_owned(),
                message: why.message,
                retry: why.retry,
                sent: why.sent,
            }),
            // The runtime is ending, or the client broke: how far the request came is unknown.
            Err(_) => Err(Failure {
                code: "connect".to_owned(),
                message: "the request was cut short in the host".to_owned(),
                retry: false,
                sent: true,
            }),
        }
    }
}
