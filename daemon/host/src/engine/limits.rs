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

/// The limits of one call. All linear memories share one allowance.
#[derive(Debug)]
pub(crate) struct Limits {
    memory: usize,
    used: usize,
}

impl Limits {
    /// `memory`: bytes of linear memory, all memories together.
    pub(crate) fn new(memory: usize) -> Self {
        Self { memory, used: 0 }
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
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory {
            bail!("it asked for more than its {} bytes of memory", self.memory);
        }
        self.used = wanted;
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
