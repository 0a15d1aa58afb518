//! File descriptors: how many the process may open, and how many of them clients may take.
//!
//! Without one, the audit log cannot be written, the store cannot grow, and the operators' socket
//! does not answer. So the soft limit is raised to the hard one at the start, and connections of
//! clients get what the rest of the daemon cannot need.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// For the store, the audit log, the plugins' artefacts, the runtime, the operators.
const FOR_THE_DAEMON: usize = 128;
/// For each provider: look-ups and sign-ins under way, and discovery.
const PER_PROVIDER: usize = 72;
/// For each call of a plugin that may run: its requests.
const PER_CALL: usize = 4;
/// For each listener.
const PER_LISTENER: usize = 1;
/// Most clients that wait for the end of a sign-in.
const WAITING_SOCKETS: usize = 10_000;
/// The fewest that clients get, however low the limit is.
const FEWEST: usize = 16;

/// Raises the soft limit to the hard one. Returns the limit from then on; `None`: there is none.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of file descriptors cannot be raised");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// The hard limit of this process, to which the soft one is raised at a start.
pub(crate) fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// What clients get of the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfClients {
    pub(crate) connections: usize,
    /// WebSockets that wait for the end of a sign-in.
    pub(crate) sockets: usize,
}

/// What clients get under `limit`: as much as is configured, or less.
pub(crate) fn of_clients(config: &Config, limit: Option<u64>) -> OfClients {
    let sockets = if config.vault.is_some() { WAITING_SOCKETS } else { 0 };
    let configured = OfClients { connections: config.server.limits.connections, sockets };
    share(configured, others(config), limit)
}

fn share(configured: OfClients, others: usize, limit: Option<u64>) -> OfClients {
    let Some(limit) = limit else { return configured };
    let OfClients { connections, sockets } = configured;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let left = limit.saturating_sub(others).max(FEWEST);
    // Sockets have a quarter, and what connections leave.
    let connections = connections.min(left - sockets.min(left / 4));
    OfClients { connections, sockets: sockets.min(left - connections) }
}

/// What is wrong with `limit` for this configuration, and what to do.
pub(crate) fn complaint(config: &Config, limit: Option<u64>) -> Option<String> {
    let (wanted, possible) = (of_clients(config, None), of_clients(config, limit));
    let needed = wanted.connections + wanted.sockets + others(config);
    (possible != wanted).then(|| {
        format!(
            "the process may open {} file descriptors, and this configuration may need {needed}: clients get {} connections and {} \
             WebSockets. Raise the limit (LimitNOFILE= of the systemd unit, `ulimit -Hn`), or lower server.connections.",
            limit.unwrap_or_default(),
            possible.connections,
            possible.sockets
        )
    })
}

/// The descriptors that may be needed for anything but clients.
fn others(config: &Config) -> usize {
    let calls = |parallel: Option<NonZeroUsize>| parallel.map_or(16, NonZeroUsize::get);
    let of_services: usize =
        config.services.iter().map(|service| calls(service.parallel_runner)).sum();
    FOR_THE_DAEMON
        + PER_PROVIDER * config.providers.len()
        + PER_CALL * of_services
        + PER_LISTENER * config.server.listen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack: at a limit of 1,024 descriptors clients took all of them, and the audit log and the
    /// operators' socket had none.
    #[test]
    fn clients_leave_descriptors_for_the_rest_of_the_daemon() {
        let of = |connections, sockets| OfClients { connections, sockets };
        for (configured, limit, expected) in [
            (of(4096, 10_000), None, of(4096, 10_000)),
            (of(4096, 10_000), Some(1_048_576), of(4096, 10_000)),
            (of(4096, 10_000), Some(1024), of(618, 206)),
            (of(4096, 0), Some(1024), of(824, 0)),
            (of(100, 10_000), Some(1024), of(100, 724)),
            (of(4096, 10_000), Some(64), of(12, 4)),
        ] {
            assert_eq!(share(configured, 200, limit), expected, "{configured:?} {limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let raised = raise_limit();
        assert_eq!(raised, hard_limit());
    }
}
