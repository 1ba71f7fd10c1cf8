//! Extractors for axum (feature `axum`).
//!
//! 1. [`Access`]: the accepted token. Without a `Protect` above the handler it answers 500.
//! 2. `Option<Access>`: `None` where the policy is [`crate::Policy::optional`] and no token came.
//!    Without a `Protect` above it answers 500 too: a forgotten layer is not an anonymous caller.
//! 3. [`Claims`]: the token's claims as a type of yours. `Option<Claims<T>>` likewise.
//!
//! ```
//! use portcullis::Access;
//! use portcullis::axum::Claims;
//!
//! #[derive(serde::Deserialize)]
//! struct Tenant {
//!     tenant: String,
//! }
//!
//! async fn whoami(access: Access, Claims(tenant): Claims<Tenant>) -> String {
//!     format!("{} of {}", access.subject(), tenant.tenant)
//! }
//! # let _: ::axum::Router = ::axum::Router::new().route("/", ::axum::routing::get(whoami));
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::axum_core::body::Body;
use ::axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum_core::response::IntoResponse;
use http::Response;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::access::Access;
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::layer::{Tokenless, TokenlessReason, misplaced, report};
use crate::observe::Place;

/// The claims of the accepted token as a type of yours. A token whose claims do not have that
/// shape is refused: 401 `invalid_token`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims<T>(pub T);

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        self.to_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        find(parts)?.map_err(|tokenless| refuse(&tokenless))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Access {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        match find(parts)? {
            Ok(access) => Ok(Some(access)),
            Err(tokenless) if tokenless.why == TokenlessReason::Optional => Ok(None),
            // Nobody said that it may do without: it only was let through.
            Err(tokenless) => Err(refuse(&tokenless)),
        }
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Claims<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let access = <Access as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        claims(&access)
    }
}

impl<S: Sync, T: DeserializeOwned> OptionalFromRequestParts<S> for Claims<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Rejection> {
        let access = <Access as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
        access.await?.map(|access| claims(&access)).transpose()
    }
}

/// The claims as a type; the log names the type, and the place, and no value.
fn claims<T: DeserializeOwned>(access: &Access) -> Result<Claims<T>, Rejection> {
    access.claims().map(Claims).map_err(|error| {
        let (wanted, column) = (std::any::type_name::<T>(), error.column());
        let detail = format!("the claims are not a `{wanted}`, at column {column}");
        let refusal = Refusal::new(RejectionKind::NotAccepted, detail);
        report(refusal, Arc::clone(access.context()), Some(access), Place::Handler)
    })
}

fn refuse(tokenless: &Tokenless) -> Rejection {
    report(tokenless.refusal(), Arc::clone(&tokenless.context), None, Place::Handler)
}

/// The access, or the mark of a request that passed without; neither is a mounting fault.
fn find(parts: &Parts) -> Result<Result<Access, Tokenless>, Rejection> {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if let Some(access) = parts.extensions.get::<Access>() {
        return Ok(Ok(access.clone()));
    }
    let tokenless = parts.extensions.get::<Tokenless>().cloned();
    let misplaced = || misplaced(&LOGGED, "an Access extractor without a Protect above it");
    tokenless.map(Err).ok_or_else(misplaced)
}
