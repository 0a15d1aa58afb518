//! The company vault: companies, types of credentials, credentials with secure fields.

pub mod field;
pub mod link;
