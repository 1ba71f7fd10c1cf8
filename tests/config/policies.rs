//! What a policy of a file decides.

use portcullis::RejectionKind;
use portcullis::check::{CheckError, CheckRequest};
use portcullis::testing::TokenBuilder;
use serde_json::{Value, json};

use super::support::{ISSUER, RESOURCE};
use super::{Desk, asking, built, faults, with};

/// What a policy's member lets pass, and the twin that it refuses.
#[tokio::test]
async fn every_check_of_a_policy_decides() {
    type Edit = fn(TokenBuilder) -> TokenBuilder;
    let detail = |edit: fn(&mut Value)| {
        let mut detail = json!({
            "type": "pay", "actions": ["initiate"], "locations": [RESOURCE],
            "datatypes": ["account"], "privileges": ["owner"], "identifier": "one",
        });
        edit(&mut detail);
        detail
    };
    let details: [(&'static str, Edit); 6] = [
        ("type", |token| token.claim("authorization_details", json!([{ "type": "other" }]))),
        ("actions", |token| {
            token.claim("authorization_details", json!([{ "type": "pay", "actions": ["x"] }]))
        }),
        ("locations", |token| {
            token.claim(
                "authorization_details",
                json!([{ "type": "pay", "locations": ["https://x.example"] }]),
            )
        }),
        ("datatypes", |token| {
            token.claim("authorization_details", json!([{ "type": "pay", "datatypes": ["x"] }]))
        }),
        ("privileges", |token| {
            token.claim("authorization_details", json!([{ "type": "pay", "privileges": ["x"] }]))
        }),
        ("identifier", |token| {
            token.claim("authorization_details", json!([{ "type": "pay", "identifier": "x" }]))
        }),
    ];
    let whole: Edit = |token| {
        token.claim(
            "authorization_details",
            json!([{
                "type": "pay", "actions": ["initiate"], "locations": [RESOURCE],
                "datatypes": ["account"], "privileges": ["owner"], "identifier": "one",
            }]),
        )
    };
    let same: Edit = |token| token;
    let mut rows: Vec<(String, Value, Edit, Edit)> = vec![
        (
            "all_scopes".into(),
            json!({ "all_scopes": ["a", "b"] }),
            |t| t.scope("b a"),
            |t| t.scope("a"),
        ),
        (
            "any_scope".into(),
            json!({ "any_scope": ["a", "b"] }),
            |t| t.scope("b"),
            |t| t.scope("c"),
        ),
        ("issuers".into(), json!({ "issuers": [ISSUER] }), same, same),
        (
            "clients".into(),
            json!({ "clients": ["app"] }),
            |t| t.client_id("app"),
            |t| t.client_id("x"),
        ),
        (
            "clients of_issuer".into(),
            json!({ "clients": { "one_of": ["app"], "of_issuer": ISSUER } }),
            |t| t.client_id("app"),
            |t| t.client_id("x"),
        ),
        (
            "subjects".into(),
            json!({ "subjects": ["alice"] }),
            |t| t.subject("alice"),
            |t| t.subject("bob"),
        ),
        (
            "subject_kinds".into(),
            json!({ "subject_kinds": ["client"] }),
            |t| t.subject("x").client_id("x"),
            |t| t.subject("x").client_id("y"),
        ),
        (
            "actor required".into(),
            json!({ "actor": "required" }),
            |t| t.claim("act", json!({ "sub": "g" })),
            same,
        ),
        ("actor forbidden".into(), json!({ "actor": "forbidden" }), same, |t| {
            t.claim("act", json!({ "sub": "g" }))
        }),
        (
            "actor list".into(),
            json!({ "actor": ["g"] }),
            |t| t.claim("act", json!({ "sub": "g" })),
            |t| t.claim("act", json!({ "sub": "h" })),
        ),
        (
            "actor of_issuer".into(),
            json!({ "actor": { "one_of": ["g"], "of_issuer": "https://x.example" } }),
            |t| t.claim("act", json!({ "sub": "g", "iss": "https://x.example" })),
            |t| t.claim("act", json!({ "sub": "g" })),
        ),
        (
            "equals".into(),
            json!({ "claims": [{ "path": "c", "equals": "x" }] }),
            |t| t.claim("c", "x"),
            |t| t.claim("c", "X"),
        ),
        (
            "path".into(),
            json!({ "claims": [{ "path": ["c", "d"], "equals": 1 }] }),
            |t| t.claim("c", json!({ "d": 1 })),
            |t| t.claim("c.d", 1),
        ),
        (
            "one_of".into(),
            json!({ "claims": [{ "path": "c", "one_of": ["x", 2] }] }),
            |t| t.claim("c", 2),
            |t| t.claim("c", "2"),
        ),
        (
            "contains".into(),
            json!({ "claims": [{ "path": "c", "contains": "x" }] }),
            |t| t.claim("c", ["y", "x"]),
            |t| t.claim("c", ["y"]),
        ),
        (
            "contains_any".into(),
            json!({ "claims": [{ "path": "c", "contains_any": ["x", "y"] }] }),
            |t| t.claim("c", ["y"]),
            |t| t.claim("c", ["z"]),
        ),
        (
            "contains_all".into(),
            json!({ "claims": [{ "path": "c", "contains_all": ["x", "y"] }] }),
            |t| t.claim("c", ["y", "x"]),
            |t| t.claim("c", ["y"]),
        ),
        (
            "present".into(),
            json!({ "claims": [{ "path": "c", "present": true }] }),
            |t| t.claim("c", 0),
            same,
        ),
        (
            "acr_values".into(),
            json!({ "step_up": { "acr_values": ["phr"] } }),
            |t| t.claim("acr", "phr"),
            |t| t.claim("acr", "pwd"),
        ),
        (
            "max_age".into(),
            json!({ "step_up": { "max_age": "5m" } }),
            |t| t.claim("auth_time", 1_800_000_000),
            |t| t.claim("auth_time", 1_799_999_000),
        ),
        (
            "two members".into(),
            json!({ "all_scopes": ["a"], "clients": ["app"] }),
            |t| t.scope("a").client_id("app"),
            |t| t.scope("a").client_id("x"),
        ),
        (
            "the other of two".into(),
            json!({ "all_scopes": ["a"], "clients": ["app"] }),
            |t| t.scope("a").client_id("app"),
            |t| t.scope("b").client_id("app"),
        ),
        ("binding".into(), json!({ "allow_all": true, "binding": "where_bound" }), same, |t| {
            t.claim("cnf", json!({ "jkt": "x" }))
        }),
    ];
    for (member, refused) in details {
        let wanted = detail(|_| ());
        let one = match member {
            "type" => json!({ "type": "pay" }),
            member => json!({ "type": "pay", member: wanted[member] }),
        };
        let name = format!("authorization_details {member}");
        rows.push((name, json!({ "authorization_details": [one] }), whole, refused));
    }
    for (name, policy, passes, refused) in rows {
        let desk = Desk::new(&asking(policy)).await;
        let good = desk.ask(&passes(desk.token()), None).await;
        assert!(good.is_ok(), "{name}: {good:?}");
        // The twin of an issuer is another issuer: below.
        if name != "issuers" {
            assert!(desk.ask(&refused(desk.token()), None).await.is_err(), "{name}");
        }
    }

    let others = json!({ "issuers": ["https://other.example"] });
    let desk = Desk::new(&asking(others)).await;
    assert!(desk.ask(&desk.token(), None).await.is_err(), "another issuer");
    let others =
        json!({ "subjects": { "one_of": ["alice"], "of_issuer": "https://other.example" } });
    let desk = Desk::new(&asking(others)).await;
    assert!(desk.ask(&desk.token().subject("alice"), None).await.is_err(), "of another issuer");

    let desk = Desk::new(&asking(json!({ "peer_in": ["10.0.0.0/8"] }))).await;
    assert!(desk.ask(&desk.token(), Some("10.1.2.3")).await.is_ok());
    assert!(desk.ask(&desk.token(), Some("11.1.2.3")).await.is_err());

    let file = asking(json!({ "allow_all": true, "binding": "dpop" }));
    let desk = Desk::new(&with(file, "/dpop", json!({}))).await;
    let kind = desk.ask(&desk.token(), None).await.unwrap_err().kind();
    assert_eq!(kind, RejectionKind::NotBound);
}

#[tokio::test]
async fn a_policy_says_how_a_request_is_treated() {
    let report = |policy: Value| {
        let dpop = json!({ "nonces": { "mode": "optional" } });
        let file = with(with(asking(policy), "/dpop", dpop), "/mtls", json!({ "direct": true }));
        let api = built(&file).unwrap();
        api.effective_policy()["policies"]["p"].clone()
    };
    let usual = report(json!({ "allow_all": true }));
    for (member, value) in [
        ("credentials", json!("optional")),
        ("preflight", json!("pass")),
        ("strip_credentials", json!(true)),
        ("expose_challenge", json!(true)),
        ("single_use", json!(true)),
        ("require_nonce", json!(true)),
        ("binding", json!("mtls")),
    ] {
        let changed = report(json!({ "allow_all": true, member: value }));
        assert_eq!(changed[member], value, "{member}");
        assert_ne!(usual[member], value, "{member}");
    }

    async fn yes(_: CheckRequest) -> Result<(), CheckError> {
        Ok(())
    }
    let api = built(&asking(json!({ "allow_all": true, "async_timeout": "2s" }))).unwrap();
    api.guard(api.policy("p").and_async(yes)).unwrap();
    let policy = api.effective_policy();
    assert_eq!(policy["policies"]["p"].get("async_timeout"), None, "it bounds nothing");
    assert_eq!(policy["mounted"][0]["name"], "p");
    assert_eq!(policy["mounted"][0]["async_timeout"], "2s");
}

#[tokio::test]
async fn a_scope_grants_what_it_implies_and_what_that_implies() {
    let mut file = asking(json!({ "all_scopes": ["read"] }));
    file["scope_implications"] = json!({ "admin": ["write"], "write": ["read", "admin"] });
    let desk = Desk::new(&file).await;
    for (scope, passes) in [
        ("read", true),
        ("write", true),
        ("admin", true),
        ("administrator", false),
        ("adm", false),
        ("Admin", false),
        ("", false),
    ] {
        let token = desk.token().scope(scope);
        assert_eq!(desk.ask(&token, None).await.is_ok(), passes, "{scope:?}");
    }
}

#[test]
fn implications_have_bounds_and_places() {
    let file = |implications: Value| {
        let mut file = asking(json!({ "allow_all": true }));
        file["scope_implications"] = implications;
        file
    };
    let found = faults(&file(json!({ "a b": ["c"], "d": ["e", ""] })));
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["scope_implications.\"a b\"", "scope_implications.d"], "{found:?}");

    let scopes = |number: usize| (0..number).map(|n| format!("s{n}")).collect::<Vec<_>>();
    assert_eq!(faults(&file(json!({ "a": scopes(1_000) }))), []);
    let found = faults(&file(json!({ "a": scopes(1_000), "b": ["a"] })));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("number of scope implications of 1001"), "{found:?}");
}
