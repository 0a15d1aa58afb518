//! What authors of Credsmith plugins link.
