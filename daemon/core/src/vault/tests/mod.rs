//! Tests of the vault over a store in memory and scripted plugins: authorization, concurrent
//! changes, crashes between two commits. Start with `world`.

mod changes;
mod credentials;
mod hostile;
mod lists;
mod lives;
mod meanwhile;
mod rights;
mod types;
mod world;

use world::{Draft, World, admin, field, kind, member, places, secure, values};
