//! Configuration from a file: every member does something, and every fault is told at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use portcullis::check::{CheckError, CheckRequest};
use portcullis::config::{JSON_SCHEMA, ServerConfig, json_schema};
use portcullis::jose::Algorithm;
use portcullis::observe::{Decision, Observer};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TokenBuilder, challenges};
use portcullis::{
    Access, BuildError, ConfigFault, Issuer, PeerAddr, Rejection, RejectionKind, ResourceServer,
    ServerBuilder,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use serde_json::{Value, json};
use support::{ISSUER, RESOURCE};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");

/// The least that builds.
fn least() -> Value {
    json!({
        "resource": RESOURCE,
        "binding": "where_bound",
        "issuers": [{ "id": ISSUER }],
        "default_class": { "at_most": "15m" },
    })
}

/// The least, and a policy `p` that asks this.
fn asking(policy: Value) -> Value {
    with(least(), "/policies", json!({ "p": policy }))
}

/// The same with this at this place; the table around it has to be there.
fn with(mut file: Value, place: &str, value: Value) -> Value {
    let (around, name) = place.rsplit_once('/').unwrap();
    let around = file.pointer_mut(around).unwrap_or_else(|| panic!("nothing around {place}"));
    match around {
        Value::Array(list) => list.push(value),
        around => around[name] = value,
    }
    file
}

fn config(file: &Value) -> Result<ServerConfig, BuildError> {
    ServerConfig::from_json(&file.to_string())
}

fn built(file: &Value) -> Result<ResourceServer, BuildError> {
    config(file)?.builder()?.clock(ManualClock::new()).build()
}

fn faults(file: &Value) -> Vec<(String, String)> {
    match built(file) {
        Ok(_) => Vec::new(),
        Err(error) => told(&error),
    }
}

fn told(error: &BuildError) -> Vec<(String, String)> {
    error.places().map(|(place, fault)| (place.to_owned(), fault.to_string())).collect()
}

/// A server from a file, an issuer with its keys, on a clock of its own.
struct Desk {
    api: ResourceServer,
    issuer: TestIssuer,
}

impl Desk {
    async fn new(file: &Value) -> Self {
        Self::with(file, |builder| builder).await
    }

    async fn with(file: &Value, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let builder = config(file).unwrap().builder().unwrap();
        let builder = builder.clock(clock.clone()).transport(TestNetwork::of(&[&issuer]));
        let api = more(builder).build().unwrap();
        Self { api, issuer }
    }

    fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// What the policy `p` says.
    async fn ask(&self, token: &TokenBuilder, peer: Option<&str>) -> Result<Access, Rejection> {
        let field = format!("Bearer {}", token.sign());
        let mut request = Request::get("/").header("authorization", field).body(()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        }
        let guard = self.api.guard(self.api.policy("p")).unwrap();
        guard.verify(&request.into_parts().0).await
    }
}

#[test]
fn toml_and_json_say_the_same() {
    let read = |name: &str| {
        let config = ServerConfig::from_file(format!("{DIRECTORY}/{name}")).unwrap();
        let api = config.builder().unwrap().clock(ManualClock::new()).build().unwrap();
        (api.effective_policy(), api.metadata())
    };
    let (toml, json) = (read("full.toml"), read("full.json"));
    assert_eq!(toml, json);
    assert_eq!(toml.0["issuers"].as_array().unwrap().len(), 4);
    assert_eq!(toml.0["policies"].as_array().unwrap().len(), 5);
}

/// What a member changes in the effective policy: where it stands, where that shows, and as what.
#[test]
fn every_member_shows_in_the_effective_policy() {
    let profile = |name: &str, value: Value| json!({ name: value });
    let rows: Vec<(&str, Value, &str, Value)> = vec![
        ("/resource", json!("https://x.example"), "/resource", json!("https://x.example")),
        ("/accept_audiences", json!(["urn:x"]), "/audiences/1", json!("urn:x")),
        ("/other_audiences", json!("refuse"), "/other_audiences", json!("refuse")),
        ("/binding", json!("either"), "/binding", json!("either")),
        ("/leeway", json!("1m 30s"), "/leeway", json!("1m 30s")),
        ("/max_token_bytes", json!(4096), "/max_token_bytes", json!(4096)),
        ("/issuers/0/id", json!("https://x.example"), "/issuers/0/id", json!("https://x.example")),
        (
            "/issuers/0/jwks_uri",
            json!("https://x.example/k"),
            "/issuers/0/jwks_uri",
            json!("https://x.example/k"),
        ),
        ("/issuers/0/keys", json!("tests/config/keys.json"), "/issuers/0/keys", json!("fixed")),
        (
            "/issuers/0/algorithms",
            json!(["PS256", "ES384"]),
            "/issuers/0/algorithms",
            json!(["PS256", "ES384"]),
        ),
        (
            "/issuers/0/key_refresh",
            json!({ "fresh_at_least": "2m" }),
            "/issuers/0/key_refresh/fresh_at_least",
            json!("2m"),
        ),
        (
            "/issuers/0/key_refresh",
            json!({ "fresh_at_most": "20m" }),
            "/issuers/0/key_refresh/fresh_at_most",
            json!("20m"),
        ),
        (
            "/issuers/0/key_refresh",
            json!({ "keep_through_outage": "2h" }),
            "/issuers/0/key_refresh/keep_through_outage",
            json!("2h"),
        ),
        (
            "/issuers/0/key_refresh",
            json!({ "wait_at_most": "2s" }),
            "/issuers/0/key_refresh/wait_at_most",
            json!("2s"),
        ),
        (
            "/issuers/0/profile",
            profile("base", json!("auth0")),
            "/issuers/0/profile/name",
            json!("auth0"),
        ),
        (
            "/issuers/0/profile",
            profile("accept_types", json!(["JWT"])),
            "/issuers/0/profile/types/1",
            json!("JWT"),
        ),
        (
            "/issuers/0/profile",
            profile("accept_no_type", json!(true)),
            "/issuers/0/profile/without_type",
            json!("accept"),
        ),
        (
            "/issuers/0/profile",
            profile("may_lack", json!(["jti", "iat", "client_id"])),
            "/issuers/0/profile/may_lack",
            json!(["jti", "iat", "client_id"]),
        ),
        (
            "/issuers/0/profile",
            profile("client_id_from", json!(["azp"])),
            "/issuers/0/profile/client_id_from",
            json!(["azp"]),
        ),
        (
            "/issuers/0/profile",
            profile("scope_from", json!(["scp"])),
            "/issuers/0/profile/scope_from",
            json!(["scp"]),
        ),
        (
            "/issuers/0/profile",
            profile("accept_scope_array", json!(true)),
            "/issuers/0/profile/scope_form",
            json!("text_or_array"),
        ),
        (
            "/issuers/0/profile",
            profile("accept_id_tokens", json!(true)),
            "/issuers/0/profile/id_tokens",
            json!("accept"),
        ),
        (
            "/issuers/0/profile",
            profile("require_claims", json!([{ "claim": "use", "one_of": ["a", 1] }])),
            "/issuers/0/profile/required_claims/use",
            json!(["a", 1]),
        ),
        (
            "/issuers/0/profile",
            profile("dangerous", json!({ "insecure_audience_from": ["res"] })),
            "/issuers/0/profile/audience_from",
            json!(["res"]),
        ),
        (
            "/tenants",
            json!({ "at_most": 7, "issuers": [{ "id": "https://blue.example" }] }),
            "/tenants/at_most",
            json!(7),
        ),
        ("/default_class/at_most", json!("20m"), "/classes/0/at_most", json!("20m")),
        ("/default_class/max_age", json!("30m"), "/classes/0/max_age", json!("30m")),
        ("/default_class/bound", json!("mtls"), "/classes/0/bound", json!("mtls")),
        (
            "/classes",
            json!([{ "name": "c", "issuers": [ISSUER], "at_most": "1m" }]),
            "/classes/1/issuers/0",
            json!(ISSUER),
        ),
        (
            "/classes",
            json!([{ "name": "c", "clients": ["a"], "max_age": "2m" }]),
            "/classes/1",
            json!({ "name": "c", "clients": ["a"], "max_age": "2m" }),
        ),
        (
            "/classes",
            json!([{ "name": "c", "scopes": ["a"], "bound": "both" }]),
            "/classes/1",
            json!({ "name": "c", "scopes": ["a"], "bound": "both" }),
        ),
        (
            "/classes",
            json!([{ "name": "c", "subject_kinds": ["workload"], "at_most": "1m" }]),
            "/classes/1/subject_kinds/0",
            json!("workload"),
        ),
        (
            "/classes",
            json!([{ "name": "c", "audiences": ["urn:x"], "at_most": "1m" }]),
            "/classes/1/audiences/0",
            json!("urn:x"),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "of_issuer": ISSUER, "at_most": "5m", "from": ["10.0.0.0/8"] }]),
            "/exceptions/0/because",
            json!("b"),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "of_issuer": ISSUER }]),
            "/exceptions/0/issuer",
            json!(ISSUER),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b" }]),
            "/exceptions/0/until",
            json!("2027-03-31"),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b" }]),
            "/exceptions/0/clients",
            json!(["a"]),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "at_most": "5m" }]),
            "/exceptions/0/at_most",
            json!("5m"),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "from": ["10.0.0.0/8"] }]),
            "/exceptions/0/from",
            json!(["10.0.0.0/8"]),
        ),
        (
            "/policy",
            json!({ "all_scopes": ["a"] }),
            "/policies/0/all_of",
            json!([{ "all_scopes": ["a"] }]),
        ),
        ("/scope_implications", json!({ "a": ["b"] }), "/scope_implication", json!("custom")),
        ("/challenge", json!({ "realm": "x" }), "/resource", json!(RESOURCE)),
        ("/$schema", json!("x"), "/resource", json!(RESOURCE)),
    ];
    let before = built(&least()).unwrap().effective_policy();
    for (place, value, shows, expected) in rows {
        let after = built(&with(least(), place, value.clone()))
            .unwrap_or_else(|error| panic!("{place} = {value}: {error}"))
            .effective_policy();
        assert_eq!(after.pointer(shows), Some(&expected), "{place} = {value}\n{after:#}");
        // These two show elsewhere, or nowhere.
        if !["/challenge", "/$schema"].contains(&place) {
            assert_ne!(before.pointer(shows), Some(&expected), "{place} changes nothing");
        }
    }
}

