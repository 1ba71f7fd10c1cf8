use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{EmptyBody, Grpc, RefusalStyle, Subject, Tokenless, misplaced, report};
use crate::access::Access;
use crate::check::{Check, CheckContext, Needs};
use crate::context::PolicyContext;
use crate::credentials::RequestHead;
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::observe::DecidedBy;
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
    RequireLayer { wanted: Arc::new(Wanted { check, needs, fault }), style: EmptyBody }
}

struct Wanted<C> {
    check: C,
    needs: Needs,
    fault: Option<String>,
}

impl<C: Check> Wanted<C> {
    fn decide(&self, head: RequestHead<'_>) -> Result<(), Rejection> {
        if let Some(fault) = &self.fault {
            let refusal = Refusal::new(RejectionKind::Misconfigured, fault.clone());
            return Err(report(refusal, Arc::default(), Subject::Unknown, DecidedBy::Require));
        }
        let below = |context: &PolicyContext| {
            Arc::new(context.with_needs(self.needs.scopes(), self.needs.step_ups()))
        };
        if let Some(access) = head.extensions.get::<Access>() {
            let request = CheckContext::new(access, head, access.decided_at());
            return self.check.check(&request).map_err(|error| {
                let context = below(access.context());
                let refusal = refused_by_check(error, &request, &context);
                report(refusal, context, Subject::Access(access), DecidedBy::Require)
            });
        }
        Err(match head.extensions.get::<Tokenless>() {
            Some(tokenless) => tokenless.refuse(below(&tokenless.context), DecidedBy::Require),
            None => {
                static LOGGED: AtomicBool = AtomicBool::new(false);
                let detail = "a `require` without a `protect` outside it; in axum the layer added last is the outer one";
                misplaced(&LOGGED, detail, DecidedBy::Require)
            }
        })
    }
}

/// The layer of [`require`].
#[must_use = "a layer requires nothing until it is mounted"]
pub struct RequireLayer<C, F = EmptyBody> {
    wanted: Arc<Wanted<C>>,
    style: F,
}

impl<C> RequireLayer<C> {
    /// Answers as gRPC wants it: see [`super::ProtectLayer::grpc`].
    pub fn grpc(self) -> RequireLayer<C, Grpc> {
        RequireLayer { wanted: self.wanted, style: Grpc }
    }
}

impl<C, F: Clone> Clone for RequireLayer<C, F> {
    fn clone(&self) -> Self {
        Self { wanted: Arc::clone(&self.wanted), style: self.style.clone() }
    }
}

impl<C, F> fmt::Debug for RequireLayer<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.wanted.needs.scopes();
        f.debug_struct("RequireLayer").field("scopes", &scopes).finish_non_exhaustive()
    }
}

impl<S, C, F: Clone> Layer<S> for RequireLayer<C, F> {
    type Service = Require<S, C, F>;

    fn layer(&self, inner: S) -> Require<S, C, F> {
        Require { inner, wanted: Arc::clone(&self.wanted), style: self.style.clone() }
    }
}

/// The service of [`RequireLayer`].
pub struct Require<S, C, F = EmptyBody> {
    inner: S,
    wanted: Arc<Wanted<C>>,
    style: F,
}

impl<S: Clone, C, F: Clone> Clone for Require<S, C, F> {
    fn clone(&self) -> Self {
        let (wanted, style) = (Arc::clone(&self.wanted), self.style.clone());
        Self { inner: self.inner.clone(), wanted, style }
    }
}

impl<S, C, F> fmt::Debug for Require<S, C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.wanted.needs.scopes();
        f.debug_struct("Require").field("scopes", &scopes).finish_non_exhaustive()
    }
}

impl<S, C, F, ReqBody, ResBody> Service<Request<ReqBody>> for Require<S, C, F>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Check,
    F: RefusalStyle<ResBody>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let state = match self.wanted.decide(RequestHead::from(&request)) {
            Ok(()) => State::Inner { future: self.inner.call(request) },
            Err(rejection) => State::Refused { response: Some(self.style.response(&rejection)) },
        };
        RequireFuture { state }
    }
}

pin_project! {
    /// The future of [`Require`].
    #[derive(Debug)]
    pub struct RequireFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F, B> {
        Inner {
            #[pin]
            future: F,
        },
        Refused { response: Option<Response<B>> },
    }
}

impl<F, B, E> Future for RequireFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Inner { future } => future.poll(context),
            StateProjection::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
        }
    }
}
