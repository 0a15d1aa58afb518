//! How much may be in work at a time. A permit is taken before anything happens and goes with the work, so that clients that hang up
//! buy no more of it than clients that wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Kind};
use crate::ids::ServiceId;
use crate::limits::{KeyedPermit, KeyedPermits};

/// Permits for what users have done at targets.
pub(crate) struct Effects {
    all: Arc<Semaphore>,
    by_service: KeyedPermits<ServiceId>,
}

/// A permit; given back when dropped.
pub(crate) struct Effect {
    _any: OwnedSemaphorePermit,
    _of_service: KeyedPermit<ServiceId>,
}

impl Effects {
    /// At most `most`; of one service half of that, so that a target that hangs leaves room for the others.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(most)), by_service: KeyedPermits::new(most.div_ceil(2)) }
    }

    /// A permit for `service`.
    ///
    /// # Errors
    /// `Busy` when there is none, or when the daemon is ending.
    pub(crate) fn take(&self, service: &ServiceId) -> Result<Effect, Error> {
        let any = Arc::clone(&self.all).try_acquire_owned().map_err(|_| busy())?;
        let of_service = self.by_service.take(service).ok_or_else(busy)?;
        Ok(Effect { _any: any, _of_service: of_service })
    }

    /// No permit from now on. What is in work goes on.
    pub(crate) fn close(&self) {
        self.all.close();
    }
}

/// What a caller hears when too much is in work.
pub(crate) fn busy() -> Error {
    Error::new(Kind::Busy, "The service is busy; please try again later.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_has_half_and_a_closed_gate_has_none() {
        let (ssh, web) = (ServiceId::parse("ssh").unwrap(), ServiceId::parse("web").unwrap());
        let effects = Effects::new(4);
        let held = [effects.take(&ssh).unwrap(), effects.take(&ssh).unwrap()];
        assert_eq!(effects.take(&ssh).err().unwrap().kind(), Kind::Busy);
        let others = [effects.take(&web).unwrap(), effects.take(&web).unwrap()];
        drop(held);
        assert!(effects.take(&web).is_err());
        assert!(effects.take(&ssh).is_ok());
        effects.close();
        assert!(effects.take(&ssh).is_err());
        drop(others);
    }
}