#[test]
fn every_word_of_a_list_is_read() {
    let algorithms: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
    let file = with(least(), "/issuers/0/algorithms", json!(algorithms));
    let policy = built(&file).unwrap().effective_policy();
    assert_eq!(policy["issuers"][0]["algorithms"], json!(algorithms));

    for binding in ["where_bound", "either", "dpop", "mtls", "both"] {
        let policy = built(&with(least(), "/binding", json!(binding))).unwrap().effective_policy();
        assert_eq!(policy["binding"], binding);
    }
    for profile in [
        "rfc9068",
        "relaxed",
        "keycloak",
        "auth0",
        "entra_id",
        "okta",
        "cognito",
        "kubernetes",
        "oidc_provider",
        "hydra",
    ] {
        let file = with(least(), "/issuers/0/profile", json!(profile));
        let policy = built(&file).unwrap().effective_policy();
        let name = policy["issuers"][0]["profile"]["name"].as_str().unwrap().replace('-', "_");
        assert_eq!(name, profile);
    }
    for test in [
        json!({ "equals": "x" }),
        json!({ "starts_with": "x" }),
        json!({ "absent": true }),
        json!({ "same_as": "x" }),
        json!({ "same_as": "x", "suffix": "@y" }),
    ] {
        let mut rule = test.clone();
        rule["kind"] = json!("client");
        rule["claim"] = json!("sub");
        let profile = json!({ "subject_kinds": [rule] });
        let policy =
            built(&with(least(), "/issuers/0/profile", profile)).unwrap().effective_policy();
        let when = &policy["issuers"][0]["profile"]["subject_kinds"][0]["when"];
        assert_eq!(when["claim"], "sub", "{test}");
    }
}

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

    let desk = Desk::new(&asking(json!({ "allow_all": true, "binding": "dpop" }))).await;
    let kind = desk.ask(&desk.token(), None).await.unwrap_err().kind();
    assert_eq!(kind, RejectionKind::NotBound);
}

