//! Known answers: signatures, thumbprints and URLs that others published, and tokens with traps.
//!
//! The vectors are data, in `tests/vectors/*.json`, each with its source. What becomes of each of
//! them here stands in the tables below, and a difference either way fails: a vector that should be
//! refused and is accepted, one that is an exception and no longer needs to be, one without a row.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "vectors/kinds.rs"]
mod kinds;
#[path = "vectors/traps.rs"]
mod traps;

use std::collections::BTreeSet;
use std::time::Duration;

use http::Request;
use portcullis::issuer::discovery_urls;
use portcullis::jose::Header;
use portcullis::jose::{
    Algorithm, Compact, CompactError, HeaderError, JwkSet, KeyFault, PublicKey, base64url,
};
use portcullis::name::{Resource, Thumbprint};
use portcullis::testing::ManualClock;
use portcullis::time::Timestamp;
use portcullis::{
    Access, Binding, Issuer, Rejection, RejectionKind, ResourceServer, TokenClass, assert_challenge,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

// ---- signatures

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signatures {
    source: String,
    cases: Vec<Signature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    id: String,
    source: String,
    alg: String,
    jwk: Value,
    jws: String,
    payload: Option<String>,
}

fn signatures() -> Vec<Signature> {
    let file: Signatures = read(include_str!("vectors/signatures.json"));
    assert!(!file.source.is_empty());
    assert_eq!(file.cases.len(), 11, "every published signature is there");
    file.cases
}

impl Signature {
    fn algorithm(&self) -> Algorithm {
        Algorithm::parse(&self.alg).expect("a known algorithm")
    }
}

/// RFC 7515 A.2 to A.4, RFC 8037 A.4, RFC 9449, and the drafts' examples (JWS-26, JWS-27, JWS-32).
#[test]
fn a_published_signature_verifies_and_every_change_of_it_fails() {
    for case in signatures() {
        let name = format!("{} ({})", case.id, case.source);
        let algorithm = case.algorithm();
        let set = json!({ "keys": [case.jwk] }).to_string();
        let set = JwkSet::parse(set.as_bytes(), &[algorithm]).expect("a JWK Set");
        assert_eq!(set.unusable(), [], "{name}");

        let jws = Compact::parse(&case.jws).expect("a compact JWS");
        let header = jws.header().expect("a header");
        assert_eq!(header.algorithm(), algorithm, "{name}");
        let key = set.find(header.kid(), algorithm).expect("the one key");
        assert_eq!(key.verify(algorithm, &jws), Ok(()), "{name}");
        if let Some(payload) = &case.payload {
            assert_eq!(jws.payload(), payload.as_bytes(), "{name}");
        }

        // Another algorithm, one bit, one octet more or less.
        for other in Algorithm::ALL {
            let same = algorithm.same_operation(*other);
            assert_eq!(key.verify(*other, &jws).is_ok(), same, "{name} as {other}");
        }
        let parts = [jws.header_bytes(), jws.payload(), jws.signature()];
        for changed in changes(parts) {
            let changed_jws = Compact::parse(&changed).expect("still a compact JWS");
            assert!(key.verify(algorithm, &changed_jws).is_err(), "{name}: {changed}");
        }
    }
}

/// The parts with one bit of each octet changed in turn, and the signature with an octet more or
/// less at either end.
fn changes(parts: [&[u8]; 3]) -> Vec<String> {
    let mut changed = Vec::new();
    let mut texts = |parts: [&[u8]; 3]| changed.push(parts.map(base64url::encode).join("."));
    let [header, payload, signature] = parts;
    for octets in flips(header) {
        texts([&octets, payload, signature]);
    }
    for octets in flips(payload) {
        texts([header, &octets, signature]);
    }
    for octets in flips(signature) {
        texts([header, payload, &octets]);
    }
    let (first, last) = (signature.get(1..), signature.split_last());
    texts([header, payload, first.expect("octets")]);
    texts([header, payload, last.expect("octets").1]);
    texts([header, payload, &[&[0], signature].concat()]);
    texts([header, payload, &[signature, &[0]].concat()]);
    changed
}

fn flips(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..octets.len()).map(|at| {
        let mut flipped = octets.to_vec();
        let octet = flipped.get_mut(at).expect("an octet");
        *octet ^= 1 << (at % 8);
        flipped
    })
}

