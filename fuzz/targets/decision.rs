//! The whole decision, compared with the naive reference.

use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::check::{Check, acr, scope};
use portcullis::issuer::{ClaimTest, OptionalClaim, TokenProfile};
use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::{Challenge, ManualClock, TestKey, challenges};
use portcullis::time::Timestamp;
use portcullis::{
    Access, Binding, Issuer, Mtls, Policy, Rejection, ResourceServer, SubjectKind, TokenClass,
};

use super::naive::{
    self, Granted, Memory, NaiveAsked, NaiveChallenge, NaiveClass, NaiveIssuer, NaiveProfile,
    NaiveRequest, NaiveStepUp, NaiveTest, Verdict, World,
};

const RESOURCE: &str = "https://rs.example";
const ISSUERS: [&str; 2] = ["https://as.example", "https://relaxed.example"];
const NOW: u64 = 1_800_000_000;
/// The key of RFC 8037, Appendix A, and the ES256 key of RFC 7515, Appendix A.3. Their private
/// halves are published, so the corpus can hold tokens that are signed.
const KEYS: &str = concat!(
    r#"{"keys":["#,
    r#"{"kid":"k1","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},"#,
    r#"{"kid":"k2","kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
    r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
);
/// What was signed for the corpus with these keys, and good at [`NOW`].
const SIGNED: [(&str, &str); 2] = [
    (
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#,
        concat!(
            r#"{"iss":"https://as.example","sub":"alice","aud":"https://rs.example","client_id":"c","#,
            r#""jti":"1","iat":1799999990,"exp":1800000100,"scope":"read"}"#,
        ),
    ),
    (
        r#"{"typ":"application/at+jwt","alg":"Ed25519"}"#,
        concat!(
            r#"{"iss":"https://as.example","sub":"bob","aud":["https://rs.example","x"],"client_id":"c","#,
            r#""jti":"2","iat":1.7999999905e9,"exp":1800000100.25,"nbf":0,"scope":"write read"}"#,
        ),
    ),
];

/// Lines of an `Authorization` field, one for each line of the input: both readings agree, and
/// nothing is accepted that was not signed.
pub fn decision(data: &[u8]) {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::new(KEYS, false));
    let lines: Vec<Vec<u8>> = match data {
        [] => Vec::new(),
        data => data.split(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect(),
    };
    let Some(accepted) = server.decide(&lines) else {
        return;
    };
    let signed = SIGNED.iter().any(|(header, payload)| {
        let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
        accepted.strip_prefix(&input).is_some_and(|rest| rest.starts_with('.'))
    });
    assert!(signed, "accepted what nobody signed: {accepted}");
}

/// A header, a line feed, a payload: both are signed with the issuers' key, whatever they are. Of
/// which issuer the token is, and so how it has to be written, its `iss` says.
pub fn signed_decision(data: &[u8]) {
    let at = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    static SIGNED: Signed = Signed::new();
    SIGNED.decide(false, &data[..at], data.get(at + 1..).unwrap_or_default());
}

/// Claims of the issuer whose profile lets go of everything it can, after an octet that says what
/// the header is, on a route that wants a good authentication.
pub fn profile(data: &[u8]) {
    static SIGNED: Signed = Signed::new();
    let Some((first, claims)) = data.split_first() else {
        return;
    };
    let header = match first % 4 {
        0 => r#"{"alg":"Ed25519"}"#,
        1 => r#"{"alg":"Ed25519","typ":"JWT"}"#,
        2 => r#"{"alg":"Ed25519","typ":"application/vnd.example+jwt"}"#,
        _ => r#"{"alg":"Ed25519","typ":"at+jwt"}"#,
    };
    let always = r#"{"iss":"https://relaxed.example","aud":"https://rs.example","exp":1800000100,"#
        .as_bytes();
    SIGNED.decide(true, header.as_bytes(), &[always, claims].concat());
}

/// A server and the key of its issuers.
struct Signed(OnceLock<(TestKey, Server)>);

impl Signed {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn decide(&self, strong: bool, header: &[u8], payload: &[u8]) {
        let (key, server) = self.0.get_or_init(|| {
            let key = TestKey::generate(Algorithm::Ed25519, "k1");
            let server = Server::new(&format!("{{\"keys\":[{}]}}", key.public_jwk()), strong);
            (key, server)
        });
        let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
        let signature = base64url::encode(key.sign(input.as_bytes()));
        server.decide(&[format!("Bearer {input}.{signature}").into_bytes()]);
    }
}

/// The crate and the reference with one configuration.
struct Server {
    world: World,
    api: ResourceServer,
}

