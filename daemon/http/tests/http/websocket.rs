//! WebSockets through a whole server, with a client of their own.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::*;
use credsmith_http::ServerOptions;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn open(fixture: &Fixture) -> WebSocketStream<TcpStream> {
    open_at(fixture.listen().await).await
}

async fn open_at(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/api/socket");
    within(tokio_tungstenite::client_async(url, stream)).await.unwrap().0
}

fn code(message: &Message) -> u16 {
    let Message::Close(Some(frame)) = message else { panic!("{message:?}") };
    frame.code.into()
}

#[tokio::test]
async fn a_client_waits_longer_than_a_connection_may_idle() {
    let options =
        ServerOptions { idle_timeout: Duration::from_millis(50), ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let mut client = open(&fixture).await;
    fixture.api.until_waiting(1).await;
    // A younger connection goes silent, and is closed for it.
    let mut silent = TcpStream::connect(fixture.listen().await).await.unwrap();
    assert_eq!(status(&say(&mut silent, b"GET /api/ok HTTP/1.1\r\nhost: x\r\n\r\n").await), 200);
    client.send(Message::text("still here")).await.unwrap();
    fixture.api.gate.add_permits(1);
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::text("through the gate"));
    assert_eq!(code(&within(client.next()).await.unwrap().unwrap()), 1000);
    assert!(within(client.next()).await.is_none());
    fixture.end().await;
}

/// More sockets wait than HTTP connections are allowed, and they keep no client out.
#[tokio::test]
async fn a_waiting_client_takes_no_place_of_a_connection() {
    let options = ServerOptions { connections: 1, ..ServerOptions::default() };
    let fixture = Fixture::new(options);
    let address = fixture.listen().await;
    let mut clients = [open_at(address).await, open_at(address).await, open_at(address).await];
    fixture.api.until_waiting(3).await;
    assert_eq!(status(&get(address, "/api/ok").await), 200);
    fixture.api.gate.add_permits(3);
    for client in &mut clients {
        assert_eq!(
            within(client.next()).await.unwrap().unwrap(),
            Message::text("through the gate")
        );
        assert_eq!(code(&within(client.next()).await.unwrap().unwrap()), 1000);
        assert!(within(client.next()).await.is_none());
    }
    fixture.end().await;
}

#[tokio::test]
async fn the_shutdown_closes_a_waiting_socket() {
    let fixture = Fixture::new(ServerOptions::default());
    let mut client = open(&fixture).await;
    fixture.api.until_waiting(1).await;
    fixture.drain.begin();
    assert_eq!(code(&within(client.next()).await.unwrap().unwrap()), 1001);
    assert!(matches!(within(client.next()).await, None | Some(Err(Error::ConnectionClosed))));
    fixture.end().await;
}

#[tokio::test]
async fn a_plain_request_gets_a_426() {
    let fixture = Fixture::new(ServerOptions::default());
    let reply = get(fixture.listen().await, "/api/socket").await;
    assert_eq!((status(&reply), header_of(&reply, "upgrade")), (426, Some("websocket")));
    assert_eq!(header_of(&reply, "sec-websocket-version"), Some("13"));
    fixture.end().await;
}
