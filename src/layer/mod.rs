//! The decision as tower middleware.
//!
//! 1. [`ProtectLayer`] makes the whole decision for a route or a router. Two of them are never
//!    nested: the inner one answers 500 to a request that was decided already, and says so in the
//!    log. A looser route gets its own on its own sub-router.
//! 2. [`require()`] below a `Protect` can only tighten. Without one above, it answers 500.
//! 3. The inner service that was polled ready is the one that is called. A decision that needs no
//!    waiting allocates no future. A request that has to wait for keys holds no place in the inner
//!    service meanwhile: it goes on with a clone, which is polled ready first.
//! 4. A refusal never reaches the inner service. Its body is empty unless
//!    [`ProtectLayer::refusal_body`] says otherwise; its challenge cannot be changed.
//!
//! In axum, `.layer` covers the routes and methods that were added before it and no others: give
//! methods of different scopes a `.route` each. Two layers on one route go into one `.layer` as a
//! tuple, the outer one first: `.layer((api.protect(scope("a")), require(scope("b"))))`.
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use http::{Request, Response, StatusCode};
//! use portcullis::check::scope;
//! use portcullis::{Access, Binding, Issuer, ResourceServer, TokenClass};
//! use tower::{Layer, Service};
//!
//! let api = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::discover("https://login.example.com"))
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_mins(15)))
//!     .build()?;
//!
//! let hello = tower::service_fn(async |request: Request<String>| {
//!     let access = request.extensions().get::<Access>().expect("the layer was passed");
//!     Ok::<_, Infallible>(Response::new(format!("hello {}", access.subject())))
//! });
//! let mut service = api.protect(scope("notes:read")).layer(hello);
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let response = service.call(Request::new(String::new())).await.unwrap();
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod protect;
mod require;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use crate::access::Access;
use crate::context::PolicyContext;
use crate::error::{CheckError, Refusal, Rejection, RejectionKind};
use crate::observe::{DecidedBy, Decision};
use crate::time::Timestamp;
use crate::verify::{Trace, refused_by_handler};

pub(crate) use crate::server::TokenlessReason;
pub use protect::{Protect, ProtectFuture, ProtectLayer};
pub use require::{Require, RequireFuture, RequireLayer, require};

/// In the extensions of a request that passed without a token, so that what is below can tell it
/// from one that was never decided.
#[derive(Clone)]
pub(crate) struct Tokenless {
    pub(crate) why: TokenlessReason,
    pub(crate) context: Arc<PolicyContext>,
    pub(crate) decided_at: Timestamp,
}

impl Tokenless {
    /// The refusal of what is below and wants a token, in the name of this context.
    pub(crate) fn refuse(&self, context: Arc<PolicyContext>, decided_by: DecidedBy) -> Rejection {
        report(self.refusal(), context, Subject::Nobody(self.decided_at), decided_by)
    }

    /// Why what is below and wants a token refuses this request.
    fn refusal(&self) -> Refusal {
        let detail = match self.why {
            TokenlessReason::Optional => "no Authorization field, and the route wants a token",
            TokenlessReason::Preflight => {
                "a CORS preflight, and the route wants a token: answer preflights in a CORS layer outside \
                 `protect`"
            }
        };
        Refusal::new(RejectionKind::NoCredentials, detail)
    }
}

impl Access {
    /// The refusal of a handler that has to look further than a check can, for example at who owns
    /// what in a database: the answer that a check's would have been. A step-up is told with those that
    /// the policy wants.
    ///
    /// ```
    /// use portcullis::check::Denial;
    /// use portcullis::{Access, Rejection};
    ///
    /// async fn read(access: Access) -> Result<String, Rejection> {
    ///     let owner = "alice"; // from a database
    ///     if access.subject() != owner {
    ///         return Err(access.refuse(Denial::forbidden("somebody else's note")));
    ///     }
    ///     Ok("the note".to_owned())
    /// }
    /// # let _ = read;
    /// ```
    #[must_use]
    pub fn refuse(&self, why: impl Into<CheckError>) -> Rejection {
        let context = Arc::clone(self.context());
        let refusal = refused_by_handler(why.into(), &context);
        report(refusal, context, Subject::Access(self), DecidedBy::Handler)
    }
}

