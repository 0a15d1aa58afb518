//! The structure is the architecture, and these tests read it from the manifests and the sources:
//! which crate may know which, which folder of core may import from which, and that no files import
//! each other in a circle.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails should say where, and at once"
)]

mod circles;
mod crates;
mod imports;
mod rooms;
