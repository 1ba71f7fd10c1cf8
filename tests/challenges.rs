//! What a client is told: status, challenge, and nothing of what it sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response};
use portcullis::check::{
    Check, CheckContext, CheckError, Denial, Needs, Unavailable, all_scopes, any_scope, scope,
};
use portcullis::jose::Algorithm;
use portcullis::layer::require;
use portcullis::testing::{Challenge, ManualClock, TestIssuer, challenges};
use portcullis::{
    Binding, ConfigFault, Dpop, Policy, Rejection, RejectionKind, ResourceServer, ServerBuilder,
    TokenClass, assert_challenge,
};
use proptest::prelude::*;
use support::{
    ISSUER, NAMED, PRIVATE, RESOURCE, WANTED, World, anonymous, bearer, builder, every_refusal,
    field_bytes, role, send, told, with_field,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

const METADATA: &str = "https://rs.example/.well-known/oauth-protected-resource";

/// AUTH-01, AUTH-02, AUTH-03, AUTH-04, AUTH-05, AUTH-11, AUTH-23, AUTH-32, PRM-15.
#[tokio::test]
async fn every_refusal_says_what_its_status_promises() {
    for case in every_refusal(|builder| builder.error_uri("https://rs.example/errors")).await {
        let kind = case.kind;
        let field = case.request.headers().get(AUTHORIZATION);
        let is_dpop = field.is_some_and(|field| field.as_bytes().starts_with(b"DPoP "));
        let sent = send(&case.layer, case.request).await;
        assert!(!sent.passed(), "{kind:?}");
        assert_eq!(sent.kind(), Some(kind));
        let (status, error) = told(kind);
        assert_eq!(sent.response.status(), status, "{kind:?}");
        let rejection = sent.response.extensions().get::<Rejection>().unwrap();
        assert_eq!(rejection.status(), status, "{kind:?}");

        let headers = sent.response.headers();
        let fields: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        if status >= 500 {
            assert!(fields.is_empty(), "{kind:?}: {fields:?}");
            assert_eq!(headers.contains_key(RETRY_AFTER), status == 503, "{kind:?}");
            continue;
        }
        assert!(!headers.contains_key(RETRY_AFTER), "{kind:?}");
        // One field line for each scheme, one challenge each, no name twice (the parser sees to that).
        assert_eq!(fields.len(), 2, "{kind:?}");
        let all = challenges(headers);
        assert_eq!(all.len(), 2, "{kind:?}: {all:?}");
        // The scheme that was used comes first, with the error; the other has none, unless it cannot be
        // told which was meant (DPOP-24, DPOP-25).
        let used = if is_dpop { ["DPoP", "Bearer"] } else { ["Bearer", "DPoP"] };
        for (challenge, scheme) in all.iter().zip(used) {
            assert_eq!(challenge.scheme, scheme, "{kind:?}");
            assert_eq!(challenge.param("realm"), Some(RESOURCE), "{kind:?}");
            assert_eq!(challenge.param("resource_metadata"), Some(METADATA), "{kind:?}");
            // DPOP-26
            let algs = (scheme == "DPoP").then_some("ES256 EdDSA Ed25519");
            assert_eq!(challenge.param("algs"), algs, "{kind:?}");
            let told = scheme == used[0] || kind == RejectionKind::SeveralCredentials;
            let error = error.filter(|_| told);
            assert_eq!(challenge.param("error"), error, "{kind:?}");
            assert_eq!(challenge.param("error_description").is_some(), error.is_some(), "{kind:?}");
            let error_uri = error.map(|_| "https://rs.example/errors");
            assert_eq!(challenge.param("error_uri"), error_uri, "{kind:?}");
        }
        // DPOP-29, DPOP-31
        let nonces = headers.get_all("dpop-nonce").iter().count();
        assert_eq!(nonces, usize::from(error == Some("use_dpop_nonce")), "{kind:?}");
    }
}

/// AT-19, AUTH-08, API-04: nothing that came with the request goes back.
#[tokio::test]
async fn no_refusal_repeats_anything_of_its_request() {
    for case in every_refusal(|builder| builder).await {
        let sent = send(&case.layer, case.request).await;
        let mut told = field_bytes(sent.response.headers());
        told.push(("body".to_owned(), sent.response.body().clone().into_bytes()));
        for (name, value) in told {
            let value = String::from_utf8(value).expect("ASCII");
            for marker in [NAMED, PRIVATE] {
                assert!(!value.contains(marker), "{:?}: {name}: {value}", case.kind);
            }
            if let Some(token) = &case.token {
                for part in token.split('.').filter(|part| part.len() > 8) {
                    assert!(!value.contains(part), "{:?}: {name}: {value}", case.kind);
                }
            }
        }
    }
}

/// AUTH-08: an error description is text of this crate, whatever was wrong.
#[tokio::test]
async fn text_of_a_token_that_could_break_a_header_stays_out_of_it() {
    let world = World::new().await;
    let layer = world.api.protect(|request: &CheckContext<'_>| {
        let subject = request.access().subject().to_string();
        Err(CheckError::from(Denial::invalid_token(subject)))
    });
    #[rustfmt::skip]
    let evils = [
        "\"", "\\", "\r\nX-Injected: 1", "\u{e9}", "\0", "a\", error=\"x", "\u{7f}",
    ];
    for evil in evils {
        let token = || world.token().subject(evil);
        for token in [
            token().sign(),
            token().header("kid", evil).sign(),
            token().header("typ", evil).sign(),
            token().header("alg", evil).sign(),
            token().claim("iss", evil).sign(),
            token().claim("aud", evil).sign(),
            token().claim("exp", evil).sign(),
            token().claim("scope", evil).sign(),
            token().raw_payload(format!("{{\"a\":\"{evil}\"")).sign(),
        ] {
            let sent = send(&layer, bearer(&token)).await;
            assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
            assert!(!sent.response.headers().contains_key("x-injected"));
            assert_legal(sent.response.headers());
        }
    }
    // The same check with a subject that is plain text: it is the check that answers.
    let sent = send(&layer, bearer(&world.token().sign())).await;
    assert_eq!(sent.kind(), Some(RejectionKind::NotAccepted));
}