/// JWS-03: the last character of a part has unused bits; only one of its spellings is read.
#[test]
fn a_published_signature_has_one_spelling() {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut respelled = 0;
    for case in signatures() {
        assert!(Compact::parse(&case.jws).is_ok(), "{}", case.id);
        for padded in [format!("{}=", case.jws), format!("{}\n", case.jws)] {
            assert_eq!(Compact::parse(&padded).err(), Some(CompactError::Encoding), "{}", case.id);
        }
        let signature = case.jws.rsplit('.').next().expect("three parts");
        if signature.len().is_multiple_of(4) {
            continue;
        }
        let (start, last) = case.jws.split_at(case.jws.len() - 1);
        let value = ALPHABET.find(last).expect("base64url");
        let next = ALPHABET.chars().nth(value + 1).expect("unused bits are 0");
        assert_eq!(
            Compact::parse(&format!("{start}{next}")).err(),
            Some(CompactError::Encoding),
            "{}",
            case.id
        );
        respelled += 1;
    }
    assert!(respelled >= 9, "only {respelled} have unused bits");
}

/// JWS-24, JWS-31: a key with a private or symmetric member is reported, not used.
#[test]
fn a_published_key_with_a_private_member_is_unusable() {
    for case in signatures() {
        let usable = PublicKey::parse(case.jwk.to_string().as_bytes(), &[case.algorithm()]);
        assert!(usable.is_ok(), "{}", case.id);
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let mut jwk = case.jwk.clone();
            let members = jwk.as_object_mut().expect("an object");
            members.insert(member.to_owned(), json!("AA"));
            let refused = PublicKey::parse(jwk.to_string().as_bytes(), &[case.algorithm()]);
            assert_eq!(refused.err(), Some(KeyFault::Private(member)), "{}", case.id);
        }
    }
    let symmetric = br#"{"kty":"oct","alg":"HS256","k":"AA"}"#;
    let refused = PublicKey::parse(symmetric, Algorithm::ALL);
    assert_eq!(refused.err(), Some(KeyFault::Private("k")));
}

/// RFC 7515 A.4 signs text that is no JSON: a good JWS, and no JWT (JWS-04).
#[test]
fn a_signature_over_text_is_no_claims() {
    let cases = signatures();
    let find = |id| cases.iter().find(|case| case.id == id).expect("a vector");
    let text = Compact::parse(&find("rfc7515-a.4-es512").jws).expect("a compact JWS");
    assert!(text.payload_object().is_err());
    let claims = Compact::parse(&find("rfc7515-a.3-es256").jws).expect("a compact JWS");
    assert!(claims.payload_object().is_ok_and(|claims| claims.has("iss")));
}

