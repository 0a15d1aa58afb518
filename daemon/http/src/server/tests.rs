//! Slow clients, on a paused clock and over in-memory connections.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::{Server, connection};
use crate::{
    Drain, Fault, Peer, Reply, ReplyBody, Request, ServerOptions, StatusCode, Surface, Surfaces,
};

/// Reads bodies, waits for ever, or answers at length.
struct Probe;

impl Surface for Probe {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            match request.uri().path() {
                "/wait" => std::future::pending().await,
                "/sleep" => tokio::time::sleep(Duration::from_secs(25)).await,
                "/long" => return ReplyBody::text(StatusCode::OK, vec![b'x'; 1 << 20]),
                "/ignore" => return ReplyBody::text(StatusCode::OK, "ignored"),
                _ => {}
            }
            match request.body_mut().read(1000).await {
                Ok(bytes) => ReplyBody::text(StatusCode::OK, bytes),
                Err(fault) => self.fault(fault.fault()),
            }
        })
    }

    fn fault(&self, fault: Fault) -> Reply {
        ReplyBody::text(fault.status(), fault.sentence())
    }
}

/// head 10 s, idle 20 s, stall 5 s, body 15 s, deadline 30 s.
fn options() -> ServerOptions {
    ServerOptions {
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(20),
        stall_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(15),
        deadline: Duration::from_secs(30),
        ..ServerOptions::default()
    }
}

/// A connection, and the drain that it belongs to.
fn connect(options: ServerOptions) -> (DuplexStream, Drain) {
    let (ours, theirs) = duplex(4096);
    let drain = Drain::new();
    let server = Server::new(options, Surfaces::new(Arc::new(Probe)), drain.clone());
    let own = server.0.connections.enter(None).now_or_never().flatten().unwrap();
    let serving = connection::run(theirs, Peer::Unix(None), own, Arc::clone(&server.0));
    drain.spawn("connection", serving);
    (ours, drain)
}

/// What the server sends until it closes, and after how many seconds it closes.
async fn rest(stream: &mut DuplexStream, since: Instant) -> (String, u64) {
    let mut said = Vec::new();
    // A reset ends the connection too.
    let _ = stream.read_to_end(&mut said).await;
    (String::from_utf8_lossy(&said).into_owned(), since.elapsed().as_secs())
}

async fn one_reply(stream: &mut DuplexStream) -> String {
    let mut said = String::new();
    while !said.contains("\r\n\r\n") {
        said.push(char::from(stream.read_u8().await.unwrap()));
    }
    said
}

async fn drip(stream: &mut DuplexStream, bytes: &[u8], every: Duration) {
    for byte in bytes {
        tokio::time::sleep(every).await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let since = Instant::now();
    let (mut stream, drain) = connect(options());
    assert_eq!(rest(&mut stream, since).await, (String::new(), 10));
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_off() {
    let since = Instant::now();
    let (mut stream, drain) = connect(options());
    let head = "GET / HTTP/1.1\r\nhost: x\r\nx: ".to_owned() + &"y".repeat(1000);
    drip(&mut stream, head.as_bytes(), Duration::from_secs(1)).await;
    assert!((10..=12).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_head_has_its_own_time() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(one_reply(&mut stream).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_secs(15)).await;
    let since = Instant::now();
    drip(&mut stream, &[b'G'; 100], Duration::from_secs(1)).await;
    assert!((10..=13).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_longer_than_a_slow_head() {
    let (mut stream, drain) = connect(options());
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(one_reply(&mut stream).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_secs(19)).await;
    }
    let since = Instant::now();
    assert_eq!(rest(&mut stream, since).await, (String::new(), 1));
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_make_idling_endless() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET /sleep HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(one_reply(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut stream, Instant::now()).await, (String::new(), 20));
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_in_the_making_is_no_silence() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET /sleep HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (said, seconds) = rest(&mut stream, Instant::now()).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(seconds, 25);
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_a_408() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab").await.unwrap();
    let (said, seconds) = rest(&mut stream, Instant::now()).await;
    assert!(
        said.starts_with("HTTP/1.1 408")
            && said.ends_with("the request body did not arrive in time"),
        "{said}"
    );
    assert_eq!(seconds, 5);
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_a_408_before_the_deadline() {
    let (stream, drain) = connect(options());
    let (mut hear, mut speak) = tokio::io::split(stream);
    speak.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n").await.unwrap();
    let dripping = tokio::spawn(async move {
        while speak.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    });
    let since = Instant::now();
    let mut said = [0; 12];
    hear.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 408");
    assert_eq!(since.elapsed().as_secs(), 15);
    drop(hear);
    drain.wait().await;
    dripping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_what_never_ends() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (said, seconds) = rest(&mut stream, Instant::now()).await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert_eq!(seconds, 30);
    drain.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off() {
    let since = Instant::now();
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    drain.wait().await;
    assert_eq!(since.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_everything() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_on(&mut stream, Duration::from_millis(150)).await > 1 << 20);
    drain.wait().await;
}

/// Attack: a client reads byte by byte, and never stalls, so that its reply stays in memory.
#[tokio::test(start_paused = true)]
async fn a_reply_that_is_not_read_in_time_is_cut() {
    let since = Instant::now();
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET /long HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let read = read_on(&mut stream, Duration::from_secs(4)).await;
    assert!(read < 1 << 18, "{read}");
    drain.wait().await;
    // 30 s, and a second for each 64 KiB of the MiB.
    assert!((46..=54).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

/// Reads 4 KiB in each `pause`, until the end. How much that was.
async fn read_on(stream: &mut DuplexStream, pause: Duration) -> usize {
    let mut buffer = vec![0; 4096];
    let mut total = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        total += count;
        tokio::time::sleep(pause).await;
    }
    total
}

#[tokio::test(start_paused = true)]
async fn an_unread_body_is_waited_for_only_briefly() {
    let (mut stream, drain) = connect(options());
    stream
        .write_all(b"POST /ignore HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\nabc")
        .await
        .unwrap();
    let (said, _) = rest(&mut stream, Instant::now()).await;
    assert!(said.ends_with("ignored"), "{said}");
    let since = Instant::now();
    // The client neither sends the rest nor closes.
    drain.wait().await;
    assert!(since.elapsed() <= Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_within_the_limits_whatever_clients_do() {
    let (mut stream, drain) = connect(options());
    stream.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drain.begin();
    let since = Instant::now();
    drain.wait().await;
    assert!(since.elapsed() <= Duration::from_secs(10), "{:?}", since.elapsed());
}
