//! Token Status Lists of another implementation (npm `@sd-jwt/jwt-status-list`, signed by `jose`).

use std::time::Duration;

use portcullis::jose::{Algorithm, JwkSet};
use portcullis::revocation::{
    ExpectedStatusList, Revocation, StatusAction, StatusListToken, StatusLists,
};
use portcullis::testing::{ManualClock, TestIssuer, TestStatusList};
use portcullis::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::cases::Cases;
use crate::introspection::text;
use crate::issuer::Issuer;
use crate::provider::discover;
use crate::service::{Service, notes};

const OK: &str = "200 the notes of alice";
const REVOKED: &str = "401 revoked, Bearer invalid_token";
const SUSPENDED: &str = "401 suspended, Bearer invalid_token";
const UNAVAILABLE: &str = "503 revocation_unavailable";
const CLAIM: &str = "401 malformed_claim, Bearer invalid_token";

fn lists() -> StatusLists {
    StatusLists::new().dangerous().insecure_loopback_http()
}

async fn service(issuer: &Issuer, lists: StatusLists) -> Service {
    let revocation = Revocation::new().status_lists(lists);
    Service::start(notes([discover(&issuer.id)]).revocation(revocation)).await
}

/// The URI of a list.
async fn publish(issuer: &Issuer, list: &Value) -> String {
    text(&issuer.ask("/list", list).await["uri"]).to_owned()
}

/// A token with this place in a list.
async fn token(issuer: &Issuer, uri: &str, index: u64) -> String {
    let status = json!({ "status_list": { "idx": index, "uri": uri } });
    issuer.sign(&json!({ "claims": { "status": status } })).await
}

/// TSL-16 to TSL-18, TSL-20: every status of every width, and what is behind the end of a list.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn statuses_of_another_implementation_are_what_they_were_set_to() {
    let mut cases = Cases::of("jwt-status-list");
    let issuer = Issuer::jose().await;
    let strict = service(&issuer, lists()).await;
    let lenient = lists()
        .suspended(StatusAction::StepUp)
        .application_specific(3, StatusAction::Accept)
        .application_specific(12, StatusAction::Accept);
    let lenient = service(&issuer, lenient).await;
    let step_up = "401 step_up_demanded, Bearer insufficient_user_authentication";
    let outside = "401 status_index_out_of_range, Bearer invalid_token";
    #[rustfmt::skip]
    let rows = [
        (1, vec![0, 1], vec![(0, OK, OK), (1, REVOKED, REVOKED), (7, OK, OK), (8, outside, outside)]),
        (2, vec![0, 1, 2, 3], vec![(0, OK, OK), (1, REVOKED, REVOKED), (2, SUSPENDED, step_up), (3, REVOKED, OK), (4, outside, outside)]),
        (4, vec![0, 1, 2, 12, 4], vec![(0, OK, OK), (1, REVOKED, REVOKED), (2, SUSPENDED, step_up), (3, REVOKED, OK), (4, REVOKED, REVOKED), (5, OK, OK), (6, outside, outside)]),
        (8, vec![0, 1, 2, 255], vec![(0, OK, OK), (1, REVOKED, REVOKED), (2, SUSPENDED, step_up), (3, REVOKED, REVOKED), (4, outside, outside)]),
    ];
    for (bits, statuses, rows) in rows {
        let list = json!({ "name": format!("{bits}-bits"), "bits": bits, "statuses": statuses });
        let uri = publish(&issuer, &list).await;
        for (index, expected, leniently) in rows {
            let token = token(&issuer, &uri, index).await;
            let name = format!("{bits} bits, entry {index}");
            cases.case(&name, strict.told(&token).await, expected);
            cases.case(format!("{name}, other settings"), lenient.told(&token).await, leniently);
        }
    }
}

