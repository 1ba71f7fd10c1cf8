//! Claims: issuer, audience, required ones, and those that mean another kind of token.

use std::time::Duration;

use portcullis::check::scope;
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::{Binding, RejectionKind as Kind, ResourceServer, TokenClass};
use portcullis::{OtherAudiences, Rejection};
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{ISSUER, RESOURCE, World, bearer, builder, check_rows, row, send};

/// AT-05, JWS-49, ASVS-08: an issuer is its exact identifier.
#[tokio::test]
async fn the_issuer_is_compared_by_code_points() {
    let clock = ManualClock::new();
    let plain = TestIssuer::new(ISSUER, &clock);
    let path = TestIssuer::new("https://as.example/t1", &clock);
    let api = builder(&clock).issuer(plain.fixed_keys()).issuer(path.fixed_keys()).build().unwrap();
    let iss = |iss: Value| plain.token(RESOURCE).claim("iss", iss).sign();
    let unknown = Kind::UnknownIssuer;
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-05", "itself", iss(json!(ISSUER)), Pass),
        row("AT-05", "escaped", plain.token(RESOURCE).raw_claim("iss", r#""https:\/\/as.exampl\u0065""#).sign(), Pass),
        row("AT-05", "another, with its own key", path.token(RESOURCE).sign(), Pass),
        row("AT-05 AT-09", "absent", plain.token(RESOURCE).without("iss").sign(), unknown),
    ];
    #[rustfmt::skip]
    let others = [
        "https://as.example/", "https://AS.example", "HTTPS://as.example",
        "https://as.example:443", "http://as.example", "as.example", "https://as.example.",
        "https://as.example//", "https://as.example/t2", "https://as.example/t1/",
        "https://as.example/T1", "https://as.example/t1?x", "https://as.example#x",
        "https://as.example ", " https://as.example", "https://as.example\0", "https://as.exampl",
        "https://as.example.evil.example", "https://xn--s-fka.example",
        "https://\u{430}s.example", "https://a%73.example", "", "*",
    ];
    for other in others {
        rows.push(row("AT-05", format!("{other:?}"), iss(json!(other)), unknown));
    }
    for other in [json!(null), json!(1), json!([ISSUER]), json!({"iss": ISSUER}), json!(true)] {
        rows.push(row("AT-10", other.to_string(), iss(other), unknown));
    }
    check_rows(&api, rows).await;
}

/// AT-09, AT-10, DEL-05.
#[tokio::test]
async fn every_required_claim_is_there_and_of_its_type() {
    let world = World::new().await;
    let mut rows = vec![row("AT-09", "all of them", world.token().sign(), Pass)];
    for claim in ["exp", "aud", "sub", "client_id", "iat", "jti"] {
        let token = world.token().without(claim).sign();
        rows.push(row("AT-09", format!("no {claim}"), token, Kind::MissingClaim));
    }
    let texts = ["sub", "client_id", "jti"];
    let not_text = ["1", "null", "true", "[\"a\"]", "{}", "\"\"", "[]"];
    for (claim, value) in texts.iter().flat_map(|claim| not_text.map(|value| (claim, value))) {
        let token = world.token().raw_claim(claim, value).sign();
        rows.push(row("AT-10", format!("{claim}: {value}"), token, Kind::MalformedClaim));
    }
    let not_scope = [
        "1",
        "null",
        "[\"a\"]",
        "[]",
        "{}",
        "true",
        "\"a\\u0000b\"",
        "\"a\\\"b\"",
        "\"caf\u{e9}\"",
    ];
    for value in not_scope {
        let token = world.token().raw_claim("scope", value).sign();
        rows.push(row("AT-10 DEL-05", format!("scope: {value}"), token, Kind::MalformedClaim));
    }
    rows.push(row("AT-10", "no scope", world.token().without("scope").sign(), Pass));
    rows.push(row("AT-10", "an empty scope", world.token().scope("").sign(), Pass));
    world.check(rows).await;
}

/// JWS-48, AT-16, DEL-01, DEL-02, DEL-03: claims that have no meaning here have none.
#[tokio::test]
async fn other_claims_are_ignored() {
    let world = World::new().await;
    let now = world.clock.now().as_secs();
    let with = |name: &str, value: Value| world.token().claim(name, value).sign();
    let actor = json!({"sub": "service", "exp": 1, "aud": "https://other.example", "act": {"sub": "a", "scope": "notes:read"}});
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-16", "auth_time before iat", with("auth_time", json!(now - 86_400)), Pass),
        row("DEL-02", "an actor with times of its own", with("act", actor), Pass),
        row("DEL-03", "may_act", with("may_act", json!({"sub": "x"})), Pass),
        row("JWS-48", "a name in another case", with("Exp", json!(1)), Pass),
        row("JWS-48", "the same in its own case", with("exp", json!(1)), Kind::Expired),
        row("JWS-48", "cnf in another case", with("Cnf", json!({"jkt": "x"})), Pass),
    ];
    for value in [json!(1), json!(null), json!({"a": [1, 2, {"b": null}]}), json!("\u{1f600}")] {
        rows.push(row("JWS-48", format!("x: {value}"), with("x", value), Pass));
    }
    world.check(rows).await;
    // DEL-01, DEL-03: neither gives a right.
    let layer = world.api.protect(scope("notes:read"));
    let actor = json!({"sub": "service", "scope": "notes:read", "act": {"scope": "notes:read"}});
    for (token, status) in [
        (world.token().scope("notes:read"), 200),
        (world.token().claim("act", &actor), 403),
        (world.token().claim("may_act", &actor), 403),
    ] {
        assert_eq!(send(&layer, bearer(&token.sign())).await.response.status(), status);
    }
}