#[tokio::test]
async fn a_policy_says_how_a_request_is_treated() {
    let report = |policy: Value| {
        let api = built(&asking(policy)).unwrap();
        api.effective_policy()["policies"]
            .as_array()
            .unwrap()
            .iter()
            .find(|policy| policy["name"] == "p")
            .unwrap()
            .clone()
    };
    let usual = report(json!({ "allow_all": true }));
    for (member, value, shows, expected) in [
        ("credentials", json!("optional"), "credentials", "optional"),
        ("preflight", json!("pass"), "preflight", "pass"),
        ("strip_authorization", json!(true), "authorization_field", "strip"),
        ("expose_challenge", json!(true), "challenge", "exposed"),
        ("binding", json!("mtls"), "binding", "mtls"),
    ] {
        let changed = report(json!({ "allow_all": true, member: value }));
        assert_eq!(changed[shows], expected, "{member}");
        assert_ne!(usual[shows], expected, "{member}");
    }

    async fn yes(_: CheckRequest) -> Result<(), CheckError> {
        Ok(())
    }
    let api = built(&asking(json!({ "allow_all": true, "async_timeout": "2s" }))).unwrap();
    api.guard(api.policy("p").and_async(yes)).unwrap();
    assert!(api.effective_policy().to_string().contains("\"async_timeout\":\"2s\""));
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

#[tokio::test]
async fn challenges_and_metadata_carry_what_the_file_says() {
    let mut file = asking(json!({ "all_scopes": ["a"] }));
    file["challenge"] = json!({
        "realm": "notes", "error_uri": "https://docs.example/errors", "params": { "hint": "desk" },
    });
    file["metadata"] = json!({
        "resource_name": "Notes", "resource_documentation": "https://docs.example/d",
        "resource_policy_uri": "https://docs.example/p", "resource_tos_uri": "https://docs.example/t",
        "localized": { "de": {
            "resource_name": "Notizen", "resource_documentation": "https://docs.example/de/d",
            "resource_policy_uri": "https://docs.example/de/p",
            "resource_tos_uri": "https://docs.example/de/t",
        } },
    });
    let desk = Desk::new(&file).await;
    let refused = desk.ask(&desk.token().scope("b"), None).await.unwrap_err();
    let challenge = challenges(refused.to_response::<()>().headers()).remove(0);
    assert_eq!(challenge.param("realm"), Some("notes"));
    assert_eq!(challenge.param("error_uri"), Some("https://docs.example/errors"));
    assert_eq!(challenge.param("hint"), Some("desk"));
    assert!(challenge.param("resource_metadata").is_some());
    let document = desk.api.metadata();
    for (name, value) in [
        ("resource_name", "Notes"),
        ("resource_documentation", "https://docs.example/d"),
        ("resource_policy_uri", "https://docs.example/p"),
        ("resource_tos_uri", "https://docs.example/t"),
        ("resource_name#de", "Notizen"),
        ("resource_documentation#de", "https://docs.example/de/d"),
        ("resource_policy_uri#de", "https://docs.example/de/p"),
        ("resource_tos_uri#de", "https://docs.example/de/t"),
    ] {
        assert_eq!(document[name], value);
    }
    assert_eq!(document["scopes_supported"], json!(["a"]));

    file["metadata"] = json!({ "without_scopes": true });
    let desk = Desk::new(&file).await;
    let _ = desk.ask(&desk.token(), None).await;
    assert_eq!(desk.api.metadata().get("scopes_supported"), None);

    file["metadata"] = json!(false);
    let desk = Desk::new(&file).await;
    let refused = desk.ask(&desk.token().scope("b"), None).await.unwrap_err();
    let challenge = challenges(refused.to_response::<()>().headers()).remove(0);
    assert_eq!(challenge.param("resource_metadata"), None);
}

#[tokio::test]
async fn tenants_of_the_file_are_trusted_and_others_are_not() {
    let mut file = asking(json!({ "allow_all": true }));
    file["issuers"] = json!([]);
    file["tenants"] = json!({ "at_most": 10, "issuers": [{ "id": ISSUER }] });
    let desk = Desk::new(&file).await;
    assert!(desk.ask(&desk.token(), None).await.is_ok());

    file["tenants"]["issuers"][0]["id"] = json!("https://blue.example");
    let desk = Desk::new(&file).await;
    let kind = desk.ask(&desk.token(), None).await.unwrap_err().kind();
    assert_eq!(kind, RejectionKind::UnknownIssuer);

    file["tenants"]["issuers"] = json!([{ "id": "http://x" }, { "id": ISSUER }, { "id": ISSUER }]);
    let places: Vec<_> = faults(&file).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["tenants.issuers[0].id", "tenants.issuers[2].id"]);
}

