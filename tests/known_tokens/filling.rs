//! What is kept: tokens that were accepted, as many as fit, and nothing that an attacker makes up.

use http::Request;
use portcullis::RejectionKind as Kind;
use portcullis::check::{allow_all, scope};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::jose::{Algorithm, base64url};
use portcullis::revocation::{Record, Revocation};
use portcullis::secret::SecretSource;
use portcullis::testing::{
    ClientKey, ManualClock, TestIntrospection, TestIssuer, TestNetwork, TokenBuilder,
};
use portcullis::{Dpop, Issuer, Policy, ResourceServer};

use crate::pair::{MINUTE, Pair};
use crate::support::{ISSUER, RESOURCE, bearer, builder, compact, present, with_field};

/// A hundred thousand, or as many as `PORTCULLIS_JUNK` says.
fn junk_requests() -> usize {
    std::env::var("PORTCULLIS_JUNK").map_or(100_000, |number| number.parse().unwrap())
}

/// Attack 30 (CVE-2026-41707: a memory that a flood empties), of another memory: a hundred thousand
/// refused tokens of every kind, each another, leave the known ones known, and nothing of themselves.
#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .dpop(Dpop::new())
        .revocation(Revocation::new())
        .build()
        .unwrap();
    let good: Vec<_> = (0..10).map(|_| issuer.token(RESOURCE).sign()).collect();
    for token in &good {
        present(&api, token).await.unwrap();
    }
    let before = api.known_tokens_health();
    assert_eq!(before.tokens, 10);

    let now = portcullis::time::Clock::now(&clock);
    let (client, thief) = (
        ClientKey::generate(Algorithm::Es256, &clock),
        ClientKey::generate(Algorithm::Es256, &clock),
    );
    api.revocations().revoke(Record::token(ISSUER, "revoked", now)).await.unwrap();
    // What anybody can make of one good token, each time another.
    let template = issuer.token(RESOURCE);
    let signature = template.sign().rsplit_once('.').unwrap().1.to_owned();
    let of = |token: TokenBuilder| format!("{}.{signature}", token.signing_input());
    type Make<'a> = Box<dyn Fn(usize) -> String + 'a>;
    let made_up: Vec<(Kind, Make<'_>)> = vec![
        (Kind::BadSignature, Box::new(|n| of(template.clone().claim("jti", n.to_string())))),
        (Kind::BadSignature, Box::new(|n| of(template.clone().subject(&n.to_string())))),
        (Kind::UnknownKey, Box::new(|n| of(template.clone().header("kid", n.to_string())))),
        (
            Kind::UnknownIssuer,
            Box::new(|n| of(template.clone().claim("iss", format!("https://{n}")))),
        ),
        (
            Kind::AlgorithmNotAllowed,
            Box::new(|n| of(template.clone().claim("jti", n).header("alg", "none"))),
        ),
        (Kind::WrongType, Box::new(|n| of(template.clone().header("typ", n.to_string())))),
        (Kind::MalformedToken, Box::new(|n| format!("{}.{n}.x", base64url::encode(b"{}")))),
        (
            Kind::MalformedToken,
            Box::new(|n| format!("{}.", of(template.clone().subject(&n.to_string())))),
        ),
        (Kind::OpaqueToken, Box::new(|n| format!("opaque-{n}"))),
        (
            Kind::EncryptedToken,
            Box::new(|n| format!("{}.{n}.a.b.c", base64url::encode(br#"{"enc":"x"}"#))),
        ),
    ];
    let junk = junk_requests();
    for number in 0..junk {
        let (expected, make) = &made_up[number % made_up.len()];
        let refused = present(&api, &make(number)).await.unwrap_err().kind();
        assert_eq!(refused, *expected, "{number}");
    }
    assert_eq!(api.known_tokens_health(), before, "{junk} that nobody signed");

    // What a client of the issuer can have, and is refused all the same: it is signed.
    type Signed<'a> = (Kind, Policy, Box<dyn Fn(TokenBuilder) -> Request<String> + 'a>);
    let plain = |edit: fn(TokenBuilder) -> TokenBuilder| {
        Box::new(move |token: TokenBuilder| bearer(&edit(token).sign()))
    };
    let any = || Policy::new(allow_all());
    let signed: Vec<Signed<'_>> = vec![
        (Kind::WrongAudience, any(), plain(|token| token.claim("aud", "https://x.example"))),
        (Kind::MissingClaim, any(), plain(|token| token.without("client_id"))),
        (Kind::MalformedClaim, any(), plain(|token| token.claim("sub", 7))),
        (Kind::OtherTokenKind, any(), plain(|token| token.claim("events", "x"))),
        (Kind::Revoked, any(), plain(|token| token.claim("jti", "revoked"))),
        (Kind::InsufficientScope, Policy::new(scope("admin")), plain(|token| token.scope("read"))),
        (
            Kind::Expired,
            any(),
            Box::new(|token| {
                let token = token.issued_at(now.minus(10 * MINUTE));
                bearer(&token.expires_at(now.minus(MINUTE)).sign())
            }),
        ),
        (
            Kind::LifetimeTooLong,
            any(),
            Box::new(|token| bearer(&token.expires_at(now.plus(600 * MINUTE)).sign())),
        ),
        (
            Kind::BearerDowngrade,
            any(),
            Box::new(|token| bearer(&token.claim("cnf", client.confirmation()).sign())),
        ),
        (
            Kind::OtherKey,
            any(),
            Box::new(|token| {
                let token = token.claim("cnf", client.confirmation()).sign();
                let proof = thief.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
                let mut request = with_field("authorization", format!("DPoP {token}"));
                request.headers_mut().insert("dpop", proof.parse().unwrap());
                request
            }),
        ),
    ];
    for (expected, policy, make) in &signed {
        let guard = api.guard(policy.clone()).unwrap();
        for _ in 0..20 {
            let request = make(issuer.token(RESOURCE));
            let refused = guard.verify(&request).await.err().map(|refused| refused.kind());
            assert_eq!(refused, Some(*expected));
        }
    }
    assert_eq!(api.known_tokens_health(), before, "signed, and not accepted");
    for token in &good {
        present(&api, token).await.unwrap();
    }
    assert_eq!(api.known_tokens_health(), before);
}

