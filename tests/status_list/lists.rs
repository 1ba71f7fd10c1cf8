//! Which lists are believed. What is wrong with a list is never held against a token, and never a yes.

use std::time::Duration;

use portcullis::jose::base64url;
use portcullis::revocation::StatusLists;
use portcullis::testing::{TestIssuer, TestKey, TestStatusList, TokenBuilder};
use portcullis::time::Timestamp;
use portcullis::{RejectionKind as Kind, jose::Algorithm};
use serde_json::{Value, json};

use crate::world::{LIST, MINUTE, SECOND, World};

/// What was done to a list, and what the operator is told of it.
struct Bad {
    id: &'static str,
    name: String,
    spoil: Box<dyn Fn(&TestStatusList)>,
    told: &'static str,
}

fn bad(
    id: &'static str,
    name: impl Into<String>,
    told: &'static str,
    spoil: impl Fn(&TestStatusList) + 'static,
) -> Bad {
    Bad { id, name: name.into(), spoil: Box::new(spoil), told }
}

/// The token of the list was changed.
fn edited(
    id: &'static str,
    name: impl Into<String>,
    told: &'static str,
    edit: impl Fn(TokenBuilder) -> TokenBuilder + Clone + Send + Sync + 'static,
) -> Bad {
    bad(id, name, told, move |list| {
        list.edit(edit.clone());
    })
}

/// Each is 503 with the reason told to operators; and a second later, when it is mended, the token
/// passes.
async fn refuse_each(bad: impl IntoIterator<Item = Bad>) {
    for Bad { id, name, spoil, told } in bad {
        let name = format!("{id} {name}");
        let world = World::new().await;
        spoil(&world.list);
        world.assert_unavailable(0, &name).await;
        let health = world.health();
        let error = health.last_error.expect(&name);
        assert!(error.contains(told), "{name}: {error}");
        assert_eq!((health.fetches, health.failed, health.entries), (0, 1, None), "{name}");

        world.list.mend();
        world.advance(SECOND).await;
        assert_eq!(world.kind(0).await, None, "{name}");
        assert_eq!(world.health().last_error, None, "{name}");
    }
}

/// TSL-08, TSL-09, TSL-10, TSL-13, TSL-16: each claim of a list.
#[tokio::test]
async fn a_list_with_a_wrong_claim_is_not_believed() {
    let claim = |id, name: &str, told, claim: &'static str, value: Value| {
        edited(id, format!("{claim} {name}"), told, move |token| token.claim(claim, &value))
    };
    let without = |id, told, name| edited(id, format!("no {name}"), told, move |t| t.without(name));
    let status_list = |value| claim("TSL-16", "", "", "status_list", value);
    let at = |time: i64| 1_800_000_000 + time;
    let mut rows = vec![
        without("TSL-08", "claim `sub` is absent", "sub"),
        without("TSL-08", "claim `iat` is absent", "iat"),
        without("TSL-08", "claim `status_list` is absent", "status_list"),
        claim("TSL-09", "of another list", "`sub` is", "sub", json!("https://as.example/lists/2")),
        claim("TSL-09", "with a slash", "`sub` is", "sub", json!(format!("{LIST}/"))),
        claim("TSL-09", "in other letters", "`sub` is", "sub", json!("https://AS.example/lists/1")),
        claim("TSL-09", "as an array", "`sub` is not", "sub", json!([LIST])),
        claim("TSL-23", "of another", "`iss` is", "iss", json!("https://other.example")),
        claim("TSL-23", "that is no text", "`iss` is not", "iss", json!(["https://as.example"])),
        claim("TSL-25", "", "`aud`", "aud", json!("https://rs.example")),
        claim("TSL-10", "now", "`exp` is", "exp", json!(at(0))),
        claim("TSL-10", "a second ago", "`exp` is", "exp", json!(at(-1))),
        claim("TSL-10", "as text", "`exp` is not", "exp", json!("4102444800")),
        claim("TSL-10", "of null", "`exp` is not", "exp", json!(null)),
        claim("TSL-08", "ahead", "`iat` is", "iat", json!(at(61))),
        claim("TSL-08", "as text", "`iat` is not", "iat", json!("1")),
        claim("TSL-25", "ahead", "`nbf` is", "nbf", json!(at(61))),
    ];
    for ttl in [json!(0), json!(-1), json!("x"), json!("300"), json!(null), json!([300])] {
        rows.push(claim("TSL-13", &ttl.to_string(), "`ttl` is not", "ttl", ttl.clone()));
    }
    for list in [json!([]), json!("eNrbuRgAAhcBXQ"), json!(null)] {
        rows.push(Bad { told: "`status_list` is not an object", ..status_list(list) });
    }
    let lst = "eNrbuRgAAhcBXQ";
    for bits in [json!(3), json!(0), json!(16), json!("1"), json!(1.0), json!(-1), json!(null)] {
        let list = json!({ "bits": bits, "lst": lst });
        rows.push(Bad { told: "`bits` is not", ..status_list(list) });
    }
    rows.push(Bad { told: "`bits` is not", ..status_list(json!({ "lst": lst })) });
    for list in [json!({ "bits": 1 }), json!({ "bits": 1, "lst": 7 })] {
        rows.push(Bad { told: "`status_list.lst` is not a string", ..status_list(list) });
    }
    refuse_each(rows).await;
}

