//! Holds BoringSSL together in one archive.

pub use boring_sys;
