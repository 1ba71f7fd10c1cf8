use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{
    BodyFn, EmptyBody, Grpc, RefusalStyle, Subject, Tokenless, TokenlessReason, misplaced_in,
};
use crate::access::Access;
use crate::credentials::RequestHead;
use crate::error::Rejection;
use crate::issuer::Wait;
use crate::observe::DecidedBy;
use crate::server::{
    Admission, Asking, Decided, Guard, Mode, Passed, Policy, Recording, ResourceServer, Verdict,
    Visit,
};
use crate::time::Timestamp;

impl ResourceServer {
    /// The server's own policy as a layer: see [`crate::ServerBuilder::policy`].
    pub fn layer(&self) -> ProtectLayer {
        self.own.list();
        self.own.layer()
    }

    /// A policy as a layer, for a route or a router: the whole decision, with that policy's
    /// checks. `policy` is a [`Policy`] or any [`crate::check::Check`].
    ///
    /// In axum a layer covers the methods and routes that were added before it: a `.post(...)` after
    /// `.layer(...)` is open. Give each method a `.route` of its own, and let handlers take
    /// [`Access`]: a forgotten layer is then 500.
    ///
    /// A faulty policy (one that names a scope which is none) refuses every request with 500 and
    /// logs the fault once, here. [`ResourceServer::guard`] returns it as an error instead.
    pub fn protect(&self, policy: impl Into<Policy>) -> ProtectLayer {
        Guard::faulty_or_not(&self.shared, policy.into()).layer()
    }
}

impl Guard {
    /// This guard as a layer.
    pub fn layer(&self) -> ProtectLayer {
        ProtectLayer { guard: self.clone(), style: EmptyBody }
    }
}

/// Decides every request by one policy: see [`crate::ResourceServer::protect`].
#[derive(Clone, Debug)]
#[must_use = "a layer protects nothing until it is mounted"]
pub struct ProtectLayer<F = EmptyBody> {
    guard: Guard,
    style: F,
}

impl ProtectLayer {
    /// Gives refusals a body: its content type and its bytes. Status and header fields of the
    /// refusal stay as they are.
    pub fn refusal_body<F, B>(self, body: F) -> ProtectLayer<BodyFn<F>>
    where
        F: Fn(&Rejection) -> (HeaderValue, B) + Clone,
    {
        ProtectLayer { guard: self.guard, style: BodyFn(body) }
    }

    /// Answers as gRPC wants it: HTTP 200 with `grpc-status` and `grpc-message`, the challenge and
    /// `grpc-retry-pushback-ms` beside them as metadata. See [`Rejection::to_grpc_response`].
    pub fn grpc(self) -> ProtectLayer<Grpc> {
        ProtectLayer { guard: self.guard, style: Grpc }
    }
}

impl<S, F: Clone> Layer<S> for ProtectLayer<F> {
    type Service = Protect<S, F>;

    fn layer(&self, inner: S) -> Protect<S, F> {
        Protect { inner, guard: self.guard.clone(), style: self.style.clone() }
    }
}

/// The service of [`ProtectLayer`].
#[derive(Clone, Debug)]
pub struct Protect<S, F = EmptyBody> {
    inner: S,
    guard: Guard,
    style: F,
}

impl<S, F, ReqBody, ResBody> Service<Request<ReqBody>> for Protect<S, F>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    F: RefusalStyle<ResBody>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ProtectFuture<S, F, ReqBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let extensions = request.extensions();
        if extensions.get::<Access>().is_some() || extensions.get::<Tokenless>().is_some() {
            static LOGGED: AtomicBool = AtomicBool::new(false);
            let detail = "a `protect` inside another: give each route one; `layer::require` tightens it further";
            let (context, now) = (Arc::clone(self.guard.context()), self.guard.now());
            let subject = Subject::Nobody(now);
            return self.refused(misplaced_in(&LOGGED, detail, context, subject, DecidedBy::Guard));
        }
        match self.guard.decide(RequestHead::from(&request), Mode::Layer, Visit::FIRST) {
            Verdict::Refuse(rejection) => self.refused(rejection),
            Verdict::Pass(Passed::Access(decided)) => match self.guard.admit(decided) {
                Admission::Done(Ok(access)) => {
                    let accepted = accept(&self.guard, &mut request, access);
                    ProtectFuture { state: State::inner(self.inner.call(request), accepted) }
                }
                Admission::Done(Err(rejection)) => self.refused(rejection),
                Admission::Wait(recording) => {
                    let mut pending = self.pending(request);
                    // Here it is the ready one that goes along: nothing but its call is left.
                    mem::swap(&mut self.inner, &mut pending.service);
                    ProtectFuture { state: State::Recording { recording, pending: Some(pending) } }
                }
            },
            Verdict::Pass(Passed::Tokenless(why, at)) => {
                mark(&self.guard, &mut request, why, at);
                ProtectFuture { state: State::inner(self.inner.call(request), None) }
            }
            Verdict::Wait(wait, visit) => {
                let pending = Some(self.pending(request));
                ProtectFuture { state: State::Waiting { wait, visit, pending } }
            }
            Verdict::Ask(asking) => {
                let pending = Some(self.pending(request));
                ProtectFuture { state: State::Asking { asking, pending } }
            }
        }
    }
}

impl<S, F> Protect<S, F> {
    fn refused<ReqBody>(&self, rejection: Rejection) -> ProtectFuture<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
        F: Clone,
    {
        let refusal = Some((rejection, self.style.clone()));
        ProtectFuture { state: State::Refused { refusal } }
    }