#[test]
fn loopback_http_is_a_named_hazard_in_a_file_too() {
    let mut file = least();
    file["issuers"][0] = json!({ "id": "http://127.0.0.1:9000" });
    assert_eq!(faults(&file)[0].0, "issuers[0].id");
    file["issuers"][0]["dangerous"] = json!({ "insecure_loopback_http": true });
    assert_eq!(faults(&file), []);
}

/// FAPI-03, FAPI-06: the switch is the builder's.
#[test]
fn a_security_profile_holds_the_whole_file_to_it() {
    let mut file = with(least(), "/security_profile", json!("fapi2"));
    file["issuers"][0]["algorithms"] = json!(["RS256"]);
    file["classes"] = json!([{ "name": "c", "clients": ["a"], "at_most": "2h" }]);
    let found = faults(&file);
    let at =
        |place: &str| found.iter().any(|(found, what)| found == place && what.contains("FAPI"));
    assert!(at("issuers[0].algorithms") && at("binding") && at("classes[0].at_most"), "{found:?}");
}

/// Keeps the hash of the last token.
struct Hashes(Arc<Mutex<Option<String>>>);

impl Observer for Hashes {
    fn observe(&self, decision: &Decision<'_>) {
        *self.0.lock().unwrap() = decision.token_hash().map(|hash| hash.to_string());
    }
}

#[tokio::test]
async fn a_secret_by_reference_is_read() {
    async fn hash(file: &Value) -> String {
        let seen = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&seen);
        let desk = Desk::with(file, |builder| builder.observer(Hashes(keep))).await;
        let token = desk.token().claim("jti", "one").sign();
        support::present(&desk.api, &token).await.unwrap();
        let hash = seen.lock().unwrap().take();
        hash.expect("the observer was told of a token")
    }
    let keyed = |key: Value| with(least(), "/token_hash_key", key);
    let described = hash(&keyed(json!({ "env": "CARGO_PKG_DESCRIPTION" }))).await;
    assert_eq!(described, hash(&keyed(json!({ "env": "CARGO_PKG_DESCRIPTION" }))).await);
    assert_ne!(described, hash(&keyed(json!({ "file": "Cargo.toml" }))).await);
    assert_ne!(described, hash(&least()).await);
}

#[test]
fn files_are_looked_for_beside_the_configuration() {
    let text = std::fs::read_to_string(format!("{DIRECTORY}/full.toml")).unwrap();
    let error = ServerConfig::from_toml(&text).unwrap().builder().unwrap_err();
    let found = told(&error);
    assert_eq!(found.len(), 2, "{error}");
    assert_eq!(found[0].0, "issuers[0].ca_file");
    assert_eq!(found[1].0, "issuers[3].keys");
    assert!(ServerConfig::from_file(format!("{DIRECTORY}/full.toml")).unwrap().builder().is_ok());
}