/// AT-06, JWS-40, JWS-49, RES-01, RES-02, MCP-03, MCP-08, BCP-02, ASVS-06, NIST-02.
#[tokio::test]
async fn the_audience_is_this_resource() {
    let world = World::with(Algorithm::Es256, |b| {
        b.accept_audience("https://old.example/v1").accept_audience("caf\u{e9}")
    })
    .await;
    let aud = |aud: Value| world.token().claim("aud", aud).sign();
    let wrong = Kind::WrongAudience;
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-06", "itself", aud(json!(RESOURCE)), Pass),
        row("AT-06", "in an array", aud(json!([RESOURCE])), Pass),
        row("AT-06", "first of two", aud(json!([RESOURCE, "https://other.example"])), Pass),
        row("AT-06", "last of three", aud(json!(["a", "b", RESOURCE])), Pass),
        row("RES-01", "an older name", aud(json!("https://old.example/v1")), Pass),
        row("RES-02", "the host of an older name", aud(json!("https://old.example")), wrong),
        row("JWS-49", "a letter composed", aud(json!("caf\u{e9}")), Pass),
        row("JWS-49", "the same letter decomposed", aud(json!("cafe\u{301}")), wrong),
        row("AT-06", "absent", world.token().without("aud").sign(), Kind::MissingClaim),
        row("AT-06", "the client", aud(json!("test-client")), wrong),
        row("AT-06", "the issuer", aud(json!(ISSUER)), wrong),
        row("AT-06", "two others", aud(json!(["https://a.example", "https://b.example"])), wrong),
    ];
    #[rustfmt::skip]
    let others = [
        "https://rs.example/", "https://RS.example", "HTTPS://RS.EXAMPLE",
        "https://rs.example:443", "https://rs.exampl", "https://rs.example.evil.example",
        "https://rs.example/api", "http://rs.example", "rs.example", "https://rs.example#a",
        "https://rs.example ", "https://rs.example,https://other.example", "*", "https://*",
        "account",
    ];
    for other in others {
        rows.push(row("AT-06 MCP-08", format!("{other:?}"), aud(json!(other)), wrong));
        rows.push(row("AT-06", format!("[{other:?}]"), aud(json!([other])), wrong));
    }
    let malformed = Kind::MalformedClaim;
    #[rustfmt::skip]
    let others = [
        json!([]), json!(null), json!(1), json!(true),
        json!({"aud": RESOURCE}), json!({RESOURCE: 1}), json!([RESOURCE, 1]),
        json!([1, RESOURCE]), json!([[RESOURCE]]), json!([null]), json!([{}]),
    ];
    for other in others {
        rows.push(row("AT-10", other.to_string(), aud(other), malformed));
    }
    rows.push(row("AT-06", "an empty text", aud(json!("")), wrong));
    rows.push(row("AT-06", "ours beside an empty text", aud(json!([RESOURCE, ""])), Pass));
    world.check(rows).await;
}

/// RES-02: a resource with a path is not its host, and a host not its paths.
#[tokio::test]
async fn an_audience_is_neither_broader_nor_narrower() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let server = |resource: &str| {
        ResourceServer::builder(resource)
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_hours(1)))
            .clock(clock.clone())
            .issuer(issuer.fixed_keys())
    };
    let (host, path) = ("https://rs.example", "https://rs.example/api");
    let token = |aud: &str| issuer.token(aud).sign();
    let api = server(path).build().unwrap();
    #[rustfmt::skip]
    let rows = [
        row("RES-02", "the path", token(path), Pass),
        row("RES-02", "the host", token(host), Kind::WrongAudience),
        row("RES-02", "below the path", token("https://rs.example/api/notes"), Kind::WrongAudience),
    ];
    check_rows(&api, rows).await;
    let api = server(path).accept_audience(host).build().unwrap();
    #[rustfmt::skip]
    let rows = [
        row("RES-02", "the host, by choice", token(host), Pass),
        row("RES-02", "another path", token("https://rs.example/other"), Kind::WrongAudience),
    ];
    check_rows(&api, rows).await;
}

