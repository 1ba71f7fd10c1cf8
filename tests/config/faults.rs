//! Every fault at once, each at its place, and nothing that only follows from another.

use std::collections::BTreeSet;

use portcullis::config::ServerConfig;
use serde_json::{Value, json};

use super::support::{ISSUER, RESOURCE};
use super::{DIRECTORY, asking, config, faults, least, tables_of, told, with};

/// Every kind of fault in one file, none hidden by another.
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
        ("known_tokens_bytes", "whole number"),
        ("first_verifications.max_at_once", "whole number"),
        ("first_verifications.wait_at_most", "wanted a time"),
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
        ("classes[0].binding", "found \"dpopp\""),
        ("classes[1].scopes", "an empty list"),
        ("exceptions[0].until", "expected a string"),
        ("exceptions[0].becuase", "unknown field"),
        ("policies.read.all_scopes", "expected a list"),
        ("policies.\"pay now\".claims[0].eqals", "unknown field"),
        ("policies.\"pay now\".actor", "found \"maybe\""),
        ("policies.\"pay now\".single_use", "expected a boolean"),
        ("dpop.algorithms[1]", "found \"ES521\", wanted one of `RS256`"),
        ("dpop.nonces.mode", "found \"always\", wanted one of `optional`, `required`"),
        ("dpop.nonces.keys[0]", "by reference"),
        ("dpop.public_origins[1].proxy_add", "unknown field"),
        ("dpop.forwarded.style", "found \"xforwarded\", wanted one of `forwarded`, `x_forwarded`"),
        ("dpop.forwarded.peers.trusted", "unknown field"),
        ("mtls.direct", "expected a boolean"),
        ("mtls.forwarded.format", "found \"xfcc\", wanted one of `client_cert`, `envoy`"),
        ("issuers[7].opaque", "expected a boolean"),
        ("introspection[0].prefixes[1]", "expected a string"),
        ("introspection[0].only_where_named", "expected a boolean"),
        ("introspection[0].jwts", "expected a boolean"),
        ("introspection[0].may_lack[0]", "found \"aud\", wanted one of `token_type`, `exp`, `sub`"),
        ("introspection[0].cache_bytes", "whole number"),
        ("introspection[0].audience", "unknown field"),
        ("introspection[0].dangerous.insecure_without_audienc", "unknown field"),
        ("introspection[0].client.secret", "by reference"),
        ("introspection[1].client.method", "found \"basic\", wanted one of `client_secret_basic`"),
        ("replay.client_share", "whole number"),
        (
            "revocation.on_stale",
            "found \"accept\", wanted one of `deny`, `insecure_unbounded`, or a table",
        ),
        ("revocation.when_full", "found \"drop\", wanted one of `refuse`, `fold_cut_offs`"),
        ("revocation.retention", "unknown field"),
        ("revocation.status_lists.require", "expected a boolean"),
        ("revocation.status_lists.on_stale.allow", "unknown field"),
        ("revocation.status_lists.suspended", "found \"ignore\", wanted one of `refuse`"),
        ("revocation.sources[0].speaks_for", "an empty list"),
        ("revocation.sources[0].events.algorithms[1]", "found \"HS256\", wanted one of `RS256`"),
        ("revocation.sources[0].events.audience[0]", "expected a string"),
        ("revocation.sources[0].events.on_high_risk", "found \"block\", wanted one of `refuse`"),
        ("revocation.sources[0].events.on_assurance_decrease", "wanted one of `step_up`, `refuse`"),
        ("revocation.sources[0].events.stream", "unknown field"),
        ("revocation.sources[0].events.push.authorization[0]", "by reference"),
        ("revocation.sources[0].events.push.signature_only", "expected a boolean"),
        ("revocation.sources[0].events.push.verification.bearer", "by reference"),
        ("revocation.sources[1].feed.authorization", "by reference"),
        ("revocation.sources[1].feed.max_records", "whole number"),
        (
            "policies.read.on_stale",
            "found \"never\", wanted one of `deny`, `insecure_unbounded`, or a table",
        ),
        ("policies.read.introspected_by", "expected a string"),
        ("challenge.relm", "unknown field"),
        ("metadata", "`false`, or a table"),
        ("scope_implications.admin", "an empty list"),
        // And what only the builder knows.
        ("resource", "is not an https URL"),
        ("issuers[3].jwks_uri", "is not an https URL"),
        ("issuers[4].id", "`https://as.example` is configured twice"),
        ("issuers[5].keys", "cannot be read"),
        ("dpop.algorithms[2]", "ES256 is named twice"),
        ("dpop.max_age", "not between 1 second and 5 minutes"),
        ("dpop.nonces.lifetime", "not between 10 seconds and 1 hour"),
        ("dpop.nonces.keys[1]", "it is not set"),
        ("dpop.nonces.keys[2]", "a nonce key of 10 bytes"),
        ("dpop.public_origins[0].origin", "more than scheme, host and port"),
        ("dpop.public_origins[0].proxy_removes", "does not begin with a slash"),
        ("dpop.public_origins[1].origin", "`origin` is missing"),
        ("dpop.forwarded.hosts[0]", "a whole top-level domain"),
        ("dpop.forwarded.prefixes[0]", "does not begin with a slash, or ends with one"),
        ("dpop.forwarded.trusted_hops", "not between 1 and 10"),
        ("dpop.forwarded.peers.networks", "trusts everybody"),
        ("dpop.forwarded.peers.certificates[0]", "not canonical base64url"),
        ("mtls.forwarded.trusted_hops", "not between 1 and 10"),
        ("mtls.forwarded.peers", "`peers` is missing"),
        ("issuers[6].algorithms", "`opaque` says that the issuer has no keys"),
        ("issuers[6].fetch_token", "`opaque` says that the issuer has no keys"),
        ("introspection[0].endpoint", "is not an https URL"),
        ("introspection[0].prefixes[0]", "no beginning of a token"),
        ("introspection[0].signed_answers", "`signed_for` wants signed answers"),
        ("introspection[0].signed_for", "is empty"),
        ("introspection[0].ttl", "longer than 10m: a revocation"),
        ("introspection[0].negative_ttl", "longer than the `ttl`"),
        ("introspection[0].timeout", "is not between"),
        ("introspection[0].max_at_once", "number of calls at once of 0"),
        ("introspection[0].ca_file", "cannot be read"),
        ("introspection[0].client.client_id", "`client_id` is missing"),
        ("introspection[0].client.token", "`client_secret_basic` has no `token`"),
        ("introspection[0].client.key_id", "is for `private_key_jwt`"),
        ("introspection[1].issuer", "`issuer` is missing"),
        ("introspection[1].endpoint", "`endpoint` is missing"),
        ("introspection[2].client.client_id", "`bearer` has no `client_id`"),
        ("introspection[2].client.token", "it is not set"),
        ("introspection[2].cache_bytes", "is more than"),
        ("replay.capacity", "capacity of the replay memory of 0"),
        ("revocation.journal", "No such file or directory"),
        ("revocation.claims[0]", "it is always looked at"),
        ("revocation.max_records", "number of revocation records of 0"),
        ("revocation.status_lists.allow_uris_at[0]", "an origin ends with host and port"),
        ("revocation.status_lists.min_ttl", "not between 1 second and 7 days"),
        ("revocation.status_lists.on_stale.allow_for", "`allow_for` is missing"),
        ("revocation.status_lists.application_specific.three", "3 and 12 to 15 are"),
        ("revocation.status_lists.application_specific.4", "3 and 12 to 15 are"),
        ("revocation.status_lists.application_specific.03", "3 and 12 to 15 are"),
        ("revocation.status_lists.max_lists", "number of status lists of 0"),
        ("revocation.status_lists.prefetch[0].uri", "`uri` is missing"),
        ("revocation.sources[0].name", "`name` is missing"),
        ("revocation.sources[0].max_age", "not between 1 second and 366 days"),
        ("revocation.sources[0].events.id", "is not an https URL"),
        ("revocation.sources[0].events.keys", "cannot be read"),
        ("revocation.sources[0].events.subjects.user", "by the format of its identifier"),
        ("revocation.sources[0].events.subjects.email", "a claim without a name"),
        ("revocation.sources[0].events.push.authorization[1]", "it is not set"),
        ("revocation.sources[0].events.push.verification.url", "is not an https URL"),
        ("revocation.sources[0].events.poll.every", "not between 1 second and 24 hours"),
        ("revocation.sources[0].events.poll.long_polling", "keep one of the two"),
        ("revocation.sources[0].events.poll.max_events", "is not between 1 and 1000"),
        ("revocation.sources[0].events.poll.authorization", "it is not set"),
        ("revocation.sources[0].events.poll.bearer", "keep one of the two"),
        ("revocation.sources[1].on_stale", "not between 1 second and 366 days"),
        ("revocation.sources[1].feed.url", "is not an https URL"),
        ("revocation.sources[1].feed.id", "is no URI"),
        ("revocation.sources[1].feed.delta", "in the path or the query"),
        ("revocation.sources[1].feed.every", "not between 1 second and 24 hours"),
        ("revocation.sources[1].feed.max_bytes", "of 0 is not between"),
        ("revocation.sources[1].feed.signed_by.id", "is not an https URL"),
        ("revocation.sources[1].feed.signed_by.profile", "how tokens are written"),
        ("revocation.sources[2].events", "say `push` or `poll`"),
        ("revocation.sources[2].feed", "keep one of the two"),
        ("revocation.sources[2].feed.url", "`url` is missing"),
        ("revocation.sources[3]", "say what it is"),
        ("policies.read.freshness", "not between 1 second and 366 days"),
        ("default_class.at_most", "not between 1 second and 366 days"),
        ("classes[0].clients", "say with `issuers` whose clients"),
        ("classes[2]", "it wants nothing"),
        ("classes[2].clients", "say with `issuers` whose clients"),
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
    for secret in ["correct horse", "hunter2", "pasted"] {
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
        ("/dpop", json!({ "nonces": {} }), "dpop.nonces.mode"),
        ("/dpop", json!({ "nonces": { "mode": "required", "keys": [1] } }), "dpop.nonces.keys[0]"),
        ("/dpop", json!({ "public_origins": [{}] }), "dpop.public_origins[0].origin"),
        ("/mtls", json!({}), "mtls"),
        ("/mtls", json!({ "direct": false }), "mtls"),
        ("/mtls", json!({ "direct": "yes" }), "mtls.direct"),
        ("/mtls", json!({ "forwarded": "envoy" }), "mtls.forwarded"),
        ("/replay", json!({ "capacity": 0, "client_share": 2_000_000 }), "replay.capacity"),
        ("/replay", json!({ "capacity": "all", "client_share": 2_000_000 }), "replay.capacity"),
        ("/replay", json!({ "client_share": 2_000_000 }), "replay.client_share"),
        ("/replay", json!({ "capacity": 10, "client_share": 11 }), "replay.client_share"),
        ("/replay", json!({ "capacity": (1_usize << 28) + 1 }), "replay.capacity"),
        ("/known_tokens_bytes", json!((1_u64 << 36) + 1), "known_tokens_bytes"),
        ("/known_tokens_bytes", json!("32 MiB"), "known_tokens_bytes"),
        ("/known_tokens_bytes", json!(-1), "known_tokens_bytes"),
        ("/known_tokens_bytes", json!(1.5), "known_tokens_bytes"),
        ("/first_verifications", json!("unbounded"), "first_verifications"),
        ("/first_verifications", json!({ "max_at_once": 0 }), "first_verifications.max_at_once"),
        (
            "/first_verifications",
            json!({ "max_at_once": 1_025 }),
            "first_verifications.max_at_once",
        ),
        (
            "/first_verifications",
            json!({ "queue_at_most": 65_537 }),
            "first_verifications.queue_at_most",
        ),
        (
            "/first_verifications",
            json!({ "wait_at_most": "11s" }),
            "first_verifications.wait_at_most",
        ),
        ("/introspection", json!("https://as.example"), "introspection"),
        ("/introspection", json!([7]), "introspection[0]"),
    ] {
        let found = faults(&with(least(), place, value.clone()));
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [fault], "{place} = {value}: {found:?}");
    }
    // What would prove senders is there, and not readable.
    for (dpop, fault) in [
        (json!("on"), "dpop"),
        (json!({ "nonces": "required" }), "dpop.nonces"),
        (json!({ "nonces": { "mode": "always" } }), "dpop.nonces.mode"),
        (json!({ "max_age": 60, "nonces": { "mode": "optional" } }), "dpop.max_age"),
    ] {
        let policy = json!({ "allow_all": true, "binding": "dpop", "require_nonce": true });
        let file = with(with(asking(policy), "/binding", json!("either")), "/dpop", dpop.clone());
        let found = faults(&file);
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, [fault], "{dpop}: {found:?}");
    }
    let file = with(with(least(), "/binding", json!("both")), "/dpop", json!({}));
    assert_eq!(faults(&with(file.clone(), "/mtls", json!("direct")))[0].0, "mtls");
    assert_eq!(faults(&with(file.clone(), "/mtls", json!("direct"))).len(), 1);
    assert_eq!(faults(&file)[0].0, "binding", "its twin, which does not say `mtls` at all");
    // What was taken out of a list does not move what follows.
    let issuers = json!(["x", { "id": ISSUER }, 5, { "id": "http://x" }, { "id": 7 }]);
    let found = faults(&with(least(), "/issuers", issuers));
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["issuers[0]", "issuers[2]", "issuers[4].id", "issuers[3].id"], "{found:?}");
    // Whose clients they are is said, and not readable.
    let two = with(least(), "/issuers", json!([{ "id": ISSUER }, { "id": "https://b.example" }]));
    for (issuers, fault) in
        [(json!("a"), "classes[0].issuers"), (json!([1]), "classes[0].issuers[0]")]
    {
        let class = json!([{ "name": "c", "clients": ["a"], "issuers": issuers, "at_most": "1m" }]);
        let found = faults(&with(two.clone(), "/classes", class));
        assert!(found.len() == 1 && found[0].0 == fault, "{found:?}");
    }
    let class = json!([{ "name": "c", "clients": ["a"], "at_most": "1m" }]);
    let found = faults(&with(two.clone(), "/classes", class));
    assert!(found.len() == 1 && found[0].0 == "classes[0].clients", "{found:?}");
    for (clients, fault) in [
        (json!(["a"]), "policies.p.clients"),
        (json!({ "one_of": ["a"], "of_issuer": 1 }), "policies.p.clients.of_issuer"),
    ] {
        let found = faults(&with(two.clone(), "/policies", json!({ "p": { "clients": clients } })));
        assert!(found.len() == 1 && found[0].0 == fault, "{found:?}");
    }
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
    let free = [
        "/policies",
        "/scope_implications",
        "/challenge/params",
        "/metadata/localized",
        "/revocation/sources/0/events/subjects",
    ];
    let mut seen = 0;
    for table in tables {
        if free.contains(&table.as_str()) {
            continue;
        }
        let secret = ["/token_hash_key", "/fetch_token", "/authorization", "/bearer"];
        let client = ["/client/secret", "/client/key", "/client/token"];
        let secret = secret.iter().chain(&client).any(|name| table.ends_with(name))
            || table.starts_with("/dpop/nonces/keys/")
            || table.contains("/push/authorization/");
        let file = with(whole.clone(), &format!("{table}/surprise"), json!("s"));
        let error = ServerConfig::from_json(&file.to_string()).unwrap_err().to_string();
        let wanted = match secret {
            true => "by reference",
            // Of any name, and of few values.
            false if table.ends_with("/application_specific") => "found \"s\", wanted one of",
            false => "unknown field `surprise`, expected",
        };
        assert!(error.contains(wanted), "{table}: {error}");
        seen += 1;
    }
    assert!(seen > 60, "{seen} levels");
}

