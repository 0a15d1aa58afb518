//! Runs Credsmith's plugins: sandboxed WebAssembly components.
