//! The commands of operators: suspensions, parked leases, the ledger, the vault, the clock, the
//! audit log.
//!
//! | request | body | effect |
//! |---|---|---|
//! | `POST /suspensions` | `{"issuer", "subject", "unseen"}` | suspends a subject everywhere |
//! | `DELETE /suspensions` | `{"issuer", "subject"}` | lifts the suspension |
//! | `GET /suspensions` | | lists the suspended subjects |
//! | `GET /leases/parked` | | lists leases that wait for an operator |
//! | `POST /leases/{id}/retry` | | tries the revocation of a parked lease again |
//! | `POST /leases/{id}/drop` | `{"reason"}` | gives a parked lease up |
//! | `GET /ledger` | | checks the whole ledger for contradictions |
//! | `POST /vault/sync` | `{"accept"}` | synchronises companies |
//! | `GET /vault/deleted` | | lists deleted types and credentials that can be restored |
//! | `POST /vault/deleted/{id}/restore` | | restores a deleted type or credential |
//! | `DELETE /vault/deleted/{id}` | | removes it for good |
//! | `POST /clock/trust` | | accepts the present time after the clock has jumped |
//! | `POST /audit/verify` | `{"files", "from"}` | compares the audit log with the store |
//!
//! Every command is audited: [`Audit`] says where. A request that is no command is not.

use credsmith_core::access;
use credsmith_http::{Fault, Request};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Method;
use serde_json::Value;

use super::request::{Call, Refusal};
use super::{Ops, audit, leases, vault};
use crate::client::client;

type Handler = for<'c> fn(&'c Ops, Call<'c>) -> BoxFuture<'c, Result<Value, Refusal>>;

/// Where the event of a command comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audit {
    /// The command changes nothing that has an event of its own: it is recorded here.
    Here,
    /// The use-case writes the event in the batch of the change. A failure is recorded here.
    WithChange,
    /// The use-case writes the event, of a failure too.
    ByUseCase,
}

/// One command.
struct Command {
    method: Method,
    /// `{id}` stands for any one segment.
    path: &'static str,
    audit: Audit,
    handler: Handler,
}

static COMMANDS: [Command; 13] = [
    Command::new(Method::POST, "/suspensions", Audit::WithChange, |ops, call| {
        leases::suspend(ops, call).boxed()
    }),
    Command::new(Method::DELETE, "/suspensions", Audit::WithChange, |ops, call| {
        leases::resume(ops, call).boxed()
    }),
    Command::new(Method::GET, "/suspensions", Audit::Here, |ops, call| {
        leases::list_suspended(ops, call).boxed()
    }),
    Command::new(Method::GET, "/leases/parked", Audit::Here, |ops, call| {
        leases::list_parked(ops, call).boxed()
    }),
    Command::new(Method::POST, "/leases/{id}/retry", Audit::WithChange, |ops, call| {
        leases::retry(ops, call).boxed()
    }),
    Command::new(Method::POST, "/leases/{id}/drop", Audit::WithChange, |ops, call| {
        leases::drop_lease(ops, call).boxed()
    }),
    Command::new(Method::GET, "/ledger", Audit::Here, |ops, call| {
        leases::examine(ops, call).boxed()
    }),
    Command::new(Method::POST, "/vault/sync", Audit::ByUseCase, |ops, call| {
        vault::sync(ops, call).boxed()
    }),
    Command::new(Method::GET, "/vault/deleted", Audit::Here, |ops, call| {
        vault::list_deleted(ops, call).boxed()
    }),
    Command::new(Method::POST, "/vault/deleted/{id}/restore", Audit::WithChange, |ops, call| {
        vault::restore(ops, call).boxed()
    }),
    Command::new(Method::DELETE, "/vault/deleted/{id}", Audit::WithChange, |ops, call| {
        vault::purge(ops, call).boxed()
    }),
    Command::new(Method::POST, "/clock/trust", Audit::Here, |ops, call| {
        leases::trust_clock(ops, call).boxed()
    }),
    Command::new(Method::POST, "/audit/verify", Audit::Here, |ops, call| {
        audit::verify(ops, call).boxed()
    }),
];

