//! Enarx.toml.
