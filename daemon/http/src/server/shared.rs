//! What the connections of one server share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::drain::Drain;
use crate::options::ServerOptions;
use crate::slot::Slots;
use crate::surface::Surfaces;

pub(super) struct Shared {
    pub(super) options: ServerOptions,
    pub(super) surfaces: Surfaces,
    pub(super) drain: Drain,
    pub(super) slots: Slots,
    pub(super) connections: Arc<Semaphore>,
    pub(super) http: hyper::server::conn::http1::Builder,
}
