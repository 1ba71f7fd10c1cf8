//! What everything is measured beside: a service that does nothing, a layer that hands on what comes, and
//! the requests that both get.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt as _};

use crate::measure::{Turn, sample};
use crate::tokens::URI;

/// A service that does nothing. `R` is the body of its response: of axum 0.8, or of axum 0.7.
pub struct Nothing<R>(PhantomData<fn() -> R>);

impl<R> Nothing<R> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Clone for Nothing<R> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<R: Default> Service<Request<Body>> for Nothing<R> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(request.extensions());
        ready(Ok(Response::new(R::default())))
    }
}

/// A layer that hands on what comes.
#[derive(Clone)]
pub struct HandOn;

impl<S> Layer<S> for HandOn {
    type Service = HandingOn<S>;

    fn layer(&self, inner: S) -> HandingOn<S> {
        HandingOn(inner)
    }
}

#[derive(Clone)]
pub struct HandingOn<S>(S);

impl<S: Service<Request<Body>>> Service<Request<Body>> for HandingOn<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.0.call(request)
    }
}

/// The header fields of a request.
pub struct Credentials<'a> {
    authorization: Option<HeaderValue>,
    /// Makes a new proof.
    proof: Option<Box<dyn Fn() -> String + 'a>>,
}

impl<'a> Credentials<'a> {
    pub fn none() -> Self {
        Self { authorization: None, proof: None }
    }

    pub fn bearer(token: &str) -> Self {
        Self { authorization: Some(field(&format!("Bearer {token}"))), proof: None }
    }

    /// A new proof with each request.
    pub fn dpop(token: &str, proof: impl Fn() -> String + 'a) -> Self {
        let authorization = Some(field(&format!("DPoP {token}")));
        Self { authorization, proof: Some(Box::new(proof)) }
    }

    fn proofs(&self, times: usize) -> Vec<Option<HeaderValue>> {
        let proof = || self.proof.as_ref().map(|proof| field(&proof()));
        (0..times).map(|_| proof()).collect()
    }

    /// As a server gets it; the field values are shared, not copied.
    fn request(&self, proof: Option<HeaderValue>) -> Request<Body> {
        let mut request = Request::new(Body::default());
        *request.uri_mut() = Uri::from_static(URI);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(proof) = proof {
            request.headers_mut().insert("dpop", proof);
        }
        request
    }
}

pub fn field(value: &str) -> HeaderValue {
    HeaderValue::try_from(value).expect("a field value")
}

/// What a service answers to one request.
pub fn answer<S, R>(runtime: &Runtime, service: &mut S, credentials: &Credentials<'_>) -> StatusCode
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    let proof = credentials.proofs(1).remove(0);
    runtime.block_on(answered(service, credentials.request(proof)))
}

async fn answered<S, R>(service: &mut S, request: Request<Body>) -> StatusCode
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    let Ok(service) = service.ready().await;
    let Ok(response) = service.call(request).await;
    black_box(&response);
    response.status()
}

/// Requests that a service accepts, one after the other: each is made, passes the layers, and reaches the
/// service that does nothing. Proofs are made before.
///
/// # Panics
/// If one of them is refused: a refusal is not what is measured.
pub fn requests<'a, S, R>(
    runtime: &'a Runtime,
    mut service: S,
    credentials: &'a Credentials<'a>,
) -> Turn<'a>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + 'a,
    R: 'a,
{
    Box::new(move |times| {
        let proofs = credentials.proofs(times);
        let service = &mut service;
        sample(|| {
            runtime.block_on(async move {
                for proof in proofs {
                    let status = answered(service, credentials.request(proof)).await;
                    assert_eq!(status, StatusCode::OK, "the answer to a good token");
                }
            });
        })
    })
}
