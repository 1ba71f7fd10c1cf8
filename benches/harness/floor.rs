//! What a whole decision is measured beside: a layer that hands on what comes, to a service that does
//! nothing; and how both are asked without a runtime.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use tower::Service;

/// The name of the floor that is [`Nothing`].
pub const DO_NOTHING: &str = "do-nothing layer";

/// A layer that hands on what comes.
#[derive(Clone)]
pub struct Nothing<S>(pub S);

impl<S: Service<Request<()>>> Service<Request<()>> for Nothing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }
    fn call(&mut self, request: Request<()>) -> S::Future {
        self.0.call(request)
    }
}

/// What a request reaches that was accepted.
pub async fn nothing(request: Request<()>) -> Result<Response<()>, Infallible> {
    black_box(request.extensions());
    Ok(Response::new(()))
}

/// What has nothing to wait for.
///
/// # Panics
/// If it waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
