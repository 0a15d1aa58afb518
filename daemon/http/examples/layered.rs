//! The same as `bare`, through all of this crate: the difference between the two is the cost of the
//! layers.
//!
//! `layered FILE` prints `ready http://ADDRESS` when it serves.
#![expect(clippy::print_stdout, reason = "the address is this program's one output")]

use std::error::Error;
use std::sync::Arc;

use credsmith_http::{
    Bytes, Drain, Fault, Listener, Reply, ReplyBody, Request, Server, ServerOptions, StatusCode,
    Surface, Surfaces,
};
use futures_util::future::BoxFuture;

struct Fixed(Bytes);

impl Surface for Fixed {
    fn call(&self, _request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async { ReplyBody::json(StatusCode::OK, self.0.clone()) })
    }

    fn fault(&self, fault: Fault) -> Reply {
        ReplyBody::text(fault.status(), fault.sentence())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("name the FILE to answer with")?;
    let surface = Arc::new(Fixed(std::fs::read(file)?.into()));
    let drain = Drain::new();
    let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).await?;
    if let Some(address) = listener.local_addr() {
        println!("ready http://{address}");
    }
    let options = ServerOptions { in_work: 10_000, ..ServerOptions::default() };
    Server::new(options, Surfaces::new(surface), drain.clone()).serve(listener);
    drain.wait().await;
    Ok(())
}
