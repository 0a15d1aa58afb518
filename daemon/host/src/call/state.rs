//! The data of one store: the grants, handles and journal of one call. Made for the call, dropped
//! with it.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::call::grants::Grants;
use crate::call::journal::Journal;
use crate::capability::wasi;
use crate::engine::limits::Limits;
use crate::secrets::prints::Prints;
use crate::v0;

/// Most handles that a call may hold at once, those of WASI included.
const MAX_HANDLES: usize = 1024;

/// The data of one store.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
    pub(crate) journal: Arc<Journal>,
    pub(crate) grants: Arc<Grants>,
    /// The time at which the call is ended at the latest.
    pub(crate) deadline: Instant,
    /// HTTP requests sent so far.
    pub(crate) requests: u32,
    /// Secrets that went out in requests of this call.
    pub(crate) sent_secrets: Arc<Prints>,
}

impl State {
    pub(crate) fn new(
        grants: Arc<Grants>,
        journal: Arc<Journal>,
        memory: usize,
        deadline: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            wasi: wasi::context(&journal, grants.clock),
            table,
            limits: Limits::new(memory),
            journal,
            grants,
            deadline,
            requests: 0,
            sent_secrets: Arc::default(),
        }
    }
}

impl v0::types::Host for State {}
