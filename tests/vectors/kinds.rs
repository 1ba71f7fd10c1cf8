//! Every other kind of JWT, used as an access token (RFC 8725 §3.11, §3.12).

use portcullis::RejectionKind::{
    self, AlgorithmNotAllowed, MalformedToken, MissingClaim, OtherTokenKind, SenderNotProven,
    UnknownIssuer, WrongType,
};
use portcullis::jose::json::Value as JsonValue;
use portcullis::jose::{Algorithm, Compact};
use portcullis::testing::{TestIssuer, TokenBuilder};
use portcullis::{Issuer, ResourceServer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ask, clock_at, read, refused, server, signatures, thumbprints, unsupported};

const ISSUER: &str = "https://as.example";
const RESOURCE: &str = "https://rs.example";
const NOW: u64 = 1_800_000_000;

// ---- published tokens

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unverifiable {
    source: String,
    cases: Vec<UnverifiableToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnverifiableToken {
    id: String,
    source: String,
    token: String,
}

fn unverifiable() -> Vec<UnverifiableToken> {
    let file: Unverifiable = read(include_str!("unverifiable.json"));
    assert!(file.cases.iter().all(|case| !case.source.is_empty()));
    assert!(!file.source.is_empty());
    file.cases
}

/// How each published token is refused, and the row of the requirements.
const PUBLISHED: &[(&str, RejectionKind, &str)] = &[
    ("rfc7515-a.1-hs256", AlgorithmNotAllowed, "JWS-24"),
    ("rfc7515-a.2-rs256", UnknownIssuer, "AT-01"),
    ("rfc7515-a.3-es256", UnknownIssuer, "AT-01"),
    ("rfc7515-a.4-es512", MalformedToken, "AT-01"),
    ("rfc7515-a.5-none", MalformedToken, "AT-03"),
    ("rfc7797-4.1", AlgorithmNotAllowed, "JWS-24"),
    ("rfc7797-4.2-b64false", MalformedToken, "JWS-10"),
    ("rfc8037-a.1-a.5", MalformedToken, "AT-01"),
    ("derived-rfc9864-ed25519", MalformedToken, "AT-01"),
    ("rfc8935-fig1-set", AlgorithmNotAllowed, "SET-06"),
    ("rfc9449-ath", MalformedToken, "JWS-02"),
    ("rfc9449-fig-at-cnf", WrongType, "AT-01"),
    ("rfc9449-proof-refresh-request", WrongType, "JWS-42"),
    ("rfc9449-proof-resource-request", WrongType, "JWS-42"),
    ("rfc9449-proof-token-request", WrongType, "JWS-42"),
    ("rfc9701-5", WrongType, "INT-18"),
    ("tsl-jwt", WrongType, "JWS-42"),
    ("wimse-wit", WrongType, "WIM-02"),
    ("wimse-wpt", WrongType, "JWS-42"),
];

/// Each at a server that believes its issuer and its key, answers to its audience, and asks within
/// its time, as far as it names them.
#[tokio::test]
async fn no_published_token_of_another_kind_is_an_access_token() {
    let known = signatures().into_iter().map(|case| (case.id, case.jws, Some(case.jwk)));
    let unsupported = unsupported().into_iter().map(|case| (case.id, case.jws, None));
    let unverifiable = unverifiable().into_iter().map(|case| (case.id, case.token, None));
    let (mut asked, mut wrong) = (0, Vec::new());
    for (id, token, jwk) in known.chain(unsupported).chain(unverifiable) {
        let rows = PUBLISHED.iter().filter(|(row, ..)| *row == id);
        let kinds: Vec<RejectionKind> = rows.map(|(_, kind, _)| *kind).collect();
        let server = server_made_for(&token, jwk);
        let found = refused(&server, &token).await;
        if [found] != *kinds {
            wrong.push(format!("{id}: {found:?}, wanted {kinds:?}"));
        }
        asked += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(asked, PUBLISHED.len(), "every row has its token");
}

fn server_made_for(token: &str, jwk: Option<Value>) -> ResourceServer {
    let claims: Map<String, Value> = Compact::parse(token)
        .ok()
        .and_then(|jws| serde_json::from_slice(jws.payload()).ok())
        .unwrap_or_default();
    let text = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let https = |name, otherwise: &'static str| match text(name) {
        url if url.starts_with("https://") => url.to_owned(),
        _ => otherwise.to_owned(),
    };
    let time = |name| claims.get(name).and_then(Value::as_u64);
    let clock = clock_at(time("exp").map_or_else(|| time("iat").unwrap_or(NOW), |exp| exp - 1));
    let issuer = https("iss", ISSUER);
    let issuer = match jwk {
        Some(jwk) => Issuer::fixed_keys(issuer, json!({ "keys": [jwk] }).to_string()),
        None => TestIssuer::new(issuer, &clock).fixed_keys(),
    };
    server(&https("aud", RESOURCE), issuer, &clock)
}

/// RFC 9449 §6.1: the published token is bound to the published key.
#[test]
fn the_cnf_of_a_published_token_names_the_published_key() {
    let tokens = unverifiable();
    let token = tokens.iter().find(|case| case.id == "rfc9449-fig-at-cnf");
    let jws = Compact::parse(&token.expect("the token").token).expect("a compact JWS");
    let claims = jws.payload_object().expect("claims");
    let cnf = claims.member("cnf").and_then(JsonValue::as_object);
    let jkt = cnf.and_then(|cnf| cnf.member("jkt"));
    let jkt = jkt.and_then(JsonValue::as_str).expect("a jkt");
    let keys = thumbprints().keys;
    let key = keys.iter().find(|key| key.id == "rfc9449-jkt");
    assert_eq!(jkt, key.expect("the key").thumbprint);
    assert!(keys.iter().filter(|key| key.thumbprint == jkt).count() == 1);
}

// ---- the matrix (JWS-42)

/// One kind of JWT: the `typ` it goes by, and the claims it has.
struct Kind {
    name: &'static str,
    row: &'static str,
    typ: &'static [Option<&'static str>],
    claims: Value,
    /// What stops it where its issuer gives it the type of an access token all the same.
    as_access_token: RejectionKind,
}