/// TSL-08, TSL-10, TSL-13: the twins of the rows above.
#[tokio::test]
async fn a_list_may_say_more_and_less() {
    let at = |time: u64| Timestamp::from_secs(1_800_000_000 + time);
    let before = Timestamp::from_secs(1_500_000_000);
    type Edit = fn(TokenBuilder) -> TokenBuilder;
    let edits: [(&str, Edit); 9] = [
        ("no iss", |token| token.without("iss")),
        ("no ttl", |token| token.without("ttl")),
        ("a fraction of a second", |token| token.claim("ttl", 300.5)),
        ("a kid and another claim", |token| token.claim("foo", "bar")),
        ("typ with its prefix", |token| token.header("typ", "application/statuslist+jwt")),
        ("typ in capitals", |token| token.header("typ", "StatusList+JWT")),
        ("nbf", |token| token.claim("nbf", 1_800_000_060)),
        ("no kid", |token| token.without_header("kid")),
        ("an aggregation_uri", |token| {
            let list = json!({ "bits": 1, "lst": "eNrbuRgAAhcBXQ", "aggregation_uri": "x" });
            token.claim("status_list", list)
        }),
    ];
    for (name, edit) in edits {
        let world = World::new().await;
        world.list.edit(edit);
        let index = if name == "an aggregation_uri" { 1 } else { 0 };
        assert_eq!(world.kind(index).await, None, "{name}");
    }
    for (issued_at, expires_at) in [(before, None), (at(60), None), (at(0), Some(at(1)))] {
        let world = World::new().await;
        world.list.issued_at(issued_at).expires_at(expires_at);
        assert_eq!(world.kind(0).await, None, "{issued_at} {expires_at:?}");
    }
}

/// TSL-08, TSL-23, TSL-24, TSL-25: form, header, signature.
#[tokio::test]
async fn a_list_that_is_not_signed_by_the_issuer_is_not_believed() {
    let header = |id, told, name: &'static str, value: Value| {
        edited(id, format!("{name} {value}"), told, move |token| token.header(name, &value))
    };
    let body = |name, told, change: fn(String) -> String| {
        bad("TSL-25", name, told, move |list| {
            list.body(change(list.token()));
        })
    };
    let mut rows = vec![
        edited("TSL-08", "no typ", "`typ`", |token| token.without_header("typ")),
        header("TSL-24", "`alg`", "alg", json!("HS256")),
        header("TSL-25", "`alg`", "alg", json!("none")),
        header("TSL-25", "`alg`", "alg", json!("es256")),
        header("TSL-25", "no key", "alg", json!("ES384")),
        header("TSL-25", "not allowed", "alg", json!("ES512")),
        header("TSL-25", "`crit`", "crit", json!(["exp"])),
        header("TSL-25", "`b64`", "b64", json!(false)),
        header("TSL-25", "`zip`", "zip", json!("DEF")),
        header("TSL-23", "no key", "kid", json!("other")),
        bad("TSL-08", "another key", "signature", |list| {
            list.sign_with(TestKey::generate(Algorithm::Es256, "k1"));
        }),
        edited("TSL-25", "a key of its own", "no key", |token| {
            token.header("jwk", json!({ "kty": "oct", "k": "AA" })).header("kid", "mine")
        }),
        edited("TSL-25", "a claim twice", "twice", |token| token.repeated_claim("sub", "\"x\"")),
        edited("TSL-25", "a payload of text", "payload", |token| token.raw_payload("x")),
        body("no signature", "signature is empty", |token| {
            token[..=token.rfind('.').unwrap()].to_owned()
        }),
        body("a part too few", "three parts", |token| {
            token[..token.rfind('.').unwrap()].to_owned()
        }),
        body("a part too many", "three parts", |token| format!("{token}.x")),
        body("five parts", "encrypted", |token| format!("{token}.x.x")),
        body("padding", "base64url", |token| format!("{token}=")),
        body("a line feed", "base64url", |token| format!("{token}\n")),
        body("another signature", "signature", |token| {
            let (input, signature) = token.rsplit_once('.').unwrap();
            let mut signature = base64url::decode(signature).unwrap();
            signature[5] ^= 1;
            format!("{input}.{}", base64url::encode(signature))
        }),
        body("nothing", "no dot", |_| String::new()),
        body("JSON", "no dot", |_| "{}".to_owned()),
    ];
    for typ in ["JWT", "at+jwt", "statuslist+cwt", "statuslist", "secevent+jwt"] {
        rows.push(header("TSL-08", "`typ` is not", "typ", json!(typ)));
    }
    rows.push(bad("TSL-25", "no text", "not text", |list| {
        list.body([0xff, 0xfe]);
    }));
    refuse_each(rows).await;
}

