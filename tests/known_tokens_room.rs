//! What known tokens take: no more than the bytes configured, as the allocator counts them; and that a token
//! is known, as far as work shows that is not done again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a test fails by panicking, and says what it measured"
)]

#[path = "support/measured.rs"]
mod measured;
#[path = "support/wait.rs"]
mod wait;

use std::time::Duration;

use http::{Request, request::Parts};
use portcullis::issuer::{KeyRefresh, TenantList};
use portcullis::jose::Algorithm;
use portcullis::revocation::Revocation;
use portcullis::testing::{ClientKey, ManualClock, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::time::Clock as _;
use portcullis::{Binding, Dpop, KnownTokensHealth, ResourceServer, ServerBuilder, TokenClass};
use serde_json::json;

use self::measured::measured;
use self::wait::ready;

const RESOURCE: &str = "https://rs.example";
const ISSUER: &str = "https://as.example";
const MINUTE: Duration = Duration::from_mins(1);

fn builder(clock: &ManualClock) -> ServerBuilder {
    ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(clock.clone())
}

fn request(token: &str) -> Parts {
    let value = format!("Bearer {token}");
    Request::get("/notes").header("authorization", value).body(()).unwrap().into_parts().0
}

#[test]
fn known_tokens_take_what_they_may_and_save_what_they_should() {
    accepted_tokens_stay_within_their_room();
    bound_tokens_stay_within_their_room();
    a_known_token_is_not_verified_again();
}

/// What is allocated may be so much more than the room, in bytes: what grows by doubling does so one shard
/// at a time.
const SLACK: u64 = 64 * 1024;

/// What was measured of one kind of token.
struct Measured {
    name: &'static str,
    room: u64,
    known: KnownTokensHealth,
    /// The most bytes that were allocated for known tokens at any time, and in the end.
    most: u64,
    last: u64,
}

impl Measured {
    /// No more is allocated than there is room for, nor than is said.
    fn fits(&self) {
        let Self { name, room, known, most, last } = self;
        let KnownTokensHealth { tokens, bytes, bytes_at_most, .. } = known;
        let each = bytes.checked_div(*tokens as u64).unwrap_or_default();
        println!(
            "{name}: {tokens} tokens are known in {bytes} of {room} bytes, {each} each; allocated: {last}, at \
             most {most}"
        );
        assert_eq!(bytes_at_most, room);
        assert!(bytes <= room, "{name}: more than the room");
        assert!(*bytes >= room * 8 / 10, "{name}: the room is used");
        assert!(*most <= room + SLACK, "{name}: {most} bytes are allocated for a room of {room}");
        assert!(*last <= bytes + SLACK, "{name}: more is allocated than is said: {last}, {bytes}");
    }

    /// And not much less: an allocator takes some thirty octets for a name of three, which is counted, and
    /// three are asked for.
    fn fits_well(&self) {
        self.fits();
        let Self { name, known, last, .. } = self;
        let said = known.bytes;
        assert!(
            last * 3 >= said,
            "{name}: not a third of what is said is allocated: {last}, {said}"
        );
    }
}

/// What a server allocates for what it is asked, at most and in the end.
fn allocated(count: usize, mut ask: impl FnMut(usize)) -> (u64, u64) {
    let (mut most, mut now) = (0, 0);
    for number in 0..count {
        let ((), given) = measured(|| ask(number));
        now += given.bytes_current;
        most = most.max(now);
    }
    (u64::try_from(most).unwrap(), u64::try_from(now).unwrap_or_default())
}

/// A hundred thousand, or as many as `PORTCULLIS_TOKENS` says.
fn small_tokens() -> usize {
    std::env::var("PORTCULLIS_TOKENS").map_or(100_000, |number| number.parse().unwrap())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number}")).collect()
}