/// Every kind of fault in one file: 39 of them, none hidden by another.
#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let error = ServerConfig::from_file(format!("{DIRECTORY}/faulty.toml")).unwrap_err();
    let found = told(&error);
    let expected = [
        ("tokn_hash_key", "unknown field"),
        ("accept_audiences[1]", "expected a string"),
        ("other_audiences", "found \"ignore\", wanted"),
        ("leeway", "wanted a time"),
        ("max_token_bytes", "whole number"),
        ("token_hash_key", "by reference"),
        ("security_profile", "found \"fapi3\""),
        ("issuers[0].algorithms[1]", "found \"HS256\", wanted one of `RS256`"),
        ("issuers[0].algoritms", "unknown field `algoritms`, expected one of"),
        ("tenants.issuers[0]", "expected a table"),
        ("issuers[2].id", "expected a string"),
        ("issuers[2].profile", "found \"keycloack\", wanted one of"),
        ("issuers[2].key_refresh.fresh_at_most", "expected a time"),
        ("issuers[2].fetch_token", "by reference"),
        ("issuers[3].profile.base", "found \"pingfederate\""),
        ("issuers[3].profile.may_lack[1]", "found \"sub\""),
        ("issuers[3].profile.subject_kinds[0].kind", "found \"robot\""),
        ("issuers[3].dangerous.insecure_lopback_http", "unknown field"),
        ("default_class.at_least", "unknown field"),
        ("classes[0].bound", "found \"dpopp\""),
        ("classes[1].scopes", "an empty list"),
        ("exceptions[0].until", "expected a string"),
        ("exceptions[0].becuase", "unknown field"),
        ("policies.read.all_scopes", "expected a list"),
        ("policies.\"pay now\".claims[0].eqals", "unknown field"),
        ("policies.\"pay now\".actor", "found \"maybe\""),
        ("challenge.relm", "unknown field"),
        ("metadata", "`false`, or a table"),
        ("scope_implications.admin", "an empty list"),
        // And what only the builder knows.
        ("resource", "is not an https URL"),
        ("issuers[3].jwks_uri", "is not an https URL"),
        ("issuers[4].id", "`https://as.example` is configured twice"),
        ("issuers[5].keys", "cannot be read"),
        ("default_class.at_most", "not between 1 second and 366 days"),
        ("classes[2]", "it wants nothing"),
        ("exceptions[0].because", "say `because"),
        ("policies.\"pay now\".claims[0]", "it asks nothing of the claim"),
        ("policies.\"pay now\".peer_in", "is not a network"),
        ("policies.nothing", "nothing is asked"),
        ("challenge.error_uri", "URI reference"),
        ("binding", "no binding policy"),
    ];
    for (place, what) in expected {
        let there = found.iter().any(|(at, said)| at == place && said.contains(what));
        assert!(there, "no {place}: {what}\nin {error}");
    }
    assert_eq!(found.len(), expected.len(), "{error}");
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "nothing is told twice: {error}");
    for secret in ["correct horse", "hunter2"] {
        assert!(!format!("{error} {error:?}").contains(secret));
    }
}

#[test]
fn what_follows_from_another_fault_is_not_told() {
    // Each has one fault, and would seem to have two.
    for (place, value, fault) in [
        ("/issuers", json!("https://as.example"), "issuers"),
        ("/issuers/0/id", json!(1), "issuers[0].id"),
        ("/binding", json!("bearer"), "binding"),
        ("/default_class", json!("15m"), "default_class"),
        ("/default_class/at_most", json!(900), "default_class.at_most"),
        ("/resource", json!(["x"]), "resource"),
        ("/resource", Value::Null, "resource"),
        ("/policies", json!({ "p": { "all_scopes": "a" } }), "policies.p.all_scopes"),
        (
            "/policies",
            json!({ "p": { "claims": [{ "path": 1, "equals": 1 }] } }),
            "policies.p.claims[0].path",
        ),
        (
            "/classes",
            json!([{ "name": "c", "clients": "a", "at_most": "1m" }]),
            "classes[0].clients",
        ),
        ("/issuers/0/algorithms", json!(["none"]), "issuers[0].algorithms[0]"),
        ("/issuers/0/keys", json!("nowhere.json"), "issuers[0].keys"),
        ("/token_hash_key", json!({ "env": "PORTCULLIS_UNSET" }), "token_hash_key"),
    ] {
        let found = faults(&with(least(), place, value.clone()));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [fault], "{place} = {value}: {found:?}");
    }
    // What was taken out of a list does not move what follows.
    let issuers = json!(["x", { "id": ISSUER }, 5, { "id": "http://x" }, { "id": 7 }]);
    let found = faults(&with(least(), "/issuers", issuers));
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["issuers[0]", "issuers[2]", "issuers[4].id", "issuers[3].id"], "{found:?}");
    // The only issuer is broken: whoever names it is not to blame.
    let mut file = least();
    file["issuers"][0]["id"] = json!(1);
    file["classes"] = json!([{ "name": "c", "issuers": [ISSUER], "at_most": "1m" }]);
    assert_eq!(faults(&file).len(), 1);
}

