use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Tokenless, misplaced};
use crate::access::Access;
use crate::check::{Check, CheckContext, Needs};
use crate::credentials::RequestHead;
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::name::Scope;
use crate::verify::refused_by_check;

/// A further check below a `Protect`: it can only tighten.
///
/// ```
/// use axum::{Router, routing::get};
/// use portcullis::check::scope;
/// use portcullis::layer::require;
/// # fn app(api: &portcullis::ResourceServer) -> Router {
/// // The outer layer first.
/// Router::new().route("/", get(async || "hello").layer((api.protect(scope("a")), require(scope("b")))))
/// # }
/// ```
///
/// Without a `Protect` above, every request gets 500, and the log says why. A request that passed
/// a `Protect` without a token is refused with 401. A refusal names the scopes of the policy above
/// as well. The metadata document does not list the scopes of a `require`: it belongs to no server.
pub fn require<C: Check>(check: C) -> RequireLayer<C> {
    let needs = Needs::of(&check);
    let fault = needs.faults().first().map(|fault| {
        tracing::error!("a faulty check refuses every request with 500: {fault}");
        fault.to_string()
    });
    RequireLayer { wanted: Arc::new(Wanted { check, scopes: needs.scopes().to_vec(), fault }) }
}

struct Wanted<C> {
    check: C,
    scopes: Vec<Scope>,
    fault: Option<String>,
}

impl<C: Check> Wanted<C> {
    fn decide(&self, head: RequestHead<'_>) -> Result<(), Rejection> {
        if let Some(fault) = &self.fault {
            let refusal = Refusal::new(RejectionKind::Misconfigured, fault.clone());
            return Err(Rejection::new(refusal, Arc::default()));
        }
        let (refusal, context) = match head.extensions.get::<Access>() {
            Some(access) => {
                let context = CheckContext::new(access, head, access.decided_at());
                match self.check.check(&context) {
                    Ok(()) => return Ok(()),
                    Err(error) => (refused_by_check(error), access.context()),
                }
            }
            None => match head.extensions.get::<Tokenless>() {
                Some(tokenless) => (tokenless.refusal(), &tokenless.context),
                None => {
                    static LOGGED: AtomicBool = AtomicBool::new(false);
                    return Err(misplaced(
                        &LOGGED,
                        "a `require` without a `protect` outside it; in axum the layer added last is the outer one",
                    ));
                }
            },
        };
        Err(Rejection::new(refusal, Arc::new(context.with_scopes(&self.scopes))))
    }
}

/// The layer of [`require`].
#[must_use = "a layer requires nothing until it is mounted"]
pub struct RequireLayer<C> {
    wanted: Arc<Wanted<C>>,
}

impl<C> Clone for RequireLayer<C> {
    fn clone(&self) -> Self {
        Self { wanted: Arc::clone(&self.wanted) }
    }
}

impl<C> fmt::Debug for RequireLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLayer").field("scopes", &self.wanted.scopes).finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for RequireLayer<C> {
    type Service = Require<S, C>;

    fn layer(&self, inner: S) -> Require<S, C> {
        Require { inner, wanted: Arc::clone(&self.wanted) }
    }
}

/// The service of [`RequireLayer`].
pub struct Require<S, C> {
    inner: S,
    wanted: Arc<Wanted<C>>,
}

impl<S: Clone, C> Clone for Require<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), wanted: Arc::clone(&self.wanted) }
    }
}

impl<S, C> fmt::Debug for Require<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require").field("scopes", &self.wanted.scopes).finish_non_exhaustive()
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for Require<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Check,
    ResBody: Default,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let state = match self.wanted.decide(RequestHead::from(&request)) {
            Ok(()) => State::Inner { future: self.inner.call(request) },
            Err(rejection) => State::Refused { rejection },
        };
        RequireFuture { state }
    }
}

pin_project! {
    /// The future of [`Require`].
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Inner {
            #[pin]
            future: F,
        },
        Refused { rejection: Rejection },
    }
}

impl<F, B, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Inner { future } => future.poll(context),
            StateProjection::Refused { rejection } => Poll::Ready(Ok(rejection.to_response())),
        }
    }
}
