//! The resources that one call may take: memory, tables, instances.

use wasmtime::{ResourceLimiter, Result, bail};

/// Most core instances in one component. Interpreted languages come as a hundred and more linked
/// modules.
pub(crate) const MAX_INSTANCES: usize = 200;
/// Most tables in one component.
pub(crate) const MAX_TABLES: usize = 100;
/// Most entries of one table.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 50_000;
/// Most linear memories in one component.
pub(crate) const MAX_MEMORIES: usize = 4;

/// The limits of one call. All linear memories share one allowance, and what the host holds for the
/// call comes out of it, too: else a plugin could have the host keep what it may not keep itself.
#[derive(Debug)]
pub(crate) struct Limits {
    memory: usize,
    used: usize,
    /// Bytes of answers to requests that the call holds.
    pub(crate) answers: usize,
    /// Bytes of requests that it has begun and not sent.
    pub(crate) requests: usize,
}

impl Limits {
    /// `memory`: bytes of linear memory, all memories together.
    pub(crate) fn new(memory: usize) -> Self {
        Self { memory, used: 0, answers: 0, requests: 0 }
    }

    fn taken(&self) -> usize {
        self.used.saturating_add(self.answers).saturating_add(self.requests)
    }

    /// Bytes that are left.
    pub(crate) fn room(&self) -> usize {
        self.memory.saturating_sub(self.taken())
    }

    /// Bytes that all requests under construction may have.
    pub(crate) fn for_requests(&self) -> usize {
        self.memory.saturating_sub(self.used).saturating_sub(self.answers)
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        if self.taken().saturating_add(growth) > self.memory {
            bail!("it asked for more than its {} bytes of memory", self.memory);
        }
        self.used = self.used.saturating_add(growth);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > MAX_TABLE_ELEMENTS {
            bail!("it asked for a table of more than {MAX_TABLE_ELEMENTS} entries");
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_share_one_allowance() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(limits.memory_growing(0, 40, None).unwrap());
        assert!(limits.memory_growing(40, 41, None).is_err());
    }

    #[test]
    fn answers_that_are_held_are_memory() {
        let mut limits = Limits::new(100);
        assert!(limits.memory_growing(0, 60, None).unwrap());
        limits.answers = 30;
        assert_eq!(limits.room(), 10);
        limits.requests = 5;
        assert_eq!((limits.room(), limits.for_requests()), (5, 10));
        assert!(limits.memory_growing(60, 66, None).is_err());
        limits.answers = 0;
        assert!(limits.memory_growing(60, 66, None).unwrap());
    }

    #[test]
    fn a_growth_beyond_the_guests_own_maximum_costs_nothing() {
        let mut limits = Limits::new(100);
        assert!(!limits.memory_growing(0, 60, Some(50)).unwrap());
        assert!(limits.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn tables_are_bounded() {
        let mut limits = Limits::new(0);
        assert!(limits.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(limits.table_growing(0, MAX_TABLE_ELEMENTS + 1, None).is_err());
    }
}
