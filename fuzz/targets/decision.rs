//! The whole decision, compared with the naive reference.

use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::check::scope;
use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::{ManualClock, TestKey};
use portcullis::time::Timestamp;
use portcullis::{Binding, Issuer, RejectionKind, ResourceServer, TokenClass};

use super::naive::{self, NaiveIssuer, Verdict, World};

const RESOURCE: &str = "https://rs.example";
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
    let server = SERVER.get_or_init(|| Server::new(KEYS.to_owned()));
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

/// A header, a line feed, a payload: both are signed with the issuer's key, whatever they are.
pub fn signed_decision(data: &[u8]) {
    static SERVER: OnceLock<(TestKey, Server)> = OnceLock::new();
    let (key, server) = SERVER.get_or_init(|| {
        let key = TestKey::generate(Algorithm::Ed25519, "k1");
        let server = Server::new(format!("{{\"keys\":[{}]}}", key.public_jwk()));
        (key, server)
    });
    let at = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    let (header, payload) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = base64url::encode(key.sign(input.as_bytes()));
    server.decide(&[format!("Bearer {input}.{signature}").into_bytes()]);
}

/// The crate and the reference with one configuration.
struct Server {
    world: World,
    api: ResourceServer,
}

impl Server {
    fn new(jwks: String) -> Self {
        let world = World {
            resource: RESOURCE.to_owned(),
            issuers: vec![NaiveIssuer {
                id: "https://as.example".to_owned(),
                algorithms: vec!["EdDSA".to_owned(), "Ed25519".to_owned(), "ES256".to_owned()],
                jwks,
            }],
            leeway_secs: 10,
            max_lifetime_secs: 900,
            needed_scopes: vec!["read".to_owned()],
            now_nanos: u128::from(NOW) * 1_000_000_000,
        };
        let issuer = &world.issuers[0];
        let clock = ManualClock::new();
        clock.set(Timestamp::from_secs(NOW));
        let api = ResourceServer::builder(RESOURCE)
            .issuer(Issuer::fixed_keys(&issuer.id, issuer.jwks.as_str()).algorithms([
                Algorithm::EdDsa,
                Algorithm::Ed25519,
                Algorithm::Es256,
            ]))
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_secs(world.max_lifetime_secs)))
            .leeway(Duration::from_secs(world.leeway_secs))
            .policy(scope("read"))
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
        match (decision, naive::decide(&self.world, lines)) {
            (Ok(access), Verdict::Pass { iss, sub }) => {
                assert_eq!((access.issuer().as_str(), access.subject().as_str()), (&*iss, &*sub));
                let line = String::from_utf8(lines[0].clone()).unwrap();
                line.split(' ').next_back().map(str::to_owned)
            }
            (Err(rejection), Verdict::Refuse { status, error }) => {
                assert_eq!(rejection.status().as_u16(), status, "{rejection}");
                let bare = matches!(
                    rejection.kind(),
                    RejectionKind::NoCredentials | RejectionKind::UnsupportedScheme
                );
                assert_eq!(error.is_none(), bare);
                None
            }
            (decision, verdict) => panic!("{decision:?}, and by the reference {verdict:?}"),
        }
    }
}
