//! What is wrong with a configuration, all of it at once, each with its place; and what it says of itself.

use std::time::Duration;

use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::issuer::{OptionalClaim, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::secret::SecretSource;
use portcullis::testing::TestIssuer;
use portcullis::{Binding, BuildError, Dpop, Issuer, Mtls, ServerBuilder, TokenClass};

use crate::support::ISSUER;
use crate::world::{Parts, SECOND, asked_at};

const ENDPOINT: &str = "https://as.example/introspect";
const B: &str = "https://b.example";

fn new() -> Introspection {
    asked_at(ISSUER, ENDPOINT)
}

fn secret() -> SecretSource {
    SecretSource::env("PORTCULLIS_NO_SUCH_SECRET")
}

fn places(error: &BuildError) -> Vec<String> {
    error.places().map(|(place, _)| place.to_owned()).collect()
}

/// Every fault of one introspection has its place and its reason, and every bound is as it is said.
#[test]
fn every_fault_has_its_place() {
    let build =
        |introspection: Introspection| Parts::new().builder().introspection(introspection).build();
    let client = |client: ClientAuth| new().client(client);
    let long = "x".repeat(64);
    let many =
        |count: usize| (0..count).fold(new(), |new, number| new.prefix(format!("p{number}")));
    let minutes = Duration::from_mins;
    let rows: Vec<(&str, &str, Introspection, Introspection)> = vec![
        ("endpoint", "https", new(), asked_at(ISSUER, "http://as.example/introspect")),
        ("client", "`.client(", new(), Introspection::at(ISSUER, ENDPOINT)),
        ("client.client_id", "empty", client(ClientAuth::mtls("a")), client(ClientAuth::mtls(""))),
        (
            "client.client_id",
            "control",
            client(ClientAuth::mtls("a b")),
            client(ClientAuth::mtls("a\nb")),
        ),
        (
            "client.algorithm",
            "private_key_jwt",
            client(ClientAuth::private_key_jwt("a", secret()).algorithm(Algorithm::Es256)),
            client(ClientAuth::basic("a", secret()).algorithm(Algorithm::Es256)),
        ),
        (
            "client.key_id",
            "private_key_jwt",
            client(ClientAuth::private_key_jwt("a", secret()).key_id("k")),
            client(ClientAuth::post("a", secret()).key_id("k")),
        ),
        (
            "client.audience",
            "private_key_jwt",
            client(ClientAuth::private_key_jwt("a", secret()).audience("x")),
            client(ClientAuth::bearer(secret()).audience("x")),
        ),
        ("prefixes[0]", "no beginning of a token", new().prefix("a-._~+/9"), new().prefix("")),
        (
            "prefixes[1]",
            "no beginning of a token",
            new().prefix("a"),
            new().prefix("a").prefix("b c"),
        ),
        (
            "prefixes[0]",
            "no beginning of a token",
            new().prefix(&long),
            new().prefix(format!("{long}x")),
        ),
        ("prefixes", "number of prefixes", many(32), many(33)),
        (
            "only_where_named",
            "say one",
            new().only_where_named(),
            new().prefix("a").only_where_named(),
        ),
        ("ttl", "longer than", new().ttl(minutes(10)), new().ttl(minutes(10) + SECOND)),
        (
            "negative_ttl",
            "longer than the `ttl`",
            new().ttl(SECOND).negative_ttl(SECOND),
            new().ttl(SECOND).negative_ttl(2 * SECOND),
        ),
        ("timeout", "is not between", new().timeout(SECOND / 20), new().timeout(SECOND / 21)),
        ("timeout", "is not between", new().timeout(10 * SECOND), new().timeout(11 * SECOND)),
        ("max_at_once", "number of calls at once", new().max_at_once(1), new().max_at_once(0)),
        (
            "max_at_once",
            "number of calls at once",
            new().max_at_once(1_024),
            new().max_at_once(1_025),
        ),
        ("cache_bytes", "bytes", new().cache_bytes(4 << 30), new().cache_bytes((4 << 30) + 1)),
    ];
    for (place, reason, good, bad) in rows {
        build(good).unwrap_or_else(|error| panic!("{place}: {error}"));
        let error = build(bad).unwrap_err();
        assert_eq!(places(&error), [format!("introspection[0].{place}")], "{error}");
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
    let all = Introspection::at(ISSUER, "x").ttl(minutes(20)).max_at_once(0).prefix("");
    assert_eq!(build(all).unwrap_err().faults().len(), 5);
}

/// INT-15, INT-16: who wants signed answers has the issuer's keys, and a name that the answers are for.
#[test]
fn signed_answers_need_keys_and_a_name() {
    let build = |issuer: Issuer, introspection: Introspection| {
        Parts::new().builder_with(issuer).introspection(introspection).build()
    };
    let with_keys = || Issuer::jwks(ISSUER, "https://as.example/jwks");
    assert!(build(with_keys(), new().signed_for("rs")).is_ok());
    let named = new().client(ClientAuth::mtls("rs")).signed_answers();
    assert!(build(with_keys(), named).is_ok());
    for (place, reason, issuer, introspection) in [
        ("signed_answers", "issuer's keys", Issuer::opaque(ISSUER), new().signed_for("rs")),
        ("signed_for", "name this server in `aud`", with_keys(), new().signed_answers()),
        ("signed_for", "empty", with_keys(), new().signed_for("")),
    ] {
        let error = build(issuer, introspection).unwrap_err();
        assert_eq!(places(&error), [format!("introspection[0].{place}")], "{error}");
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

/// Of a token without an end and without a date nothing would say how long it lives: one of both at most.
#[test]
fn a_token_without_an_end_has_a_date() {
    let lax = || TokenProfile::relaxed().may_lack(OptionalClaim::IssuedAt);
    let with_keys = || Issuer::jwks(ISSUER, "https://as.example/jwks");
    let endless = || new().may_lack(AnswerGap::ExpiresAt);
    let build = |issuer: Issuer, introspection: Introspection| {
        Parts::new().builder_with(issuer).introspection(introspection).build()
    };
    for issuer in [|| Issuer::opaque(ISSUER), with_keys] {
        assert!(build(issuer(), endless()).is_ok());
        assert!(build(issuer().profile(lax()), new()).is_ok());
        let error = build(issuer().profile(lax()), endless()).unwrap_err();
        assert_eq!(places(&error), ["introspection[0].may_lack"], "{error}");
        assert!(error.to_string().contains("nothing would say how long a token lives"), "{error}");
    }
}

/// Several have to fit together and to the issuers of the server.
#[test]
fn several_introspections_fit_together() {
    type Add = fn(ServerBuilder) -> ServerBuilder;
    let b = || asked_at(B, "https://b.example/introspect");
    let rows: [(&str, &str, Add); 5] = [
        ("introspection[0].issuer", "none of the server's issuers", |builder| {
            builder
                .issuer(Issuer::jwks(ISSUER, "https://as.example/jwks"))
                .introspection(asked_at("https://c.example", "https://c.example/introspect"))
        }),
        ("introspection[1].issuer", "configured twice", |builder| {
            builder
                .issuer(Issuer::opaque(ISSUER))
                .introspection(new())
                .introspection(new().prefix("x"))
        }),
        (
            "introspection",
            "of \"https://as.example\" and \"https://b.example\" one needs a `prefix`",
            |builder| {
                builder
                    .issuer(Issuer::opaque(ISSUER))
                    .issuer(Issuer::opaque(B))
                    .introspection(new())
                    .introspection(asked_at(B, "https://b.example/introspect"))
            },
        ),
        ("introspection[1].prefixes[0]", "prefix \"x\" is said twice", |builder| {
            builder
                .issuer(Issuer::opaque(ISSUER))
                .issuer(Issuer::opaque(B))
                .introspection(new().prefix("x"))
                .introspection(asked_at(B, "https://b.example/introspect").prefix("x"))
        }),
        ("introspection", "has no keys and no introspection", |builder| {
            builder.issuer(Issuer::opaque(ISSUER)).issuer(Issuer::opaque(B)).introspection(new())
        }),
    ];
    let base = || {
        let parts = Parts::new();
        crate::support::builder(&parts.clock).transport(parts.network.clone())
    };
    for (place, reason, add) in rows {
        let error = add(base()).build().unwrap_err();
        assert_eq!(error.faults().len(), 1, "{error}");
        assert!(error.to_string().contains(reason), "{reason}: {error}");
        assert_eq!(places(&error), [place], "{error}");
    }
    let two = |first: Introspection, second: Introspection| {
        base()
            .issuer(Issuer::opaque(ISSUER))
            .issuer(Issuer::opaque(B))
            .introspection(first)
            .introspection(second)
            .build()
    };
    assert!(two(new(), b().prefix("b_")).is_ok());
    assert!(two(new().only_where_named(), b()).is_ok());
    assert!(two(new().prefix("x"), b().prefix("xy")).is_ok());
}

/// FAPI-05: where its issuer is asked about every token, a revocation is seen, and nothing else is wanted.
#[test]
fn fapi_2_is_met_by_asking_about_every_token() {
    let build = |issuers: Vec<Issuer>, introspections: Vec<Introspection>| {
        let parts = Parts::new();
        let class = TokenClass::default_at_most(Duration::from_mins(10));
        let mut builder = portcullis::ResourceServer::builder(crate::support::RESOURCE)
            .class(class)
            .binding(Binding::Either)
            .dpop(Dpop::new())
            .mtls(Mtls::direct())
            .transport(parts.network.clone())
            .fapi2();
        for issuer in issuers {
            builder = builder.issuer(issuer);
        }
        for introspection in introspections {
            builder = builder.introspection(introspection);
        }
        builder.build()
    };
    let clock = Parts::new().clock;
    let keys = |id: &str| TestIssuer::new(id, &clock).jwks();
    let b = || asked_at(B, "https://b.example/introspect").prefix("b_");
    build(vec![Issuer::opaque(ISSUER)], vec![new()]).unwrap();
    build(vec![keys(ISSUER)], vec![new().jwts()]).unwrap();
    build(vec![Issuer::opaque(ISSUER), keys(B)], vec![new(), b().jwts()]).unwrap();
    for (name, issuers, introspections) in [
        ("none", vec![keys(ISSUER)], vec![]),
        ("its JWTs are read", vec![keys(ISSUER)], vec![new()]),
        ("another's JWTs are read", vec![Issuer::opaque(ISSUER), keys(B)], vec![new(), b()]),
        ("another is not asked", vec![Issuer::opaque(ISSUER), keys(B)], vec![new()]),
    ] {
        let error = build(issuers, introspections).unwrap_err();
        assert_eq!(places(&error), ["revocation"], "{name}: {error}");
        assert!(
            error
                .to_string()
                .contains("`.revocation(...)`, with a source, or `.introspection(...)`"),
            "{error}"
        );
    }
}

/// What is configured is told, without secrets.
#[test]
fn what_is_configured_is_told() {
    let report = |introspection: Introspection| {
        let api = Parts::new()
            .builder_with(Issuer::jwks(ISSUER, "https://as.example/jwks"))
            .introspection(introspection)
            .build()
            .unwrap();
        api.effective_policy()["introspection"][0].clone()
    };
    let plain = report(new());
    assert_eq!(plain["issuer"], ISSUER);
    assert_eq!(plain["endpoint"], ENDPOINT);
    assert_eq!(plain["client"]["method"], "insecure_unauthenticated");
    assert_eq!(plain["ttl"], "30s");
    assert_eq!(plain["negative_ttl"], "5s");
    assert_eq!(plain["timeout"], "2s");
    assert_eq!(plain["max_at_once"], 64);
    assert_eq!(plain["jwts"], false);
    assert_eq!(plain["signed_answers"], false);
    for member in ["signed_for", "may_lack", "prefixes", "dangerous", "transport"] {
        assert_eq!(plain.get(member), None, "{member}");
    }
    let all = new()
        .client(ClientAuth::basic("api", secret()))
        .prefix("a_")
        .jwts()
        .signed_answers()
        .may_lack(AnswerGap::Subject)
        .dangerous()
        .insecure_without_audience();
    let all = report(all);
    assert_eq!(all["client"]["method"], "client_secret_basic");
    assert_eq!(all["client"]["client_id"], "api");
    assert_eq!(all["signed_answers"], true);
    assert_eq!(all["prefixes"][0], "a_");
    assert_eq!(all["jwts"], true);
    assert_eq!(all["signed_for"], "api");
    assert_eq!(all["may_lack"][0], "sub");
    assert_eq!(all["dangerous"]["insecure_without_audience"], true);
    assert_eq!(report(new().only_where_named())["only_where_named"], true);
}

/// Fresh knowledge can be wanted where tokens are asked about, and nowhere without.
#[test]
fn freshness_needs_somebody_to_ask() {
    let build = |with: bool| {
        let parts = Parts::new();
        let builder = parts.builder_with(parts.issuer.jwks());
        let builder = match with {
            true => builder.introspection(parts.introspection()),
            false => builder,
        };
        builder.class(TokenClass::named("x").scopes(["x"]).freshness(SECOND)).build()
    };
    assert!(build(true).is_ok());
    assert!(build(false).is_err());
}
