//! What a decision about an opaque token costs whose issuer has answered before: the whole decision by a
//! policy with a scope, without tower.
//!
//! The floor is what no cache can do without: the keyed hash of the token that finds the answer, and the
//! header field's way to it. Beside it stands the same decision about a JWT of the same content, which is
//! verified each time.
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

use std::hash::Hasher as _;
use std::hint::black_box;
use std::time::Duration;

use harness::floor::ready;
use harness::{Effort, Goal, Group, Summary};
use http::Request;
use http::header::AUTHORIZATION;
use portcullis::check::scope;
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::testing::{ManualClock, TestIntrospection, TestIssuer, TestNetwork};
use portcullis::{Access, Binding, Guard, ResourceServer, TokenClass};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

const RESOURCE: &str = "https://api.example.com";
const ISSUER: &str = "https://as.example";

/// A decision that has nothing to wait for.
fn now(guard: &Guard, request: &Request<()>) -> Access {
    ready(guard.verify(request)).unwrap()
}

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let introspection = TestIntrospection::of(&issuer, &clock);
    let api = ResourceServer::builder(RESOURCE)
        .issuer(issuer.fixed_keys())
        .known_tokens_bytes(0)
        .introspection(
            Introspection::at(ISSUER, introspection.url())
                .client(ClientAuth::insecure_unauthenticated())
                .ttl(Duration::from_mins(10)),
        )
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .transport(TestNetwork::of(&[&issuer]).with_introspection(&introspection))
        .clock(clock.clone())
        .build()
        .unwrap();
    let guard = api.guard(scope("notes:read")).unwrap();
    let claims = || issuer.token(RESOURCE).scope("notes:read notes:write");
    let (opaque, jwt) = (introspection.active(claims()), claims().sign());
    let request = |token: &str| {
        Request::get("/notes").header(AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let fill = |token: &str| {
        runtime.block_on(async { guard.verify(&request(token)).await.unwrap() });
    };
    for _ in 0..10_000 {
        fill(&introspection.active(claims()));
    }
    fill(&opaque);
    let calls = introspection.calls();

    let (asked, signed) = (request(&opaque), request(&jwt));
    let title = format!("opaque token of {} octets, JWT of {}", opaque.len(), jwt.len());
    let rows = Group::new(title)
        .case("a keyed hash of the token", || {
            let field = black_box(&asked).headers().get(AUTHORIZATION).unwrap();
            let token = field.to_str().unwrap().strip_prefix("Bearer ").unwrap();
            let mut hasher = SipHasher24::new_with_keys(black_box(1), black_box(2));
            hasher.write(token.as_bytes());
            hasher.finish128().as_u128()
        })
        .case("known_introspected", || now(&guard, black_box(&asked)))
        .case("verified_jwt", || now(&guard, black_box(&signed)))
        .run(&effort);
    assert_eq!(introspection.calls(), calls, "every answer was kept");
    summary.row(&rows, "known_introspected", Goal::none());
    let of = |name| rows.iter().find(|row| row.name == name).map(|row| row.nanoseconds);
    if let (Some(known), Some(verified)) = (of("known_introspected"), of("verified_jwt")) {
        let name = "known_introspected_to_verified_jwt";
        summary.ratio(name, known / verified, "verified_jwt", Goal::none());
    }
    summary.finish();
}
