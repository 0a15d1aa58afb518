//! The server from outside: dialects, layers, limits, hosts, listeners.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::*;
use credsmith_http::{HostPolicy, Listener, ListenerError, PemError, ServerOptions, TlsIdentity};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener, UnixStream};

#[tokio::test]
async fn every_path_speaks_its_own_dialect() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    for (path, code, text) in [
        ("/api/ok", 200, "api: ok"),
        ("/ok", 200, "rest: ok"),
        ("/api/nothing", 404, "api: there is nothing at this path"),
        ("/apix/nothing", 404, "rest: there is nothing at this path"),
    ] {
        let reply = get(address, path).await;
        assert_eq!((status(&reply), body_of(&reply)), (code, text), "{path}");
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_request_has_a_generated_id_and_a_peer() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let reply = say(
        &mut stream,
        b"GET /api/who HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\nconnection: close\r\n\r\n",
    )
    .await;
    let id = header_of(&reply, "x-request-id").unwrap();
    assert_ne!(id, "mine");
    assert_eq!(body_of(&reply), format!("{id} tcp 127.0.0.1"));
    assert_ne!(header_of(&get(address, "/api/who").await, "x-request-id"), Some(id));
    fixture.end().await;
}

/// Only where clients come over TLS: else a browser would never come back.
#[tokio::test]
async fn browsers_keep_to_tls_where_the_server_is_reached_by_it() {
    for strict_transport in [true, false] {
        let fixture = Fixture::new(ServerOptions { strict_transport, ..ServerOptions::default() });
        let address = fixture.listen().await;
        for path in ["/api/who", "/api/panic", "/nowhere"] {
            let reply = get(address, path).await;
            let strict = header_of(&reply, "strict-transport-security");
            let expected = strict_transport.then(|| "max-age=31536000".to_owned());
            assert_eq!(strict.map(|value| value.to_string()), expected, "{path}");
        }
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    for path in ["/api/panic", "/api/panic-early"] {
        let reply = get(address, path).await;
        assert_eq!(status(&reply), 500);
        assert_eq!(body_of(&reply), "api: the server failed to handle the request");
        assert!(header_of(&reply, "x-request-id").is_some());
    }
    // Even a surface that panics while it presents a fault fails one request only.
    let reply = get(address, "/broken/panic").await;
    assert_eq!((status(&reply), body_of(&reply)), (500, ""));
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    fixture.end().await;
}

#[tokio::test]
async fn one_request_too_many_is_busy_at_once() {
    let fixture = Fixture::new(ServerOptions {
        in_work: 2,
        retry_after: Duration::from_secs(7),
        ..ServerOptions::default()
    });
    let address = fixture.listen().await;
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(get(address, "/api/gate"))).collect();
    fixture.api.until_waiting(2).await;
    let reply = get(address, "/api/ok").await;
    assert_eq!((status(&reply), header_of(&reply, "retry-after")), (503, Some("7")));
    assert_eq!(body_of(&reply), "api: the server is busy, try again later");
    fixture.api.gate.add_permits(2);
    for request in waiting {
        assert_eq!(status(&request.await.unwrap()), 200);
    }
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    fixture.end().await;
}

#[tokio::test]
async fn a_released_slot_counts_no_more() {
    let fixture = Fixture::new(ServerOptions { in_work: 1, ..ServerOptions::default() });
    let address = fixture.listen().await;
    let waiting = tokio::spawn(get(address, "/api/released"));
    fixture.api.until_waiting(1).await;
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    fixture.api.gate.add_permits(1);
    assert_eq!(status(&waiting.await.unwrap()), 200);
    fixture.end().await;
}

/// As many clients as there are permits, each with the head of a request and none of its body,
/// would keep all other clients out.
#[tokio::test]
async fn clients_that_never_send_their_body_keep_no_other_out() {
    let long = Duration::from_secs(600);
    let fixture = Fixture::new(ServerOptions {
        in_work: 1,
        deadline: long,
        stall_timeout: long,
        body_timeout: long,
        retry_after: Duration::from_secs(7),
        ..ServerOptions::default()
    });
    let address = fixture.listen().await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
            .await
            .unwrap();
        // This one holds the permit for an instant, until it waits for its body.
        within(async { while status(&get(address, "/api/ok").await) != 200 {} }).await;
        slow.push(stream);
    }
    let mut late = slow.pop().unwrap();
    late.write_all(b"hello").await.unwrap();
    assert_eq!(body_of(&reply(&mut late).await), "hello", "with a free place it goes on");

    let other = tokio::spawn(get(address, "/api/gate"));
    fixture.api.until_waiting(1).await;
    let mut late = slow.pop().unwrap();
    late.write_all(b"hello").await.unwrap();
    let refused = reply(&mut late).await;
    assert_eq!((status(&refused), header_of(&refused, "retry-after")), (503, Some("7")));
    fixture.api.gate.add_permits(1);
    assert_eq!(status(&other.await.unwrap()), 200);
    drop((slow, late));
    fixture.end().await;
}