/// However many tokens are accepted, and of whatever form, what is kept of them takes no more than the room
/// for it.
fn accepted_tokens_stay_within_their_room() {
    type Make = fn(TokenBuilder) -> TokenBuilder;
    let clock = ManualClock::new();
    let issuer = TestIssuer::with_algorithm(ISSUER, &clock, Algorithm::Ed25519);
    let rows: [(&str, u64, usize, Make); 7] = [
        ("small", 4 << 20, small_tokens(), |token| token),
        ("without a key's name", 1 << 20, 3_000, |token| token.without_header("kid")),
        ("with everything", 2 << 20, 3_000, |token| {
            token
                .scope("notes:read notes:write")
                .claim("acr", "phr")
                .claim("sid", "a-session-of-this-user")
                .claim("act", json!({ "sub": "an-agent-of-somebody", "iss": "https://x.example" }))
                .claim(
                    "status",
                    json!({ "status_list": { "uri": "https://x.example/1", "idx": 7 } }),
                )
        }),
        ("large: nearly 16 KiB", 8 << 20, 1_500, |token| token.claim("x", "y".repeat(11_000))),
        ("a scope of many", 8 << 20, 1_500, |token| token.scope(&names(2_000).join(" "))),
        ("many audiences", 16 << 20, 600, |token| {
            token.claim("aud", [vec![RESOURCE.to_owned()], names(1_500)].concat())
        }),
        ("many groups", 16 << 20, 600, |token| token.claim("groups", names(1_500))),
    ];
    for (name, room, count, make) in rows {
        let run = |room: u64, count: usize| {
            let revocation = Revocation::new().claim("groups");
            let api = builder(&clock)
                .issuer(issuer.fixed_keys())
                .known_tokens_bytes(room)
                .revocation(revocation)
                .build()
                .unwrap();
            let first = make(issuer.token(RESOURCE)).sign();
            assert!(first.len() < 16_384, "{name}: {}", first.len());
            drop(ready(api.verify(&request(&first))));
            let measured = allocated(count, |_| {
                let parts = request(&make(issuer.token(RESOURCE)).sign());
                ready(api.verify(&parts)).unwrap();
            });
            (measured, api.known_tokens_health())
        };
        // What is allocated for anything else is none of it.
        let ((_, besides), none) = run(0, count.min(1_000));
        assert_eq!((none.tokens, none.bytes), (0, 0));
        let ((most, last), known) = run(room, count);
        let (most, last) = (most.saturating_sub(besides), last.saturating_sub(besides));
        Measured { name, room, known, most, last }.fits_well();
    }
}

/// The same with what is known of the keys of their senders, for which there is room whether they are known
/// or not.
fn bound_tokens_stay_within_their_room() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::with_algorithm(ISSUER, &clock, Algorithm::Ed25519);
    for (name, algorithm, room, count) in [
        ("bound to a key of P-256", Algorithm::Es256, 4 << 20, 1_500),
        ("bound to a key of RSA", Algorithm::Ps256, 4 << 20, 1_500),
    ] {
        let client = ClientKey::generate(algorithm, &clock);
        let run = |room: u64| {
            let api = builder(&clock)
                .issuer(issuer.fixed_keys())
                .known_tokens_bytes(room)
                .dpop(Dpop::new().algorithms([algorithm]))
                .build()
                .unwrap();
            let bound = |_| {
                let token = issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
                let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token);
                let mut parts = request(&token);
                let field = format!("DPoP {token}").parse().unwrap();
                parts.headers.insert("authorization", field);
                parts.headers.insert("dpop", proof.sign().parse().unwrap());
                ready(api.verify(&parts)).unwrap();
            };
            bound(0);
            (allocated(count, bound), api.known_tokens_health())
        };
        // The memory of used proofs is of both.
        let ((_, besides), _) = run(0);
        let ((most, last), known) = run(room);
        let (most, last) = (most.saturating_sub(besides), last.saturating_sub(besides));
        Measured { name, room, known, most, last }.fits();
    }
}