/// TSL-16, TSL-17: ten thousand statuses of each width, read by either of what the other wrote.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn either_implementation_reads_the_lists_of_the_other() {
    let mut cases = Cases::of("jwt-status-list");
    let issuer = Issuer::jose().await;
    let keys = issuer.ask("/keys", &json!({})).await.to_string();
    let keys = JwkSet::parse(keys.as_bytes(), &[Algorithm::Es256]).unwrap();
    let clock = SystemClock::new();
    let ours = TestIssuer::new("https://login.example", &clock);
    for bits in [1_u8, 2, 4, 8] {
        let most = u64::from(u8::MAX >> (8 - bits)) + 1;
        // Any statuses will do that are all sorts of them.
        let statuses: Vec<u64> = (0..10_000_u64).map(|at| (at * at / 7 + at / 3) % most).collect();
        let list = json!({ "name": format!("all-{bits}"), "bits": bits, "statuses": statuses });
        let published = issuer.ask("/list", &list).await;
        let list = StatusListToken::parse(text(&published["token"])).unwrap();
        let key = keys.find(list.kid(), list.algorithm()).unwrap();
        let expected = ExpectedStatusList::new(text(&published["uri"]), clock.now());
        let read = list.verify(key, &expected.issuer(&issuer.id)).unwrap().into_list();
        let same =
            (0..).zip(&statuses).all(|(at, status)| read.get(at).map(u64::from) == Some(*status));
        cases.holds(format!("{bits} bits: theirs, read here"), same && read.len() == 10_000);

        let list = TestStatusList::new("https://login.example/lists/1", &ours, &clock);
        list.resize(bits, 10_000);
        for (at, status) in (0..).zip(&statuses) {
            list.set(at, u8::try_from(*status).unwrap());
        }
        let read = issuer.ask("/read", &json!({ "list": list.token() })).await;
        let same = read["bits"] == json!(bits) && read["statuses"] == json!(statuses);
        cases.holds(format!("{bits} bits: ours, read there"), same);
    }
}

/// TSL-01, TSL-05, TSL-07 to TSL-10, TSL-13, TSL-16, TSL-19, TSL-23, TSL-24, TSL-30, TSL-31: a list that is not proven is no knowledge, neither yes nor no.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_list_that_cannot_be_trusted_is_an_outage() {
    let mut cases = Cases::of("jwt-status-list");
    let issuer = Issuer::jose().await;
    let service = service(&issuer, lists()).await;
    let now = SystemClock::new().now().as_secs();
    #[rustfmt::skip]
    let rows = [
        ("as it should be", json!({}), OK),
        ("compressed on its way", json!({ "gzip": true }), OK),
        ("without `iss`", json!({ "claims": { "iss": null } }), OK),
        ("without `ttl`", json!({ "claims": { "ttl": null } }), OK),
        ("signed with another key of the issuer", json!({ "key": "ed", "alg": "EdDSA", "header": { "kid": "ed" } }), OK),
        ("`typ` application/statuslist+jwt", json!({ "header": { "typ": "application/statuslist+jwt" } }), OK),
        ("tampered", json!({ "tamper": [1, 1, 1, 1] }), UNAVAILABLE),
        ("`typ` JWT", json!({ "header": { "typ": "JWT" } }), UNAVAILABLE),
        ("`typ` of an access token", json!({ "header": { "typ": "at+jwt" } }), UNAVAILABLE),
        ("`typ` of the other encoding", json!({ "header": { "typ": "statuslist+cwt" } }), UNAVAILABLE),
        ("`sub` of another list", json!({ "claims": { "sub": format!("{}/lists/other", issuer.id) } }), UNAVAILABLE),
        ("without `sub`", json!({ "claims": { "sub": null } }), UNAVAILABLE),
        ("`iss` of another", json!({ "claims": { "iss": "https://other.example" } }), UNAVAILABLE),
        ("for an audience", json!({ "claims": { "aud": "https://notes.example" } }), UNAVAILABLE),
        ("signed by a stranger", json!({ "key": "stranger" }), UNAVAILABLE),
        ("with a MAC", json!({ "key": "mac", "alg": "HS256" }), UNAVAILABLE),
        ("with a key that is used for another algorithm", json!({ "key": "rsa", "alg": "PS256", "header": { "kid": "rsa" } }), UNAVAILABLE),
        ("expired", json!({ "claims": { "exp": now - 1 } }), UNAVAILABLE),
        ("of tomorrow", json!({ "claims": { "iat": now + 86_400 } }), UNAVAILABLE),
        ("without `iat`", json!({ "claims": { "iat": null } }), UNAVAILABLE),
        ("`ttl` of nothing", json!({ "claims": { "ttl": 0 } }), UNAVAILABLE),
        ("`ttl` as text", json!({ "claims": { "ttl": "15" } }), UNAVAILABLE),
        ("of three bits", json!({ "list": { "bits": 3 } }), UNAVAILABLE),
        ("without compression", json!({ "list": { "lst": "5A" } }), UNAVAILABLE),
        ("padded", json!({ "list": { "lst": "eNp7AgAA5QDl=" } }), UNAVAILABLE),
        ("empty", json!({ "list": { "lst": "" } }), UNAVAILABLE),
        ("of another content type", json!({ "type": "application/json" }), UNAVAILABLE),
        ("as a CWT", json!({ "type": "application/statuslist+cwt" }), UNAVAILABLE),
        ("no JWT", json!({ "body": "nothing" }), UNAVAILABLE),
        ("with text around it", json!({ "body": " eyJ.eyJ.x " }), UNAVAILABLE),
        ("404", json!({ "status": 404 }), UNAVAILABLE),
        ("500", json!({ "status": 500 }), UNAVAILABLE),
    ];
    for (name, changes, expected) in rows {
        let mut list = json!({ "name": name, "statuses": [0, 0, 0, 0] });
        list.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        list["name"] = cases_name(name).into();
        let uri = publish(&issuer, &list).await;
        let token = token(&issuer, &uri, 0).await;
        cases.case(format!("a list {name}"), service.told(&token).await, expected);
    }

    // What the token says of its list.
    let uri = publish(&issuer, &json!({ "name": "good", "statuses": [0, 1] })).await;
    let required = self::service(&issuer, lists().require()).await;
    let missing = "401 status_missing, Bearer invalid_token";
    let elsewhere = "401 status_uri_not_allowed, Bearer invalid_token";
    #[rustfmt::skip]
    let rows = [
        ("a place in a list", json!({ "status_list": { "idx": 0, "uri": uri } }), OK, OK),
        ("a place, and another mechanism", json!({ "x": {}, "status_list": { "idx": 1, "uri": uri } }), REVOKED, REVOKED),
        ("nothing", Value::Null, OK, missing),
        ("another mechanism", json!({ "x": {} }), OK, missing),
        ("no mechanism", json!({}), CLAIM, CLAIM),
        ("text", json!("valid"), CLAIM, CLAIM),
        ("an index as text", json!({ "status_list": { "idx": "0", "uri": uri } }), CLAIM, CLAIM),
        ("an index below zero", json!({ "status_list": { "idx": -1, "uri": uri } }), CLAIM, CLAIM),
        ("an index with a fraction", json!({ "status_list": { "idx": 0.5, "uri": uri } }), CLAIM, CLAIM),
        ("no index", json!({ "status_list": { "uri": uri } }), CLAIM, CLAIM),
        ("a list elsewhere", json!({ "status_list": { "idx": 0, "uri": "https://mallory.example/1" } }), elsewhere, elsewhere),
        ("a list at another port", json!({ "status_list": { "idx": 0, "uri": "http://127.0.0.1:9/1" } }), elsewhere, elsewhere),
        ("a file", json!({ "status_list": { "idx": 0, "uri": "file:///etc/passwd" } }), elsewhere, elsewhere),
    ];
    for (name, status, expected, where_required) in rows {
        let token = issuer.sign(&json!({ "claims": { "status": status } })).await;
        cases.case(format!("`status` is {name}"), service.told(&token).await, expected);
        let name = format!("`status` is {name}, and a list is wanted");
        cases.case(name, required.told(&token).await, where_required);
    }
}

