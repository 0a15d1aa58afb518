//! Shares of clients: what one address can do to the others, to operators and to the audit log.

use std::net::TcpStream;
use std::process::Command;

use credsmith_tests::{Daemon, Provider, Request, Site, credsmith, eventually};

use crate::world::ready;

/// Requests beyond the rate are refused in the dialect, with what a program needs to wait.
#[test]
fn too_many_requests_of_one_address_are_429() {
    let op = Provider::start();
    let rate = "requests_per_second_per_address = 1\nlimit_loopback = true";
    let site = Site::new().provider("op", &op).server(rate);
    let daemon = site.serve();
    let ask = || daemon.ask(&Request::get("/api/v2/oidcp"));
    let mut answers: Vec<_> = (0..40).map(|_| ask()).collect();
    let refused = answers.pop().unwrap();
    assert_eq!(refused.refusal(429), "too many requests from this address, try again later");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"address\";q=10;w=10"));
    assert!(answers[0].header("retry-after").is_none());
    assert!(daemon.admin("/healthz").header("retry-after").is_none(), "operators are not limited");
}

/// Attack: idle connections take every file descriptor, and the audit log and the operators' socket
/// have none.
#[test]
fn idle_connections_leave_descriptors_to_operators_and_clients() {
    let op = Provider::start();
    let site = Site::new().provider("op", &op);
    let mut command = Command::new("sh");
    let program = credsmith().get_program().to_owned();
    command.args(["-c", "ulimit -n 400 && exec \"$0\" serve --config \"$1\""]);
    command.arg(program).arg(site.configuration());
    let daemon = Daemon::start(command, Some(site.data())).unwrap();
    ready(&daemon);
    let idle: Vec<_> = (0..300).map(|_| TcpStream::connect(daemon.address()).unwrap()).collect();
    daemon.ask(&Request::get("/api/v2/oidcp")).expect(200);
    daemon.admin("/healthz").expect(200);
    eventually("the shortage to be in the log", || {
        daemon.log().contains("file descriptors are short")
    });
    drop(idle);
}
