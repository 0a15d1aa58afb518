//! Where Credsmith keeps its state: sled, memory, and the suite that both must pass.
