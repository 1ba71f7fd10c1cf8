use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::Anonymous;
use crate::access::Access;
use crate::check::{Check, CheckContext, Needs, RequestHead};
use crate::error::{Answers, Refusal, Rejection, RejectionKind};
use crate::name::Scope;
use crate::verify::refused_by_check;

/// A further check below a `Protect`: it can only tighten.
///
/// Without a `Protect` above, every request gets 500, and the log says why. A request that passed
/// a `Protect` without a token is refused with 401.
pub fn require<C: Check>(check: C) -> RequireLayer<C> {
    let (scopes, faults) = Needs::of(&check).into_parts();
    let fault = match faults.as_slice() {
        [] => None,
        [fault, ..] => {
            tracing::error!("a faulty check refuses every request with 500: {fault}");
            Some(fault.to_string().into())
        }
    };
    let names: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    let scope = (!names.is_empty()).then(|| names.join(" ").into());
    RequireLayer {
        wanted: Arc::new(Wanted {
            check,
            scope,
            fault,
        }),
    }
}

struct Wanted<C> {
    check: C,
    scope: Option<Arc<str>>,
    fault: Option<Box<str>>,
}

impl<C: Check> Wanted<C> {
    fn decide(&self, head: RequestHead<'_>) -> Result<(), Rejection> {
        let misplaced = |detail: String| {
            tracing::error!("{detail}");
            let answers = Arc::new(Answers::default());
            Rejection::new(
                Refusal::new(RejectionKind::Misconfigured, detail),
                answers,
                None,
            )
        };
        if let Some(fault) = &self.fault {
            return Err(misplaced(fault.to_string()));
        }
        let (refusal, answers) = match head.extensions.get::<Access>() {
            Some(access) => {
                let context = CheckContext::new(access, head, access.decided_at());
                match self.check.check(&context) {
                    Ok(()) => return Ok(()),
                    Err(error) => (refused_by_check(error), access.answers()),
                }
            }
            None => match head.extensions.get::<Anonymous>() {
                Some(Anonymous { answers }) => {
                    let detail = "no Authorization field, and the route wants a token";
                    (Refusal::new(RejectionKind::NoCredentials, detail), answers)
                }
                None => {
                    let detail = "a Require without a Protect above it";
                    return Err(misplaced(detail.to_owned()));
                }
            },
        };
        Err(Rejection::new(
            refusal,
            Arc::clone(answers),
            self.scope.clone(),
        ))
    }
}

/// The layer of [`require`].
#[must_use = "a layer requires nothing until it is mounted"]
pub struct RequireLayer<C> {
    wanted: Arc<Wanted<C>>,
}

impl<C> Clone for RequireLayer<C> {
    fn clone(&self) -> Self {
        Self {
            wanted: Arc::clone(&self.wanted),
        }
    }
}

impl<C> fmt::Debug for RequireLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLayer")
            .field("scope", &self.wanted.scope)
            .finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for RequireLayer<C> {
    type Service = Require<S, C>;

    fn layer(&self, inner: S) -> Require<S, C> {
        Require {
            inner,
            wanted: Arc::clone(&self.wanted),
        }
    }
}

/// The service of [`RequireLayer`].
pub struct Require<S, C> {
    inner: S,
    wanted: Arc<Wanted<C>>,
}

impl<S: Clone, C> Clone for Require<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            wanted: Arc::clone(&self.wanted),
        }
    }
}

impl<S, C> fmt::Debug for Require<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require")
            .field("scope", &self.wanted.scope)
            .finish_non_exhaustive()
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
        match self.wanted.decide(RequestHead::from(&request)) {
            Ok(()) => RequireFuture::Inner {
                future: self.inner.call(request),
            },
            Err(rejection) => RequireFuture::Refused { rejection },
        }
    }
}

pin_project! {
    /// The future of [`Require`].
    #[project = RequireProjection]
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum RequireFuture<F> {
        #[doc(hidden)]
        Inner {
            #[pin]
            future: F,
        },
        #[doc(hidden)]
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
        match self.project() {
            RequireProjection::Inner { future } => future.poll(context),
            RequireProjection::Refused { rejection } => Poll::Ready(Ok(rejection.to_response())),
        }
    }
}
