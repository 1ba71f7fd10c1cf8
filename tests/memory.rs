//! What an attacker sends is not remembered: memory stays flat under junk, and a decision
//! allocates a bounded number of times.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use std::alloc::System;
use std::time::Duration;

use http::{Request, request::Parts};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{Binding, ResourceServer, TokenClass};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://rs.example";

/// One test function: another on a second thread would allocate in between.
#[test]
fn junk_is_not_remembered_and_decisions_allocate_little() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = ResourceServer::builder(RESOURCE)
        .issuer(issuer.discover())
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .transport(TestNetwork::of(&[&issuer]))
        .clock(clock.clone())
        .build()
        .unwrap();
    runtime.block_on(api.warm_up()).unwrap();
    let request = |token: &str| -> Parts {
        let value = format!("Bearer {token}");
        Request::get("/").header("authorization", value).body(()).unwrap().into_parts().0
    };

    let good = request(&issuer.token(RESOURCE).sign());
    runtime.block_on(api.verify(&good)).unwrap();
    let region = Region::new(ALLOCATOR);
    runtime.block_on(api.verify(&good)).unwrap();
    let allocations = region.change().allocations;
    println!("a good token: {allocations} allocations");
    assert!(allocations <= 12, "{allocations} allocations for a good token");

    // A template whose kid, issuer, jti and signature change with every request.
    let token = issuer.token(RESOURCE);
    let signature = token.sign().rsplit_once('.').unwrap().1.to_owned();
    let junk = |number: u32| {
        let token = token.clone().claim("jti", number);
        let token = match number % 4 {
            0 => token.header("kid", number),
            1 => token.header("kid", format!("kid-{number}")),
            2 => token.claim("iss", format!("https://issuer-{number}.example")),
            _ => token.claim("sub", number),
        };
        request(&format!("{}.{signature}", token.signing_input()))
    };
    let flood = |from: u32, count: u32| {
        for number in from..from + count {
            let parts = junk(number);
            assert!(runtime.block_on(api.verify(&parts)).is_err(), "{number}");
            if number % 1_000 == 0 {
                clock.advance(Duration::from_millis(10));
            }
        }
    };
    flood(0, 10_000);
    let region = Region::new(ALLOCATOR);
    flood(10_000, junk_requests());
    let change = region.change();
    let grown = change.bytes_allocated.wrapping_sub(change.bytes_deallocated).cast_signed();
    println!("{} junk tokens: live memory changed by {grown} bytes", junk_requests());
    assert!(grown < 64 * 1024, "live memory grew by {grown} bytes");
}

/// A million with `PORTCULLIS_JUNK=1000000`; fewer by default, for time's sake.
fn junk_requests() -> u32 {
    std::env::var("PORTCULLIS_JUNK").map_or(50_000, |number| number.parse().unwrap())
}