/// How often a decision allocates, and whether it was a yes.
fn decision(api: &ResourceServer, parts: &Parts) -> (u64, bool) {
    let (decided, given) = measured(|| ready(api.verify(parts)));
    (given.count_total, decided.is_ok())
}

/// A token is verified once. What it costs shows whether it was: the work that is not done again allocates.
/// It goes on being known while the same octets are published again, whatever else is said of them, and is
/// verified again where its key, or its issuer, is another.
fn a_known_token_is_not_verified_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let tenant = TestIssuer::new("https://tenant.example", &clock);
    let tenants = TenantList::new();
    tenants.add(tenant.fixed_keys()).unwrap();
    let refresh = KeyRefresh::new().fresh_at_least(MINUTE).fresh_at_most(5 * MINUTE);
    let build = |room: u64| {
        let api = builder(&clock)
            .issuer(issuer.jwks().key_refresh(refresh))
            .tenants(tenants.clone(), 10)
            .known_tokens_bytes(room)
            .transport(TestNetwork::of(&[&issuer]))
            .build()
            .unwrap();
        runtime.block_on(api.warm_up()).unwrap();
        api
    };
    let (keeps, verifies) = (build(1 << 20), build(0));
    let lives = clock.now().plus(50 * MINUTE);
    let token = |issuer: &TestIssuer| request(&issuer.token(RESOURCE).expires_at(lives).sign());
    let (of_issuer, of_tenant) = (token(&issuer), token(&tenant));
    // What happens to both servers alike.
    let refetch = || {
        let before = issuer.fetches();
        runtime.block_on(async {
            for _ in 0..400 {
                clock.advance(Duration::from_secs(1));
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        });
        assert!(issuer.fetches() >= before + 2, "both servers fetched");
    };
    // The first look at another set of keys finds the key there.
    let look = |parts: &Parts| {
        for api in [&keeps, &verifies] {
            let _ = runtime.block_on(api.verify(parts));
        }
    };
    let was_known = |parts: &Parts, what: &str| {
        let (kept, verified) = (decision(&keeps, parts), decision(&verifies, parts));
        println!("{what}: {} allocations, {} to verify it", kept.0, verified.0);
        assert!(kept.1 && verified.1, "{what}: it was refused");
        assert!(verified.0 >= 6, "{what}: {} allocations to verify a token", verified.0);
        kept.0 <= 3
    };

    assert!(!was_known(&of_issuer, "for the first time"));
    assert!(was_known(&of_issuer, "again"));
    assert!(!was_known(&of_tenant, "a tenant's, for the first time"));
    assert!(was_known(&of_tenant, "a tenant's, again"));

    refetch();
    assert!(was_known(&of_issuer, "fetched again, unchanged"));
    // Another document, with the same key and another.
    issuer.rotate();
    refetch();
    assert!(was_known(&of_issuer, "the same octets in another document"));
    let set = issuer.jwk_set();
    let mut jwk = set["keys"][0].clone();
    issuer.withdraw("k1");
    jwk["use"] = json!("sig");
    issuer.publish(jwk);
    refetch();
    assert!(was_known(&of_issuer, "the same octets, described otherwise"));

    tenants.add(tenant.fixed_keys()).unwrap();
    assert!(!was_known(&of_tenant, "the tenant is configured anew"));
    assert!(was_known(&of_tenant, "and then it is known"));
    tenants.add(tenant.fixed_keys()).unwrap();
    look(&of_issuer);
    assert!(was_known(&of_issuer, "another issuer than the one that changed"));

    // Of a time before it was known nothing is known.
    let before = token(&issuer);
    let now = clock.now();
    assert!(!was_known(&before, "another, for the first time"));
    clock.set(now.minus(Duration::from_secs(5)));
    assert!(!was_known(&before, "the clock was set back"));
    assert!(was_known(&before, "and it is known from then on"));
    clock.set(now);
    assert!(was_known(&before, "and later"));
}
