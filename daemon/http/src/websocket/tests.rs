//! Sockets over in-memory connections, on a paused clock.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::Drain;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const GOOD: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

fn head(headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::get("/socket");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A valid handshake with this header replaced.
fn with(name: &'static str, values: &[&str]) -> Parts {
    let mut headers: Vec<_> = GOOD.into_iter().filter(|(own, _)| *own != name).collect();
    headers.extend(values.iter().map(|value| (name, *value)));
    head(&headers)
}

#[test]
fn the_handshake_of_the_rfc() {
    let reply = Handshake::read(&head(&GOOD)).unwrap().accept(|_| Box::pin(async {}));
    assert_eq!(reply.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(reply.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(
        (&reply.headers()["upgrade"], &reply.headers()["connection"]),
        (&HeaderValue::from_static("websocket"), &HeaderValue::from_static("upgrade"))
    );
}

#[test]
fn other_requests_are_no_handshake() {
    let (mut post, mut old) = (head(&GOOD), head(&GOOD));
    post.method = Method::POST;
    old.version = Version::HTTP_10;
    let required = [
        head(&[]),
        with("connection", &[]),
        with("connection", &["keep-alive"]),
        with("connection", &["upgraded"]),
        with("upgrade", &[]),
        with("upgrade", &["h2c"]),
        with("sec-websocket-version", &["8"]),
        post,
        old,
    ];
    for parts in required {
        assert_eq!(
            Handshake::read(&parts).unwrap_err(),
            HandshakeError::UpgradeRequired,
            "{parts:?}"
        );
    }
    let long = format!("{KEY}{KEY}");
    for key in [
        &[][..],
        &[""],
        &["short=="],
        &[&long],
        &[KEY, KEY],
        &["dGhlIHNhbXBsZSBub25jZ!=="],
        &["dGhlIHNhbXBsZSBub25jZQAA"],
    ] {
        let parts = with("sec-websocket-key", key);
        assert_eq!(Handshake::read(&parts).unwrap_err(), HandshakeError::Malformed, "{key:?}");
    }
    assert_eq!(
        Handshake::read(&with("sec-websocket-version", &[])).unwrap_err(),
        HandshakeError::Malformed
    );
    assert!(Handshake::read(&with("connection", &["keep-alive", "upgrade"])).is_ok());
}

struct Fixture {
    drain: Drain,
    text: Option<oneshot::Sender<String>>,
    delivery: JoinHandle<Delivery>,
}

impl Fixture {
    fn new() -> (Self, DuplexStream) {
        let (ours, theirs) = duplex(1024);
        let (drain, (text, received)) = (Drain::new(), oneshot::channel());
        let draining = drain.watch();
        let delivery = tokio::spawn(async move {
            WebSocket::new(theirs, draining).await.deliver(async { received.await.unwrap() }).await
        });
        (Self { drain, text: Some(text), delivery }, ours)
    }

    async fn client() -> (Self, WebSocketStream<DuplexStream>) {
        let (fixture, stream) = Self::new();
        (fixture, WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    fn send(&mut self, text: &str) {
        self.text.take().unwrap().send(text.to_owned()).unwrap();
    }
}

/// The next message that a client receives, pings aside.
async fn receive(client: &mut WebSocketStream<DuplexStream>) -> Message {
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Ping(_) => {}
            other => return other,
        }
    }
}

async fn close_code(client: &mut WebSocketStream<DuplexStream>) -> u16 {
    let Message::Close(Some(frame)) = receive(client).await else { panic!("no close") };
    frame.code.into()
}

#[tokio::test(start_paused = true)]
async fn the_text_is_sent_once_and_then_the_socket_closes() {
    let (mut fixture, mut client) = Fixture::client().await;
    fixture.send("hello");
    assert_eq!(receive(&mut client).await, Message::text("hello"));
    assert_eq!(close_code(&mut client).await, 1000);
    assert!(client.next().await.is_none());
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_kept_alive_by_pings() {
    let (mut fixture, mut client) = Fixture::client().await;
    for _ in 0..20 {
        assert!(matches!(client.next().await, Some(Ok(Message::Ping(_)))));
    }
    assert!(!fixture.delivery.is_finished(), "ten minutes");
    fixture.send("late");
    assert_eq!(receive(&mut client).await, Message::text("late"));
    drop(client);
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_disconnected() {
    let (fixture, _stream) = Fixture::new();
    let since = Instant::now();
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
    assert_eq!(since.elapsed(), 2 * PING);
}

#[tokio::test(start_paused = true)]
async fn small_frames_are_discarded() {
    let (mut fixture, mut client) = Fixture::client().await;
    client.send(Message::text("x".repeat(125))).await.unwrap();
    client.send(Message::binary(vec![0; 125])).await.unwrap();
    client.send(Message::Ping(vec![7; 125].into())).await.unwrap();
    assert_eq!(receive(&mut client).await, Message::Pong(vec![7; 125].into()));
    fixture.send("hello");
    assert_eq!(receive(&mut client).await, Message::text("hello"));
    assert_eq!(close_code(&mut client).await, 1000);
}

/// The attack: ten thousand sockets, each with a message that never ends.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_too_much_is_disconnected() {
    let (fixture, mut client) = Fixture::client().await;
    client.send(Message::text("x".repeat(126))).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1009);
    drop(client);
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);

    let (fixture, mut stream) = Fixture::new();
    // The head of a masked frame of 2^62 bytes.
    stream.write_all(&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await.unwrap();
    let mut said = [0; 4];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said, [0x88, 2, 0x03, 0xf1], "close, 1009");
    drop(stream);
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);

    let (fixture, mut stream) = Fixture::new();
    // Fragments of 100 bytes, which are allowed each but not together.
    for first in [0x01, 0x00] {
        stream.write_all(&[first, 0x80 | 100, 0, 0, 0, 0]).await.unwrap();
        stream.write_all(&[b'x'; 100]).await.unwrap();
    }
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said, [0x88, 2, 0x03, 0xf1], "close, 1009");
    drop(stream);
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_frame_is_a_protocol_error() {
    for invalid in [
        // Not masked, a reserved bit, an undefined opcode.
        &[0x81, 0x01, b'x'][..],
        &[0xc1, 0x81, 0, 0, 0, 0, b'x'],
        &[0x83, 0x81, 0, 0, 0, 0, b'x'],
    ] {
        let (fixture, mut stream) = Fixture::new();
        stream.write_all(invalid).await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(said, [0x88, 2, 0x03, 0xea], "close, 1002");
        drop(stream);
        assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_disconnect() {
    let (fixture, mut client) = Fixture::client().await;
    client.close(None).await.unwrap();
    while client.next().await.is_some() {}
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
    let (fixture, stream) = Fixture::new();
    drop(stream);
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
}

#[tokio::test(start_paused = true)]
async fn the_drain_closes_with_1001() {
    let (fixture, mut client) = Fixture::client().await;
    fixture.drain.begin();
    assert_eq!(close_code(&mut client).await, 1001);
    assert!(client.next().await.is_none());
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Drained);
}

/// The attack: sockets that never answer a close frame would delay the shutdown.
#[tokio::test(start_paused = true)]
async fn an_unanswered_close_does_not_delay_the_drain() {
    let (fixture, _stream) = Fixture::new();
    let since = Instant::now();
    fixture.drain.begin();
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Drained);
    assert_eq!(since.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_disconnected() {
    let (mut fixture, _stream) = Fixture::new();
    fixture.send(&"x".repeat(4096));
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
}

/// The attack: a client pings and reads nothing, so that the pongs accumulate.
#[tokio::test(start_paused = true)]
async fn pongs_that_are_not_read_do_not_accumulate() {
    const PINGS: usize = 20_000;
    let (fixture, mut stream) = Fixture::new();
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[7; 125]].concat();
    for _ in 0..PINGS {
        stream.write_all(&ping).await.unwrap();
    }
    let mut answers = 0;
    let mut part = [0; 1024];
    while let Ok(Ok(read @ 1..)) = timeout(Duration::from_secs(1), stream.read(&mut part)).await {
        answers += read;
    }
    assert!(answers > 0 && answers < 2 * MAX_OUTGOING, "{answers} bytes were kept");
    drop(stream);
    assert_eq!(fixture.delivery.await.unwrap(), Delivery::Gone);
}

/// Two tokens of the maximum length fit.
#[tokio::test(start_paused = true)]
async fn a_long_text_is_sent_whole_and_an_endless_one_is_not() {
    for (length, delivery) in
        [(MAX_OUTGOING - 16, Delivery::Sent), (MAX_OUTGOING + 1, Delivery::Gone)]
    {
        let (mut fixture, mut client) = Fixture::client().await;
        let text = "x".repeat(length);
        fixture.send(&text);
        let received = receive(&mut client).await;
        assert_eq!(received == Message::text(text), delivery == Delivery::Sent, "{length}");
        while client.next().await.is_some_and(|message| message.is_ok()) {}
        drop(client);
        assert_eq!(fixture.delivery.await.unwrap(), delivery, "{length}");
    }
}
