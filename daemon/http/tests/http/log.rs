//! What the server logs, and what it must never log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::support::*;
use credsmith_http::ServerOptions;
use tokio::net::TcpStream;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The subscriber is this thread's, and so are all tasks of a test's runtime.
#[tokio::test]
async fn each_request_is_one_line_without_its_content() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fixture = Fixture::new(ServerOptions::default());
    let address = fixture.listen().await;

    let request = "POST /api/echo?token=CANARY HTTP/1.1\r\nhost: CANARY\r\nauthorization: Bearer CANARY\r\n\
                   connection: close\r\ncontent-length: 6\r\n\r\nCANARY";
    let mut stream = TcpStream::connect(address).await.unwrap();
    let reply = say(&mut stream, request.as_bytes()).await;
    assert_eq!(body_of(&reply), "CANARY");
    let id = header_of(&reply, "x-request-id").unwrap();
    let log = lines.take();
    assert!(!log.contains("CANARY"), "{log}");
    let answered: Vec<_> = log.lines().filter(|line| line.contains(" INFO ")).collect();
    let [line] = answered[..] else { panic!("{log}") };
    for part in [
        &format!("id={id}"),
        "client=127.0.0.1",
        "method=POST",
        "path=/api/echo",
        "status=200",
        "micros=",
        "request answered",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }

    // A path as long as heads may be, with bytes that no log should see raw.
    let path = format!("/api/{}\u{1b}{}", "\u{e9}".repeat(10), "x".repeat(10_000));
    get(address, &path).await;
    let log = lines.take();
    assert!(!log.contains('\u{1b}') && !log.contains('\u{e9}'), "{log}");
    assert!(log.lines().all(|line| line.len() < 2000), "{log}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(
        &mut stream,
        format!("{} / HTTP/1.1\r\nconnection: close\r\n\r\n", "M".repeat(10_000)).as_bytes(),
    )
    .await;
    assert!(lines.take().lines().all(|line| line.len() < 2000));

    get(address, "/api/quiet").await;
    let log = lines.take();
    assert!(log.lines().all(|line| !line.contains(" INFO ")), "{log}");
    assert_eq!(log.matches("request answered").count(), 1);

    get(address, "/api/panic").await;
    let log = lines.take();
    assert_eq!(log.matches("a request handler panicked").count(), 1, "{log}");
    assert!(log.contains("first\\x0asecond line"), "{log}");

    // An operator need not read about invalid requests.
    let mut stream = TcpStream::connect(address).await.unwrap();
    say(&mut stream, b"nonsense\r\n\r\n").await;
    assert!(lines.take().lines().all(|line| line.contains("DEBUG")));
    fixture.end().await;
}