    /// The service that was polled ready stays for the next request: a token that makes this
    /// server wait must not hold a place in the inner service.
    fn pending<ReqBody>(&self, request: Request<ReqBody>) -> Pending<S, F, ReqBody>
    where
        S: Clone,
        F: Clone,
    {
        let service = self.inner.clone();
        Pending { request, service, guard: self.guard.clone(), style: self.style.clone() }
    }
}

/// Marks a request as accepted. What comes back has something to say in the response.
fn accept<B>(guard: &Guard, request: &mut Request<B>, access: Access) -> Option<Access> {
    let says = access.sender().is_some().then(|| access.clone());
    request.extensions_mut().insert(access);
    guard.hide(request.headers_mut());
    says
}

/// Marks a request as one that passes without a token.
fn mark<B>(guard: &Guard, request: &mut Request<B>, why: TokenlessReason, decided_at: Timestamp) {
    let context = Arc::clone(guard.context());
    request.extensions_mut().insert(Tokenless { why, context, decided_at });
    guard.hide(request.headers_mut());
}

struct Pending<S, F, ReqBody> {
    request: Request<ReqBody>,
    service: S,
    guard: Guard,
    style: F,
}

pin_project! {
    /// The future of [`Protect`].
    pub struct ProtectFuture<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, F, ReqBody>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Inner {
            #[pin]
            future: S::Future,
            // Which has something to say in the response.
            access: Option<Access>,
        },
        Refused {
            refusal: Option<(Rejection, F)>,
        },
        Waiting {
            #[pin]
            wait: Wait,
            visit: Visit,
            pending: Option<Pending<S, F, ReqBody>>,
        },
        Asking {
            asking: Asking,
            pending: Option<Pending<S, F, ReqBody>>,
        },
        Readying {
            pending: Option<Pending<S, F, ReqBody>>,
            // Told once the inner service is ready to be called.
            decided: Option<Decided>,
        },
        // Its service was polled ready.
        Recording {
            recording: Box<Recording>,
            pending: Option<Pending<S, F, ReqBody>>,
        },
        // Only after a poll that returned ready.
        Done,
    }
}

impl<S, F, ReqBody> State<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn inner(future: S::Future, access: Option<Access>) -> Self {
        Self::Inner { future, access }
    }
}

impl<S, F, ReqBody> Pending<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn passed(mut self, passed: Passed) -> State<S, F, ReqBody> {
        let decided = match passed {
            Passed::Access(decided) => Some(decided),
            // Nothing of it can end while the inner service is busy.
            Passed::Tokenless(why, at) => {
                mark(&self.guard, &mut self.request, why, at);
                None
            }
        };
        State::Readying { pending: Some(self), decided }
    }

    fn refused(self, rejection: Rejection) -> State<S, F, ReqBody> {
        State::Refused { refusal: Some((rejection, self.style)) }
    }

    /// Calls the service, which is ready.
    fn call(mut self, done: Result<Access, Rejection>) -> State<S, F, ReqBody> {
        match done {
            Ok(access) => {
                let says = accept(&self.guard, &mut self.request, access);
                State::inner(self.service.call(self.request), says)
            }
            Err(rejection) => self.refused(rejection),
        }
    }
}

impl<S, F, ReqBody, ResBody> Future for ProtectFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    F: RefusalStyle<ResBody>,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Inner { future, access } => {
                    let mut answer = ready!(future.poll(context));
                    if let (Ok(response), Some(access)) = (&mut answer, access) {
                        access.complete_response(response.headers_mut());
                    }
                    return Poll::Ready(answer);
                }
                StateProjection::Refused { refusal } => {
                    let Some((rejection, style)) = refusal.take() else { return Poll::Pending };
                    this.state.set(State::Done);
                    return Poll::Ready(Ok(style.response(&rejection)));
                }
                StateProjection::Waiting { wait, visit, pending } => {
                    ready!(wait.poll(context));
                    let visit = mem::replace(visit, Visit::FIRST);
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    let head = RequestHead::from(&pending.request);
                    match pending.guard.decide(head, Mode::Layer, visit) {
                        Verdict::Pass(passed) => pending.passed(passed),
                        Verdict::Refuse(rejection) => pending.refused(rejection),
                        Verdict::Wait(wait, visit) => {
                            State::Waiting { wait, visit, pending: Some(pending) }
                        }
                        Verdict::Ask(asking) => State::Asking { asking, pending: Some(pending) },
                    }
                }
                StateProjection::Asking { asking, pending } => {
                    let answered = ready!(Pin::new(asking).poll(context));
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    let head = RequestHead::from(&pending.request);
                    match pending.guard.settle(head, answered) {
                        Ok(decided) => pending.passed(Passed::Access(decided)),
                        Err(rejection) => pending.refused(rejection),
                    }
                }
                StateProjection::Readying { pending, decided } => {
                    let Some(waiting) = pending else { return Poll::Pending };
                    if let Err(error) = ready!(waiting.service.poll_ready(context)) {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    let Some(mut pending) = pending.take() else { return Poll::Pending };
                    let head = RequestHead::from(&pending.request);
                    match decided.take().map(|decided| pending.guard.admit_late(head, decided)) {
                        None => State::inner(pending.service.call(pending.request), None),
                        Some(Admission::Done(done)) => pending.call(done),
                        Some(Admission::Wait(recording)) => {
                            State::Recording { recording, pending: Some(pending) }
                        }
                    }
                }
                StateProjection::Recording { recording, pending } => {
                    let recorded = ready!(Pin::new(recording).poll(context));
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    let head = RequestHead::from(&pending.request);
                    let done = pending.guard.admit_recorded(head, recorded);
                    pending.call(done)
                }
                StateProjection::Done => return Poll::Pending,
            };
            this.state.set(next);
        }
    }
}

impl<S, F, ReqBody> fmt::Debug for ProtectFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectFuture").finish_non_exhaustive()
    }
}
