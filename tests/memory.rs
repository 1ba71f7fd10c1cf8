//! What an attacker sends is not remembered: memory stays flat under junk, and a decision
//! allocates a bounded number of times; a check that says yes allocates nothing of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

#[path = "support/measured.rs"]
mod measured;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, request::Parts};
use portcullis::check::{
    Check, CheckContext, CheckError, acr, actor, actors, all_scopes, allow_all,
    authorization_detail, claim, clients, issuers, no_actor, peer_in, subject_kind, subject_kinds,
    subjects,
};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{Binding, PeerAddr, ResourceServer, SubjectKind, TokenClass};
use serde_json::json;

use self::measured::measured;

const RESOURCE: &str = "https://rs.example";

#[test]
fn junk_is_not_remembered_and_decisions_and_checks_allocate_little() {
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
    let (decided, given) = measured(|| runtime.block_on(api.verify(&good)));
    decided.unwrap();
    let allocations = given.count_total;
    println!("a good token: {allocations} allocations");
    assert!(allocations <= 12, "{allocations} allocations for a good token");

    checks_that_say_yes_allocate_nothing_of_their_own(&runtime, &api, &issuer);

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
    let ((), given) = measured(|| flood(10_000, junk_requests()));
    let grown = given.bytes_current;
    println!("{} junk tokens: live memory changed by {grown} bytes", junk_requests());
    assert!(grown < 64 * 1024, "live memory grew by {grown} bytes");
}

/// What a check allocates while it answers.
struct Measured<C> {
    check: C,
    allocations: Arc<AtomicU64>,
}

impl<C: Check> Check for Measured<C> {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        let (answer, given) = measured(|| self.check.check(request));
        self.allocations.store(given.count_total, Ordering::Relaxed);
        answer
    }
}

/// Each with its twin that changes one thing and is refused, so that the yes is one.
fn checks_that_say_yes_allocate_nothing_of_their_own(
    runtime: &tokio::runtime::Runtime,
    api: &ResourceServer,
    issuer: &TestIssuer,
) {
    let own = issuer.id();
    let others =
        ["https://a.example", "https://b.example", "https://c.example", "https://d.example"];
    let detail = json!([{ "type": "payment", "actions": ["initiate"], "identifier": "one" }]);
    let token = issuer
        .token(RESOURCE)
        .subject("alice")
        .client_id("app")
        .scope("a b")
        .claim("act", json!({ "sub": "gateway" }))
        .claim("acr", "phr")
        .claim("roles", ["user", "admin"])
        .claim("role", "admin")
        .claim("level", 3)
        .claim("realm_access", json!({ "roles": ["user", "admin"] }))
        .claim("authorization_details", detail)
        .sign();
    let (mut parts, ()) = Request::get("/")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap()
        .into_parts();
    parts.extensions.insert(PeerAddr::new([10, 1, 2, 3].into()));
    // How often it allocates, and whether it says yes.
    let ask = |check: Arc<dyn Check>| -> (u64, bool) {
        let allocations = Arc::new(AtomicU64::new(u64::MAX));
        let measured = Measured { check, allocations: Arc::clone(&allocations) };
        let guard = api.guard(measured).unwrap();
        let passed = runtime.block_on(guard.verify(&parts)).is_ok();
        (allocations.load(Ordering::Relaxed), passed)
    };
    // The claims are read into one list of their members, and each object and each array on the way
    // into another.
    type Twins = (&'static str, u64, Arc<dyn Check>, Arc<dyn Check>);
    fn row<Y: Check + 'static, N: Check + 'static>(
        name: &'static str,
        most: u64,
        yes: Y,
        no: N,
    ) -> Twins {
        (name, most, Arc::new(yes), Arc::new(no))
    }
    let payment = || authorization_detail("payment").identifier("one");
    let rows: [Twins; 19] = [
        row("scopes", 0, all_scopes(["a", "b"]), all_scopes(["a", "c"])),
        row("allow_all", 0, allow_all(), clients(["web"])),
        row("clients", 0, clients(["web", "app"]), clients(["web"])),
        row(
            "clients of an issuer",
            0,
            clients(["app"]).of_issuer(own),
            clients(["app"]).of_issuer("https://b.example"),
        ),
        row("subjects", 0, subjects(["bob", "alice"]), subjects(["bob"])),
        row(
            "subjects of an issuer",
            0,
            subjects(["alice"]).of_issuer(own),
            subjects(["alice"]).of_issuer("https://b.example"),
        ),
        row("issuers", 0, issuers(others.into_iter().chain([own])), issuers(others)),
        row(
            "subject_kind",
            0,
            subject_kind(SubjectKind::Person),
            subject_kinds([SubjectKind::Client, SubjectKind::Workload]),
        ),
        row("actor", 0, actor(), no_actor()),
        row("actors", 0, actors(["batch", "gateway"]), actors(["batch"])),
        row(
            "actors of an issuer",
            0,
            actors(["gateway"]).of_issuer(own),
            actors(["gateway"]).of_issuer("https://b.example"),
        ),
        row("peer_in", 0, peer_in(["10.0.0.0/8", "::1"]), peer_in(["11.0.0.0/8"])),
        row("acr", 0, acr(["phrh", "phr"]), acr(["phrh"])),
        row("claim, a text", 1, claim("role").equals("admin"), claim("role").equals("user")),
        row("claim, a number", 1, claim("level").one_of([2, 3]), claim("level").one_of([2, 4])),
        row("claim, one text", 1, claim("role").contains("admin"), claim("role").contains("user")),
        row(
            "claim, an array",
            2,
            claim("roles").contains("admin"),
            claim("roles").contains("root"),
        ),
        row(
            "claim, a path",
            3,
            claim(["realm_access", "roles"]).contains_any(["root", "admin"]),
            claim(["realm_access", "roles"]).contains_any(["root"]),
        ),
        // The claims, the details, the object, its actions and their texts.
        row("a detail", 5, payment().action("initiate"), payment().action("cancel")),
    ];
    for (name, most, yes, no) in rows {
        let (allocations, passed) = ask(yes);
        println!("{name}: {allocations} allocations");
        assert!(passed, "{name}");
        assert!(allocations <= most, "{name}: {allocations} allocations, at most {most} wanted");
        assert!(!ask(no).1, "{name}: its twin passed");
    }
}

/// A million with `PORTCULLIS_JUNK=1000000`; fewer by default, for time's sake.
fn junk_requests() -> u32 {
    std::env::var("PORTCULLIS_JUNK").map_or(50_000, |number| number.parse().unwrap())
}
