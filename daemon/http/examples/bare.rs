//! hyper alone, answering every request with the same bytes: the baseline for the cost of this
//! crate's layers.
//!
//! `bare --listen 127.0.0.1:0 --body FILE` answers with the contents of FILE as `application/json`,
//! and prints `ready http://ADDRESS` when it serves.
#![expect(clippy::print_stdout, reason = "the address is this program's one output")]

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

struct Arguments {
    listen: SocketAddr,
    body: PathBuf,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut listen, mut body) = (SocketAddr::from(([127, 0, 0, 1], 0)), None);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--listen" => listen = value.parse()?,
                "--body" => body = Some(value.into()),
                _ => return Err(format!("{word} is unknown; --listen and --body are not").into()),
            }
        }
        Ok(Self { listen, body: body.ok_or("--body FILE is needed")? })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    let body = Bytes::from(std::fs::read(&arguments.body)?);
    let listener = TcpListener::bind(arguments.listen).await?;
    println!("ready http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: http::Request<Incoming>| {
                let body = body.clone();
                async move {
                    let mut response = http::Response::new(Full::new(body));
                    response
                        .headers_mut()
                        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                    Ok::<_, Infallible>(response)
                }
            });
            // A client that hangs up is how every measurement ends.
            let _ = http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
