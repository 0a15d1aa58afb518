//! Arbitrary bytes: every connection ends, nothing panics, and the server keeps serving.

use std::time::Duration;

use crate::support::*;
use credsmith_http::ServerOptions;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bytes that look more or less like requests.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            &b"GET "[..], b"POST ", b"/api/echo", b"/api/ok", b"/", b"*", b"http://x/", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9",
            b"\r\n", b"\n", b"\r\n\r\n", b"host: x\r\n", b"host:\r\n", b"content-length: 5\r\n", b"content-length: 99999999999999999999\r\n",
            b"transfer-encoding: chunked\r\n", b"expect: 100-continue\r\n", b"upgrade: x\r\nconnection: upgrade\r\n", b"connection: close\r\n",
            b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b": \r\n", b"\x00", b"hello",
        ]).prop_map(<[u8]>::to_vec),
        1 => noise,
        1 => (prop::sample::select(vec![b'a', b' ', b'\n', b'/']), 0..40_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

#[test]
fn arbitrary_bytes_end_in_an_orderly_way() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = ServerOptions {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        stall_timeout: Duration::from_millis(300),
        ..ServerOptions::default()
    };
    let fixture = Fixture::new(options);
    let address = runtime.block_on(fixture.listen());
    let mut runner =
        TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    runner
        .run(&bytes(), |bytes| {
            let said = runtime.block_on(async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                say(&mut stream, b"").await
            });
            prop_assert!(said.is_empty() || said.starts_with("HTTP/1."), "{}", said);
            for code in ["500", "501", "502", "503", "504"] {
                prop_assert!(!said.contains(&format!("HTTP/1.1 {code}")), "{}", said);
            }
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        until(|| fixture.drain.at_work() == 1).await;
        assert_eq!(status(&get(address, "/api/ok").await), 200);
        fixture.end().await;
    });
}