fn kinds() -> Vec<Kind> {
    let event =
        json!({ "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} });
    let (soon, workload) = (NOW + 60, "wimse://as.example/billing");
    vec![
        Kind {
            name: "ID token (OpenID Connect Core §2)",
            row: "JWS-42",
            typ: &[None, Some("JWT"), Some("jwt"), Some("id_token+jwt")],
            claims: json!({
                "iss": ISSUER, "sub": "alice", "aud": RESOURCE, "exp": soon, "iat": NOW,
                "nonce": "n", "auth_time": NOW, "azp": "test-client",
            }),
            as_access_token: MissingClaim,
        },
        Kind {
            name: "logout token (OpenID Connect Back-Channel Logout §2.4)",
            row: "JWS-42",
            typ: &[Some("logout+jwt"), Some("JWT"), None],
            claims: json!({
                "iss": ISSUER, "sub": "alice", "aud": RESOURCE, "exp": soon, "iat": NOW,
                "jti": "j", "sid": "s", "client_id": "test-client",
                "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
            }),
            as_access_token: OtherTokenKind,
        },
        Kind {
            name: "security event token (RFC 8417)",
            row: "SET-06",
            typ: &[Some("secevent+jwt"), Some("application/secevent+jwt")],
            claims: json!({
                "iss": ISSUER, "aud": RESOURCE, "iat": NOW, "jti": "j", "events": event,
            }),
            as_access_token: OtherTokenKind,
        },
        Kind {
            name: "security event token with every claim of an access token",
            row: "SET-06",
            typ: &[Some("secevent+jwt")],
            claims: json!({
                "iss": ISSUER, "aud": RESOURCE, "iat": NOW, "jti": "j", "exp": soon,
                "sub": "alice", "client_id": "test-client", "events": event,
            }),
            as_access_token: OtherTokenKind,
        },
        Kind {
            name: "DPoP proof (RFC 9449 §4.2)",
            row: "JWS-42",
            typ: &[Some("dpop+jwt")],
            claims: json!({ "jti": "j", "htm": "GET", "htu": RESOURCE, "iat": NOW, "ath": "a" }),
            as_access_token: UnknownIssuer,
        },
        Kind {
            name: "introspection response (RFC 9701 §5)",
            row: "INT-18",
            typ: &[Some("token-introspection+jwt")],
            claims: json!({
                "iss": ISSUER, "aud": RESOURCE, "iat": NOW,
                "token_introspection": {
                    "active": true, "iss": ISSUER, "aud": RESOURCE, "iat": NOW, "exp": soon,
                    "sub": "alice", "client_id": "test-client", "jti": "j",
                },
            }),
            as_access_token: OtherTokenKind,
        },
        Kind {
            name: "status list token (draft-ietf-oauth-status-list)",
            row: "JWS-42",
            typ: &[Some("statuslist+jwt")],
            claims: json!({
                "iss": ISSUER, "sub": "https://as.example/lists/1", "iat": NOW, "exp": soon,
                "ttl": 60, "status_list": { "bits": 1, "lst": "eNrbuRgAAhcBXQ" },
            }),
            as_access_token: OtherTokenKind,
        },
        Kind {
            name: "transaction token (draft-ietf-oauth-transaction-tokens)",
            row: "TXN-05",
            typ: &[Some("txntoken+jwt")],
            claims: json!({
                "iss": ISSUER, "aud": RESOURCE, "iat": NOW, "exp": soon, "txn": "t",
                "sub": "alice", "scope": "trade", "req_wl": workload, "tctx": { "price": 1 },
            }),
            as_access_token: MissingClaim,
        },
        Kind {
            name: "workload identity token (draft-ietf-wimse-workload-creds)",
            row: "WIM-02",
            typ: &[Some("wit+jwt")],
            claims: json!({
                "iss": ISSUER, "sub": workload, "iat": NOW, "exp": soon, "jti": "j",
                "cnf": { "jwk": { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "A" } },
            }),
            as_access_token: MissingClaim,
        },
        Kind {
            name: "workload identity token with every claim of an access token",
            row: "WIM-02",
            typ: &[Some("wit+jwt")],
            claims: json!({
                "iss": ISSUER, "sub": workload, "iat": NOW, "exp": soon, "jti": "j",
                "aud": RESOURCE, "client_id": "test-client",
                "cnf": { "jwk": { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "A" } },
            }),
            as_access_token: SenderNotProven,
        },
        Kind {
            name: "workload proof token (draft-ietf-wimse-wpt)",
            row: "JWS-42",
            typ: &[Some("wpt+jwt")],
            claims: json!({ "aud": RESOURCE, "exp": soon, "jti": "j", "wth": "w", "ath": "a" }),
            as_access_token: UnknownIssuer,
        },
        Kind {
            name: "JWT-SVID (SPIFFE)",
            row: "SPF-02",
            typ: &[None, Some("JWT"), Some("JOSE")],
            claims: json!({
                "sub": "spiffe://as.example/billing", "aud": [RESOURCE], "exp": soon,
            }),
            as_access_token: UnknownIssuer,
        },
        Kind {
            name: "client assertion (RFC 7523 §3)",
            row: "JWS-42",
            typ: &[Some("client-authentication+jwt"), Some("JWT"), None],
            claims: json!({
                "iss": "test-client", "sub": "test-client", "aud": RESOURCE, "exp": soon,
                "iat": NOW, "jti": "j",
            }),
            as_access_token: UnknownIssuer,
        },
        Kind {
            name: "identity assertion grant (draft-ietf-oauth-identity-assertion-authz-grant)",
            row: "JWS-42",
            typ: &[Some("oauth-id-jag+jwt")],
            claims: json!({
                "iss": ISSUER, "sub": "alice", "aud": "https://other.example", "exp": soon,
                "iat": NOW, "jti": "j", "client_id": "test-client",
            }),
            as_access_token: RejectionKind::WrongAudience,
        },
        Kind {
            name: "request object (RFC 9101)",
            row: "JWS-42",
            typ: &[Some("oauth-authz-req+jwt"), Some("JWT")],
            claims: json!({
                "iss": "test-client", "client_id": "test-client", "aud": RESOURCE,
                "response_type": "code", "exp": soon, "iat": NOW, "jti": "j",
            }),
            as_access_token: UnknownIssuer,
        },
    ]
}

/// Only `at+jwt` passes. First line of defence: `typ`, even where everything else is an access
/// token's. Second: the claims, even where the issuer's `typ` is wrong.
#[tokio::test]
async fn no_kind_of_token_passes_for_another() {
    let clock = clock_at(NOW);
    let issuer = TestIssuer::new(ISSUER, &clock);
    let server = server(RESOURCE, issuer.fixed_keys(), &clock);
    let token = || issuer.token(RESOURCE);
    assert!(ask(&server, &token().sign()).await.is_ok());

    let mut wrong = Vec::new();
    for kind in kinds() {
        let name = format!("{}: {}", kind.row, kind.name);
        for typ in kind.typ {
            for (token, its_own) in
                [(token(), false), (token().raw_payload(kind.claims.to_string()), true)]
            {
                // A type that some profile takes is judged once the issuer is known.
                let stranger = its_own && kind.claims["iss"] != ISSUER;
                let judged_late = matches!(typ, None | Some("JWT" | "JOSE"));
                let wanted = if stranger && judged_late { UnknownIssuer } else { WrongType };
                let token = typed(token, *typ).sign();
                let found = refused(&server, &token).await;
                if found != wanted {
                    wrong.push(format!("{name}: {typ:?}: {found:?}, wanted {wanted:?}"));
                }
            }
        }
        let mistyped = token().raw_payload(kind.claims.to_string()).sign();
        let found = refused(&server, &mistyped).await;
        if found != kind.as_access_token {
            let wanted = kind.as_access_token;
            wrong.push(format!("{name}, typed at+jwt: {found:?}, wanted {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn typed(token: TokenBuilder, typ: Option<&str>) -> TokenBuilder {
    match typ {
        Some(typ) => token.header("typ", typ),
        None => token.without_header("typ"),
    }
}

/// AT-01, AT-02.
#[tokio::test]
async fn a_type_is_at_jwt_or_nothing() {
    let clock = clock_at(NOW);
    let issuer = TestIssuer::with_algorithm(ISSUER, &clock, Algorithm::EdDsa);
    let server = server(RESOURCE, issuer.fixed_keys(), &clock);
    let typed = |typ: Value| issuer.token(RESOURCE).header("typ", typ).sign();
    for typ in ["at+jwt", "at+JWT", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert!(ask(&server, &typed(json!(typ))).await.is_ok(), "{typ}");
    }
    for typ in [
        json!(""),
        json!("at"),
        json!("jwt"),
        json!("at+jwt "),
        json!(" at+jwt"),
        json!("at+jwt;v=1"),
        json!("at jwt"),
        json!("at-jwt"),
        json!("jwt+at"),
        json!("xat+jwt"),
        json!("text/at+jwt"),
        json!("application/"),
        json!("application/application/at+jwt"),
        json!("application /at+jwt"),
        json!("at+\u{21a}wt"),
        json!("ａt+jwt"),
        json!(42),
        json!(null),
        json!(["at+jwt"]),
        json!({ "typ": "at+jwt" }),
    ] {
        assert_eq!(refused(&server, &typed(typ.clone())).await, WrongType, "{typ}");
    }
}
