//! The orderly shutdown of a server, and the hard stop.

use std::sync::atomic::Ordering;

use crate::support::*;
use credsmith_http::ServerOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_request_in_work_is_finished_and_a_new_one_refused() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /api/ok HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(header_of(&reply(&mut idle).await, "connection"), None);
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"GET /api/gate HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    fixture.api.until_waiting(1).await;
    until(|| fixture.drain.at_work() == 4).await;

    fixture.drain.begin();
    assert_eq!(say(&mut idle, b"").await, "", "an idle connection is closed");
    assert_eq!(say(&mut silent, b"").await, "", "and so is one without a request");
    until(|| fixture.drain.at_work() == 1).await;
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");

    fixture.api.gate.add_permits(1);
    let last = say(&mut busy, b"").await;
    assert_eq!((status(&last), header_of(&last, "connection")), (200, Some("close")));
    within(fixture.drain.wait()).await;
}

#[tokio::test]
async fn an_effect_is_waited_for() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    assert_eq!(status(&get(address, "/api/effect").await), 200);
    fixture.api.until_waiting(1).await;
    fixture.drain.begin();
    until(|| fixture.drain.at_work() == 1).await;
    assert_eq!(fixture.api.effects.load(Ordering::SeqCst), 0);
    fixture.api.gate.add_permits(1);
    within(fixture.drain.wait()).await;
    assert_eq!(fixture.api.effects.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_hard_stop_waits_for_no_task() {
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;
    let waiting = tokio::spawn(get(address, "/api/gate"));
    fixture.api.until_waiting(1).await;
    fixture.drain.begin();
    fixture.drain.stop();
    within(fixture.drain.wait()).await;
    assert_eq!(waiting.await.unwrap(), "");
}

#[tokio::test]
async fn a_client_that_sends_half_a_request_cannot_delay_the_drain() {
    let options = ServerOptions {
        head_timeout: std::time::Duration::from_millis(200),
        ..ServerOptions::default()
    };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /api/ok HTTP/1.1\r\nho").await.unwrap();
    until(|| fixture.drain.at_work() == 2).await;
    fixture.end().await;
}
