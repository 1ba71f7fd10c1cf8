//! The guide: what to write, and what to expect, in the order in which a service usually needs it.
//!
//! | chapter | what it is for |
//! |---|---|
//! | [`first_service`] | from nothing to a protected API with tests |
//! | [`scopes`] | what a route asks: scopes, roles, owners, fresh authentication |
//! | [`choosing_a_binding`] | bearer tokens, DPoP, mutual TLS: which, for whom, at what price |
//! | [`revocation_in_an_hour`] | tokens that end before they expire |
//! | [`behind_a_proxy`] | TLS that ends elsewhere, prefixes that are cut off, forwarded certificates |
//! | [`grpc`] | the same with tonic |
//! | [`testing_your_service`] | your own tests, without a network and without sleeping |
//! | [`operating`] | what to watch, what to alert on, what to rotate |
//! | [`moving`] | from jwt-authorizer, tower-oauth2-resource-server, axum-jwt-auth, or code of your own |
//!
//! Each chapter stands alone. Its programs are whole, but for what the text says is a piece: they are compiled
//! and run with the tests of this crate, with an issuer of [`mod@crate::testing`] in place of yours, and each chapter shows requests that pass
//! and requests that are refused. What is only compiled says why.
//!
//! What the guide does not do: it explains neither OAuth nor your authorization server, and it does not
//! repeat the rules; those are numbered at the top of each module. [`crate`] has the ten steps of a
//! decision, and [`crate::RejectionKind`] has every reason to refuse.

#[doc = include_str!("behind_a_proxy.md")]
pub mod behind_a_proxy {}

#[doc = include_str!("choosing_a_binding.md")]
pub mod choosing_a_binding {}

#[doc = include_str!("first_service.md")]
pub mod first_service {}

#[doc = include_str!("grpc.md")]
pub mod grpc {}

#[doc = include_str!("moving.md")]
pub mod moving {}

#[doc = include_str!("operating.md")]
pub mod operating {}

#[doc = include_str!("revocation_in_an_hour.md")]
pub mod revocation_in_an_hour {}

#[doc = include_str!("scopes.md")]
pub mod scopes {}

#[doc = include_str!("testing_your_service.md")]
pub mod testing_your_service {}