/// AT-18, RES-03: a token for several could be replayed by each at the others.
#[tokio::test]
async fn a_token_for_others_too_is_refused_by_choice() {
    for (other, wants) in
        [(OtherAudiences::Accept, Pass), (OtherAudiences::Refuse, Kind::WrongAudience.into())]
    {
        let world = World::with(Algorithm::Es256, |b| b.other_audiences(other)).await;
        let aud = |aud: Value| world.token().claim("aud", aud).sign();
        #[rustfmt::skip]
        let rows = [
            row("AT-18", "one", aud(json!(RESOURCE)), Pass),
            row("AT-18", "one in an array", aud(json!([RESOURCE])), Pass),
            row("AT-18 RES-03", "two", aud(json!([RESOURCE, "https://other.example"])), wants),
            row("AT-18 RES-03", "two, the other first", aud(json!(["https://other.example", RESOURCE])), wants),
            row("AT-18", "another", aud(json!("https://other.example")), Kind::WrongAudience),
        ];
        world.check(rows).await;
    }
    // The operator is told of the other audience, and not of this one.
    let world = World::with(Algorithm::Es256, |b| b.other_audiences(OtherAudiences::Refuse)).await;
    let token = world.token().claim("aud", json!([RESOURCE, "https://other.example"])).sign();
    let sent = send(&world.api.layer(), bearer(&token)).await;
    let reason = sent.response.extensions().get::<Rejection>().unwrap().to_string();
    assert!(reason.contains("https://other.example"), "{reason}");
}

