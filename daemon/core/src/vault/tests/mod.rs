//! The vault over a store in memory and scripted plugins, as its users meet it: judged, changed at
//! once by several, killed in between.

mod changes;
mod credentials;
mod hostile;
mod lives;
mod meanwhile;
mod rights;
mod types;
mod world;

use world::{Draft, World, admin, field, kind, member, places, secure, values};
