//! gRPC with tonic (feature `tonic`).
//!
//! 1. `.grpc()` on [`protect`](crate::ResourceServer::protect) or [`require`](crate::layer::require)
//!    answers refusals as gRPC wants them: a layer of tonic's `Server`, or of one service on an axum
//!    router. It decides before the first message of a call, whether that streams or not.
//! 2. [`access`] is the accepted token in a handler. Without a `Protect` above it is INTERNAL, and
//!    an error in the log.
//! 3. [`optional_access`] is `None` where the policy is [`crate::Policy::optional`] and no token
//!    came. Without a `Protect` above it is INTERNAL too: a forgotten layer is not an anonymous
//!    caller.
//! 4. A [`Rejection`] becomes a [`Status`] with `?` or `.into()`: the code, the fixed message and
//!    the metadata that the layer would have answered with. The metadata has `www-authenticate`,
//!    which is the challenge that an HTTP client would have got, or `retry-after` and
//!    `grpc-retry-pushback-ms`.
//!
//! A call that streams is decided once, when it begins: a token that expires later does not end it.
//! A handler that streams for long ends the stream itself, at [`Access::expires_at`].
//!
//! ```
//! use std::time::Duration;
//!
//! use portcullis::check::{Denial, scope};
//! use portcullis::testing::TestIssuer;
//! use portcullis::time::SystemClock;
//! use portcullis::{Binding, Issuer, ResourceServer, TokenClass};
//! use tonic::{Code, Request, Response, Status, transport::Server};
//! use tonic_health::pb::health_server::{Health, HealthServer};
//! use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
//! # use portcullis::testing::TestNetwork;
//! # use tonic_health::pb::health_client::HealthClient;
//!
//! struct Wards;
//!
//! #[tonic::async_trait]
//! impl Health for Wards {
//!     async fn check(
//!         &self,
//!         request: Request<HealthCheckRequest>,
//!     ) -> Result<Response<HealthCheckResponse>, Status> {
//!         let access = portcullis::tonic::access(&request)?;
//!         if request.get_ref().service != access.subject().as_str() {
//!             return Err(access.refuse(Denial::forbidden("somebody else's health")).into());
//!         }
//!         Ok(Response::new(HealthCheckResponse { status: 1 }))
//!     }
//! #   type WatchStream = std::pin::Pin<Box<dyn tonic::codegen::tokio_stream::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;
//! #   async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
//! #       Err(Status::unimplemented("watch"))
//! #   }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let issuer = TestIssuer::new("https://login.example.com", &SystemClock::new());
//! let api = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::discover("https://login.example.com"))
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_mins(15)))
//! #   .transport(TestNetwork::of(&[&issuer]))
//!     .build()?;
//! let router = Server::builder()
//!     .layer(api.protect(scope("health:read")).grpc())
//!     .add_service(HealthServer::new(Wards));
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! # let incoming = tonic::transport::server::TcpIncoming::from(listener);
//! # tokio::spawn(router.serve_with_incoming(incoming));
//! # let channel = tonic::transport::Channel::from_shared(format!("http://{address}"))?;
//! # let mut client = HealthClient::new(channel.connect().await?);
//!
//! // What a client sees of it.
//! let ask = |service: &str| Request::new(HealthCheckRequest { service: service.to_owned() });
//! let refused = client.check(ask("alice")).await.unwrap_err();
//! assert_eq!(refused.code(), Code::Unauthenticated);
//! assert_eq!(refused.message(), "an access token is required");
//! let challenge = refused.metadata().get("www-authenticate").unwrap().to_str()?;
//! assert!(challenge.ends_with("scope=\"health:read\""));
//!
//! let token = issuer.token("https://api.example.com").subject("alice").scope("health:read").sign();
//! let with_token = |service| {
//!     let mut request = ask(service);
//!     request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
//!     request
//! };
//! assert_eq!(client.check(with_token("alice")).await?.get_ref().status, 1);
//! let refused = client.check(with_token("bob")).await.unwrap_err();
//! assert_eq!(refused.code(), Code::PermissionDenied);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The peer's address
//!
//! Checks and exceptions that name networks look at [`crate::PeerAddr`]. tonic's server knows the
//! address, with TLS and without; an interceptor outside the `protect` layer hands it on (as a layer
//! inside it, none compiles: tonic's has a body without a default). This crate has no layer for it,
//! since that would turn tonic's server on for everybody.
//!
//! ```
//! use portcullis::PeerAddr;
//! use portcullis::check::scope;
//! use tonic::service::InterceptorLayer;
//! use tonic::transport::Server;
//! use tonic::{Request, Status};
//!
//! fn peer(mut request: Request<()>) -> Result<Request<()>, Status> {
//!     if let Some(address) = request.remote_addr() {
//!         request.extensions_mut().insert(PeerAddr::new(address.ip()));
//!     }
//!     Ok(request)
//! }
//!
//! # fn server(api: &portcullis::ResourceServer) {
//! // The layer added first is the outer one.
//! let server = Server::builder()
//!     .layer(InterceptorLayer::new(peer))
//!     .layer(api.protect(scope("health:read")).grpc());
//! # let _ = server;
//! # }
//! ```
//!
//! grpc/grpc `doc/statuscodes.md` and `doc/PROTOCOL-HTTP2.md`, gRFC A6, RFC 6750 §3.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::tonic::{Request, Status};
use http::header::CONTENT_TYPE;