fn cases_name(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// TSL-12: a list is fetched again when its time is over, and does not go back.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_list_that_changes_is_seen_when_its_time_is_over() {
    let mut cases = Cases::of("jwt-status-list");
    let issuer = Issuer::jose().await;
    let clock = ManualClock::new();
    clock.set(SystemClock::new().now());
    let revocation = Revocation::new().status_lists(lists());
    let builder = notes([discover(&issuer.id)]).revocation(revocation).clock(clock.clone());
    let service = Service::start(builder).await;
    let iat = |seconds: u64| clock.now().plus(Duration::from_secs(seconds)).as_secs();
    let list = |iat: u64, first: u8| json!({ "name": "changing", "statuses": [first, 0, 1], "claims": { "iat": iat } });
    let started = clock.now();
    let uri = publish(&issuer, &list(iat(0), 0)).await;
    let first = token(&issuer, &uri, 0).await;
    let second = token(&issuer, &uri, 1).await;
    let third = token(&issuer, &uri, 2).await;
    cases.case("valid", service.told(&first).await, OK);

    publish(&issuer, &list(iat(1), 1)).await;
    cases.case("revoked a moment ago", service.told(&first).await, OK);
    clock.advance(Duration::from_secs(16));
    cases.case("revoked, and its time is over", service.told(&first).await, REVOKED);
    cases.case("its neighbour", service.told(&second).await, OK);

    publish(&issuer, &list(started.as_secs(), 0)).await;
    clock.advance(Duration::from_secs(16));
    cases.case("an older list: still revoked", service.told(&first).await, REVOKED);
    cases.case(
        "an older list: no knowledge of its neighbour",
        service.told(&second).await,
        UNAVAILABLE,
    );
    cases.case("an older list: the third is revoked for good", service.told(&third).await, REVOKED);

    publish(&issuer, &list(iat(0), 0)).await;
    clock.advance(Duration::from_secs(16));
    // "No" needs no freshness, and waits for none.
    cases.case("a newer list: its neighbour", service.told(&second).await, OK);
    cases.case("a newer list: taken back", service.told(&first).await, OK);
}
