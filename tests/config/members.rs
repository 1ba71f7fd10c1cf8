//! What each member does.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis::config::ServerConfig;
use portcullis::jose::Algorithm;
use portcullis::testing::{HeldVerifications, ManualClock, challenges};
use portcullis::{ConfigFault, Issuer, RejectionKind};
use serde_json::{Value, json};

use super::report::members_of;
use super::support::ISSUER;
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
    assert_eq!(toml.0["issuers"].as_array().unwrap().len(), 5);
    assert_eq!(toml.0["policies"].as_object().unwrap().len(), 4);
}

#[test]
fn every_word_of_a_list_is_read() {
    let algorithms: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
    let file = with(least(), "/issuers/0/algorithms", json!(algorithms));
    let policy = built(&file).unwrap().effective_policy();
    assert_eq!(policy["issuers"][0]["algorithms"], json!(algorithms));

    let bound = with(with(least(), "/dpop", json!({})), "/mtls", json!({ "direct": true }));
    for binding in ["where_bound", "either", "dpop", "mtls", "both"] {
        let file = with(bound.clone(), "/binding", json!(binding));
        assert_eq!(built(&file).unwrap().effective_policy()["binding"], binding);
    }
    // Proofs are signed with some of the algorithms, and the others are told from them.
    for algorithm in algorithms {
        let file = with(least(), "/dpop", json!({ "algorithms": [algorithm] }));
        match ["ES256", "EdDSA", "Ed25519", "ES384", "PS256", "RS256"].contains(&algorithm) {
            true => {
                let policy = built(&file).unwrap().effective_policy();
                assert_eq!(policy["dpop"]["algorithms"], json!([algorithm]));
            }
            false => assert_eq!(faults(&file)[0].0, "dpop.algorithms[0]"),
        }
    }
    let peers = json!({ "networks": ["10.0.0.0/28"] });
    for (place, table) in [
        ("/dpop", json!({ "nonces": { "mode": "optional" } })),
        ("/dpop", json!({ "nonces": { "mode": "required" } })),
        (
            "/dpop",
            json!({ "forwarded": { "style": "forwarded", "hosts": ["a.b"], "peers": peers } }),
        ),
        (
            "/dpop",
            json!({ "forwarded": { "style": "x_forwarded", "hosts": ["a.b"], "peers": peers } }),
        ),
        ("/mtls", json!({ "forwarded": { "format": "client_cert", "peers": peers } })),
        ("/mtls", json!({ "forwarded": { "format": "envoy", "peers": peers } })),
        (
            "/mtls",
            json!({ "forwarded": { "format": "escaped_pem", "header": "a-b", "peers": peers } }),
        ),
    ] {
        let policy = built(&with(least(), place, table.clone())).unwrap().effective_policy();
        let said = |table: &Value| {
            ["/nonces/mode", "/forwarded/style", "/forwarded/format"]
                .map(|word| table.pointer(word).cloned())
        };
        assert_eq!(said(&policy[&place[1..]]), said(&table), "{table}");
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
        assert_eq!(policy["issuers"][0]["profile"]["base"], profile);
    }
    for test in [
        json!({ "equals": "x" }),
        json!({ "starts_with": "x" }),
        json!({ "present": true }),
        json!({ "absent": true }),
        json!({ "same_as": "x" }),
        json!({ "same_as": "x", "suffix": "@y" }),
    ] {
        let mut rule = test.clone();
        rule["kind"] = json!("client");
        rule["claim"] = json!("sub");
        let profile = json!({ "subject_kinds": [rule.clone()] });
        let policy =
            built(&with(least(), "/issuers/0/profile", profile)).unwrap().effective_policy();
        assert_eq!(policy["issuers"][0]["profile"]["subject_kinds"], json!([rule]), "{test}");
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
    // These do not stand in the effective policy: each has to be asserted here.
    let names = |place: &str| -> BTreeSet<String> {
        file.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names("/challenge"), members_of("Challenge"));
    assert_eq!(names("/metadata/localized/de"), members_of("Localized"));
    let mut metadata = names("/metadata");
    metadata.insert("without_scopes".to_owned());
    assert_eq!(metadata, members_of("MetadataTable"));
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

/// The room for known tokens: as much as the file says, none for zero, and the usual room where it says
/// nothing; and what is more than there can be is a fault.
#[tokio::test]
async fn a_file_says_how_much_room_known_tokens_have() {
    const MOST: u64 = 64 << 30;
    for (said, room, kept) in
        [(None, 32 << 20, 1), (Some(0), 0, 0), (Some(1 << 20), 1 << 20, 1), (Some(MOST), MOST, 1)]
    {
        let mut file = asking(json!({ "allow_all": true }));
        if let Some(bytes) = said {
            file["known_tokens_bytes"] = json!(bytes);
        }
        let desk = Desk::new(&file).await;
        assert_eq!(desk.api.effective_policy()["known_tokens_bytes"], room, "{said:?}");
        desk.ask(&desk.token(), None).await.unwrap();
        let health = desk.api.known_tokens_health();
        assert_eq!((health.bytes_at_most, health.tokens), (room, kept), "{said:?}");
    }
    let found = faults(&with(least(), "/known_tokens_bytes", json!(MOST + 1)));
    let text = "room for known tokens of 68719476737 bytes is more than 68719476736";
    assert!(found.len() == 1 && found[0].1.contains(text), "{found:?}");
    let builder = config(&least()).unwrap().builder().unwrap().known_tokens_bytes(MOST + 1);
    let error = builder.build().unwrap_err();
    let fault = &error.faults()[0];
    assert!(
        matches!(fault, ConfigFault::KnownTokens { found, maximum, .. } if (*found, *maximum) == (MOST + 1, MOST)),
        "{error}"
    );
}

/// How many tokens are verified at once: what the file says of it, and the rest as ever; `false` for no
/// bound.
#[tokio::test]
async fn a_file_says_how_many_tokens_are_verified_at_once() {
    let usual = json!({
        "max_at_once": "all threads but one", "queue_at_most": 16_384, "wait_at_most": "1s",
    });
    let all = json!({ "max_at_once": 3, "queue_at_most": 0, "wait_at_most": "250ms" });
    let three = json!({ "max_at_once": 3, "queue_at_most": 16_384, "wait_at_most": "1s" });
    for (said, shown) in [
        (None, &usual),
        (Some(json!({})), &usual),
        (Some(json!(true)), &usual),
        (Some(all.clone()), &all),
        (Some(json!({ "max_at_once": 3 })), &three),
        (Some(json!(false)), &json!(false)),
    ] {
        let mut file = asking(json!({ "allow_all": true }));
        if let Some(said) = &said {
            file["first_verifications"] = said.clone();
        }
        let desk = Desk::new(&file).await;
        assert_eq!(&desk.api.effective_policy()["first_verifications"], shown, "{said:?}");
        let found = desk.api.first_verification_health().map(|health| health.max_at_once);
        let threads = std::thread::available_parallelism().unwrap().get();
        let wanted = match shown.get("max_at_once") {
            None => None,
            Some(number) if number.is_number() => Some(3),
            Some(_) => Some((threads - 1).max(1)),
        };
        assert_eq!(found, wanted, "{said:?}");
        desk.ask(&desk.token(), None).await.unwrap();
    }
    let mut file = asking(json!({ "allow_all": true }));
    file["first_verifications"] = all;
    let desk = Desk::new(&file).await;
    let held = HeldVerifications::of(&desk.api);
    let refused = desk.ask(&desk.token(), None).await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::VerificationOverloaded);
    drop(held);
    desk.ask(&desk.token(), None).await.unwrap();
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

/// A class or a policy that wants to know of revocation does not build where nobody tells of it.
#[test]
fn a_freshness_without_a_source_of_revocation_is_a_fault() {
    let mut file = asking(json!({ "allow_all": true, "freshness": "1m", "on_stale": "deny" }));
    file["default_class"]["freshness"] = json!("1m");
    file["classes"] = json!([{ "name": "c", "scopes": ["a"], "freshness": "30s" }]);
    for (revocation, fresh) in [
        (json!({}), false),
        (json!({ "status_lists": false }), false),
        (json!({ "status_lists": true }), true),
    ] {
        let file = with(file.clone(), "/revocation", revocation);
        let found = faults(&file);
        for place in [
            "default_class.freshness",
            "classes[0].freshness",
            "policies.p.freshness",
            "policies.p.on_stale",
        ] {
            let of = |(at, what): &(String, String)| at == place && what.contains("revocation");
            assert_eq!(found.iter().any(of), !fresh, "{place}: {found:?}");
        }
    }
    assert_eq!(faults(&file).len(), 4);
}

/// FAPI-03, FAPI-06: the switch is the builder's.
#[test]
fn a_security_profile_holds_the_whole_file_to_it() {
    let mut file = with(least(), "/security_profile", json!("fapi2"));
    file["issuers"][0]["algorithms"] = json!(["RS256"]);
    file["classes"] = json!([{ "name": "c", "scopes": ["a"], "at_most": "2h" }]);
    let tenant = json!({ "id": "https://blue.example", "algorithms": ["ES256", "RS256"] });
    file["tenants"] = json!({ "at_most": 10, "issuers": [tenant] });
    let found = faults(&file);
    let at =
        |place: &str| found.iter().any(|(found, what)| found == place && what.contains("FAPI"));
    assert!(
        at("issuers[0].algorithms[0]") && at("binding") && at("classes[0].at_most"),
        "{found:?}"
    );
    // Tenants are held to it as well.
    assert!(at("tenants.issuers[0].algorithms[1]"), "{found:?}");
    // And somebody has to say what is revoked.
    let mut file = with(least(), "/security_profile", json!("fapi2"));
    file["binding"] = json!("dpop");
    file["dpop"] = json!({});
    let found = faults(&file);
    assert!(found.len() == 1 && found[0].0 == "revocation", "{found:?}");
    file["revocation"] = json!({ "status_lists": true });
    assert_eq!(faults(&file), []);
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