use crate::access::Access;
use crate::error::Rejection;
use crate::layer::{Tokenless, TokenlessReason, misplaced};
use crate::observe::DecidedBy;

/// What [`Rejection::to_grpc_response`] says. The [source](std::error::Error::source) is the
/// rejection itself, for logs on this side of the wire; no client gets it.
impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let mut response = rejection.to_grpc_response::<()>();
        // tonic writes it for each status; as metadata it is none.
        response.headers_mut().remove(CONTENT_TYPE);
        // INVARIANT: the response has a `grpc-status`.
        let mut status = Self::from_header_map(response.headers())
            .unwrap_or_else(|| Self::internal("the server is configured wrongly"));
        status.set_source(Arc::new(rejection));
        status
    }
}

/// The accepted token.
///
/// # Errors
/// UNAUTHENTICATED if the request passed a [`crate::Policy::optional`] without a token. INTERNAL
/// without a `Protect` above the handler, and the log says so once.
pub fn access<T>(request: &Request<T>) -> Result<&Access, Status> {
    Ok(find(request)?.map_err(refuse)?)
}

/// The accepted token, or `None` if the policy is [`crate::Policy::optional`] and no token came.
///
/// # Errors
/// INTERNAL without a `Protect` above the handler, and the log says so once.
pub fn optional_access<T>(request: &Request<T>) -> Result<Option<&Access>, Status> {
    match find(request)? {
        Ok(access) => Ok(Some(access)),
        Err(tokenless) if tokenless.why == TokenlessReason::Optional => Ok(None),
        // Nobody said that it may do without: it only was let through.
        Err(tokenless) => Err(refuse(tokenless).into()),
    }
}

fn refuse(tokenless: &Tokenless) -> Rejection {
    tokenless.refuse(Arc::clone(&tokenless.context), DecidedBy::Handler)
}

/// What a server lacks.
const NO_PROTECT: &str = "a gRPC handler without a Protect above it: put \
                          `.layer(api.protect(...).grpc())` on the server";

/// The access, or the mark of a request that passed without; neither is a mounting fault.
fn find<T>(request: &Request<T>) -> Result<Result<&Access, &Tokenless>, Rejection> {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    let extensions = request.extensions();
    if let Some(access) = extensions.get::<Access>() {
        return Ok(Ok(access));
    }
    let misplaced = || misplaced(&LOGGED, NO_PROTECT, DecidedBy::Handler);
    extensions.get::<Tokenless>().map(Err).ok_or_else(misplaced)
}