/// What belongs to one format or style, said of another, and what each cannot do without.
#[test]
fn each_way_to_forward_has_its_own_members() {
    let peers = json!({ "networks": ["10.0.0.0/28"] });
    let certificate = |members: Value| {
        let mut forwarded = json!({ "peers": peers });
        forwarded.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        faults(&with(least(), "/mtls", json!({ "forwarded": forwarded })))
    };
    let origin = |members: Value| {
        let mut forwarded = json!({ "peers": peers, "hosts": ["a.example"] });
        forwarded.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        faults(&with(least(), "/dpop", json!({ "forwarded": forwarded })))
    };
    for (found, expected) in [
        (certificate(json!({ "format": "client_cert" })), &[][..]),
        (certificate(json!({ "format": "client_cert", "header": "a-b" })), &["header"]),
        (certificate(json!({ "format": "client_cert", "trusted_hops": 1 })), &["trusted_hops"]),
        (
            certificate(json!({ "format": "client_cert", "front_appends": true })),
            &["front_appends"],
        ),
        (certificate(json!({ "format": "envoy", "trusted_hops": 2 })), &[]),
        (certificate(json!({ "format": "envoy", "front_appends": true })), &[]),
        (certificate(json!({ "format": "envoy", "header": "a-b" })), &["header"]),
        (certificate(json!({ "format": "escaped_pem", "header": "a-b" })), &[]),
        (certificate(json!({ "format": "escaped_pem" })), &["header"]),
        (certificate(json!({ "format": "escaped_pem", "header": "a_b" })), &["header"]),
        (
            certificate(json!({ "format": "escaped_pem", "header": "a-b", "trusted_hops": 1 })),
            &["trusted_hops"],
        ),
        (certificate(json!({ "header": "a-b" })), &["format"]),
        (certificate(json!({ "trusted_hops": 2, "front_appends": true })), &["format"]),
        (certificate(json!({ "format": "pem", "header": "a-b" })), &["format"]),
        (certificate(json!({ "format": "envoy", "peers": {} })), &["peers"]),
        (certificate(json!({ "format": "envoy", "peers": { "verified": false } })), &["peers"]),
        (certificate(json!({ "format": "envoy", "peers": { "verified": true } })), &[]),
        (origin(json!({ "style": "forwarded" })), &[]),
        (origin(json!({ "style": "forwarded", "prefixes": ["/a"] })), &["prefixes"]),
        (origin(json!({ "style": "x_forwarded", "prefixes": ["/a"] })), &[]),
        (origin(json!({ "prefixes": ["/a"] })), &["style"]),
        (origin(json!({ "style": "X-Forwarded", "prefixes": ["/a"] })), &["style"]),
        (origin(json!({ "style": "forwarded", "hosts": [] })), &["hosts"]),
        (origin(json!({ "style": "forwarded", "peers": [] })), &["peers"]),
    ] {
        let places: Vec<_> = found.iter().map(|(at, _)| at.rsplit('.').next().unwrap()).collect();
        assert_eq!(places, expected, "{found:?}");
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
        ("/dpop", json!({ "algorithms": [] })),
        ("/dpop", json!({ "public_origins": [] })),
        ("/dpop", json!({ "nonces": { "mode": "required", "keys": [] } })),
        ("/mtls", json!({ "direct": null })),
        ("/revocation", json!({ "claims": [] })),
        ("/revocation", json!({ "status_lists": { "issuers": [] } })),
        ("/revocation", json!({ "status_lists": { "allow_uris_at": [] } })),
        ("/revocation", json!({ "status_lists": { "algorithms": [] } })),
        ("/revocation", json!({ "status_lists": { "prefetch": [] } })),
        ("/revocation", json!({ "on_stale": null })),
        ("/introspection", json!([null])),
        (
            "/exceptions",
            json!([{ "clients": ["a"], "until": "2027-03-31", "because": "b", "from_networks": [] }]),
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
        ("/dpop", json!([["ES256"]])),
        ("/mtls", json!([true])),
        ("/replay", json!([1, 1])),
        ("/revocation", json!(["journal"])),
        ("/revocation", json!({ "status_lists": [["https://as.example"], true] })),
        ("/revocation", json!({ "on_stale": ["1m"] })),
        ("/introspection", json!([["https://as.example"]])),
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

/// MTLS-10: where the connection's certificates are those of clients, whose chains are verified, a
/// verified peer is any client.
#[test]
fn clients_with_verified_certificates_are_no_proxies() {
    let networks = json!({ "networks": ["10.0.0.0/28"] });
    let verified = json!({ "verified": true });
    let both = json!({ "networks": ["10.0.0.0/28"], "verified": true });
    let certificate = |peers: &Value| json!({ "format": "client_cert", "peers": peers });
    let (mtls, dpop) = ("mtls.forwarded.peers.verified", "dpop.forwarded.peers.verified");
    for (direct, of_mtls, of_dpop, places) in [
        (true, Some(&networks), Some(&networks), &[][..]),
        (true, Some(&verified), None, &[mtls]),
        (true, Some(&both), None, &[mtls]),
        (true, None, Some(&verified), &[dpop]),
        (true, Some(&both), Some(&both), &[dpop, mtls]),
        (false, Some(&verified), Some(&verified), &[]),
        (false, Some(&both), Some(&both), &[]),
    ] {
        let mut table = json!({ "direct": direct });
        if let Some(peers) = of_mtls {
            table["forwarded"] = certificate(peers);
        }
        let mut file = with(least(), "/mtls", table);
        if let Some(peers) = of_dpop {
            let forwarded = json!({ "style": "forwarded", "hosts": ["a.example"], "peers": peers });
            file = with(file, "/dpop", json!({ "forwarded": forwarded }));
        }
        let found = faults(&file);
        let at: Vec<_> = found.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(at, places, "{found:?}");
        for (_, told) in &found {
            assert!(told.contains("name the networks or the certificates"), "{told}");
        }
    }
    // Without mutual TLS no client has a certificate that counts.
    let forwarded = json!({ "style": "forwarded", "hosts": ["a.example"], "peers": verified });
    assert_eq!(faults(&with(least(), "/dpop", json!({ "forwarded": forwarded }))), []);
}
