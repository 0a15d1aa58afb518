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
/// The fewest connections, however low the limit is.
const FEWEST_CONNECTIONS: usize = 16;

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

/// How many connections clients get under `limit`: as many as are configured, or fewer.
pub(crate) fn connections(config: &Config, limit: Option<u64>) -> usize {
    of_clients(config.server.limits.connections, others(config), limit)
}

fn of_clients(configured: usize, others: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return configured };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    configured.min(limit.saturating_sub(others).max(FEWEST_CONNECTIONS))
}

/// What is wrong with `limit` for this configuration, and what to do.
pub(crate) fn complaint(config: &Config, limit: Option<u64>) -> Option<String> {
    let (configured, possible) = (config.server.limits.connections, connections(config, limit));
    let needed = configured + others(config);
    (possible < configured).then(|| {
        format!(
            "the process may open {} file descriptors, and this configuration may need {needed}: clients get {possible} connections \
             instead of {configured}. Raise the limit (LimitNOFILE= of the systemd unit, `ulimit -Hn`), or lower server.connections.",
            limit.unwrap_or_default()
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
        for (configured, limit, expected) in [
            (4096, None, 4096),
            (4096, Some(1_048_576), 4096),
            (4096, Some(1024), 824),
            (100, Some(1024), 100),
            (4096, Some(64), FEWEST_CONNECTIONS),
        ] {
            assert_eq!(of_clients(configured, 200, limit), expected, "{limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let raised = raise_limit();
        assert_eq!(raised, hard_limit());
    }
}