/// Every field of a refusal is printable ASCII.
fn assert_legal(headers: &HeaderMap) {
    for (name, value) in field_bytes(headers) {
        let legal = value.iter().all(|byte| (0x20..0x7f).contains(byte));
        assert!(legal, "{name}: {}", String::from_utf8_lossy(&value));
    }
}

/// AUTH-07: the value is quoted even where a token would do.
#[tokio::test]
async fn the_realm_is_a_quoted_string() {
    let world =
        World::with(Algorithm::Es256, |builder| builder.realm("abc").without_metadata()).await;
    let sent = send(&world.api.layer(), anonymous()).await;
    assert_eq!(sent.response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"abc\"");
}

/// AUTH-04: without metadata there is still a parameter.
#[tokio::test]
async fn a_challenge_is_never_a_lone_scheme() {
    for case in every_refusal(ServerBuilder::without_metadata).await {
        let sent = send(&case.layer, case.request).await;
        for challenge in challenges(sent.response.headers()) {
            assert_eq!(challenge.param("realm"), Some(RESOURCE), "{:?}", case.kind);
            assert_eq!(challenge.param("resource_metadata"), None, "{:?}", case.kind);
        }
    }
}

/// AUTH-03, AUTH-14, MCP-06: without a token, and with one that is not enough, all scopes that
/// the route wants stand in one challenge.
#[tokio::test]
async fn one_challenge_names_every_scope_of_the_policy() {
    let world = World::new().await;
    let held = world.token().scope("a").sign();
    #[rustfmt::skip]
    let combined: Vec<(&str, Policy, Option<&str>)> = vec![
        ("one", scope("b").into(), Some("b")),
        ("all", all_scopes(["a", "b"]).into(), Some("a b")),
        ("and", scope("a").and(scope("b")).into(), Some("a b")),
        ("a tuple", (scope("a"), scope("b"), scope("c")).into(), Some("a b c")),
        ("one twice", scope("b").and(all_scopes(["b", "c"])).into(), Some("b c")),
        ("any", any_scope(["b", "c"]).into(), Some("b")),
        ("or", scope("b").or(scope("c")).into(), Some("b")),
        ("no scope", role("admin").into(), None),
    ];
    for (name, policy, wanted) in combined {
        let layer = world.api.protect(policy);
        let bare = send(&layer, anonymous()).await;
        assert_challenge!(bare.response, 401, "Bearer", resource_metadata = METADATA, !error);
        let denied = send(&layer, bearer(&held)).await;
        assert_challenge!(
            denied.response,
            403,
            "Bearer",
            error = "insufficient_scope",
            resource_metadata = METADATA,
        );
        for sent in [bare, denied] {
            let all = challenges(sent.response.headers());
            assert_eq!(all[0].param("scope"), wanted, "{name}");
        }
    }
    // A token that lacks no scope is not sent for one: it would come back as it is.
    let layer = world.api.protect(scope("a").and(role("admin")));
    assert_challenge!(send(&layer, anonymous()).await.response, 401, "Bearer", scope = "a");
    let denied = send(&layer, bearer(&held)).await;
    assert_challenge!(denied.response, 403, "Bearer", error = "insufficient_scope", !scope);
    let passed = send(&world.api.protect(scope("a")), bearer(&held)).await;
    assert!(passed.passed());
}