#[tokio::test]
async fn an_effect_keeps_its_slot_after_the_reply() {
    let fixture = Fixture::new(ServerOptions { in_work: 1, ..ServerOptions::default() });
    let address = fixture.listen().await;
    assert_eq!(status(&get(address, "/api/effect").await), 200);
    fixture.api.until_waiting(1).await;
    assert_eq!(status(&get(address, "/api/ok").await), 503);
    fixture.api.gate.add_permits(1);
    until(|| fixture.drain.at_work() <= 1).await;
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    fixture.end().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_gives_its_slot_back() {
    let fixture = Fixture::new(ServerOptions { in_work: 1, ..ServerOptions::default() });
    let address = fixture.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /api/gate HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    fixture.api.until_waiting(1).await;
    drop(stream);
    until(|| fixture.drain.at_work() == 1).await;
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    fixture.end().await;
}

#[tokio::test]
async fn a_deadline_answers_for_a_slow_surface() {
    let fixture = Fixture::new(ServerOptions {
        deadline: Duration::from_millis(100),
        ..ServerOptions::default()
    });
    let address = fixture.listen().await;
    let reply = get(address, "/api/gate").await;
    assert_eq!(
        (status(&reply), body_of(&reply)),
        (503, "api: the server could not answer in time")
    );
    fixture.end().await;
}

#[tokio::test]
async fn a_fault_is_presented_for_the_page_that_sent_the_request() {
    let options =
        ServerOptions { deadline: Duration::from_millis(100), ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let ask = async |path: &str, origins: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{origins}\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let reply = say(&mut stream, request.as_bytes()).await;
        (status(&reply), reply.contains("access-control-allow-origin: https://a.example\r\n"))
    };
    let origin = "origin: https://a.example\r\n";
    assert_eq!(ask("/api/gate", origin).await, (503, true), "the deadline");
    assert_eq!(ask("/api/panic", origin).await, (500, true));
    assert_eq!(ask(&format!("/api/ok?{}", "q".repeat(17_000)), origin).await, (431, true));
    assert_eq!(ask("/api/panic", "").await, (500, false));
    assert_eq!(
        ask("/api/panic", &origin.repeat(2)).await,
        (500, false),
        "two origins count as none"
    );
    fixture.end().await;
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    for (length, code) in
        [(0, 200), (1, 200), (BODY_LIMIT, 200), (BODY_LIMIT + 1, 413), (8 << 20, 413)]
    {
        let reply = post(address, "/api/echo", &vec![b'x'; length]).await;
        assert_eq!(status(&reply), code, "{length}");
        if code == 200 {
            assert_eq!(body_of(&reply).len(), length);
        } else {
            assert_eq!(body_of(&reply), "api: the request body is too large");
        }
    }
    // A client that is still sending an unread body sees the reply too.
    assert_eq!(body_of(&post(address, "/api/ignore", &vec![b'x'; 8 << 20]).await), "not read");
    fixture.end().await;
}

#[tokio::test]
async fn chunked_bodies_obey_the_same_limit() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    for (chunks, code) in [(1, 200), (64, 200), (65, 413), (5000, 413)] {
        let mut request =
            b"POST /api/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        for _ in 0..chunks {
            request.extend_from_slice(b"400\r\n");
            request.extend_from_slice(&[b'x'; 1024]);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let reply = say(&mut stream, &request).await;
        assert_eq!(status(&reply), code, "{chunks}");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let broken = b"POST /api/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(status(&say(&mut stream, broken).await), 400);
    fixture.end().await;
}

#[tokio::test]
async fn a_head_above_the_limit_is_refused_in_the_dialect() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    let with = |headers: String, path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
    };
    let long_path = format!("/api/ok?{}", "q".repeat(17_000));
    let many = |count| "a: b\r\n".repeat(count);
    for (request, code) in [
        (with(format!("a: {}\r\n", "x".repeat(15_000)), "/api/ok"), 200),
        (with(format!("a: {}\r\n", "x".repeat(17_000)), "/api/ok"), 431),
        (with(format!("a: {}\r\n", "x".repeat(60_000)), "/api/ok"), 431),
        (with(String::new(), &long_path), 431),
        (with(many(200), "/api/ok"), 200),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let reply = say(&mut stream, request.as_bytes()).await;
        assert_eq!(status(&reply), code, "{} bytes", request.len());
        if code == 431 {
            assert_eq!(body_of(&reply), "api: the request line and headers are too large");
        }
    }
    // Beyond hyper's own limits the answer has no body, but it is an answer.
    for request in
        [with(many(600), "/api/ok"), with(format!("a: {}\r\n", "x".repeat(400_000)), "/api/ok")]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(status(&say(&mut stream, request.as_bytes()).await), 431);
    }
    fixture.end().await;
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    for request in [
        &b"hello\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost : y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let reply = say(&mut stream, request).await;
        assert!(!reply.is_empty(), "{}", String::from_utf8_lossy(request));
        assert!(
            (400..500).contains(&status(&reply)),
            "{}: {reply}",
            String::from_utf8_lossy(request)
        );
    }
    // A client that sends an HTTP/2 preface cannot read an answer in HTTP/1.1.
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(say(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "");
    for (request, code) in [
        (
            "CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\nconnection: close\r\n\r\n",
            405,
        ),
        ("GET /api/ok HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        ("GET /api/ok HTTP/1.0\r\n\r\n", 200),
        ("GET /api/ok HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n", 400),
        ("GET /api/ok HTTP/1.1\r\nhost: \u{e9}\r\nconnection: close\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(status(&say(&mut stream, request.as_bytes()).await), code, "{request}");
    }
    fixture.end().await;
}

#[tokio::test]
async fn connections_are_kept_and_pipelined_in_order() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /api/ok HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(body_of(&reply(&mut stream).await), "api: ok");
    }
    let one = "GET /api/ok HTTP/1.1\r\nhost: x\r\n\r\n";
    let last = "GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let said = say(&mut stream, format!("{}{last}", one.repeat(100)).as_bytes()).await;
    assert_eq!(said.matches("api: ok").count(), 100);
    assert!(said.ends_with("rest: ok"));
    fixture.end().await;
}

