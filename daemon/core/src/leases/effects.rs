//! Bounds on issues and revocations in work. A permit is taken before anything happens and goes
//! with the work, so that clients that hang up cause no more of it than clients that wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Subject;
use crate::error::{Error, Kind};
use crate::ids::ServiceId;
use crate::limits::{KeyedPermit, KeyedPermits};

/// Permits for issues and revocations on behalf of users.
pub(crate) struct Effects {
    all: Arc<Semaphore>,
    by_service: KeyedPermits<ServiceId>,
    by_user: KeyedPermits<Subject>,
}

/// A permit; given back when dropped.
pub(crate) struct Effect {
    _any: OwnedSemaphorePermit,
    _of_service: KeyedPermit<ServiceId>,
    _of_user: KeyedPermit<Subject>,
}

impl Effects {
    /// At most `most`; of one service half of that, so that a target that hangs leaves room for the
    /// others; of one user a quarter, so that one user alone cannot take all.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(most)),
            by_service: KeyedPermits::new(most.div_ceil(2)),
            by_user: KeyedPermits::new(most.div_ceil(4)),
        }
    }

    /// A permit for `service`, on behalf of `user`.
    ///
    /// # Errors
    /// `Busy` when there is none, or when the daemon is ending.
    pub(crate) fn take(&self, service: &ServiceId, user: &Subject) -> Result<Effect, Error> {
        let any = Arc::clone(&self.all).try_acquire_owned().map_err(|_| busy())?;
        let of_service = self.by_service.take(service).ok_or_else(busy)?;
        let of_user = self.by_user.take(user).ok_or_else(busy)?;
        Ok(Effect { _any: any, _of_service: of_service, _of_user: of_user })
    }

    /// Gives no permit from now on. Work that has one goes on.
    pub(crate) fn close(&self) {
        self.all.close();
    }
}

/// The refusal when too much is in work.
pub(crate) fn busy() -> Error {
    Error::new(Kind::Busy, "The service is busy; please try again later.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_has_half_and_a_closed_gate_has_none() {
        let (ssh, web) = (ServiceId::parse("ssh").unwrap(), ServiceId::parse("web").unwrap());
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(user);
        let effects = Effects::new(4);
        let held = [effects.take(&ssh, &a).unwrap(), effects.take(&ssh, &b).unwrap()];
        assert_eq!(effects.take(&ssh, &c).err().unwrap().kind(), Kind::Busy);
        let others = [effects.take(&web, &c).unwrap(), effects.take(&web, &d).unwrap()];
        drop(held);
        assert!(effects.take(&web, &e).is_err());
        assert!(effects.take(&ssh, &e).is_ok());
        effects.close();
        assert!(effects.take(&ssh, &e).is_err());
        drop(others);
    }

    /// Attack: one user, two targets that hang, and no other user gets anything of any service.
    #[test]
    fn one_user_has_a_quarter_of_all_services_together() {
        let (ssh, web) = (ServiceId::parse("ssh").unwrap(), ServiceId::parse("web").unwrap());
        let (greedy, other) = (user("greedy"), user("other"));
        let effects = Effects::new(8);
        let held = [effects.take(&ssh, &greedy).unwrap(), effects.take(&web, &greedy).unwrap()];
        assert_eq!(effects.take(&web, &greedy).err().unwrap().kind(), Kind::Busy);
        assert!(effects.take(&web, &other).is_ok());
        drop(held);
        assert!(effects.take(&web, &greedy).is_ok());
    }

    fn user(name: &str) -> Subject {
        Subject { issuer: "https://op.example".into(), subject: name.into() }
    }
}