#[test]
fn a_member_that_is_not_known_is_refused_at_every_level() {
    let whole = std::fs::read_to_string(format!("{DIRECTORY}/full.json")).unwrap();
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let mut tables = Vec::new();
    tables_of(&whole, "", &mut tables);
    // Names of the user's own choice: what they hold is looked at by itself.
    let free = ["/policies", "/scope_implications", "/challenge/params", "/metadata/localized"];
    let mut seen = 0;
    for table in tables {
        if free.contains(&table.as_str()) {
            continue;
        }
        let secret = table.ends_with("/token_hash_key") || table.ends_with("/fetch_token");
        let file = with(whole.clone(), &format!("{table}/surprise"), json!("s"));
        let error = ServerConfig::from_json(&file.to_string()).unwrap_err().to_string();
        let wanted = if secret { "by reference" } else { "unknown field `surprise`, expected" };
        assert!(error.contains(wanted), "{table}: {error}");
        seen += 1;
    }
    assert!(seen > 30, "{seen} levels");
}

fn tables_of(value: &Value, place: &str, tables: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            tables.push(place.to_owned());
            for (name, value) in members {
                tables_of(value, &format!("{place}/{name}"), tables);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                tables_of(value, &format!("{place}/{index}"), tables);
            }
        }
        _ => {}
    }
}

#[test]
fn what_stands_in_place_of_a_secret_is_never_shown() {
    const SECRET: &str = "s3cr3t-hunter2";
    for place in ["/token_hash_key", "/issuers/0/fetch_token"] {
        for value in [
            json!(SECRET),
            json!([SECRET]),
            json!({ "env": SECRET }),
            json!({ "value": SECRET }),
            json!({ SECRET: "x" }),
            json!({ "env": "HOME", "file": SECRET }),
            json!({ "env": [SECRET] }),
        ] {
            let error = config(&with(least(), place, value.clone())).unwrap_err();
            assert_eq!(error.faults().len(), 1, "{value}: {error}");
            let text = format!("{error} {error:?} {:?}", error.faults());
            assert!(!text.contains("hunter2"), "{place} = {value}: {text}");
            assert!(text.contains("by reference"), "{text}");
        }
        for number in [json!(12345), json!(-12345), json!(12345.5)] {
            let error = config(&with(least(), place, number)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("12345"), "{error}");
        }
    }
    let keys = json!({ "keys": [{ "kty": "oct", "k": SECRET }] }).to_string();
    for (member, value) in [("keys", keys), ("ca_file", format!("-----BEGIN {SECRET}"))] {
        let found = faults(&with(least(), &format!("/issuers/0/{member}"), json!(value)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].1.contains("hunter2") && found[0].1.contains("path"), "{found:?}");
    }
    // A key that was read is nowhere in what prints.
    let file = with(least(), "/token_hash_key", json!({ "env": "CARGO_PKG_DESCRIPTION" }));
    let shown = format!("{:?} {:?}", config(&file).unwrap(), config(&file).unwrap().builder());
    assert!(!shown.contains(env!("CARGO_PKG_DESCRIPTION")), "{shown}");
}

#[test]
fn secrets_and_files_that_cannot_be_read_are_faults_with_their_place() {
    for (place, value, wanted) in [
        ("/token_hash_key", json!({ "env": "PORTCULLIS_UNSET" }), "it is not set"),
        ("/token_hash_key", json!({ "file": "/nowhere" }), "\"/nowhere\""),
        // 10 bytes: read, and too short.
        ("/token_hash_key", json!({ "env": "CARGO_PKG_NAME" }), "shorter than 16 bytes"),
        ("/issuers/0/fetch_token", json!({ "file": "/nowhere" }), "\"/nowhere\""),
        ("/issuers/0/keys", json!("/nowhere"), "\"/nowhere\" cannot be read"),
        ("/issuers/0/keys", json!(""), "wanted the path"),
        ("/issuers/0/keys", json!("Cargo.toml"), "not a JWK Set"),
        ("/issuers/0/ca_file", json!("/nowhere"), "\"/nowhere\" cannot be read"),
        ("/issuers/0/ca_file", json!("Cargo.toml"), "certificate"),
    ] {
        let found = faults(&with(least(), place, value.clone()));
        assert_eq!(found.len(), 1, "{place} = {value}: {found:?}");
        let dotted = place[1..].replace("/0", "[0]").replace('/', ".");
        assert!(found[0].0 == dotted && found[0].1.contains(wanted), "{value}: {found:?}");
    }
    let mut file = least();
    file["issuers"][0]["keys"] = json!("tests/config/keys.json");
    file["issuers"][0]["jwks_uri"] = json!("https://as.example/jwks");
    assert_eq!(faults(&file)[0].0, "issuers[0].keys");
}