/// MCP-06: so does a 401 for a token that is no longer good: the client will ask for a new one.
#[tokio::test]
async fn the_challenge_to_a_bad_token_names_the_scopes_too() {
    let world = World::new().await;
    let layer = world.api.protect(all_scopes(["a", "b"]));
    let token = world.token().scope("a b").sign();
    assert!(send(&layer, bearer(&token)).await.passed());
    world.clock.advance(Duration::from_mins(20));
    let sent = send(&layer, bearer(&token)).await;
    assert_challenge!(
        sent.response,
        401,
        "Bearer",
        error = "invalid_token",
        resource_metadata = METADATA,
        scope = "a b",
    );
}

/// MCP-06: the scopes of a layer below come on top of those above it: a client that asked for
/// these alone would get a token that fails further up.
#[tokio::test]
async fn the_challenge_of_a_layer_below_names_the_scopes_above_too() {
    let world = World::new().await;
    let inner =
        service_fn(|_| async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) });
    let service = world.api.protect(scope("a")).layer(require(scope("b")).layer(inner));
    let both = bearer(&world.token().scope("a b").sign());
    assert_eq!(service.clone().oneshot(both).await.unwrap().status(), 200);
    let one = bearer(&world.token().scope("a").sign());
    let response = service.oneshot(one).await.unwrap();
    assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", scope = "a b");
}

/// MCP-06: a check that finds out what lacks adds it to what its policy wants.
#[tokio::test]
async fn scopes_that_a_check_finds_missing_are_named_beside_the_policys() {
    let world = World::new().await;
    let layer = world.api.protect(scope("a").and(|_: &CheckContext<'_>| {
        Err(CheckError::from(Denial::missing_scopes(["b", "a"]).unwrap()))
    }));
    let sent = send(&layer, bearer(&world.token().scope("a").sign())).await;
    assert_challenge!(sent.response, 403, "Bearer", error = "insufficient_scope", scope = "a b");
    assert!(Denial::missing_scopes(["a\"b"]).is_err());
}

/// AUTH-01, AUTH-05, DPOP-24: what is kept ready for a policy is what would be written anew, whatever was
/// asked before and under which scheme.
#[tokio::test]
async fn a_challenge_does_not_depend_on_those_before_it() {
    let world = World::with(Algorithm::Es256, |builder| builder.dpop(Dpop::new())).await;
    let policy = || {
        Policy::new(scope("a").and(|context: &CheckContext<'_>| match context.access().subject() {
            subject if *subject == *"more" => {
                Err(CheckError::from(Denial::missing_scopes(["a", "more"]).unwrap()))
            }
            _ => Ok(()),
        }))
    };
    let request = |field: Option<&str>| match field {
        Some(field) => with_field(AUTHORIZATION.as_str(), field),
        None => anonymous(),
    };
    let token = || world.token().scope("a");
    let tokens = [
        token().tampered(),
        token().header("kid", "nobody's").sign(),
        token().raw_payload(b"{").sign(),
        token().claim("exp", 1_000_000).sign(),
        token().claim("aud", "https://other.example").sign(),
        token().scope("b").sign(),
        token().subject("more").sign(),
        "opaque".to_owned(),
    ];
    let mut fields = vec![None, Some("Basic abcd".to_owned()), Some("Bearer a b".to_owned())];
    for scheme in ["Bearer", "DPoP"] {
        fields.extend(tokens.iter().map(|token| Some(format!("{scheme} {token}"))));
    }
    let lines = |response: &Response<String>| {
        let all = response.headers().get_all(WWW_AUTHENTICATE).iter();
        all.map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let kept = world.api.protect(policy());
    let mut seen = std::collections::BTreeSet::new();
    // Forwards, backwards, and forwards again.
    let there = fields.iter();
    for field in there.clone().chain(fields.iter().rev()).chain(there) {
        let anew = send(&world.api.protect(policy()), request(field.as_deref())).await;
        let again = send(&kept, request(field.as_deref())).await;
        assert!(!again.passed(), "{field:?}");
        assert_eq!(lines(&again.response), lines(&anew.response), "{field:?}");
        assert_eq!(again.kind(), anew.kind(), "{field:?}");
        assert_eq!(lines(&again.response).len(), 2, "{field:?}");
        seen.extend(lines(&again.response));
    }
    // Without an error, and for each text, with and without what a check added: each of both schemes.
    assert!(seen.len() >= 14, "{seen:#?}");
}