// ---- what is not a JWS here

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsupported {
    source: String,
    cases: Vec<UnsupportedJws>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnsupportedJws {
    id: String,
    source: String,
    jws: String,
    why: String,
}

fn unsupported() -> Vec<UnsupportedJws> {
    let file: Unsupported = read(include_str!("vectors/unsupported.json"));
    assert!(!file.source.is_empty());
    file.cases
}

/// AT-03, JWS-10, JWS-22, JWS-24, JWS-34.
#[test]
fn symmetric_unsigned_and_detached_tokens_are_refused_before_any_key() {
    type Refusal = Result<HeaderError, CompactError>;
    let expected: [(&str, Refusal); 5] = [
        ("rfc7515-a.1-hs256", Ok(HeaderError::Algorithm)),
        ("rfc7515-a.5-none", Err(CompactError::Unsigned)),
        ("rfc7797-4.1", Ok(HeaderError::Algorithm)),
        ("rfc7797-4.2-b64false", Err(CompactError::Detached)),
        ("rfc8935-fig1-set", Ok(HeaderError::Algorithm)),
    ];
    let cases = unsupported();
    assert_eq!(cases.len(), expected.len());
    for (case, (id, refusal)) in cases.iter().zip(expected) {
        let name = format!("{} ({}): {}", case.id, case.source, case.why);
        assert_eq!(case.id, id);
        let found = Compact::parse(&case.jws)
            .map(|jws| jws.header().map(drop).expect_err("a refused header"));
        match (found, refusal) {
            (Ok(header), Ok(wanted)) => assert_eq!(header, wanted, "{name}"),
            (Err(compact), Err(wanted)) => assert_eq!(compact, wanted, "{name}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}

/// JWS-10: RFC 7797 in every other form.
#[test]
fn unencoded_payloads_are_refused_in_every_form() {
    let vectors = unsupported();
    let detached = vectors.iter().find(|case| case.id == "rfc7797-4.2-b64false");
    let detached = &detached.expect("the vector").jws;
    let attached = detached.replace("..", ".$.02.");
    assert_eq!(Compact::parse(&attached).err(), Some(CompactError::Parts));
    let encoded = detached.replace("..", ".JC4wMg.");
    let encoded = Compact::parse(&encoded).expect("a compact JWS");
    assert_eq!(encoded.header().err(), Some(HeaderError::Unsupported("crit")));
    for b64 in ["false", "true", "\"false\"", "null"] {
        let header = format!(r#"{{"alg":"ES256","b64":{b64}}}"#);
        assert_eq!(Header::parse(header.as_bytes()).err(), Some(HeaderError::Unsupported("b64")));
    }
    assert!(Header::parse(br#"{"alg":"ES256"}"#).is_ok());
}

// ---- thumbprints

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thumbprints {
    source: String,
    keys: Vec<KeyAndThumbprint>,
    uri: ThumbprintUri,
    not_canonical: NotCanonical,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyAndThumbprint {
    id: String,
    source: String,
    jwk: Value,
    thumbprint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThumbprintUri {
    id: String,
    source: String,
    uri: String,
    of: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotCanonical {
    id: String,
    source: String,
    as_printed: String,
    canonical: String,
}

fn thumbprints() -> Thumbprints {
    let file: Thumbprints = read(include_str!("vectors/thumbprints.json"));
    assert!(!file.source.is_empty());
    file
}

/// JWS-50, JWS-51.
#[test]
fn a_thumbprint_depends_on_the_required_members_and_on_nothing_else() {
    for case in thumbprints().keys {
        let name = format!("{} ({})", case.id, case.source);
        let thumbprint = |jwk: &str| {
            PublicKey::parse(jwk.as_bytes(), Algorithm::ALL)
                .map(|key| key.thumbprint().as_str().to_owned())
        };
        let members: Vec<(String, Value)> =
            case.jwk.as_object().expect("an object").clone().into_iter().collect();
        let written = |members: &[(String, Value)]| {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!(" {} : {value}", json!(name))).collect();
            format!("{{{}}}", members.join(","))
        };
        let expected = Ok(case.thumbprint.clone());
        assert_eq!(thumbprint(&case.jwk.to_string()), expected, "{name}");

        let mut other_way = members.clone();
        other_way.reverse();
        assert_eq!(thumbprint(&written(&other_way)), expected, "{name}: order");
        let mut more = members.clone();
        more.push(("x5t".to_owned(), json!("AAAA")));
        more.push(("use".to_owned(), json!("sig")));
        assert_eq!(thumbprint(&written(&more)), expected, "{name}: more");

        // The same octets, written otherwise: no key at all, rather than another thumbprint.
        for (index, (member, value)) in members.iter().enumerate() {
            let Some(value) = value.as_str().filter(|_| ["n", "e", "x", "y"].contains(&&**member))
            else {
                continue;
            };
            let octets = base64url::decode(value).expect("base64url");
            let zero = base64url::encode([&[0][..], &octets].concat());
            for wrong in [format!("{value}="), format!("{value}\n"), zero] {
                let mut changed = members.clone();
                let slot = changed.get_mut(index).expect("a member");
                slot.1 = json!(wrong);
                let refused = thumbprint(&written(&changed));
                assert!(
                    matches!(&refused, Err(KeyFault::Encoding(found)) if found == member),
                    "{name}: {member} as {wrong:?}: {refused:?}"
                );
            }
        }
    }
}

/// JWS-52, JWS-03.
#[test]
fn a_thumbprint_uri_names_sha_256_and_a_canonical_thumbprint() {
    let file = thumbprints();
    let ThumbprintUri { id, source, uri, of } = file.uri;
    let key = file.keys.iter().find(|key| key.id == of).expect("the key");
    let thumbprint = Thumbprint::parse_uri(&uri).expect("a thumbprint URI");
    assert_eq!(thumbprint.as_str(), key.thumbprint, "{id} ({source})");
    assert_eq!(thumbprint.to_uri(), uri);
    for wrong in [
        uri.replace("sha-256", "sha-512"),
        uri.replace("sha-256", "SHA-256"),
        uri.replace("urn:", "URN:"),
        format!("{uri}="),
        format!("{uri}A"),
        uri.replace("oauth:", ""),
        thumbprint.to_string(),
    ] {
        assert_eq!(Thumbprint::parse_uri(&wrong), None, "{wrong}");
    }

    let NotCanonical { id, source, as_printed, canonical } = file.not_canonical;
    assert!(Thumbprint::parse(&canonical).is_some(), "{id} ({source})");
    assert_eq!(Thumbprint::parse(&as_printed), None, "{id} ({source})");
}

// ---- well-known URLs

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WellKnown {
    source: String,
    protected_resource: Vec<ResourceUrl>,
    authorization_server: Vec<IssuerUrls>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceUrl {
    resource: String,
    url: String,
    published: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerUrls {
    issuer: String,
    rfc8414: String,
    oidc: String,
    published: bool,
}

/// PRM-01, PRM-02, PRM-03, PRM-07, DISC-02.
#[test]
fn well_known_urls_are_built_as_published() {
    let file: WellKnown = read(include_str!("vectors/well_known.json"));
    assert!(!file.source.is_empty());
    assert!(file.protected_resource.iter().any(|case| case.published));
    for case in &file.protected_resource {
        let resource = Resource::parse(&case.resource).expect("a resource");
        assert_eq!(resource.metadata_url(), case.url, "{}", case.resource);
        for wrong in [case.resource.replace("https:", "http:"), format!("{}#x", case.resource)] {
            assert!(Resource::parse(&wrong).is_err(), "{wrong}");
        }
    }
    assert!(file.authorization_server.iter().all(|case| case.published));
    for case in &file.authorization_server {
        let urls = discovery_urls(&case.issuer);
        assert_eq!(urls.first(), Some(&case.rfc8414), "looked for first");
        assert_eq!(urls.last(), Some(&case.oidc), "looked for last");
        let unique: BTreeSet<&String> = urls.iter().collect();
        assert_eq!(unique.len(), urls.len(), "each place once: {urls:?}");
    }
}

// ---- a server to ask

fn read<T: DeserializeOwned>(vectors: &str) -> T {
    serde_json::from_str(vectors).expect("a file of vectors")
}

fn clock_at(seconds: u64) -> ManualClock {
    let clock = ManualClock::new();
    clock.set(Timestamp::from_secs(seconds));
    clock
}

/// A server with the longest token class there is.
fn server(resource: &str, issuer: Issuer, clock: &ManualClock) -> ResourceServer {
    ResourceServer::builder(resource)
        .issuer(issuer.algorithms(Algorithm::ALL.iter().copied()))
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(24 * 366)))
        .clock(clock.clone())
        .build()
        .expect("a configuration")
}

async fn ask(server: &ResourceServer, token: &str) -> Result<Access, Rejection> {
    let request = Request::get("/")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .expect("a request");
    server.verify(&request.into_parts().0).await
}

/// Why the token is refused, with `401 invalid_token`.
async fn refused(server: &ResourceServer, token: &str) -> RejectionKind {
    match ask(server, token).await {
        Ok(access) => panic!("accepted: {access:?}"),
        Err(refused) => is_invalid_token(&refused),
    }
}

fn is_invalid_token(refused: &Rejection) -> RejectionKind {
    let response = refused.to_response::<()>();
    assert_challenge!(response, 401, "Bearer", error = "invalid_token");
    refused.kind()
}
