//! Extractors for axum (feature `axum`).
//!
//! 1. [`Access`]: the accepted token. Without a `Protect` above the handler it answers 500.
//! 2. `Option<Access>`: `None` where the policy is [`crate::Policy::optional`] and no token came.
//!    Without a `Protect` above it answers 500 too: a forgotten layer is not an anonymous caller.
//! 3. [`Claims`]: the token's claims as a type of yours. `Option<Claims<T>>` likewise.
//! 4. [`PeerLayer`]: the address of the connection, for checks and exceptions that name networks; and
//!    the certificate of its other end, where TLS ends in this process.
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

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ::axum::body::Body;
use ::axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use ::axum::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum::response::IntoResponse;
use http::request::Parts;
use http::{Extensions, Request, Response};
use serde::de::DeserializeOwned;
use tower::{Layer, Service};

use crate::access::Access;
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::layer::{Subject, Tokenless, TokenlessReason, misplaced, report};
use crate::observe::DecidedBy;
#[cfg(feature = "rustls")]
use crate::rustls::PeerInfo;
use crate::sender::PeerAddr;

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
        // A field of our own type, where serde misses one; every other text of it can have a value.
        let text = error.to_string();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        let what = match missing {
            Some((field, _)) => {
                format!("claim `{field}` is absent: make the field an `Option`, or")
            }
            None => format!("at column {column} of them a value has another type: change it, or"),
        };
        let detail = format!("the claims are not a `{wanted}`, {what} have the issuer write it");
        let refusal = Refusal::new(RejectionKind::NotAccepted, detail);
        report(refusal, Arc::clone(access.context()), Subject::Access(access), DecidedBy::Handler)
    })
}

fn refuse(tokenless: &Tokenless) -> Rejection {
    tokenless.refuse(Arc::clone(&tokenless.context), DecidedBy::Handler)
}

/// What a route lacks.
const NO_PROTECT: &str = "an Access extractor without a Protect above it: put `.layer(api.protect(...))` \
                          on the route; it covers what was added before it";

/// The access, or the mark of a request that passed without; neither is a mounting fault.
fn find(parts: &Parts) -> Result<Result<Access, Tokenless>, Rejection> {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if let Some(access) = parts.extensions.get::<Access>() {
        return Ok(Ok(access.clone()));
    }
    let tokenless = parts.extensions.get::<Tokenless>().cloned();
    let misplaced = || misplaced(&LOGGED, NO_PROTECT, DecidedBy::Handler);
    tokenless.map(Err).ok_or_else(misplaced)
}

/// Copies the address of the connection, axum's `ConnectInfo<SocketAddr>`, into [`PeerAddr`], where
/// checks and exceptions that name networks look for it.
///
/// It is mounted outside `protect`, and the router is served with
/// `into_make_service_with_connect_info::<SocketAddr>()`. Without that the address stays unknown,
/// no network holds it, and the log says so once. In tests axum's `MockConnectInfo` takes its place.
/// A [`PeerAddr`] that is there already is replaced by what axum saw.
///
/// With the feature `rustls` and a `portcullis::rustls::TlsListener` the router is served with
/// `into_make_service_with_connect_info::<PeerInfo>()` instead, and the layer copies the certificate
/// of the connection too, for tokens that are bound to it. A
/// [`PeerCertificate`](crate::certificate::PeerCertificate) that is there already is then replaced,
/// or removed where the connection has none.
///
/// ```no_run
/// use std::net::SocketAddr;
///
/// use axum::{Router, routing::get};
/// use portcullis::axum::PeerLayer;
/// use portcullis::check::scope;
///
/// # async fn serve(api: portcullis::ResourceServer) -> std::io::Result<()> {
/// let app = Router::new()
///     .route("/notes", get(async || "notes").layer(api.protect(scope("notes:read"))))
///     // The layer added last is the outer one.
///     .layer(PeerLayer);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerLayer;

impl<S> Layer<S> for PeerLayer {
    type Service = Peer<S>;

    fn layer(&self, inner: S) -> Peer<S> {
        Peer { inner }
    }
}

/// The service of [`PeerLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Peer<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Peer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        static LOGGED: AtomicBool = AtomicBool::new(false);
        let known = place(request.extensions_mut());
        if known == Connection::Unknown && !LOGGED.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "a PeerLayer without ConnectInfo: serve the router with \
                 `into_make_service_with_connect_info::<SocketAddr>()`, or `::<PeerInfo>()` of a \
                 TlsListener"
            );
        }
        self.inner.call(request)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Known,
    Unknown,
}

/// Puts what axum knows of the connection where checks look for it: what it saw before what was
/// mocked, and what our own acceptor saw before an address alone.
fn place(extensions: &mut Extensions) -> Connection {
    let seen = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let mocked = extensions.get::<MockConnectInfo<SocketAddr>>().map(|mock| mock.0);
    #[cfg(feature = "rustls")]
    {
        let (tls, mocked_tls) = accepted(extensions);
        if let Some(peer) = tls.or(mocked_tls.filter(|_| seen.is_none())) {
            peer.insert_into(extensions);
            return Connection::Known;
        }
    }
    let Some(address) = seen.or(mocked) else { return Connection::Unknown };
    extensions.insert(PeerAddr::new(address.ip()));
    Connection::Known
}

/// What our own acceptor saw of the connection, and what was mocked of that.
#[cfg(feature = "rustls")]
fn accepted(extensions: &Extensions) -> (Option<PeerInfo>, Option<PeerInfo>) {
    let seen = extensions.get::<ConnectInfo<PeerInfo>>().map(|info| info.0.clone());
    (seen, extensions.get::<MockConnectInfo<PeerInfo>>().map(|mock| mock.0.clone()))
}
