//! Security events that another implementation signs (npm `jose`), pushed (RFC 8935) and polled
//! (RFC 8936) over HTTP.

use std::time::{Duration, Instant};

use axum::routing::any_service;
use portcullis::ResourceServer;
use portcullis::revocation::{
    EventStream, Poll, Push, Revocation, Source, SourceHealth, Subjects, Verification,
};
use portcullis::secret::Secret;
use portcullis::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::axum_example;
use crate::cases::Cases;
use crate::introspection::{Secrets, text};
use crate::issuer::Issuer;
use crate::process::LOOK;
use crate::provider::discover;
use crate::service::{Service, notes};

const UNAVAILABLE: &str = "503 revocation_unavailable";
const SUSPENDED: &str = "401 suspended, Bearer invalid_token";
const REVOKED: &str = "401 revoked, Bearer invalid_token";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const PUSHING: &str = "Bearer pushing";
const SOON: Duration = Duration::from_secs(20);

fn stream(issuer: &Issuer) -> EventStream {
    EventStream::jwks(&issuer.id, format!("{}/jwks", issuer.id))
        .audience("https://notes.example/events")
        .stream_id("notes")
        .subjects(Subjects::new().email("email"))
        .dangerous()
        .insecure_loopback_http()
}

/// The example's routes, and a receiver of events beside them.
async fn service(issuer: &Issuer, stream: EventStream) -> Service {
    let source = Source::new("events", stream).speaks_for([issuer.id.as_str()]);
    let revocation = Revocation::new().source(source.max_age(Duration::from_secs(30)));
    let builder =
        notes([discover(&issuer.id)]).revocation(revocation).leeway(Duration::from_secs(30));
    let routes = |server: &ResourceServer| match server.event_receiver("events") {
        None => axum_example::app(server),
        Some(receiver) => axum_example::app(server).route("/events", any_service(receiver)),
    };
    Service::with(|_| builder.build().unwrap(), routes).await
}

async fn token_of(issuer: &Issuer, user: &str) -> String {
    let claims = json!({ "sub": user, "email": format!("{user}@example.com") });
    issuer.sign(&json!({ "claims": claims })).await
}

/// An event about a user of the issuer.
fn event(issuer: &Issuer, kind: &str, user: &str) -> Value {
    about(kind, &json!({ "format": "iss_sub", "iss": issuer.id, "sub": user }))
}

fn about(kind: &str, subject: &Value) -> Value {
    json!({ "sub_id": subject, "events": { kind: {} } })
}

fn ok(user: &str) -> String {
    format!("200 the notes of {user}")
}

