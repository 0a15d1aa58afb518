//! The engine and the threads on which guests run. Built once, shared by every plugin.
//!
//! Guests have a runtime of their own: a busy guest delays only other guests, and by a tick at
//! most. Never here: the permissions of a guest.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use credsmith_core::ports::plugins::Urgency;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::engine::lane::{Busy, Lane, Turn};
use crate::engine::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::engine::ticker::Ticker;
use crate::error::HostError;
use crate::options::HostOptions;

/// Stack of a guest, in bytes: deep recursion ends here.
const GUEST_STACK: usize = 512 * 1024;
/// Stack on which a guest and the host functions under it run.
const CALL_STACK: usize = 2 << 20;
/// Largest bookkeeping of one instance in the host, in bytes. Interpreted languages need most of
/// it.
const INSTANCE_BYTES: usize = 4 << 20;
/// Memories and tables in the pool, for each call that it has room for. Compiled languages need one
/// memory and one or two tables; a plugin that needs more takes the place of several calls.
const MEMORIES: usize = 2;
const TABLES: usize = 8;
/// Slots of the pool that keep their mappings for the next call: as many as a busy service has
/// calls at once.
const WARM_SLOTS: u32 = 32;
/// Bytes of a slot that stay resident, wiped, for the next call. A small guest dirties some twenty
/// pages. Giving them back to the kernel instead interrupts every other processor, and so does each
/// first write of the next guest: more than half of what a call cost.
const KEPT_MEMORY: usize = 128 * 1024;
const KEPT_TABLE: usize = 16 * 1024;

/// A place to run: the plugin's turn and the room of an instance in the pool.
pub(crate) type Place = (Turn, OwnedSemaphorePermit);

/// Everything that runs guests.
pub(crate) struct GuestEngine {
    pub(crate) wasm: Engine,
    pub(crate) ticker: Ticker,
    /// In front of the pool of instances, which would answer with an error where this waits.
    pub(crate) pool: Arc<Semaphore>,
    pub(crate) pool_size: usize,
    pub(crate) max_memory: usize,
    guests: Option<Runtime>,
    guest_handle: Handle,
}

impl GuestEngine {
    /// # Errors
    /// When the engine, a thread or the runtime cannot be made. Address space that is short is no
    /// error: instances are then made one by one.
    pub(crate) fn start(options: &HostOptions) -> Result<Arc<Self>, HostError> {
        let pool_size = options.pool_size.clamp(2, 1024);
        let engine = engine(options, pool_size)?;
        let tick = options.epoch_tick.clamp(Duration::from_millis(1), Duration::from_millis(10));
        let ticker = Ticker::start(&engine, tick)
            .map_err(|why| HostError::new("the guests' clock cannot be started", why))?;
        let guests = Builder::new_multi_thread()
            .worker_threads(options.guest_threads.max(1))
            .thread_name("guests")
            .max_blocking_threads(4)
            // Timers and other wake-ups are looked at after every step of a guest, not after sixty.
            .event_interval(1)
            .enable_time()
            .build()
            .map_err(|why| HostError::new("the guests' threads cannot be started", why))?;
        let pool_size = usize::try_from(pool_size).unwrap_or(2);
        Ok(Arc::new(Self {
            wasm: engine,
            ticker,
            pool: Arc::new(Semaphore::new(pool_size)),
            pool_size,
            max_memory: options.max_memory_bytes,
            guest_handle: guests.handle().clone(),
            guests: Some(guests),
        }))
    }

    /// How many calls' places in the pool a component takes that needs this many memories and
    /// tables: else a few calls of one plugin could use up what all others need.
    pub(crate) fn weight(&self, memories: usize, tables: usize) -> usize {
        memories.div_ceil(MEMORIES).max(tables.div_ceil(TABLES)).clamp(1, self.pool_size)
    }

    /// Waits for `weight` places in the pool.
    pub(crate) async fn places(&self, weight: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let weight = u32::try_from(weight.min(self.pool_size)).unwrap_or(u32::MAX);
        self.pool.clone().acquire_many_owned(weight).await
    }

    /// Waits for a turn in `lane` and then for `weight` places in the pool, both within one
    /// patience.
    pub(crate) async fn place(
        &self,
        lane: &Arc<Lane>,
        weight: usize,
        urgency: Urgency,
        patience: Duration,
    ) -> Result<Place, Busy> {
        let begun = Instant::now();
        let turn = lane.turn(urgency, patience).await?;
        let left = patience.saturating_sub(begun.elapsed());
        match timeout(left, self.places(weight)).await {
            Ok(Ok(permit)) => Ok((turn, permit)),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }

    /// The runtime of the guests.
    pub(crate) fn guests(&self) -> &Handle {
        &self.guest_handle
    }
}

impl Drop for GuestEngine {
    fn drop(&mut self) {
        // A runtime that is simply dropped waits for its threads, which no asynchronous caller may
        // do.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

fn engine(options: &HostOptions, pool_size: u32) -> Result<Engine, HostError> {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options, pool_size)));
    match Engine::new(&config) {
        Ok(engine) => return Ok(engine),
        Err(why) => tracing::warn!(
            pool_size,
            cause = format!("{why:#}"),
            "the pool of plugin instances cannot be reserved; each call now makes its own, which is slower. A larger limit of address \
             space (ulimit -v) or a smaller pool helps"
        ),
    }
    Engine::new(&base())
        .map_err(|why| HostError::new("the plugin engine cannot be started", format!("{why:#}")))
}

/// The configuration that decides what compiled code looks like.
pub(crate) fn base() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_init_cow(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(CALL_STACK)
        .wasm_backtrace_max_frames(None)
        .parallel_compilation(thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));
    config
}

fn pool(options: &HostOptions, size: u32) -> PoolingAllocationConfig {
    let limit = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(size)
        .max_core_instances_per_component(limit(MAX_INSTANCES))
        .max_memories_per_component(limit(MAX_MEMORIES))
        .max_tables_per_component(limit(MAX_TABLES))
        .total_core_instances(size.saturating_mul(limit(MAX_INSTANCES)))
        .total_memories(size.saturating_mul(limit(MEMORIES)).max(limit(MAX_MEMORIES)))
        .total_tables(size.saturating_mul(limit(TABLES)).max(limit(MAX_TABLES)))
        .total_stacks(size)
        .max_memory_size(options.max_memory_bytes)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS);
    // Only where the kernel (6.7 and later) reports which pages are dirty: wiping every page that
    // might be costs more than it saves.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEPT_MEMORY)
            .table_keep_resident(KEPT_TABLE);
    }
    pool
}
