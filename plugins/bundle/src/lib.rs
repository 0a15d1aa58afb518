//! The bundled plugins as WebAssembly components.