/// MCP-06: what is kept ready for a policy is not used by one below it, which wants more.
#[tokio::test]
async fn a_layer_below_writes_a_challenge_of_its_own() {
    let world = World::new().await;
    let inner =
        service_fn(|_| async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) });
    let above = world.api.protect(Policy::new(scope("a")).optional());
    let refused = send(&above, bearer("junk")).await;
    assert_challenge!(refused.response, 401, "Bearer", error = "invalid_token", scope = "a");
    let service = above.layer(require(scope("b")).layer(inner));
    for _ in 0..2 {
        let response = service.clone().oneshot(anonymous()).await.unwrap();
        assert_challenge!(response, 401, "Bearer", scope = "a b");
        let response = service.clone().oneshot(bearer("junk")).await.unwrap();
        assert_challenge!(response, 401, "Bearer", error = "invalid_token", scope = "a");
    }
}

/// AUTH-32: whole seconds, rounded up, never zero.
#[tokio::test]
async fn retry_after_is_in_whole_seconds() {
    let world = World::new().await;
    for (time, seconds) in [
        (Duration::ZERO, "1"),
        (Duration::from_millis(1), "1"),
        (Duration::from_secs(1), "1"),
        (Duration::from_millis(1_001), "2"),
        (Duration::from_secs(90), "90"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        let layer = world.api.protect(move |_: &CheckContext<'_>| {
            Err(CheckError::from(Unavailable::new("later").retry_after(time)))
        });
        let sent = send(&layer, bearer(&world.token().sign())).await;
        assert_eq!(sent.response.status(), 503);
        assert_eq!(sent.response.headers()[RETRY_AFTER], seconds, "{time:?}");
        assert!(challenges(sent.response.headers()).is_empty());
    }
}