/// JWS-42, AT-15, ASVS-05, TXN-05, WIM-02, SPF-02: no other JWT of the same issuer and key is an
/// access token: not by its type, and not if its type is forged.
#[tokio::test]
async fn no_other_kind_of_token_is_an_access_token() {
    let world = World::new().await;
    let now = world.clock.now().as_secs();
    let (exp, jwk) = (now + 300, world.issuer.key().public_jwk());
    let logout = "http://schemas.openid.net/event/backchannel-logout";
    let revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    #[rustfmt::skip]
    let kinds = [
        ("JWS-42 AT-15", "ID token", json!("JWT"), json!({"iss": ISSUER, "sub": "alice", "aud": "test-client", "nonce": "n", "iat": now, "exp": exp, "auth_time": now, "at_hash": "x"}), Kind::MissingClaim),
        ("JWS-42 AT-15", "ID token without typ", json!(null), json!({"iss": ISSUER, "sub": "alice", "aud": RESOURCE, "iat": now, "exp": exp}), Kind::MissingClaim),
        ("JWS-42", "DPoP proof", json!("dpop+jwt"), json!({"jti": "j", "htm": "GET", "htu": RESOURCE, "iat": now, "ath": "x"}), Kind::UnknownIssuer),
        ("JWS-42", "SET", json!("secevent+jwt"), json!({"iss": ISSUER, "jti": "j", "iat": now, "aud": RESOURCE, "sub_id": {"format": "opaque", "id": "a"}, "events": {revoked: {}}}), Kind::OtherTokenKind),
        ("JWS-42", "status list", json!("statuslist+jwt"), json!({"iss": ISSUER, "sub": "https://as.example/s/1", "iat": now, "exp": exp, "ttl": 60, "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}}), Kind::OtherTokenKind),
        ("JWS-42", "logout token", json!("logout+jwt"), json!({"iss": ISSUER, "aud": "test-client", "iat": now, "exp": exp, "jti": "j", "sid": "s", "events": {logout: {}}}), Kind::OtherTokenKind),
        ("JWS-42", "introspection answer", json!("token-introspection+jwt"), json!({"iss": ISSUER, "aud": RESOURCE, "iat": now, "token_introspection": {"active": true, "sub": "alice"}}), Kind::OtherTokenKind),
        ("TXN-05 JWS-42", "transaction token", json!("txntoken+jwt"), json!({"iss": ISSUER, "aud": RESOURCE, "iat": now, "exp": exp, "txn": "t", "sub": "alice", "scope": "a", "req_wl": "w"}), Kind::MissingClaim),
        ("WIM-02 JWS-42", "workload identity token", json!("wit+jwt"), json!({"iss": ISSUER, "sub": "wimse://as.example/w", "exp": exp, "jti": "j", "cnf": {"jwk": jwk}}), Kind::MissingClaim),
        ("WIM-02 JWS-42", "workload proof token", json!("wpt+jwt"), json!({"aud": RESOURCE, "exp": exp, "jti": "j", "wth": "x"}), Kind::UnknownIssuer),
        ("SPF-02", "SVID", json!("JWT"), json!({"iss": ISSUER, "sub": "spiffe://as.example/w", "aud": [RESOURCE], "iat": now, "exp": exp}), Kind::MissingClaim),
        ("SPF-02", "SVID of type JOSE", json!("JOSE"), json!({"iss": ISSUER, "sub": "spiffe://as.example/w", "aud": [RESOURCE], "exp": exp}), Kind::MissingClaim),
        ("JWS-42", "client assertion", json!("JWT"), json!({"iss": "test-client", "sub": "test-client", "aud": RESOURCE, "jti": "j", "iat": now, "exp": exp}), Kind::UnknownIssuer),
        ("JWS-42", "signed metadata", json!("oauth-protected-resource-metadata+jwt"), json!({"iss": ISSUER, "resource": RESOURCE}), Kind::MissingClaim),
    ];
    let mut rows = vec![row("JWS-42", "access token", world.token().sign(), Pass)];
    let complete: Value = serde_json::from_str(&world.token().payload()).unwrap();
    for (id, name, typ, payload, disguised) in kinds {
        let token = |typ: &Value| match typ {
            Value::Null => world.token().without_header("typ"),
            typ => world.token().header("typ", typ),
        };
        // A type that some profile takes is judged once the issuer is known.
        let wanted = match payload["iss"] == "test-client" {
            true => Kind::UnknownIssuer,
            false => Kind::WrongType,
        };
        rows.push(row(id, name, token(&typ).raw_payload(payload.to_string()).sign(), wanted));
        // The same type with every claim of an access token.
        let mut both = complete.clone();
        both.as_object_mut().unwrap().extend(payload.as_object().unwrap().clone());
        both["aud"] = json!(RESOURCE);
        let of = format!("{name} with the claims of an access token");
        rows.push(row(id, of, token(&typ).raw_payload(both.to_string()).sign(), wanted));
        // The same claims under the type of an access token.
        let of = format!("{name} called at+jwt");
        rows.push(row(id, of, world.token().raw_payload(payload.to_string()).sign(), disguised));
    }
    // Events make a SET or a logout token of it, whatever else it has.
    for events in [json!({logout: {}}), json!({revoked: {}}), json!({}), json!(null), json!([])] {
        let token = world.token().claim("events", &events).sign();
        rows.push(row("JWS-42", format!("events: {events}"), token, Kind::OtherTokenKind));
    }
    world.check(rows).await;
}

/// JWS-53, BCP-01: what `cnf` says cannot be enforced yet, so every token that has one is refused.
#[tokio::test]
async fn a_token_with_a_confirmation_is_no_bearer_token() {
    let world = World::new().await;
    let jkt = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    #[rustfmt::skip]
    let mut rows = vec![
        row("JWS-53", "no cnf", world.token().sign(), Pass),
        row("JWS-53", "cnf inside another claim", world.token().claim("x", json!({"cnf": {"jkt": jkt}})).sign(), Pass),
        row(
            "JWS-53",
            "an escaped name",
            world
                .token()
                .raw_payload(format!(
                    "{},\"\\u0063nf\":{{}}}}",
                    world.token().payload().trim_end_matches('}')
                ))
                .sign(),
            Kind::SenderNotProven,
        ),
    ];
    #[rustfmt::skip]
    let shapes = [
        json!({"jkt": jkt}), json!({"x5t#S256": jkt}), json!({"jkt": jkt, "x5t#S256": jkt}),
        json!({"jkt": jkt, "foo": 1}), json!({"jwk": world.issuer.key().public_jwk()}),
        json!({"jwe": "x"}), json!({"kid": "k1"}),
        json!({"jku": "https://as.example/jwks.json", "kid": "k1"}), json!({"foo": "x"}),
        json!({"jkt": null}), json!({"jkt": ""}), json!({"JKT": jkt}), json!({}), json!(null),
        json!([]), json!([{"jkt": jkt}]), json!(""), json!("x"), json!(0), json!(false),
    ];
    for cnf in shapes {
        let token = world.token().claim("cnf", &cnf).sign();
        rows.push(row("JWS-53", cnf.to_string(), token, Kind::SenderNotProven));
    }
    world.check(rows).await;
    // The scheme does not matter, and neither does a proof that nobody reads.
    let mut request = bearer(&world.token().claim("cnf", json!({"jkt": jkt})).sign());
    request.headers_mut().insert("dpop", "x".parse().unwrap());
    assert_eq!(send(&world.api.layer(), request).await.kind(), Some(Kind::SenderNotProven));
}