/// TSL-23: another issuer that is trusted as well cannot say anything about these tokens, at the same
/// URI and with a key of the same name.
#[tokio::test]
async fn tsl_23_a_list_of_another_issuer_is_not_believed() {
    let mut parts = crate::world::Parts::new();
    let other = TestIssuer::new("https://other.example", &parts.clock);
    parts.others.push(other.clone());
    parts.lists = StatusLists::new().allow_uris_at("https://other.example");
    let theirs = TestStatusList::new("https://other.example/lists/1", &other, &parts.clock);
    parts.network = parts.network.with_list(&theirs);
    let world = parts.build().await;
    let status = theirs.reference(0);
    let ours = world.token(0).claim("status", &status);
    assert_eq!(world.kind_of(&ours).await, Some(Kind::RevocationUnavailable));
    let own = other.token("https://rs.example").claim("status", &status);
    assert_eq!(world.kind_of(&own).await, None);
    assert_eq!(world.kind_of(&ours).await, Some(Kind::RevocationUnavailable), "still");
}

/// TSL-25, decision 3: lists have algorithms of their own, if that is said.
#[tokio::test]
async fn lists_have_algorithms_of_their_own() {
    let with = |algorithms: &[Algorithm]| {
        World::with(StatusLists::new().algorithms(algorithms.iter().copied()))
    };
    assert_eq!(with(&[Algorithm::Es256]).await.kind(0).await, None);
    let world = with(&[Algorithm::EdDsa]).await;
    world.assert_unavailable(0, "ES256 is not among them").await;
    assert!(world.health().last_error.unwrap().contains("ES256"));
    assert_eq!(world.kind_of(&world.token(0).without("status")).await, None, "of tokens it is");
}

/// TSL-16: `lst` is one zlib stream in base64url.
#[tokio::test]
async fn tsl_16_only_one_zlib_stream_is_a_list() {
    let lst = |name, told, lst: String| {
        bad("TSL-16", name, told, move |list| {
            list.lst(&lst);
        })
    };
    let good = [0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5d];
    let encode = |octets: &[u8]| base64url::encode(octets);
    let edited = |at: usize| {
        let mut octets = good;
        octets[at] ^= 1;
        encode(&octets)
    };
    let gzip = [
        0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff, 0xdb, 0xb9, 0x18, 0, 0x0f, 0x35, 0xf2, 0x15, 2,
        0, 0, 0,
    ];
    refuse_each([
        lst("nothing", "zlib", String::new()),
        lst("raw deflate", "zlib", encode(&good[2..6])),
        lst("gzip", "zlib", encode(&gzip)),
        lst("another checksum", "zlib", edited(9)),
        lst("another header", "zlib", edited(1)),
        lst("its start", "zlib", encode(&good[..9])),
        lst("an octet more", "zlib", encode(&[&good[..], &[0]].concat())),
        lst("padding", "base64url", format!("{}==", encode(&good))),
        lst("base64", "base64url", "eNrbuRgAAhcBXQ+/".to_owned()),
        lst("white space", "base64url", format!(" {}", encode(&good))),
        lst("unused bits", "base64url", "eNrbuRgAAhcBXR".to_owned()),
    ])
    .await;
    let world = World::new().await;
    world.list.lst(encode(&good));
    assert_eq!(world.kind(0).await, Some(Kind::Revoked), "the first of b9 a3");
    assert_eq!(world.kind(1).await, None, "the second");
}

/// TSL-19, decision 14: while a bad list is served, what is held is held, and counts as long as it may.
#[tokio::test]
async fn tsl_19_a_bad_list_replaces_nothing() {
    let world = World::new().await;
    world.list.set(1, 1);
    assert_eq!(world.kind(0).await, None);
    world.list.sign_with(TestKey::generate(Algorithm::Es256, "k1")).set(0, 1);
    world.advance(Duration::from_secs(280)).await;
    assert!(world.health().failed > 0, "it was looked at");
    assert_eq!(world.kind(0).await, None, "forged");
    assert_eq!(world.kind(1).await, Some(Kind::Revoked));
    world.advance(Duration::from_secs(21)).await;
    world.assert_unavailable(0, "five minutes are over").await;
    world.list.mend();
    world.advance(MINUTE).await;
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
}