/// Attack 26, INT-05: what an issuer was asked about is what it said then, and is kept with its answers, not
/// among what was verified: opaque tokens, and JWTs that are asked about.
#[tokio::test]
async fn what_was_asked_about_is_not_known() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let endpoint = TestIntrospection::of(&issuer, &clock);
    endpoint.require_client("api", env!("CARGO_PKG_NAME"));
    let pair = Pair::of(clock, issuer, |builder, issuer| {
        let client = ClientAuth::basic("api", SecretSource::env("CARGO_PKG_NAME"));
        let network = TestNetwork::of(&[issuer]).with_introspection(&endpoint);
        let introspection = Introspection::at(issuer.id(), endpoint.url()).client(client).jwts();
        builder.issuer(issuer.jwks()).introspection(introspection).transport(network)
    });
    pair.warm_up().await;
    let opaque = endpoint.active(pair.token());
    let jwt = pair.token();
    let signed = jwt.sign();
    endpoint.active_as(&signed, jwt);
    for token in [&opaque, &signed] {
        for _ in 0..3 {
            assert_eq!(pair.kind(token).await, None);
            assert_eq!(pair.known(), 0);
        }
        endpoint.revoke(token);
        pair.advance(MINUTE).await;
        assert_eq!(pair.kind(token).await, Some(Kind::Inactive));
    }
}

