//! What a whole decision costs, through the layer: the request is made, passes the layer, and reaches a
//! service that does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "a benchmark fails by panicking, prints what it measured, and uses a part of the harness"
)]

mod harness;

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use harness::{Effort, Group};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use portcullis::check::scope;
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::{Binding, ResourceServer, TokenClass};
use tower::{Layer, Service, service_fn};

const RESOURCE: &str = "https://api.example.com";

fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

async fn nothing(request: Request<()>) -> Result<Response<()>, Infallible> {
    black_box(request.extensions());
    Ok(Response::new(()))
}

/// A layer that hands on what comes.
#[derive(Clone)]
struct Nothing<S>(S);

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

fn main() {
    let effort = Effort::from_command_line();
    let clock = ManualClock::new();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        let server = |bytes| {
            ResourceServer::builder(RESOURCE)
                .issuer(issuer.fixed_keys())
                .known_tokens_bytes(bytes)
                .binding(Binding::WhereBound)
                .class(TokenClass::default_at_most(Duration::from_hours(1)))
                .clock(clock.clone())
                .build()
                .unwrap()
        };
        let token = issuer.token(RESOURCE).scope("notes:read notes:write").sign();
        let field = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let request = || {
            let mut request = Request::get("/notes").body(()).unwrap();
            request.headers_mut().insert(AUTHORIZATION, field.clone());
            request
        };
        let mut floor = Nothing(service_fn(nothing));
        let (known, unknown) = (server(32 << 20), server(0));
        let mut known = known.protect(scope("notes:read")).layer(service_fn(nothing));
        let mut unknown = unknown.protect(scope("notes:read")).layer(service_fn(nothing));
        Group::new(format!("{algorithm}, a token of {} octets", token.len()))
            .case("floor", || ready(floor.call(request())).unwrap())
            .case("known_bearer", || ready(known.call(request())).unwrap().status())
            .case("cold_bearer", || ready(unknown.call(request())).unwrap().status())
            .run(&effort);
    }
}