impl Server {
    /// One issuer to the letter of RFC 9068, and one that is far from it, with the same keys.
    fn new(jwks: &str, strong: bool) -> Self {
        let world = world(jwks, strong);
        let clock = ManualClock::new();
        clock.set(Timestamp::from_secs(NOW));
        let minute = Duration::from_mins(1);
        let issuer = |id: &str| {
            let algorithms = [Algorithm::EdDsa, Algorithm::Ed25519, Algorithm::Es256];
            Issuer::fixed_keys(id, jwks).algorithms(algorithms)
        };
        let profile = TokenProfile::relaxed()
            .accept_no_type()
            .accept_type("JWT")
            .accept_type("vnd.example+jwt")
            .may_lack(OptionalClaim::ClientId)
            .may_lack(OptionalClaim::IssuedAt)
            .may_lack(OptionalClaim::JwtId)
            .client_id_from(["azp", "cid"])
            .scope_from(["scp", "scope"])
            .accept_scope_array()
            .require_claim_in("ver", ["1", "2"])
            .subject_kind(SubjectKind::Workload, ClaimTest::starts_with("sub", "system:"))
            .subject_kind(SubjectKind::Client, ClaimTest::same("sub", "azp"));
        let jobs = TokenClass::named("jobs").subject_kinds([SubjectKind::Workload]);
        let read = scope("read");
        let api = ResourceServer::builder(RESOURCE)
            .issuer(issuer(ISSUERS[0]))
            .issuer(issuer(ISSUERS[1]).profile(profile))
            .binding(Binding::WhereBound)
            .mtls(Mtls::direct())
            .class(TokenClass::default_at_most(15 * minute))
            .class(TokenClass::named("old").issuers(ISSUERS).clients(["old"]).max_age(minute))
            .class(TokenClass::named("write").scopes(["write"]).at_most(5 * minute))
            .class(jobs.binding(Binding::Mtls))
            .leeway(Duration::from_secs(world.leeway_secs))
            .policy(match strong {
                true => Policy::new(read.and(acr(["phrh", "phr"]).within(minute))),
                false => Policy::new(read),
            })
            .clock(clock)
            .build()
            .unwrap();
        Self { world, api }
    }

    /// The token, if it was accepted.
    fn decide(&self, lines: &[Vec<u8>]) -> Option<String> {
        let mut request = Request::new(());
        for line in lines {
            // An HTTP server refuses what is no field value.
            let value = HeaderValue::from_bytes(line).ok()?;
            request.headers_mut().append(AUTHORIZATION, value);
        }
        let (parts, ()) = request.into_parts();
        let decision = pin!(self.api.verify(&parts));
        let Poll::Ready(decision) = decision.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("a decision with fixed keys waits");
        };
        let request = NaiveRequest::with_lines(lines.to_vec());
        let verdict = naive::decide(&self.world, &mut Memory::default(), &request);
        assert_agree(&decision, &verdict);
        decision.ok().and_then(|_| {
            let line = String::from_utf8(lines[0].clone()).unwrap();
            line.split(' ').next_back().map(str::to_owned)
        })
    }
}

/// Both say the same: what is granted, or the status, and what clients are told.
pub(super) fn assert_agree(decision: &Result<Access, Rejection>, verdict: &Verdict) {
    let (rejection, verdict) = match (decision, verdict) {
        (Ok(access), Verdict::Pass(granted)) => {
            return assert_eq!(granted_by(access), Granted { asked: None, ..granted.clone() });
        }
        (Err(rejection), verdict @ Verdict::Refuse { or, .. }) => {
            let is_so = |verdict: &&Verdict| {
                let kind = rejection.kind().as_str();
                matches!(verdict, Verdict::Refuse { kinds, .. } if kinds.contains(&kind))
            };
            // of several things that are wrong at once either may be told
            (rejection, or.iter().find(is_so).unwrap_or(verdict))
        }
        (decision, verdict) => panic!("{decision:?}, and by the reference {verdict:?}"),
    };
    let Verdict::Refuse { status, challenges: expected, params, kinds, .. } = verdict else {
        panic!("{rejection}, and by the reference {verdict:?}");
    };
    assert!(kinds.contains(&rejection.kind().as_str()), "{rejection}: {kinds:?}");
    let response = rejection.to_response::<()>();
    assert_eq!(response.status().as_u16(), *status, "{rejection}");
    let challenges = challenges(response.headers());
    let told = |one: &Challenge| NaiveChallenge {
        scheme: one.scheme.clone(),
        error: one.param("error").map(str::to_owned),
        algs: one.param("algs").map(str::to_owned),
    };
    assert_eq!(&challenges.iter().map(told).collect::<Vec<_>>(), expected, "{rejection}");
    for name in ["scope", "acr_values", "max_age"] {
        let expected = params.get(name).map(String::as_str);
        let found = challenges.first().and_then(|challenge| challenge.param(name));
        assert_eq!(found, expected, "{rejection}");
    }
}

