//! HTTP for Credsmith: a server that knows no credential, and a guarded client.