/// AUTH-30: scripts of other origins may read a refusal where that was asked for.
#[tokio::test]
async fn a_challenge_is_exposed_by_choice() {
    let world = World::new().await;
    let policy = Policy::new(scope("a"));
    let sent = send(&world.api.protect(policy.clone()), anonymous()).await;
    assert!(!sent.response.headers().contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
    let layer = world.api.protect(policy.expose_challenge());
    for (request, status) in [
        (anonymous(), 401),
        (bearer("x"), 401),
        (with_field("authorization", "Bearer"), 400),
        (bearer(&world.token().sign()), 403),
    ] {
        let sent = send(&layer, request).await;
        assert_eq!(sent.response.status(), status);
        let exposed = sent.response.headers()[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
        let names: Vec<_> = exposed.split(", ").map(str::to_ascii_lowercase).collect();
        assert!(names.contains(&"www-authenticate".to_owned()), "{exposed}");
        assert!(names.contains(&"retry-after".to_owned()), "{exposed}");
    }
    let passed = send(&layer, bearer(&world.token().scope("a").sign())).await;
    assert!(passed.passed());
    assert!(!passed.response.headers().contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
}

/// A body of one's own is a body: status and every other field stay as they are.
#[tokio::test]
async fn a_body_cannot_change_the_challenge() {
    for case in every_refusal(|builder| builder).await {
        let plain = send(&case.layer, case.request.clone()).await;
        let layer = case.layer.clone().refusal_body(|rejection: &Rejection| {
            // It is given a whole response to make, and only its body is asked for.
            let mut response = rejection.to_response::<String>();
            response.headers_mut().remove(WWW_AUTHENTICATE);
            let body = format!("{{\"error\":\"{}\"}}", rejection.kind().as_str());
            (HeaderValue::from_static("application/problem+json"), body)
        });
        let with_body = send(&layer, case.request).await;
        assert_eq!(with_body.response.status(), plain.response.status());
        let mut headers = with_body.response.headers().clone();
        let content_type = headers.remove(CONTENT_TYPE).unwrap();
        assert_eq!(content_type, "application/problem+json");
        // No two nonces are the same.
        let mut plain = plain;
        let nonces =
            [&mut headers, plain.response.headers_mut()].map(|fields| fields.remove("dpop-nonce"));
        assert_eq!(nonces[0].is_some(), nonces[1].is_some());
        assert_eq!(&headers, plain.response.headers(), "{:?}", case.kind);
        assert!(with_body.response.body().contains(case.kind.as_str()));
        assert!(plain.response.body().is_empty());
    }
}

/// The faults of a configuration, none if it builds.
fn faults(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Vec<String> {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    match settings(builder(&clock).issuer(issuer.fixed_keys())).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    }
}

/// AUTH-05, AUTH-06, AUTH-08, AUTH-10.
#[test]
fn an_illegal_challenge_is_not_built() {
    type Settings = fn(ServerBuilder) -> ServerBuilder;
    let rows: &[(&str, &str, bool, Settings)] = &[
        ("AUTH-07", "a realm", true, |b| b.realm("Notes (v2), it's ~ours!")),
        ("AUTH-08", "a realm with a quote", false, |b| b.realm("a\"b")),
        ("AUTH-08", "a realm with a backslash", false, |b| b.realm("a\\b")),
        ("AUTH-08", "a realm with a line break", false, |b| b.realm("a\r\nX: 1")),
        ("AUTH-08", "a realm that is not ASCII", false, |b| b.realm("caf\u{e9}")),
        ("AUTH-04", "an empty realm", false, |b| b.realm("")),
        ("AUTH-06", "a parameter", true, |b| b.challenge_param("contact", "5")),
        ("AUTH-06", "one of RFC 9470", false, |b| b.challenge_param("max_age", "5")),
        ("AUTH-06", "two parameters", true, |b| {
            b.challenge_param("a", "5").challenge_param("b", "5")
        }),
        ("AUTH-06", "one twice", false, |b| b.challenge_param("a", "5").challenge_param("a", "6")),
        ("AUTH-06", "one in two cases", false, |b| {
            b.challenge_param("a", "5").challenge_param("A", "6")
        }),
        ("AUTH-06", "Realm beside realm", false, |b| b.challenge_param("Realm", "x")),
        ("AUTH-05", "scope", false, |b| b.challenge_param("scope", "x")),
        ("AUTH-05", "SCOPE", false, |b| b.challenge_param("SCOPE", "x")),
        ("AUTH-05", "error", false, |b| b.challenge_param("error", "x")),
        ("AUTH-05", "Error_Description", false, |b| b.challenge_param("Error_Description", "x")),
        ("AUTH-05", "error_uri", false, |b| b.challenge_param("error_uri", "x")),
        ("AUTH-06", "resource_metadata", false, |b| b.challenge_param("resource_metadata", "x")),
        ("AUTH-06", "a name with a space", false, |b| b.challenge_param("a b", "x")),
        ("AUTH-06", "a name with =", false, |b| b.challenge_param("a=b", "x")),
        ("AUTH-06", "a name with a comma", false, |b| b.challenge_param("a,b", "x")),
        ("AUTH-06", "no name", false, |b| b.challenge_param("", "x")),
        ("AUTH-06", "a name that is not ASCII", false, |b| b.challenge_param("\u{e9}", "x")),
        ("AUTH-08", "a value with a quote", false, |b| b.challenge_param("a", "x\"")),
        ("AUTH-08", "a value with a line break", false, |b| b.challenge_param("a", "x\nb")),
        ("AUTH-10", "an error_uri", true, |b| b.error_uri("https://rs.example/errors")),
        ("AUTH-10", "one with a fragment", true, |b| {
            b.error_uri("https://rs.example/errors#bearer")
        }),
        ("AUTH-10", "a path", true, |b| b.error_uri("/errors?from=rs")),
        ("AUTH-10", "an error_uri with a space", false, |b| b.error_uri("https://rs.example/a b")),
        ("AUTH-10", "with a quote", false, |b| b.error_uri("https://rs.example/a\"b")),
        ("AUTH-10", "with a backslash", false, |b| b.error_uri("https://rs.example/a\\b")),
        ("AUTH-10", "that is not ASCII", false, |b| b.error_uri("https://rs.example/\u{e9}")),
        ("AUTH-10", "empty", false, |b| b.error_uri("")),
        ("AUTH-09", "a scope", true, |b| b.policy(scope("a:b/c.d"))),
        ("AUTH-09", "a scope with a quote", false, |b| b.policy(scope("a\"b"))),
        ("AUTH-09", "a scope with a space", false, |b| b.policy(scope("a b"))),
        ("AUTH-09", "a scope with a backslash", false, |b| b.policy(scope("a\\b"))),
        ("AUTH-09", "a scope that is not ASCII", false, |b| b.policy(scope("\u{e9}"))),
        ("AUTH-09", "an empty scope", false, |b| b.policy(scope(""))),
        ("AUTH-09", "one bad scope of two", false, |b| b.policy(all_scopes(["a", "b\tc"]))),
        ("AUTH-09", "a bad scope on the right of `or`", false, |b| {
            b.policy(scope("a").or(scope("b\"")))
        }),
        ("AUTH-09", "a bad scope of one's own check", false, |b| b.policy(Wishful)),
    ];
    let mut wrong = Vec::new();
    for (id, name, builds, settings) in rows {
        let faults = faults(settings);
        if faults.is_empty() != *builds {
            wrong.push(format!("{id} {name}: builds: {}, {faults:?}", faults.is_empty()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A check of a user's own that wants a scope that is none.
struct Wishful;

impl Check for Wishful {
    fn check(&self, _: &CheckContext<'_>) -> Result<(), CheckError> {
        Ok(())
    }

    fn needs(&self, needs: &mut Needs) {
        needs.scope("a\", error=\"x");
    }
}

/// AUTH-08, AUTH-09: a policy that was not checked by `build` is checked where it is mounted.
#[tokio::test]
async fn a_faulty_policy_never_writes_its_scope() {
    let world = World::new().await;
    let fault = world.api.guard(Wishful).map(|_| ()).unwrap_err();
    assert!(matches!(fault.faults(), [ConfigFault::Name(_)]), "{fault}");
    let token = world.token().sign();
    for request in [anonymous(), bearer(&token)] {
        let sent = send(&world.api.protect(Wishful), request).await;
        assert!(!sent.passed());
        assert_eq!(sent.response.status(), 500);
        assert!(challenges(sent.response.headers()).is_empty());
    }
    assert!(send(&world.api.layer(), bearer(&token)).await.passed());
}

/// AUTH-08, PRM-15: the resource identifier stands in the challenge too, inside the URL of its
/// metadata.
#[test]
fn a_resource_that_cannot_stand_in_a_challenge_is_not_built() {
    for (resource, builds) in [
        ("https://rs.example/notes", true),
        ("https://rs.example/notes?v=1", true),
        ("https://rs.example/a%22b", true),
        ("https://rs.example/a\"b", false),
        ("https://rs.example/a\\b", false),
        ("https://rs.example/\u{e9}", false),
        ("https://rs.example/?q=\"", false),
        ("https://rs.example/?q=\u{e9}", false),
    ] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        // With a realm of its own: the resource is not the realm as well.
        let built = ResourceServer::builder(resource)
            .realm("rs")
            .issuer(issuer.fixed_keys())
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_mins(5)))
            .clock(clock.clone())
            .build();
        assert_eq!(built.is_ok(), builds, "{resource}");
        if let Ok(api) = &built {
            let refused = decided(api, "");
            assert_legal(refused.headers());
            assert_eq!(challenges(refused.headers()).len(), 1, "{resource}");
        }
    }
}

/// AUTH-24: the parser of these tests reads what RFC 9110 §11.6.1 allows.
#[test]
fn challenges_are_read_in_every_legal_form() {
    let read = |fields: &[&str]| {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(WWW_AUTHENTICATE, field.parse().unwrap());
        }
        challenges(&headers)
    };
    let params = |challenge: &Challenge| {
        let params = challenge.params.iter();
        params.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    for (fields, wanted) in [
        (&["Bearer max_age=5"][..], vec![("Bearer", vec!["max_age=5"])]),
        (&["Bearer max_age=\"5\""], vec![("Bearer", vec!["max_age=5"])]),
        (&["bearer MAX_AGE = \"5\""], vec![("bearer", vec!["max_age=5"])]),
        (&[r#"Bearer realm="a\"b\\c""#], vec![("Bearer", vec![r#"realm=a"b\c"#])]),
        (&["Bearer realm=\"a, b=c\""], vec![("Bearer", vec!["realm=a, b=c"])]),
        (&[", ,Bearer a=1, ,b=2, ,"], vec![("Bearer", vec!["a=1", "b=2"])]),
        (
            &["DPoP algs=\"ES256\", Bearer a=1"],
            vec![("DPoP", vec!["algs=ES256"]), ("Bearer", vec!["a=1"])],
        ),
        (
            &["DPoP algs=\"ES256\"", "Bearer a=1"],
            vec![("DPoP", vec!["algs=ES256"]), ("Bearer", vec!["a=1"])],
        ),
    ] {
        let found = read(fields);
        let found: Vec<_> = found.iter().map(|c| (c.scheme.as_str(), params(c))).collect();
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(scheme, params)| (scheme, params.into_iter().map(str::to_owned).collect()))
            .collect();
        assert_eq!(found, wanted, "{fields:?}");
    }
}

/// What a server with fixed keys answers: it never waits.
fn decided(api: &ResourceServer, authorization: &str) -> Response<()> {
    let mut request = anonymous();
    if !authorization.is_empty() {
        let value = HeaderValue::try_from(authorization).unwrap();
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let (parts, _) = request.into_parts();
    let mut decision = pin!(api.verify(&parts));
    match decision.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(rejection)) => rejection.to_response(),
        Poll::Ready(Ok(_)) => Response::new(()),
        Poll::Pending => panic!("fixed keys, and yet it waits"),
    }
}

/// What a user may say of a challenge.
#[derive(Clone, Debug)]
struct Said {
    realm: Option<String>,
    params: Vec<(String, String)>,
    scopes: Vec<String>,
    error_uri: Option<String>,
}

/// Text with everything in it that has no place in a challenge.
fn wild() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z0-9 :/._~!#$&'()*+,;=?@-]{0,20}",
        1 => "[ -~\"\\\\\r\n\t\0\u{7f}\u{80}-\u{ff}\u{2028}]{0,12}",
        1 => any::<String>(),
    ]
}

fn name() -> impl Strategy<Value = String> {
    const TAKEN: [&str; 6] = ["realm", "Scope", "error", "ERROR_URI", "resource_metadata", "algs"];
    prop_oneof![
        4 => "[a-zA-Z][a-zA-Z0-9_]{0,2}",
        1 => proptest::sample::select(&TAKEN[..]).prop_map(str::to_owned),
        1 => wild(),
    ]
}

fn anything() -> impl Strategy<Value = Said> {
    let scope = prop_oneof![3 => "[!#-\\[\\]-~]{1,6}", 1 => wild()];
    (
        proptest::option::of(wild()),
        proptest::collection::vec((name(), wild()), 0..4),
        proptest::collection::vec(scope, 1..4),
        proptest::option::of(prop_oneof![Just("https://rs.example/e".to_owned()), wild()]),
    )
        .prop_map(|(realm, params, scopes, error_uri)| Said {
            realm,
            params,
            scopes,
            error_uri,
        })
}

/// Only what RFC 6750 §3 and RFC 9110 §11.2 allow.
fn legal() -> impl Strategy<Value = Said> {
    const TEXT: &str = "[ !#-\\[\\]-~]{1,20}";
    const SCOPE: &str = "[!#-\\[\\]-~]{1,6}";
    (
        proptest::option::of(TEXT),
        proptest::collection::btree_map("x[a-z0-9_]{0,4}", TEXT, 0..4),
        proptest::collection::vec(SCOPE, 1..4),
        proptest::option::of("https://rs\\.example/[a-z0-9/_~-]{0,12}"),
    )
        .prop_map(|(realm, params, scopes, error_uri)| Said {
            realm,
            params: params.into_iter().collect(),
            scopes,
            error_uri,
        })
}

/// Builds a server that says this, and if there is one, reads its challenges.
fn build_and_read(said: &Said) -> Result<bool, TestCaseError> {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let mut settings =
        builder(&clock).issuer(issuer.fixed_keys()).policy(all_scopes(said.scopes.clone()));
    if let Some(realm) = &said.realm {
        settings = settings.realm(realm);
    }
    if let Some(uri) = &said.error_uri {
        settings = settings.error_uri(uri);
    }
    for (name, value) in &said.params {
        settings = settings.challenge_param(name, value);
    }
    let Ok(api) = settings.build() else {
        return Ok(false);
    };
    let mut scopes: Vec<&str> = Vec::new();
    for scope in &said.scopes {
        if !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    }
    let scopes = scopes.join(" ");
    let narrow = format!("Bearer {}", issuer.token(RESOURCE).sign());
    for (authorization, status, error, names_scopes) in [
        ("", 401, None, true),
        ("Bearer x", 401, Some("invalid_token"), false),
        ("Bearer x y", 400, Some("invalid_request"), false),
        (&narrow, 403, Some("insufficient_scope"), true),
    ] {
        let response = decided(&api, authorization);
        prop_assert_eq!(response.status().as_u16(), status);
        for (name, value) in field_bytes(response.headers()) {
            let visible = value.iter().all(|byte| (0x20..0x7f).contains(byte));
            prop_assert!(visible, "{}: {:?}", name, value);
            prop_assert!(!value.contains(&b'\\'), "{}: {:?}", name, value);
        }
        // Panics if a name occurs twice or a value ends early.
        let all = challenges(response.headers());
        prop_assert_eq!(all.len(), 1, "{:?}", all);
        let challenge = &all[0];
        prop_assert_eq!(&challenge.scheme, "Bearer");
        #[rustfmt::skip]
        let mut expected = vec![
            ("realm".to_owned(), said.realm.clone().unwrap_or(RESOURCE.to_owned())),
            ("resource_metadata".to_owned(), METADATA.to_owned()),
        ];
        let lower = |(name, value): &(String, String)| (name.to_lowercase(), value.clone());
        expected.extend(said.params.iter().map(lower));
        let mut found = challenge.params.clone();
        found.retain(|(name, _)| !matches!(&**name, "error" | "error_description"));
        if names_scopes {
            expected.push(("scope".to_owned(), scopes.clone()));
        } else {
            found.retain(|(name, _)| name != "scope");
        }
        if let (Some(uri), Some(_)) = (&said.error_uri, error) {
            expected.push(("error_uri".to_owned(), uri.clone()));
        }
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(challenge.param("error"), error);
        prop_assert_eq!(challenge.param("error_description").is_some(), error.is_some());
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1_500)
    })]

    /// AUTH-05 to AUTH-10: it is refused, or it is right.
    #[test]
    fn whatever_is_said_a_challenge_is_right_or_not_built(said in anything()) {
        build_and_read(&said)?;
    }

    /// Its twin: what is legal is built.
    #[test]
    fn what_is_legal_is_built(said in legal()) {
        prop_assert!(build_and_read(&said)?, "not built");
    }
}

/// The scopes of [`every_refusal`] are those its policy wants.
#[tokio::test]
async fn a_request_without_a_token_is_told_the_scopes() {
    let cases = every_refusal(|builder| builder).await;
    let wanted = WANTED.join(" ");
    for case in cases {
        let kind = case.kind;
        let bare = matches!(kind, RejectionKind::NoCredentials | RejectionKind::UnsupportedScheme);
        if bare || kind == RejectionKind::InsufficientScope {
            let sent = send(&case.layer, case.request).await;
            let all = challenges(sent.response.headers());
            assert_eq!(all[0].param("scope"), Some(wanted.as_str()), "{kind:?}");
        }
    }
}
