//! Shares from outside: what one client can take of connections, bytes and requests.

use std::net::SocketAddr;

use crate::support::*;
use credsmith_http::{ServerOptions, TrustedProxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A connection from `from`, which is another loopback address.
async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    within(socket.connect(to)).await.unwrap()
}

const GET: &[u8] = b"GET /api/ok HTTP/1.1\r\nhost: x\r\n\r\n";

/// Attack: idle connections of one address, and no other client gets in.
#[tokio::test]
async fn idle_connections_of_one_address_shut_no_other_out() {
    let options = ServerOptions { connections: 16, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(connect_from("127.0.0.9", address).await);
    }
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = connect_from("127.0.0.8", address).await;
        other.write_all(GET).await.unwrap();
        assert_eq!(status(&reply(&mut other).await), 200);
        others.push(other);
    }
    // It has a quarter: the listener, its own four, and the four others.
    until(|| fixture.drain.at_work() <= 1 + 4 + 4).await;
    for other in &mut others {
        other.write_all(GET).await.unwrap();
        assert_eq!(status(&reply(other).await), 200, "an idle one of another address stays");
    }
    // Its own newest connection is served too.
    let newest = idle.last_mut().unwrap();
    newest.write_all(GET).await.unwrap();
    assert_eq!(status(&reply(newest).await), 200);
    drop((idle, others));
    fixture.end().await;
}

/// Attack: idle connections of so many addresses that they have all.
#[tokio::test]
async fn when_connections_run_out_the_longest_idle_is_closed() {
    let options = ServerOptions { connections: 8, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut idle = Vec::new();
    for last in 1..=8 {
        idle.push(connect_from(&format!("127.0.1.{last}"), address).await);
    }
    until(|| fixture.drain.at_work() == 1 + 8).await;
    let mut honest = connect_from("127.0.0.8", address).await;
    honest.write_all(GET).await.unwrap();
    assert_eq!(status(&reply(&mut honest).await), 200);
    let mut byte = [0];
    assert_eq!(within(idle[0].read(&mut byte)).await.unwrap_or(0), 0, "the first one was closed");
    drop((idle, honest));
    fixture.end().await;
}

#[tokio::test]
async fn a_trusted_proxy_has_more_than_a_quarter() {
    let mut trusted_proxies = TrustedProxies::default();
    trusted_proxies.add("127.0.0.7").unwrap();
    let options = ServerOptions { connections: 8, trusted_proxies, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(connect_from("127.0.0.7", address).await);
    }
    for stream in &mut open {
        stream.write_all(GET).await.unwrap();
        assert_eq!(status(&reply(stream).await), 200);
    }
    drop(open);
    fixture.end().await;
}

fn request_for(client: &str) -> Vec<u8> {
    format!("GET /api/ok HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\n\r\n").into_bytes()
}

/// Attack: more requests than an address may send. Behind a proxy each client is counted by the
/// address that the proxy names.
#[tokio::test]
async fn requests_of_one_address_are_limited_and_those_of_others_are_not() {
    let mut trusted_proxies = TrustedProxies::default();
    trusted_proxies.add("127.0.0.1").unwrap();
    let options =
        ServerOptions { requests_per_second: 1, trusted_proxies, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut proxy = TcpStream::connect(address).await.unwrap();
    let mut ask = async |client: &str| {
        proxy.write_all(&request_for(client)).await.unwrap();
        reply(&mut proxy).await
    };
    for _ in 0..10 {
        assert_eq!(status(&ask("192.0.2.1").await), 200);
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(status(&refused), 429);
    assert_eq!(body_of(&refused), "api: too many requests from this address, try again later");
    assert_eq!(header_of(&refused, "retry-after"), Some("1"));
    assert_eq!(header_of(&refused, "ratelimit-policy"), Some("\"address\";q=10;w=10"));
    assert_eq!(header_of(&refused, "ratelimit"), Some("\"address\";r=0;t=1"));
    assert_eq!(status(&ask("192.0.2.2").await), 200);
    // An IPv6 subscriber is one client, whatever address of its network it takes.
    for last in 1..=10 {
        assert_eq!(status(&ask(&format!("2001:db8::{last}")).await), 200);
    }
    assert_eq!(status(&ask("2001:db8::99").await), 429);
    assert_eq!(status(&ask("2001:db8:0:1::1").await), 200);
    drop(proxy);
    fixture.end().await;
}

#[tokio::test]
async fn clients_on_this_machine_are_limited_on_demand() {
    for (limit_loopback, expected) in [(false, 200), (true, 429)] {
        let options =
            ServerOptions { requests_per_second: 1, limit_loopback, ..ServerOptions::default() };
        let fixture = Fixture::new(options);
        let address = fixture.listen().await;
        for _ in 0..10 {
            assert_eq!(status(&get(address, "/api/ok").await), 200);
        }
        assert_eq!(status(&get(address, "/api/ok").await), expected);
        fixture.end().await;
    }
}

/// Attack: large replies that their clients do not read.
#[tokio::test]
async fn unread_replies_of_one_address_stay_within_its_share() {
    // Each reply has 64 MiB; the share of an address holds two.
    let options = ServerOptions { unread_replies: 512 << 20, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut unread = Vec::new();
    for _ in 0..6 {
        let mut stream = connect_from("127.0.0.9", address).await;
        stream.write_all(b"GET /api/big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // The head of the reply: it is being sent.
        let mut byte = [0];
        within(stream.read_exact(&mut byte)).await.unwrap();
        unread.push(stream);
    }
    until(|| fixture.drain.at_work() == 1 + 2).await;
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    drop(unread);
    fixture.end().await;
}

/// Attack: bodies that never end.
#[tokio::test]
async fn unfinished_bodies_of_one_address_stay_within_its_share() {
    // The share of an address is 128 KiB: two bodies of nearly 64 KiB.
    let options = ServerOptions { unfinished_bodies: 512 << 10, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let head = b"POST /api/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 65536\r\n\r\n";
    let mut unfinished = Vec::new();
    for _ in 0..12 {
        let mut stream = connect_from("127.0.0.9", address).await;
        stream.write_all(head).await.unwrap();
        for _ in 0..6 {
            // In pieces, which the daemon has to put together.
            let _ = stream.write_all(&[b'x'; 10 * 1024]).await;
            tokio::task::yield_now().await;
        }
        unfinished.push(stream);
    }
    until(|| fixture.drain.at_work() <= 1 + 4).await;
    let whole = post(address, "/api/echo", &[b'x'; 65_536]).await;
    assert_eq!((status(&whole), body_of(&whole).len()), (200, 65_536));
    drop(unfinished);
    fixture.end().await;
}
