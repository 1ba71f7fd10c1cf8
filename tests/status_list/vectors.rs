//! The lists that were published with the standard, and the one that is signed.

use std::collections::HashMap;
use std::time::Duration;

use portcullis::jose::{Algorithm, PublicKey, base64url};
use portcullis::revocation::{
    ExpectedStatusList, SignedStatusList, StatusList, StatusListError, StatusListToken,
};
use portcullis::testing::{ManualClock, TestIssuer, TestStatusList};
use portcullis::time::{Clock as _, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::ISSUER;
use crate::world::LIST;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    source: String,
    lists: Vec<List>,
    token: Token,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    id: String,
    source: String,
    bits: u8,
    entries: u64,
    lst: String,
    /// Those that are not named are 0.
    statuses: HashMap<u64, u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    id: String,
    source: String,
    jwk: Value,
    jwt: String,
    claims: Value,
}

fn vectors() -> Vectors {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../vectors/status_lists.json")).unwrap();
    assert!(vectors.source.starts_with("draft-ietf-oauth-status-list"));
    vectors
}

/// TSL-16, TSL-17: the two worked lists and the four of 2^20 entries, every entry of them.
#[test]
fn every_published_list_is_read() {
    let lists = vectors().lists;
    assert_eq!(lists.len(), 6);
    for List { id, source, bits, entries, lst, statuses } in lists {
        assert!(!source.is_empty());
        let zlib = base64url::decode(&lst).unwrap();
        let list = StatusList::from_compressed(bits, &zlib, entries).unwrap();
        assert_eq!((list.len(), list.bits()), (entries, bits), "{id}");
        for index in 0..entries {
            let expected = statuses.get(&index).copied().unwrap_or_default();
            assert_eq!(list.get(index), Some(expected), "{id} {index}");
        }
        assert_eq!(list.get(entries), None, "{id}");
        let short = StatusList::from_compressed(bits, &zlib, entries - 1);
        assert!(matches!(short, Err(StatusListError::TooLarge { .. })), "{id}");
        // Read with another width it is another list.
        let other = if bits == 8 { 4 } else { bits * 2 };
        let other = StatusList::from_compressed(other, &zlib, 1 << 24).unwrap();
        assert!((0..other.len()).any(|index| other.get(index) != list.get(index)), "{id}");
    }
}

/// TSL-08, TSL-09, TSL-10: the signed list.
#[test]
fn the_published_token_is_verified() {
    let Token { id, source, jwk, jwt, claims } = vectors().token;
    assert_eq!((id.as_str(), source.as_str()), ("tsl-jwt", "§5.1, §8.2"));
    let key = PublicKey::parse(jwk.to_string().as_bytes(), &[Algorithm::Es256]).unwrap();
    let uri = claims["sub"].as_str().unwrap();
    let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    let verify = |jwt: &str, expected: &ExpectedStatusList<'_>| {
        StatusListToken::parse(jwt).and_then(|token| token.verify(&key, expected))
    };
    let at = |seconds| ExpectedStatusList::new(uri, Timestamp::from_secs(seconds));
    let token = StatusListToken::parse(&jwt).unwrap();
    assert_eq!((token.algorithm(), token.kid()), (Algorithm::Es256, Some("12")));

    let good: SignedStatusList =
        verify(&jwt, &at(iat).issuer("https://example.com").algorithms(&[Algorithm::Es256]))
            .unwrap();
    assert_eq!(good.issued_at(), Timestamp::from_secs(iat));
    assert_eq!(good.expires_at(), Some(Timestamp::from_secs(exp)));
    assert_eq!(good.ttl(), Some(Duration::from_secs(43_200)));
    assert_eq!(good.aggregation_uri(), None);
    let bits: Vec<_> = (0..16).map(|index| good.list().get(index).unwrap()).collect();
    assert_eq!(bits, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);

    assert!(verify(&jwt, &at(exp - 1)).is_ok());
    let day = Duration::from_hours(24);
    for (name, expected, wanted) in [
        ("expired", at(exp), "`exp`"),
        ("before its time", at(iat - 61), "`iat`"),
        ("too old", at(iat + 86_401).max_age(day), "at most"),
        ("of another URI", ExpectedStatusList::new("https://example.com/x", at(iat).now), "`sub`"),
        ("of another issuer", at(iat).issuer("https://example.com/"), "`iss`"),
        ("of another algorithm", at(iat).algorithms(&[Algorithm::EdDsa]), "ES256"),
        ("with too many entries", at(iat).max_entries(15), "entries"),
    ] {
        let error = verify(&jwt, &expected).unwrap_err().to_string();
        assert!(error.contains(wanted), "{name}: {error}");
    }
    assert!(verify(&jwt, &at(iat - 60)).is_ok(), "clocks differ");
    assert!(verify(&jwt, &at(iat + 86_400).max_age(day)).is_ok());
}

/// TSL-08: of the signed list no character can be another.
#[test]
fn the_published_token_says_one_thing() {
    let Token { jwk, jwt, claims, .. } = vectors().token;
    let key = PublicKey::parse(jwk.to_string().as_bytes(), &[Algorithm::Es256]).unwrap();
    let now = Timestamp::from_secs(claims["iat"].as_u64().unwrap());
    let expected = ExpectedStatusList::new(claims["sub"].as_str().unwrap(), now);
    let verify = |jwt: &str| {
        StatusListToken::parse(jwt).is_ok_and(|token| token.verify(&key, &expected).is_ok())
    };
    assert!(verify(&jwt));
    for at in 0..jwt.len() {
        for other in ["A", "_", "."] {
            let mut changed = jwt.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(verify(&changed), changed == jwt, "{at} {other}");
        }
    }
}

/// Where a list says that there are more, that is handed on (§9); what is no text is not there.
#[test]
fn an_aggregation_uri_is_handed_on() {
    const MORE: &str = "https://as.example/lists";
    for (said, told) in [(Some(json!(MORE)), Some(MORE)), (Some(json!(7)), None), (None, None)] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let list = TestStatusList::new(LIST, &issuer, &clock);
        let mut claim = json!({ "bits": 1, "lst": "eNrbuRgAAhcBXQ" });
        if let Some(said) = said {
            claim["aggregation_uri"] = said;
        }
        list.edit(move |token| token.claim("status_list", &claim));
        let jwk = issuer.jwk_set()["keys"][0].to_string();
        let key = PublicKey::parse(jwk.as_bytes(), &[Algorithm::Es256]).unwrap();
        let text = list.token();
        let token = StatusListToken::parse(&text).unwrap();
        let signed = token.verify(&key, &ExpectedStatusList::new(LIST, clock.now())).unwrap();
        assert_eq!(signed.aggregation_uri(), told);
    }
}
