//! What the connections of one server share.

use std::sync::Arc;

use crate::drain::Drain;
use crate::options::ServerOptions;
use crate::shares::{Budget, Connections, Rate};
use crate::slot::Slots;
use crate::surface::Surfaces;

pub(super) struct Shared {
    pub(super) options: ServerOptions,
    pub(super) surfaces: Surfaces,
    pub(super) drain: Drain,
    pub(super) slots: Slots,
    pub(super) connections: Arc<Connections>,
    pub(super) bodies: Arc<Budget>,
    pub(super) replies: Arc<Budget>,
    /// `None`: requests in a second are not limited.
    pub(super) rate: Option<Rate>,
    pub(super) http: hyper::server::conn::http1::Builder,
}
