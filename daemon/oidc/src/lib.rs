//! OpenID providers as Credsmith sees them, and the signing of tokens.