#[test]
fn a_text_that_is_none_is_told_by_line_and_column_only() {
    const SECRET: &str = "hunter2";
    for (text, wanted) in [
        (format!("resource = \"x\"\nkey = {SECRET}\n"), "it is not TOML: line 2, column"),
        (format!("-----BEGIN PRIVATE KEY-----\n{SECRET}"), "it is not TOML: line 1"),
        (format!("{SECRET} = 1\n{SECRET} = 2"), "it is not TOML: line 2, column 1"),
        (format!("[{SECRET}]\n[{SECRET}]"), "it is not TOML: line 2"),
    ] {
        let error = ServerConfig::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains(wanted) && !error.contains(SECRET), "{error}");
    }
    for text in [format!("{{\n \"a\": {SECRET}}}"), format!("{{\n \"a\": \"{SECRET}")] {
        let error = ServerConfig::from_json(&text).unwrap_err().to_string();
        assert!(error.contains("it is not JSON: line 2, column"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
    for text in ["null", "[]", "1", "\"x\""] {
        let error = ServerConfig::from_json(text).unwrap_err();
        assert_eq!(error.faults().len(), 1, "{text}: {error}");
        assert!(error.to_string().contains("a table"), "{text}: {error}");
    }
    let long = format!("# {}", "x".repeat(1024 * 1024));
    for error in [ServerConfig::from_toml(&long), ServerConfig::from_json(&long)] {
        assert!(error.unwrap_err().to_string().contains("longer than 1048576"));
    }
    for (file, wanted) in [
        ("Cargo.lock", "neither with `.toml` nor with `.json`"),
        ("nowhere.toml", "configuration file \"nowhere.toml\""),
        ("src", "neither with"),
    ] {
        let error = ServerConfig::from_file(file).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn json_members_that_stand_twice_are_refused() {
    let text = format!(
        r#"{{"resource": "{RESOURCE}", "binding": "either", "binding": "where_bound",
            "default_class": {{"at_most": "1m", "at_most": "1h"}}, "issuers": [{{"id": "{ISSUER}"}}]}}"#
    );
    let found = told(&ServerConfig::from_json(&text).unwrap_err());
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["binding", "default_class.at_most"], "{found:?}");
}

#[test]
fn an_empty_list_or_null_is_not_read_as_anything() {
    for (place, value) in [
        ("/policies", json!({ "p": { "all_scopes": [], "clients": ["a"] } })),
        ("/policies", json!({ "p": { "all_scopes": null, "clients": ["a"] } })),
        ("/policies", json!({ "p": { "clients": { "of_issuer": ISSUER } } })),
        ("/policies", json!({ "p": { "subjects": [] } })),
        ("/policies", json!({ "p": { "claims": [{ "path": "c", "contains_all": [] }] } })),
        ("/policies", json!({ "p": { "allow_all": false } })),
        ("/policies", json!({ "p": { "allow_all": true, "clients": ["a"] } })),
        ("/policies", json!({ "p": { "step_up": {} } })),
        ("/policies", json!({ "p": {} })),
        ("/policy", json!({})),
        ("/issuers/0/algorithms", json!([])),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "from": [] }]),
        ),
    ] {
        assert_eq!(faults(&with(least(), place, value.clone())).len(), 1, "{place} = {value}");
    }
}

/// A table is read by its members' names, not as a list by their order.
#[test]
fn a_list_is_no_table() {
    for (place, value) in [
        ("/challenge", json!(["realm"])),
        ("/default_class", json!(["15m"])),
        ("/issuers/0/key_refresh", json!(["1m", "1h", "24h", "1s"])),
        ("/issuers/0/dangerous", json!([true])),
        ("/issuers/0/profile", json!(["okta"])),
        ("/metadata", json!(["Notes"])),
    ] {
        let found = faults(&with(least(), place, value.clone()));
        assert_eq!(found.len(), 1, "{place} = {value}: {found:?}");
        assert!(found[0].1.contains("a table"), "{found:?}");
    }
}

#[test]
fn faults_without_end_are_cut() {
    let many: Vec<_> = (0..1000).collect();
    let error = config(&with(least(), "/accept_audiences", json!(many))).unwrap_err();
    assert_eq!(error.faults().len(), 101);
    assert!(error.to_string().contains("accept_audiences[99]: invalid type: integer `99`"));
    assert!(error.to_string().contains("100 faults and more"));
}

#[test]
fn code_adds_what_a_file_cannot_say() {
    let mut file = least();
    file["issuers"] = json!([]);
    assert_eq!(config(&file).unwrap().build().unwrap_err().faults(), [ConfigFault::NoIssuer]);
    let builder = config(&file).unwrap().builder().unwrap();
    let api = builder.issuer(Issuer::discover(ISSUER)).leeway(Duration::from_secs(5)).build();
    assert!(api.is_ok());
    assert!(config(&least()).unwrap().build().is_ok());
}

/// `PORTCULLIS_WRITE_SCHEMA=1 cargo test --test config` writes it.
#[test]
fn the_schema_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/schema.json");
    let current = format!("{:#}\n", json_schema());
    if std::env::var_os("PORTCULLIS_WRITE_SCHEMA").is_some() {
        std::fs::write(path, current).unwrap();
        return;
    }
    assert!(
        current == JSON_SCHEMA,
        "src/config/schema.json is not what the code says: write it with \
         `PORTCULLIS_WRITE_SCHEMA=1 cargo test --test config the_schema`"
    );
}

