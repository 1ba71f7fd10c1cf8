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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use harness::{Effort, Group};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, Response};
use portcullis::check::scope;
use portcullis::jose::{Algorithm, Compact, base64url};
use portcullis::observe::{Decision, Observer};
use portcullis::revocation::{Record, Revocation, StatusLists};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::testing::{
    ClientKey, TestCertificate, TestIssuer, TestNetwork, TestStatusList, TokenBuilder,
};
use portcullis::time::{Clock as _, SystemClock};
use portcullis::{Binding, Dpop, Mtls, ResourceServer, TokenClass};
use serde::Deserialize;
use tower::{Layer, Service, service_fn};

const RESOURCE: &str = "https://api.example.com";
const URI: &str = "https://api.example.com/notes";
const ENTRIES: usize = 1 << 20;

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

/// An observer who does nothing with what it is told.
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, decision: &Decision<'_>) {
        black_box(decision.outcome);
    }
}

/// A server as one would run it: keys from a key set, records of a million revoked tokens, a status
/// list of a million entries, an observer who does nothing.
struct World {
    runtime: tokio::runtime::Runtime,
    issuer: TestIssuer,
    list: TestStatusList,
    server: ResourceServer,
}

impl World {
    fn new(algorithm: Algorithm, known_tokens_bytes: u64, records: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock = SystemClock::new();
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        let list = TestStatusList::new("https://as.example/lists/1", &issuer, &clock);
        list.resize(1, ENTRIES);
        let network = TestNetwork::of(&[&issuer]).with_list(&list);
        let server = runtime.block_on(async {
            let server = ResourceServer::builder(RESOURCE)
                .issuer(issuer.discover())
                .known_tokens_bytes(known_tokens_bytes)
                .binding(Binding::WhereBound)
                .dpop(Dpop::new())
                .mtls(Mtls::direct())
                .class(TokenClass::default_at_most(Duration::from_hours(1)))
                .revocation(Revocation::new().status_lists(StatusLists::new()))
                .observer(Nobody)
                .transport(network)
                .build()
                .unwrap();
            server.warm_up().await.unwrap();
            let (id, now) = (issuer.id(), server.revocations().now());
            let revoked = (0..records).map(|number| Record::token(id, number.to_string(), now));
            server.revocations().revoke_all(revoked).await.unwrap();
            server
        });
        Self { runtime, issuer, list, server }
    }

    fn token(&self) -> TokenBuilder {
        let token = self.issuer.token(RESOURCE).scope("notes:read notes:write");
        token.claim("status", self.list.reference(4_711))
    }

    /// Uses a token once, so that it and its list are known.
    fn meet(&self, request: Request<()>) {
        let guard = self.server.guard(scope("notes:read")).unwrap();
        self.runtime.block_on(guard.verify(&request)).unwrap();
    }
}

fn with_token(scheme: &str, token: &str) -> impl Fn() -> Request<()> + Clone {
    let field = HeaderValue::try_from(format!("{scheme} {token}")).unwrap();
    move || {
        let mut request = Request::get("/notes").body(()).unwrap();
        request.headers_mut().insert(AUTHORIZATION, field.clone());
        request
    }
}

fn main() {
    let effort = Effort::from_command_line();
    let records = if effort.quick { 10_000 } else { 1_000_000 };
    known_bearer(&effort, records);
}

/// `known_bearer`, `known_bearer_feed_busy`, `known_mtls`.
fn known_bearer(effort: &Effort, records: usize) {
    let world = World::new(Algorithm::Rs256, 32 << 20, records);
    let token = world.token().sign();
    let bearer = with_token("Bearer", &token);
    world.meet(bearer());
    let certificate = TestCertificate::named("client").self_signed();
    let bound = world.token().claim("cnf", certificate.confirmation()).sign();
    let presented = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
    let bound = with_token("Bearer", &bound);
    let over_tls = || {
        let mut request = bound();
        request.extensions_mut().insert(presented.clone());
        request
    };
    world.meet(over_tls());

    let layer = world.server.protect(scope("notes:read"));
    let mut floor = Nothing(service_fn(nothing));
    let mut floor_tls = Nothing(service_fn(nothing));
    let mut known = layer.layer(service_fn(nothing));
    let mut known_mtls = layer.layer(service_fn(nothing));
    Group::new(format!("a known token of {} octets", token.len()))
        .case("floor", || ready(floor.call(bearer())).unwrap())
        .case("known_bearer", || {
            let answer = ready(known.call(bearer())).unwrap();
            assert_eq!(answer.status(), 200);
            answer
        })
        .case("floor_mtls", || ready(floor_tls.call(over_tls())).unwrap())
        .case("known_mtls", || {
            let answer = ready(known_mtls.call(over_tls())).unwrap();
            assert_eq!(answer.status(), 200);
            answer
        })
        .run(effort);
}
