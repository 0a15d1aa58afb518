//! A small OpenID provider on loopback, for trying Credsmith out and for its tests.