#[test]
fn the_schema_takes_what_is_good_and_refuses_what_is_not() {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let schema = Schema { root: &schema };
    let full = std::fs::read_to_string(format!("{DIRECTORY}/full.json")).unwrap();
    let full: Value = serde_json::from_str(&full).unwrap();
    schema.check(schema.root, &full).unwrap();
    schema.check(schema.root, &least()).unwrap();
    for (place, value) in [
        ("/surprise", json!(1)),
        ("/binding", json!("bearer")),
        ("/leeway", json!(10)),
        ("/token_hash_key", json!("secret")),
        ("/token_hash_key", json!({ "env": "A", "file": "b" })),
        ("/issuers/0/algorithms", json!(["HS256"])),
        ("/issuers/0/algorithms", json!([])),
        ("/issuers/0/profile", json!("pingfederate")),
        ("/issuers/0/profile", json!({ "bse": "okta" })),
        ("/policies", json!({ "p": { "actor": "maybe" } })),
        ("/policies", json!({ "p": { "claims": [{ "equals": 1 }] } })),
        ("/default_class", json!({})),
        ("/metadata", json!("no")),
    ] {
        let file = with(least(), place, value.clone());
        assert!(schema.check(schema.root, &file).is_err(), "{place} = {value}");
        assert!(!faults(&file).is_empty(), "{place} = {value}");
    }
    // Every member is described.
    let mut bare = Vec::new();
    for (name, table) in schema.root["$defs"].as_object().unwrap() {
        for (member, said) in table["properties"].as_object().into_iter().flatten() {
            if said.get("description").is_none() {
                bare.push(format!("{name}.{member}"));
            }
        }
    }
    assert_eq!(bare, [""; 0]);
}

/// As much of JSON Schema as this schema uses.
struct Schema<'a> {
    root: &'a Value,
}

impl Schema<'_> {
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(schema) = schema.as_object() else {
            return if schema == &json!(true) { Ok(()) } else { Err(format!("{schema}")) };
        };
        for (word, wanted) in schema {
            let holds = match word.as_str() {
                "$schema" | "title" | "description" | "default" | "examples" | "format"
                | "$defs" => true,
                "$ref" => {
                    let place = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(self.root.pointer(place).unwrap(), value)?;
                    true
                }
                "type" => match wanted {
                    Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                    kind => is(kind, value),
                },
                "enum" => wanted.as_array().unwrap().contains(value),
                "anyOf" => {
                    wanted.as_array().unwrap().iter().any(|one| self.check(one, value).is_ok())
                }
                "minItems" => value.as_array().is_none_or(|list| !list.is_empty()),
                "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
                "minimum" => value.as_i64().is_none_or(|number| number >= 0),
                // Of names of variables only.
                "pattern" => value.as_str().is_none_or(|text| !text.contains('-')),
                "items" => {
                    for element in value.as_array().into_iter().flatten() {
                        self.check(wanted, element)?;
                    }
                    true
                }
                "required" => wanted.as_array().unwrap().iter().all(|name| {
                    value.as_object().is_none_or(|table| table.contains_key(name.as_str().unwrap()))
                }),
                "properties" => {
                    for (name, wanted) in wanted.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            self.check(wanted, value).map_err(|what| format!("{name}: {what}"))?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    for (name, value) in value.as_object().into_iter().flatten() {
                        if !known.is_some_and(|known| known.contains_key(name)) {
                            self.check(wanted, value).map_err(|what| format!("{name}: {what}"))?;
                        }
                    }
                    true
                }
                other => panic!("`{other}` is not checked here yet"),
            };
            if !holds {
                return Err(format!("{value} is not as `{word}` wants it: {wanted}"));
            }
        }
        Ok(())
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("`{other}` is not checked here yet"),
    }
}

fn words() -> impl Strategy<Value = String> {
    let known: Vec<String> = ["full.json", "faulty.toml"]
        .into_iter()
        .flat_map(|name| {
            let text = std::fs::read_to_string(format!("{DIRECTORY}/{name}")).unwrap();
            let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let one = proptest::sample::select(known);
    prop_oneof![8 => one, 1 => any::<String>(), 1 => Just("a\"b].c[0".to_owned())]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => words().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((words(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = ServerConfig::from_toml(&text);
        let _ = ServerConfig::from_json(&text);
    }

    /// Any value in place of any part of a good file, and any value at all.
    #[test]
    fn no_value_panics(value in values(), at in any::<proptest::sample::Index>()) {
        let _ = config(&value).map(ServerConfig::build);
        let full = std::fs::read_to_string(format!("{DIRECTORY}/full.json")).unwrap();
        let mut full: Value = serde_json::from_str(&full).unwrap();
        let mut tables = Vec::new();
        tables_of(&full, "", &mut tables);
        let table = full.pointer_mut(at.get(&tables).as_str()).unwrap();
        let names: Vec<_> = table.as_object().unwrap().keys().cloned().collect();
        match names.is_empty() {
            true => *table = value,
            false => table[at.get(&names)] = value,
        }
        let _ = config(&full).map(ServerConfig::build);
    }
}