/// Who is refused below the decision itself.
pub(crate) enum Subject<'a> {
    /// Whoever has this.
    Access(&'a Access),
    /// Somebody without a token, let through or stopped at this time.
    Nobody(Timestamp),
    /// Somebody about whom nothing was decided, by no server that could be told.
    Unknown,
}

/// A refusal below the decision itself; the observers of its server are told.
pub(crate) fn report(
    refusal: Refusal,
    context: Arc<PolicyContext>,
    subject: Subject<'_>,
    decided_by: DecidedBy,
) -> Rejection {
    let mut refusal = refusal;
    if let Subject::Access(access) = &subject {
        refusal.scheme = Some(access.scheme());
    }
    let rejection = Rejection::new(refusal, Arc::clone(&context));
    let reason = rejection.told();
    let trace = match subject {
        Subject::Access(access) => Trace::of(access),
        Subject::Nobody(_) | Subject::Unknown => Trace::default(),
    };
    let mut decision = Decision::refused(&rejection, &reason, decided_by, &context.route);
    match subject {
        Subject::Access(access) => decision.at = access.decided_at(),
        Subject::Nobody(at) => decision.at = at,
        Subject::Unknown => {}
    }
    context.server.observers.tell(trace.told(None, decision));
    rejection
}

/// A layer or an extractor that is mounted where it cannot work: 500, and an error in the log, once
/// for each of them and not for each request, since anybody can send those.
pub(crate) fn misplaced(
    logged: &AtomicBool,
    detail: &'static str,
    decided_by: DecidedBy,
) -> Rejection {
    misplaced_in(logged, detail, Arc::default(), Subject::Unknown, decided_by)
}

/// The same, by a server that can be told.
pub(crate) fn misplaced_in(
    logged: &AtomicBool,
    detail: &'static str,
    context: Arc<PolicyContext>,
    subject: Subject<'_>,
    decided_by: DecidedBy,
) -> Rejection {
    if !logged.swap(true, Ordering::Relaxed) {
        tracing::error!("{detail}");
    }
    let refusal = Refusal::new(RejectionKind::Misconfigured, detail);
    report(refusal, context, subject, decided_by)
}

/// How a refusal is answered: see [`ProtectLayer::refusal_body`] and [`ProtectLayer::grpc`].
/// It is sealed: an answer of somebody else's could leave out the status or the challenge.
pub trait RefusalStyle<B>: Clone + sealed::Sealed {
    /// The answer.
    fn response(&self, rejection: &Rejection) -> Response<B>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::EmptyBody {}
    impl Sealed for super::Grpc {}
    impl<F> Sealed for super::BodyFn<F> {}
}

/// No body.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EmptyBody;

impl<B: Default> RefusalStyle<B> for EmptyBody {
    fn response(&self, rejection: &Rejection) -> Response<B> {
        rejection.to_response()
    }
}

/// As gRPC wants it: see [`ProtectLayer::grpc`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Grpc;

impl<B: Default> RefusalStyle<B> for Grpc {
    fn response(&self, rejection: &Rejection) -> Response<B> {
        rejection.to_grpc_response()
    }
}

/// A body made by a closure: see [`ProtectLayer::refusal_body`].
#[derive(Clone, Copy, Debug)]
pub struct BodyFn<F>(F);

impl<B, F> RefusalStyle<B> for BodyFn<F>
where
    F: Fn(&Rejection) -> (HeaderValue, B) + Clone,
{
    fn response(&self, rejection: &Rejection) -> Response<B> {
        let (content_type, body) = (self.0)(rejection);
        let mut response = rejection.to_response::<()>().map(|()| body);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}
