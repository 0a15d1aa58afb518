//! The test kit: runs a plugin natively, with everything that the daemon would give it played by
//! the test.
//!
//! [`Kit`] holds the settings, secrets, keys, scripted answers and the time of a test, runs the
//! plugin's functions, and checks after each of them what the daemon would check. It fails a test
//! by panicking with a sentence. It greases: unknown claims, headers and signing algorithms are
//! mixed in, as a newer daemon might, and a plugin has to ignore them. [`TypeKit`] does so for
//! types of credentials.
//!
//! ```
//! # use credsmith_plugin_sdk::prelude::*;
//! # struct Plugin;
//! # impl Service for Plugin {
//! #     fn describe() -> Description {
//! #         Description::new("plugin", "1.0.0").setting(Field::url("api").required())
//! #     }
//! #     fn configure(settings: &Settings) -> Result<Self, Noted> {
//! #         settings.get::<String>("api").map(|_| Self)
//! #     }
//! #     fn offer(&self) -> Offer { Offer::revocable() }
//! #     fn issue(&self, request: &Request) -> Result<Outcome, NotIssued> {
//! #         http::put("https://api.example/7").send()?.success()?;
//! #         Ok(Issued::new("7").into())
//! #     }
//! #     fn revoke(&self, _: &Request, _: &Made) -> Result<(), Refusal> { Ok(()) }
//! # }
//! use credsmith_plugin_sdk::testing::{Call, Kit, Reply};
//!
//! let kit = Kit::<Plugin>::new().setting("api", "https://api.example").reply(Reply::status(201));
//! let issued = kit.issued(&Call::of("alice").claim("email", "alice@example.org"));
//! assert_eq!(issued.state, "7");
//! assert_eq!(kit.sent()[0].url, "https://api.example/7");
//! ```

mod call;
mod checks;
mod directory;
mod http;
pub(crate) mod imports;
mod keys;
mod kit;
mod type_kit;
mod world;

pub use call::{Call, Login};
pub use http::{Reply, Sent};
pub use keys::TestKey;
pub use kit::Kit;
pub use type_kit::TypeKit;
pub use world::LogLine;