fn granted_by(access: &Access) -> Granted {
    let actor = access.actor();
    Granted {
        iss: access.issuer().as_str().to_owned(),
        sub: access.subject().as_str().to_owned(),
        kind: access.subject_kind().as_str().to_owned(),
        client_id: access.client_id().map(|client| client.as_str().to_owned()),
        jti: access.jwt_id().map(|id| id.as_str().to_owned()),
        audiences: access.audiences().map(|audience| audience.as_str().to_owned()).collect(),
        scopes: access.scopes().map(str::to_owned).collect(),
        acr: access.acr().map(str::to_owned),
        actor: actor.map(|one| (one.issuer().to_owned(), one.subject().as_str().to_owned())),
        binding: access.binding().as_str().to_owned(),
        key: access.key_thumbprint().map(|key| key.as_str().to_owned()),
        certificate: access.certificate().map(|one| one.thumbprint().as_str().to_owned()),
        nonce: false,
        asked: None,
    }
}

/// The same configuration for the reference.
fn world(jwks: &str, strong: bool) -> World {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let issuer = |id: &str, profile| NaiveIssuer {
        id: id.to_owned(),
        algorithms: texts(&["EdDSA", "Ed25519", "ES256"]),
        jwks: jwks.to_owned(),
        profile,
    };
    let relaxed = NaiveProfile {
        more_types: texts(&["JWT", "vnd.example+jwt"]),
        untyped: true,
        may_lack: texts(&["client_id", "iat", "jti"]),
        client_claims: texts(&["azp", "cid"]),
        scope_claims: texts(&["scp", "scope"]),
        scope_arrays: true,
        required: vec![("ver".to_owned(), texts(&["\"1\"", "\"2\""]))],
        kinds: vec![
            ("workload".to_owned(), NaiveTest::StartsWith("sub".to_owned(), "system:".to_owned())),
            ("client".to_owned(), NaiveTest::Same("sub".to_owned(), "azp".to_owned())),
        ],
        ..NaiveProfile::default()
    };
    let class = NaiveClass::default;
    World {
        resource: RESOURCE.to_owned(),
        other_names: Vec::new(),
        no_other_audience: false,
        issuers: vec![issuer(ISSUERS[0], NaiveProfile::default()), issuer(ISSUERS[1], relaxed)],
        leeway_secs: 10,
        max_lifetime_secs: 900,
        max_age_secs: None,
        default_binding: None,
        classes: vec![
            NaiveClass {
                issuers: texts(&ISSUERS),
                clients: texts(&["old"]),
                max_age_secs: Some(60),
                ..class()
            },
            NaiveClass { scopes: texts(&["write"]), max_lifetime_secs: Some(300), ..class() },
            NaiveClass { kinds: texts(&["workload"]), binding: Some("mtls".to_owned()), ..class() },
        ],
        binding: "where_bound".to_owned(),
        route_binding: None,
        exceptions: Vec::new(),
        dpop: None,
        mtls: true,
        replay_room: None,
        needed_scopes: texts(&["read"]),
        step_up: strong
            .then(|| NaiveStepUp { acr_values: texts(&["phrh", "phr"]), max_age_secs: Some(60) }),
        clients: None,
        subjects: None,
        actor: None,
        detail: None,
        route_nonce: false,
        single_use: false,
        asked: Vec::new(),
        route_asks: None,
        route_freshness_secs: None,
        now_nanos: u128::from(NOW) * 1_000_000_000,
        steady_nanos: 0,
    }
}

/// A plain world of one issuer, which is asked about its tokens.
pub(super) fn world_of(issuer: &str, jwks: &str, now: u64, asked: NaiveAsked) -> World {
    let plain = world(jwks, false);
    let issuers = vec![NaiveIssuer {
        id: issuer.to_owned(),
        algorithms: vec!["EdDSA".to_owned(), "Ed25519".to_owned()],
        jwks: jwks.to_owned(),
        profile: NaiveProfile::default(),
    }];
    World {
        issuers,
        classes: Vec::new(),
        needed_scopes: Vec::new(),
        asked: vec![asked],
        now_nanos: u128::from(now) * 1_000_000_000,
        ..plain
    }
}
