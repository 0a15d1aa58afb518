//! Logging of failed core calls. Each dialect presents them in its own words.

use credsmith_core::{Error, Kind};

/// Logs a failed core call. To be called once for each error, where it leaves for the client.
pub(crate) fn failure(error: &Error) {
    match (error.kind(), error.cause()) {
        (Kind::Internal, cause) => {
            tracing::error!(%error, cause, "a request failed inside the daemon")
        }
        (_, Some(cause)) => tracing::warn!(%error, cause, "a request was refused"),
        (_, None) => tracing::debug!(%error, "a request was refused"),
    }
}
