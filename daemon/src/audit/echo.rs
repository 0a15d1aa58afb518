//! Events of the audit log as log lines of the target `audit`, which is logged at every level. They
//! are for operators who watch the log; the durable record is the audit log.
//!
//! Foreign text (a subject, a reason) is a field of the line, never its message.

use credsmith_core::caller::Interface;
use credsmith_core::ports::audit::{AuditEcho, Event, Outcome, Who};

/// Writes events to the log.
#[derive(Debug)]
pub(crate) struct Echo;

impl AuditEcho for Echo {
    fn echo(&self, event: &Event) {
        let (actor, acting, interface) = match event.actor.as_ref().map(|actor| &actor.who) {
            None => ("daemon", None, None),
            Some(Who::Operator) => ("operator", None, None),
            Some(Who::Stranger(interface)) => ("stranger", None, Some(interface_name(*interface))),
            Some(Who::User(subject, interface)) => {
                ("user", Some(subject), Some(interface_name(*interface)))
            }
            Some(Who::Member { subject, .. }) => {
                ("user", Some(subject), Some(interface_name(Interface::Vault)))
            }
        };
        let (outcome, reason) = match &event.outcome {
            Outcome::Done => ("done", None),
            Outcome::Refused(reason) => ("refused", Some(reason.as_str())),
            Outcome::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        let client = event.actor.as_ref().map(|actor| &actor.client);
        tracing::info!(
            target: crate::logging::AUDIT,
            at = event.at.as_millis(),
            action = event.action.as_str(),
            outcome,
            reason,
            note = event.note.as_deref(),
            actor,
            actor_issuer = acting.map(|subject| subject.issuer.as_str()),
            actor_subject = acting.map(|subject| subject.subject.as_str()),
            interface,
            address = client.and_then(|client| client.address).map(tracing::field::display),
            request = client.and_then(|client| client.request.as_deref()),
            uid = client.and_then(|client| client.uid),
            service = event.target.service.as_ref().map(tracing::field::display),
            credential = event.target.lease.map(tracing::field::display),
            issuer = event.target.subject.as_ref().map(|subject| subject.issuer.as_str()),
            subject = event.target.subject.as_ref().map(|subject| subject.subject.as_str()),
            "{} {outcome}",
            event.action.as_str()
        );
    }
}

fn interface_name(interface: Interface) -> &'static str {
    match interface {
        Interface::Rest => "rest",
        Interface::Web => "web",
        Interface::Rsp => "rsp",
        Interface::Vault => "vault",
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use credsmith_core::caller::{Client, Subject};
    use credsmith_core::ids::{LeaseId, ServiceId};
    use credsmith_core::ports::audit::{Action, Actor, Target};
    use credsmith_core::time::Timestamp;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(event: Event) -> serde_json::Value {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || Echo.echo(&event));
        serde_json::from_slice(&sink.0.lock().unwrap()).unwrap()
    }

    #[test]
    fn an_event_is_a_line_with_all_of_it() {
        let subject = |name: &str| Subject { issuer: "https://op".into(), subject: name.into() };
        let line = logged(Event {
            at: Timestamp::from_secs(7),
            actor: Some(Actor {
                who: Who::User(subject("alice"), Interface::Rest),
                client: Client {
                    address: Some("192.0.2.7".parse().unwrap()),
                    request: Some("r1".into()),
                    uid: Some(1000),
                },
            }),
            action: Action::Revoke,
            target: Target {
                service: Some(ServiceId::parse("ssh").unwrap()),
                lease: Some(LeaseId::from_random([1; 16])),
                subject: Some(subject("bob")),
                ..Target::default()
            },
            note: Some("by the way".into()),
            outcome: Outcome::Failed("target is down".into()),
        });
        for (key, value) in [
            ("target", "audit"),
            ("message", "revoke failed"),
            ("action", "revoke"),
            ("outcome", "failed"),
            ("reason", "target is down"),
            ("actor", "user"),
            ("actor_issuer", "https://op"),
            ("actor_subject", "alice"),
            ("issuer", "https://op"),
            ("subject", "bob"),
            ("note", "by the way"),
            ("interface", "rest"),
            ("address", "192.0.2.7"),
            ("request", "r1"),
            ("service", "ssh"),
            ("credential", "01010101-0101-4101-8101-010101010101"),
        ] {
            assert_eq!(line[key], value, "{key}: {line}");
        }
        assert_eq!((&line["at"], &line["uid"]), (&7000.into(), &1000.into()));
    }

    #[test]
    fn an_event_of_the_daemon_itself_has_no_subject() {
        let line = logged(Event {
            at: Timestamp::from_secs(7),
            actor: None,
            action: Action::Expire,
            target: Target::default(),
            note: None,
            outcome: Outcome::Done,
        });
        assert_eq!(line["actor"], "daemon");
        for absent in ["actor_subject", "subject", "reason", "note", "credential"] {
            assert!(line.get(absent).is_none(), "{absent}: {line}");
        }
    }
}
