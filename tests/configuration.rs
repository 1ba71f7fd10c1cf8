//! Configuration faults: every one at once, in the user's words, with what to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use portcullis::check::scope;
use portcullis::issuer::KeyRefresh;
use portcullis::{Binding, ConfigFault, Issuer, ResourceServer, ServerBuilder, TokenClass};

fn good() -> ServerBuilder {
    ResourceServer::builder("https://rs.example")
        .issuer(Issuer::discover("https://as.example"))
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
}

#[test]
fn a_good_configuration_builds_without_a_runtime() {
    assert!(good().build().is_ok());
}

#[test]
fn every_fault_is_reported_at_once() {
    let error = ResourceServer::builder("http://rs.example#x")
        .issuer(Issuer::discover("https://as.example?x"))
        .issuer(Issuer::jwks("https://two.example", "http://two.example/jwks").algorithms([]))
        .issuer(Issuer::fixed_keys("https://three.example", "{}"))
        .issuer(Issuer::fixed_keys("https://four.example", r#"{"keys":[{"kty":"oct","k":"YQ"}]}"#))
        .issuer(Issuer::discover("https://as.example?x"))
        .leeway(Duration::from_mins(6))
        .max_token_bytes(0)
        .accept_audience("")
        .realm("a\"b")
        .error_uri("not a uri")
        .challenge_param("Realm", "x")
        .challenge_param("sp ace", "x")
        .challenge_param("ok", "l\u{e9}gal")
        .policy(scope("a b"))
        .build()
        .unwrap_err();
    let text = error.to_string();
    for wanted in [
        "resource \"http://rs.example#x\" has a fragment",
        "issuer \"https://as.example?x\" has a query",
        "issuer `https://as.example?x` is configured twice",
        "issuer `https://two.example` allows no algorithm",
        "JWKS URL \"http://two.example/jwks\" is not an https URL",
        "the fixed keys of issuer `https://three.example` are not a JWK Set",
        "none of the fixed keys of issuer `https://four.example` can be used",
        "no token class",
        "no binding policy",
        "leeway of 360s",
        "longest token, in bytes, of 0",
        "audience \"\" is empty",
        "challenge parameter `realm`",
        "challenge parameter `error_uri`",
        "challenge parameter `Realm`: occurs twice",
        "challenge parameter `sp ace`",
        "challenge parameter `ok`",
        "scope \"a b\" is not one scope token",
    ] {
        assert!(text.contains(wanted), "{wanted}\nnot in\n{text}");
    }
    assert_eq!(error.faults().len(), 18, "{text}");
    assert!(text.starts_with("18 faults in the configuration\n  1. "), "{text}");
}

/// What a newcomer pastes in place of an issuer's identifier; and the twins that are identifiers.
#[test]
fn an_issuer_is_no_url_of_a_document() {
    let well_known = "https://as.example/.well-known/openid-configuration";
    for (name, issuer, wanted) in [
        ("its metadata", Issuer::discover(well_known), "without `/.well-known/`"),
        (
            "its metadata, with a JWKS",
            Issuer::jwks(well_known, "https://as.example/jwks"),
            "document",
        ),
        ("a whole realm", Issuer::keycloak("https://as.example/realms/staff", "staff"), "/realms"),
        ("all realms", Issuer::keycloak("https://as.example/auth/realms/", "staff"), "/realms"),
        ("a base", Issuer::keycloak("https://as.example", "staff"), ""),
        ("a base with a path", Issuer::keycloak("https://as.example/auth", "staff"), ""),
        ("a host of that name", Issuer::keycloak("https://realms", "staff"), ""),
        ("an identifier with a path", Issuer::discover("https://as.example/well-known"), ""),
    ] {
        let built = ResourceServer::builder("https://rs.example")
            .issuer(issuer)
            .class(TokenClass::default_at_most(Duration::from_mins(15)))
            .binding(Binding::WhereBound)
            .build();
        let fault = built.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(fault.is_empty(), wanted.is_empty(), "{name}: {fault}");
        assert!(fault.contains(wanted), "{name}: {fault}");
    }
}

/// One change of a good configuration, and the fault that it is.
#[test]
fn each_fault_stands_alone() {
    type Change = fn(ServerBuilder) -> ServerBuilder;
    type Expected = fn(&ConfigFault) -> bool;
    let year = Duration::from_hours(24 * 366);
    let cases: [(&str, Change, Expected); 8] = [
        (
            "leeway",
            |b| b.leeway(Duration::from_secs(301)),
            |fault| matches!(fault, ConfigFault::Leeway(_)),
        ),
        (
            "second class",
            |b| b.class(TokenClass::default_at_most(Duration::from_mins(1))),
            |fault| matches!(fault, ConfigFault::SeveralTokenClasses(2)),
        ),
        (
            "token size",
            |b| b.max_token_bytes(16 * 1024 + 1),
            |fault| matches!(fault, ConfigFault::Bound { .. }),
        ),
        (
            "same issuer",
            |b| b.issuer(Issuer::discover("https://as.example")),
            |fault| matches!(fault, ConfigFault::DuplicateIssuer(_)),
        ),
        (
            "fresh without end",
            |b| {
                let refresh = KeyRefresh::new().fresh_at_least(Duration::ZERO);
                b.issuer(Issuer::discover("https://x.example").key_refresh(refresh))
            },
            |fault| matches!(fault, ConfigFault::KeyLifetime { .. }),
        ),
        (
            "fresh longer than kept",
            |b| {
                let refresh = KeyRefresh::new().fresh_at_most(Duration::from_hours(25));
                b.issuer(Issuer::discover("https://x.example").key_refresh(refresh))
            },
            |fault| matches!(fault, ConfigFault::KeyLifetime { .. }),
        ),
        (
            "loopback http to elsewhere",
            |b| {
                b.issuer(
                    Issuer::discover("http://as.internal").dangerous().insecure_loopback_http(),
                )
            },
            |fault| matches!(fault, ConfigFault::Name(_)),
        ),
        (
            "reserved parameter",
            |b| b.challenge_param("Error_Description", "x"),
            |fault| matches!(fault, ConfigFault::ChallengeParam { .. }),
        ),
    ];
    for (name, change, expected) in cases {
        let error = change(good()).build().expect_err(name);
        assert_eq!(error.faults().len(), 1, "{name}: {error}");
        assert!(error.faults().iter().all(expected), "{name}: {error}");
    }
    for lifetime in [Duration::ZERO, year + Duration::from_secs(1)] {
        let error = ResourceServer::builder("https://rs.example")
            .issuer(Issuer::discover("https://as.example"))
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(lifetime))
            .build()
            .unwrap_err();
        assert_eq!(error.faults(), [ConfigFault::TokenClassLifetime(lifetime)]);
    }
}

#[test]
fn loopback_http_is_a_named_hazard() {
    let issuer = || Issuer::discover("http://127.0.0.1:9000");
    assert!(good().issuer(issuer()).build().is_err());
    assert!(good().issuer(issuer().dangerous().insecure_loopback_http()).build().is_ok());
}
