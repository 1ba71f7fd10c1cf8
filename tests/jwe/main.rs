//! Encrypted access tokens.
