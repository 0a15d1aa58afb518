//! The REST dialects of Credsmith: translations of one core.