#[tokio::test]
async fn only_listed_hosts_are_answered() {
    let options =
        ServerOptions { hosts: HostPolicy::only(["localhost:8080"]), ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    for (request, code) in [
        ("GET /api/ok HTTP/1.1\r\nhost: LOCALHOST:8080\r\n", 200),
        ("GET http://localhost:8080/api/ok HTTP/1.1\r\nhost: localhost:8080\r\n", 200),
        ("GET /api/ok HTTP/1.1\r\nhost: evil.example:8080\r\n", 421),
        ("GET /api/ok HTTP/1.1\r\nhost: localhost\r\n", 421),
        ("GET /api/ok HTTP/1.1\r\n", 421),
        ("GET /api/ok HTTP/1.0\r\n", 421),
        ("GET http://evil.example/api/ok HTTP/1.1\r\nhost: localhost:8080\r\n", 421),
        ("GET http://localhost:8080/api/ok HTTP/1.1\r\nhost: evil.example\r\n", 421),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let said = say(&mut stream, format!("{request}connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&said), code, "{request}");
    }
    fixture.end().await;
}

#[tokio::test]
async fn an_upgraded_connection_belongs_to_the_drain() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        b"GET /api/upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(status(&reply(&mut stream).await), 101);
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    within(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut heard)).await.unwrap();
    assert_eq!(&heard, b"hello");
    fixture.drain.begin();
    assert_eq!(say(&mut stream, b"").await, "bye");
    fixture.end().await;
}

#[tokio::test]
async fn a_unix_socket_is_private_and_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ops.sock");
    // A socket without a process behind it.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let fixture = Fixture::new(ServerOptions::default());
    fixture.server.serve(Listener::unix(&path).await.unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let said =
        say(&mut stream, b"GET /api/who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(body_of(&said).ends_with(" unix of ours: true"), "{said}");

    assert!(matches!(Listener::unix(&path).await, Err(ListenerError::InUse(_))));
    assert!(path.exists(), "the refused listener must not take the file along");
    fixture.end().await;
    assert!(!path.exists());

    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Listener::unix(&path).await, Err(ListenerError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = directory.path().join("none").join("ops.sock");
    assert!(matches!(Listener::unix(nowhere).await, Err(ListenerError::Bind { .. })));
}

/// A socket whose file was removed was gone until the next start.
#[tokio::test(start_paused = true)]
async fn a_socket_that_was_removed_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ops.sock");
    let fixture = Fixture::new(ServerOptions::default());
    fixture.server.serve(Listener::unix(&path).await.unwrap());
    for _ in 0..2 {
        std::fs::remove_file(&path).unwrap();
        while !path.exists() {
            tokio::time::advance(std::time::Duration::from_millis(500)).await;
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).await.unwrap();
    }
    fixture.end().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_was_replaced_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ops.sock");
    let listener = Listener::unix(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "another's").unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_its_address() {
    let first = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = first.local_addr().unwrap();
    let error = Listener::tcp(address).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn bad_certificates_are_different_errors() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = |chain: &str, key: &str| TlsIdentity {
        chain_pem: chain.as_bytes().to_vec(),
        key_pem: key.as_bytes().to_vec().into(),
    };
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    assert_eq!(identity(&chain, &key).check(), Ok(()));
    assert_eq!(identity("", &key).check(), Err(PemError::Chain));
    assert_eq!(identity(&key, &key).check(), Err(PemError::Chain));
    assert_eq!(identity(&chain, &chain).check(), Err(PemError::Key));
    assert_eq!(identity(&chain, &other.signing_key.serialize_pem()).check(), Err(PemError::Pair));
    assert_eq!(format!("{:?}", identity(&chain, &key)), "TlsIdentity(..)");
}