/// Asks until the answer is this one: what is said to a source is known a moment later.
async fn told_in_time(service: &Service, token: &str, expected: &str) -> String {
    let start = Instant::now();
    loop {
        let told = service.told(token).await;
        if told == expected || start.elapsed() > SOON {
            return told;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How the source of events is doing, beside this process itself.
fn health(service: &Service) -> SourceHealth {
    let mut all = service.server.revocations().health();
    all.retain(|source| &*source.name == "events");
    all.remove(0)
}

/// A SET by this recipe.
async fn set(issuer: &Issuer, recipe: &Value) -> String {
    text(&issuer.ask("/set", recipe).await["token"]).to_owned()
}

async fn push(issuer: &Issuer, what: &Value) -> String {
    let answer = issuer.ask("/push", what).await;
    match answer.get("err").and_then(Value::as_str) {
        None => answer["status"].to_string(),
        Some(error) => format!("{} {error}", answer["status"]),
    }
}

/// SET-01 to SET-05, SET-07, SET-08, SET-10, PUSH-01 to PUSH-06, SSF-02, attack 42: what is good is applied when it is
/// acknowledged, what is bad is refused with its reason and changes nothing.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn pushed_events_of_another_implementation_are_applied_or_refused() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    let push_here = Push::new()
        .authorization(Secret::new(PUSHING))
        .verification(Verification::at(format!("{}/verify", issuer.id)));
    let service = service(&issuer, stream(&issuer).push(push_here)).await;
    let session_revoked = format!("{CAEP}session-revoked");
    let of = async |user: &str| token_of(&issuer, user).await;

    let (ann, bob) = (of("ann").await, of("bob").await);
    cases.case("before the transmitter has spoken", service.told(&ann).await, UNAVAILABLE);
    let to = format!("{}/events", service.origin);
    issuer.ask("/stream", &json!({ "to": to, "authorization": PUSHING })).await;
    let told = told_in_time(&service, &ann, &ok("ann")).await;
    cases.case("after its verification event", told, &ok("ann"));

    // Of whom nobody says anything.
    let claims = event(&issuer, &session_revoked, "ann");
    let good = set(&issuer, &json!({ "claims": claims })).await;
    let before = service.told(&ann).await;
    cases.case("ann, before the event", before, &ok("ann"));
    cases.case("a session is revoked", push(&issuer, &json!({ "body": good })).await, "202");
    cases.case("ann, after the event", service.told(&ann).await, REVOKED);
    cases.case("bob, after the event about ann", service.told(&bob).await, &ok("bob"));
    cases.case("the same event again", push(&issuer, &json!({ "body": good })).await, "202");
    cases.case("bob, after that", service.told(&bob).await, &ok("bob"));
    let now = SystemClock::new().now().as_secs();
    let later = json!({ "sub": "ann", "iat": now + 3, "exp": now + 200 });
    let later = issuer.sign(&json!({ "claims": later })).await;
    cases.case("ann, with a later token", service.told(&later).await, &ok("ann"));

    // Bad ones, each about bob, who is not touched by any.
    let about_bob = || event(&issuer, &session_revoked, "bob");
    let with = |changes: Value| {
        let mut recipe = json!({ "claims": about_bob() });
        for (name, change) in changes.as_object().unwrap() {
            match (name.as_str(), recipe.get_mut(name)) {
                ("claims", Some(claims)) => {
                    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
                }
                _ => recipe[name] = change.clone(),
            }
        }
        recipe
    };
    #[rustfmt::skip]
    let rows = [
        ("`aud` of another", with(json!({ "claims": { "aud": "https://other.example" } })), "400 invalid_audience"),
        ("`aud` of the API, not of its receiver", with(json!({ "claims": { "aud": "https://notes.example" } })), "400 invalid_audience"),
        ("no `aud`", with(json!({ "claims": { "aud": null } })), "400 invalid_audience"),
        ("`iss` of another", with(json!({ "claims": { "iss": "https://other.example" } })), "400 invalid_issuer"),
        ("no `iss`", with(json!({ "claims": { "iss": null } })), "400 invalid_request"),
        ("`typ` JWT", with(json!({ "header": { "typ": "JWT" } })), "400 invalid_request"),
        ("`typ` of an access token", with(json!({ "header": { "typ": "at+jwt" } })), "400 invalid_request"),
        ("no `typ`", with(json!({ "header": { "typ": null } })), "400 invalid_request"),
        ("unsecured", with(json!({ "form": "unsecured" })), "400 invalid_key"),
        ("with a MAC", with(json!({ "key": "public" })), "400 invalid_key"),
        ("RS384, which is not taken", with(json!({ "key": "rsa", "alg": "RS384" })), "400 invalid_key"),
        ("signed by a stranger", with(json!({ "key": "stranger" })), "400 invalid_key"),
        ("`kid` of nobody", with(json!({ "header": { "kid": "nobody" } })), "400 invalid_key"),
        ("`exp`", with(json!({ "claims": { "exp": now + 300 } })), "400 invalid_request"),
        ("`sub`", with(json!({ "claims": { "sub": "bob" } })), "400 invalid_request"),
        ("no `jti`", with(json!({ "claims": { "jti": null } })), "400 invalid_request"),
        ("no `iat`", with(json!({ "claims": { "iat": null } })), "400 invalid_request"),
        ("no `sub_id`", with(json!({ "claims": { "sub_id": null } })), "400 invalid_request"),
        ("`sub_id` without a format", with(json!({ "claims": { "sub_id": { "sub": "bob" } } })), "400 invalid_request"),
        ("no `events`", with(json!({ "claims": { "events": null } })), "400 invalid_request"),
        ("no event", with(json!({ "claims": { "events": {} } })), "400 invalid_request"),
        ("two events", with(json!({ "claims": { "events": { format!("{CAEP}session-revoked"): {}, format!("{RISC}account-purged"): {} } } })), "400 invalid_request"),
        ("a time in milliseconds", with(json!({ "claims": { "events": { format!("{CAEP}session-revoked"): { "event_timestamp": now * 1000 } } } })), "400 invalid_request"),
        ("a member twice", with(json!({ "append": "\"jti\":\"x\"" })), "400 invalid_request"),
        ("`crit`", with(json!({ "header": { "crit": ["x"], "x": 1 }, "crit": { "x": true } })), "400 invalid_request"),
        ("JSON instead of compact", with(json!({ "form": "flattened" })), "400 invalid_request"),
    ];
    for (name, recipe, expected) in rows {
        let body = set(&issuer, &recipe).await;
        cases.case(
            format!("a SET: {name}"),
            push(&issuer, &json!({ "body": body })).await,
            expected,
        );
    }
    let untouched = set(&issuer, &with(json!({}))).await;
    let (start, signature) = untouched.rsplit_once('.').unwrap();
    let other = set(&issuer, &json!({ "claims": event(&issuer, &session_revoked, "carl") })).await;
    let tampered = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    #[rustfmt::skip]
    let rows = [
        ("tampered", json!({ "body": tampered }), "400 invalid_key"),
        ("without a signature", json!({ "body": format!("{start}.") }), "400 invalid_key"),
        ("no SET", json!({ "body": "nothing" }), "400 invalid_request"),
        ("empty", json!({ "body": "" }), "400 invalid_request"),
        ("another content type", json!({ "body": untouched, "type": "application/jwt" }), "415 invalid_request"),
        ("said to be compressed", json!({ "body": untouched, "encoding": "gzip" }), "415 invalid_request"),
        ("by somebody else", json!({ "body": untouched, "authorization": "Bearer mallory" }), "400 authentication_failed"),
        ("by nobody", json!({ "body": untouched, "authorization": "" }), "400 authentication_failed"),
        ("asked for", json!({ "body": untouched, "method": "GET" }), "405"),
        ("put there", json!({ "body": untouched, "method": "PUT" }), "405"),
        ("longer than 64 KiB", json!({ "body": "x".repeat(64 * 1024 + 1) }), "413 invalid_request"),
    ];
    for (name, what, expected) in rows {
        cases.case(format!("a delivery: {name}"), push(&issuer, &what).await, expected);
    }
    cases.case("bob, after all of them", service.told(&bob).await, &ok("bob"));
    let carl = of("carl").await;
    cases.case("carl, of whom a tampered one told", service.told(&carl).await, &ok("carl"));

    // What the other kinds of events and of subjects do.
    let mail = |user: &str| json!({ "format": "email", "email": format!("{user}@example.com") });
    #[rustfmt::skip]
    let rows = [
        ("credential-change, by e-mail", "dora", json!({ "sub_id": mail("dora"), "events": { format!("{CAEP}credential-change"): { "credential_type": "password", "change_type": "update" } } }), REVOKED),
        ("credential-change that adds one", "emil", json!({ "sub_id": mail("emil"), "events": { format!("{CAEP}credential-change"): { "credential_type": "password", "change_type": "create" } } }), ""),
        ("account-purged", "fred", event(&issuer, &format!("{RISC}account-purged"), "fred"), REVOKED),
        ("account-disabled", "gina", event(&issuer, &format!("{RISC}account-disabled"), "gina"), SUSPENDED),
        ("account-enabled, of another", "gustav", event(&issuer, &format!("{RISC}account-enabled"), "gina"), ""),
        ("a type that nobody knows", "hans", event(&issuer, "https://mallory.example/event", "hans"), ""),
        ("of another issuer's user of that name", "ida", about(&session_revoked, &json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "ida" })), ""),
        ("by a name that no claim has", "jan", about(&session_revoked, &json!({ "format": "phone_number", "phone_number": "+1" })), ""),
        ("several names of one user", "kim", about(&session_revoked, &json!({ "format": "aliases", "identifiers": [mail("kim"), { "format": "phone_number", "phone_number": "+1" }] })), REVOKED),
    ];
    for (name, user, claims, expected) in rows {
        let token = of(user).await;
        cases.case(format!("{user}, before {name}"), service.told(&token).await, &ok(user));
        let body = set(&issuer, &json!({ "claims": claims })).await;
        cases.case(
            format!("an event: {name}"),
            push(&issuer, &json!({ "body": body })).await,
            "202",
        );
        let expected = if expected.is_empty() { ok(user) } else { expected.to_owned() };
        cases.case(format!("{user}, after {name}"), service.told(&token).await, &expected);
    }
    let lea = issuer.sign(&json!({ "claims": { "sub": "lea", "jti": "of-lea" } })).await;
    let another = of("lea").await;
    let one = json!({ "format": "jwt_id", "iss": issuer.id, "jti": "of-lea" });
    let body = set(&issuer, &json!({ "claims": about(&session_revoked, &one) })).await;
    cases.case("lea, before", service.told(&lea).await, &ok("lea"));
    cases.case("an event about one token", push(&issuer, &json!({ "body": body })).await, "202");
    cases.case("lea, that token", service.told(&lea).await, REVOKED);
    cases.case("lea, another token", service.told(&another).await, &ok("lea"));

    // A clock is wrong: neither good nor bad, it comes again.
    let tomorrow = with(json!({ "claims": { "iat": now + 86_400 } }));
    let body = set(&issuer, &tomorrow).await;
    cases.case("a SET of tomorrow", push(&issuer, &json!({ "body": body })).await, "503");
}

