//! What each member does.

use std::time::Duration;

use portcullis::config::ServerConfig;
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, challenges};
use portcullis::{ConfigFault, Issuer, RejectionKind};
use serde_json::{Value, json};

use super::support::{ISSUER, RESOURCE};
use super::{DIRECTORY, Desk, asking, built, config, faults, least, with};

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
            json!({ "accept_id_tokens": true, "require_claims": [{ "claim": "sub", "one_of": ["a"] }] }),
            "/issuers/0/profile/id_tokens",
            json!("accept"),
        ),
        (
            "/issuers/0/profile",
            profile("require_claims", json!([{ "claim": "use", "one_of": ["a", 1] }])),
            "/issuers/0/profile/require_claims/0",
            json!({ "claim": "use", "one_of": ["a", 1] }),
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
        ("/default_class/binding", json!("mtls"), "/classes/0/binding", json!("mtls")),
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
            json!([{ "name": "c", "scopes": ["a"], "binding": "both" }]),
            "/classes/1",
            json!({ "name": "c", "scopes": ["a"], "binding": "both" }),
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
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "of_issuer": ISSUER, "at_most": "5m", "from_networks": ["10.0.0.0/8"] }]),
            "/exceptions/0/because",
            json!("b"),
        ),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "of_issuer": ISSUER }]),
            "/exceptions/0/of_issuer",
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
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "from_networks": ["10.0.0.0/8"] }]),
            "/exceptions/0/from_networks",
            json!(["10.0.0.0/8"]),
        ),
        (
            "/policy",
            json!({ "all_scopes": ["a"] }),
            "/policies/0/all_of",
            json!([{ "all_scopes": ["a"] }]),
        ),
        ("/scope_implications", json!({ "a": ["b"] }), "/scope_implications/a", json!(["b"])),
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
    assert!(
        at("issuers[0].algorithms[0]") && at("binding") && at("classes[0].at_most"),
        "{found:?}"
    );
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