impl Command {
    const fn new(method: Method, path: &'static str, audit: Audit, handler: Handler) -> Self {
        Self { method, path, audit, handler }
    }

    /// Whether a request that came to `failure`, or to none, is still to be recorded here.
    fn is_recorded_here(&self, failed: bool) -> bool {
        match self.audit {
            Audit::Here => true,
            Audit::WithChange => failed,
            Audit::ByUseCase => false,
        }
    }
}

impl Ops {
    /// Carries out the command that `request` names, and records it in the audit log where its
    /// use-case does not.
    pub(super) async fn command(&self, request: &mut Request) -> Result<Value, Refusal> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (command, id) = find(&method, &path)?;
        let operator = access::operator_at(client(request.extensions()));
        let result = (command.handler)(self, Call::new(id, request)).await;
        let failure = match &result {
            Ok(_) => None,
            Err(Refusal::Error(error)) => Some(error),
            Err(Refusal::Fault(_) | Refusal::MethodNotAllowed(_)) => return result,
        };
        if command.is_recorded_here(failure.is_some()) {
            let asked = format!("{method} {path}");
            self.leases.record_command(operator, asked, failure).await?;
        }
        result
    }
}

/// The command of `method` at `path`, and the segment that its path writes `{id}`.
fn find<'p>(method: &Method, path: &'p str) -> Result<(&'static Command, &'p str), Refusal> {
    let at_path: Vec<_> =
        COMMANDS.iter().filter_map(|command| Some((command, id_in(command.path, path)?))).collect();
    let found = at_path.iter().find(|(command, _)| command.method == *method);
    found.copied().ok_or_else(|| match at_path.as_slice() {
        [] => Refusal::Fault(Fault::NotFound),
        others => {
            let methods: Vec<_> =
                others.iter().map(|(command, _)| command.method.as_str()).collect();
            Refusal::MethodNotAllowed(methods.join(", "))
        }
    })
}

/// The segment of `path` at the place of `{id}` in `pattern`, empty where there is none; `None`
/// when the two do not fit.
fn id_in<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    if pattern.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut id = "";
    for (wanted, segment) in pattern.split('/').zip(path.split('/')) {
        match wanted {
            "{id}" => id = segment,
            word if word == segment => {}
            _ => return None,
        }
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's documentation has the rows of the code, in their order.
    #[test]
    fn the_documentation_lists_every_command() {
        let written: Vec<_> = include_str!("commands.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
            .map(|(request, _)| request.to_owned())
            .collect();
        let rows: Vec<_> =
            COMMANDS.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
        assert_eq!(written, rows);
    }

    #[test]
    fn a_path_fits_segment_by_segment() {
        for (pattern, path, id) in [
            ("/ledger", "/ledger", Some("")),
            ("/leases/{id}/drop", "/leases/x/drop", Some("x")),
            ("/leases/{id}/drop", "/leases//drop", Some("")),
            ("/leases/{id}/drop", "/leases/x/retry", None),
            ("/leases/{id}/drop", "/leases/x/drop/", None),
            ("/ledger", "/", None),
        ] {
            assert_eq!(id_in(pattern, path), id, "{pattern} {path}");
        }
    }

    #[test]
    fn a_wrong_method_learns_the_right_ones() {
        for (path, methods) in [
            ("/suspensions", "POST, DELETE, GET"),
            ("/ledger", "GET"),
            ("/vault/deleted/x", "DELETE"),
            ("/leases/x/drop", "POST"),
        ] {
            let Err(Refusal::MethodNotAllowed(allow)) = find(&Method::PATCH, path) else {
                panic!("{path}")
            };
            assert_eq!(allow, methods, "{path}");
        }
    }
}