/// SET-02, SET-04, SET-05, SET-07, POLL-01 to POLL-04, attack 42: what is fetched is applied before it is acknowledged; what is bad is told.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn polled_events_of_another_implementation_are_applied_or_refused() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    let secrets = Secrets::new();
    let poll = Poll::at(format!("{}/poll", issuer.id)).bearer(secrets.file("poll", "not yet"));
    let service = service(&issuer, stream(&issuer).poll(poll.long_polling())).await;
    let session_revoked = format!("{CAEP}session-revoked");
    let (ann, bob) = (token_of(&issuer, "ann").await, token_of(&issuer, "bob").await);
    cases.case("before anything was fetched", service.told(&ann).await, UNAVAILABLE);
    let start = Instant::now();
    let last_error = loop {
        let error = health(&service).last_error;
        if error.is_some() || start.elapsed() > SOON {
            break error.unwrap_or_default();
        }
        tokio::time::sleep(LOOK).await;
    };
    cases.holds("who shows something else gets nothing", last_error.contains("401"));
    cases.case("and knows nothing", service.told(&ann).await, UNAVAILABLE);
    secrets.file("poll", "polling");
    let told = told_in_time(&service, &ann, &ok("ann")).await;
    cases.case("with the right secret", told, &ok("ann"));

    let emit = async |jti: &str, set: &str| {
        let answer = issuer.ask("/emit", &json!({ "jti": jti, "set": set })).await;
        match answer.get("err").and_then(Value::as_str) {
            None => "acknowledged".to_owned(),
            Some(error) => error.to_owned(),
        }
    };
    let signed = async |jti: &str, user: &str, changes: &Value| {
        let mut claims = event(&issuer, &session_revoked, user);
        claims["jti"] = jti.into();
        let mut recipe = json!({ "claims": claims });
        if let Some(changed) = changes.get("claims") {
            let claims = recipe["claims"].as_object_mut().unwrap();
            claims.extend(changed.as_object().unwrap().clone());
        }
        for name in ["header", "key", "alg"] {
            if let Some(change) = changes.get(name) {
                recipe[name] = change.clone();
            }
        }
        set(&issuer, &recipe).await
    };
    let good = signed("1", "ann", &json!({})).await;
    cases.case("a session is revoked", emit("1", &good).await, "acknowledged");
    cases.case("ann, after it was acknowledged", service.told(&ann).await, REVOKED);
    cases.case("bob, after that", service.told(&bob).await, &ok("bob"));
    cases.case("the same again", emit("1", &good).await, "acknowledged");

    #[rustfmt::skip]
    let rows = [
        ("`aud` of another", "2", json!({ "claims": { "aud": "https://other.example" } }), "invalid_audience"),
        ("`iss` of another", "3", json!({ "claims": { "iss": "https://other.example" } }), "invalid_issuer"),
        ("`typ` JWT", "4", json!({ "header": { "typ": "JWT" } }), "invalid_request"),
        ("signed by a stranger", "5", json!({ "key": "stranger" }), "invalid_key"),
        ("with a MAC", "6", json!({ "key": "public" }), "invalid_key"),
        ("given under another name", "7", json!({ "claims": { "jti": "8" } }), "invalid_request"),
    ];
    for (name, jti, changes, expected) in rows {
        let set = signed(jti, "bob", &changes).await;
        cases.case(format!("a polled SET: {name}"), emit(jti, &set).await, expected);
    }
    let carl = token_of(&issuer, "carl").await;
    let (start, _) = good.rsplit_once('.').unwrap();
    let other = signed("9", "carl", &json!({})).await;
    let tampered =
        format!("{}.{}", other.rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().1);
    cases.case("a polled SET: tampered", emit("9", &tampered).await, "invalid_key");
    cases.case("a polled SET: no signature", emit("10", &format!("{start}.")).await, "invalid_key");
    cases.case("a polled SET: nothing", emit("11", "nothing").await, "invalid_request");
    cases.case("carl, of whom a tampered one told", service.told(&carl).await, &ok("carl"));
    cases.case("the same, as it was signed", emit("9", &other).await, "acknowledged");
    cases.case("carl, after that", service.told(&carl).await, REVOKED);
    cases.case("bob, after all that", service.told(&bob).await, &ok("bob"));
    cases.case("what was refused is counted", health(&service).discarded.to_string(), "9");
}
