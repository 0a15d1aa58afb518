//! The vault dialect from outside.
//!
//! `routes` plays every example of the original route list; the rest goes by subject: signing in
//! (`sign_in`), what becomes of a session (`sessions`), credentials and their types (`credentials`,
//! `types`), whom roles let see what (`rights`), requests that make no sense (`bad_input`), a
//! daemon that ends and begins again (`restart`), the one that newcomers try (`dev`).

mod bad_input;
mod credentials;
mod dev;
mod directory;
mod restart;
mod rights;
mod routes;
mod sessions;
mod sign_in;
mod types;
mod world;