/// A token that takes more than there is room for is accepted, each time anew; so is every token where there
/// is no room at all.
#[tokio::test]
async fn what_does_not_fit_is_accepted_all_the_same() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let large = issuer.token(RESOURCE).claim("x", "y".repeat(10_000)).sign();
    let small = issuer.token(RESOURCE).sign();
    for (room, kept) in [(0, 0), (1, 0), (1_000, 0), (8_000, 1), (100_000, 2)] {
        let server = builder(&clock).issuer(issuer.fixed_keys()).known_tokens_bytes(room);
        let api = server.build().unwrap();
        for _ in 0..3 {
            for token in [&small, &large] {
                present(&api, token).await.unwrap();
            }
        }
        let known = api.known_tokens_health();
        assert_eq!((known.tokens, known.bytes_at_most), (kept, room), "{room}");
        assert!(known.bytes <= room, "{known:?}");
    }
}

/// INT-10, of what was verified: two servers do not share what they know: each verifies for itself.
#[tokio::test]
async fn each_server_knows_for_itself() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let server =
        |issuer: Issuer| -> ResourceServer { builder(&clock).issuer(issuer).build().unwrap() };
    let (one, two) = (server(issuer.fixed_keys()), server(issuer.fixed_keys()));
    let other = server(TestIssuer::new(ISSUER, &clock).fixed_keys());
    let token = issuer.token(RESOURCE).sign();
    present(&one, &token).await.unwrap();
    let known = |api: &ResourceServer| api.known_tokens_health().tokens;
    assert_eq!((known(&one), known(&one.clone()), known(&two)), (1, 1, 0));
    assert_eq!(present(&other, &token).await.unwrap_err().kind(), Kind::BadSignature);
    assert_eq!(known(&other), 0);
    let made_up = compact(&issuer.token(RESOURCE).signing_input(), [7; 64]);
    assert_eq!(present(&one, &made_up).await.unwrap_err().kind(), Kind::BadSignature);
}

/// BCP-04: what is known of tokens is not printed.
#[tokio::test]
async fn health_is_numbers() {
    let pair = Pair::new().await;
    let token = pair.token().sign();
    pair.knows(&token).await;
    let health = pair.keeps.known_tokens_health();
    assert!(health.bytes > 0 && health.bytes < 8_000, "{health:?}");
    assert_eq!(health.bytes_at_most, 32 << 20);
    let shown = format!("{health:?}");
    assert_eq!(
        shown,
        format!(
            "KnownTokensHealth {{ tokens: 1, bytes: {}, bytes_at_most: 33554432 }}",
            health.bytes
        )
    );
    let none = pair.verifies.known_tokens_health();
    assert_eq!((none.tokens, none.bytes, none.bytes_at_most), (0, 0, 0));
}

/// What a token takes is what is kept of it, a sixteenth more for places that are free, and for one that is
/// bound to a key room for that key, before any proof was seen.
#[tokio::test]
async fn a_token_is_weighed_with_all_that_comes_with_it() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    let token = |padding: usize| issuer.token(RESOURCE).claim("x", "x".repeat(padding));
    let server = || builder(&clock).issuer(issuer.fixed_keys()).dpop(Dpop::new()).build().unwrap();
    let weight = |api: &ResourceServer| {
        let known = api.known_tokens_health();
        assert_eq!(known.tokens, 1);
        known.bytes
    };
    let plain = async |padding: usize| {
        let api = server();
        present(&api, &token(padding).sign()).await.unwrap();
        weight(&api)
    };
    let (small, large) = (plain(16).await, plain(16 + 8_000).await);
    let more = large - small;
    assert!((8_450..8_550).contains(&more), "{more} for 8 000 octets");

    let api = server();
    let token = token(16).claim("cnf", client.confirmation()).sign();
    let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
    let mut request = with_field("authorization", format!("DPoP {token}"));
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    api.verify(&request).await.unwrap();
    let more = weight(&api) - small;
    assert!((4_352..4_700).contains(&more), "{more} for a key");
}
