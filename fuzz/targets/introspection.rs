//! What introspection endpoints answer: plain (RFC 7662) and signed (RFC 9701).

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use portcullis::introspection::{AnswerGap, ClientAuth, Introspection};
use portcullis::jose::{Algorithm, ClaimsSet, MAX_HEADER, base64url};
use portcullis::testing::ManualClock;
use portcullis::time::Timestamp;
use portcullis::transport::{Fetch, FetchLimits, Transport};
use portcullis::{
    Access, Binding, Issuer, Mtls, Rejection, RejectionKind, ResourceServer, TokenClass,
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::decision::{assert_agree, world_of};
use super::naive::{self, Memory, NaiveAsked, NaiveReply, NaiveRequest, World};
use super::time::exact_nanos;
use super::tree::{self, Reading, Tree, member};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.example";
const CLIENT: &str = "rs";
const SIGNED: &str = "application/token-introspection+jwt";
const LONGEST: usize = 65_536;
/// The key of RFC 8037, Appendix A, both halves.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const D: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// The first octet says which answers the server takes: with its lowest bit those that lack what may
/// be lacking; with its highest bit signed ones. Of those the rest is a header, a line feed, and a payload,
/// which are signed whatever they are; and once more the same octets, which nobody signed. Of others it
/// is the body.
pub fn introspection_answer(data: &[u8]) {
    static SERVERS: OnceLock<[Server; 4]> = OnceLock::new();
    let Some((first, rest)) = data.split_first() else { return };
    let servers = SERVERS.get_or_init(|| {
        [(false, false), (true, false), (false, true), (true, true)]
            .map(|(gaps, signed)| Server::new(gaps, signed))
    });
    let gaps = usize::from(first & 1);
    if first & 0x80 == 0 {
        let decision = servers[gaps].decide("application/json", rest);
        servers[gaps].compare(&decision, rest);
        return;
    }

    let server = &servers[2 + gaps];
    let unsigned = server.decide(SIGNED, rest);
    assert_eq!(kind(&unsigned), Some(RejectionKind::IntrospectionUnavailable), "nobody signed it");
    let at = rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
    let (header, payload) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = SigningKey::from_bytes(&D).sign(input.as_bytes()).to_bytes();
    let body = format!("{input}.{}", base64url::encode(signature));
    let decision = server.decide(SIGNED, body.as_bytes());
    match judge(header, payload, body.len()) {
        Judgement::Good(members) => server.compare(&decision, &members),
        Judgement::Bad => {
            assert_eq!(kind(&decision), Some(RejectionKind::IntrospectionUnavailable));
        }
        Judgement::Unknown => {}
    }
}

fn kind(decision: &Result<Access, Rejection>) -> Option<RejectionKind> {
    decision.as_ref().err().map(Rejection::kind)
}

/// The crate and the reference with one configuration. Nothing is kept: each answer is a new one.
struct Server {
    world: World,
    api: ResourceServer,
    runtime: Runtime,
    endpoint: &'static Endpoint,
}

#[derive(Default)]
struct Endpoint(Mutex<(&'static str, Vec<u8>)>);

impl Transport for &'static Endpoint {
    fn fetch(&self, _: Request<Bytes>, _: FetchLimits) -> Fetch<'_> {
        let (content_type, body) = self.0.lock().unwrap().clone();
        let mut response = Response::new(Bytes::from(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Box::pin(async move { Ok(response) })
    }
}

impl Server {
    fn new(gaps: bool, signed: bool) -> Self {
        let jwks = format!(r#"{{"keys":[{{"kid":"k1","kty":"OKP","crv":"Ed25519","x":"{X}"}}]}}"#);
        let asked = NaiveAsked {
            issuer: ISSUER.to_owned(),
            prefixes: Vec::new(),
            only_where_named: false,
            jwts: false,
            may_lack: Vec::new(),
            without_audience: gaps,
            ttl_secs: 0,
            negative_ttl_secs: None,
        };
        let names = AnswerGap::ALL.iter().filter(|_| gaps).map(|gap| gap.as_str().to_owned());
        let asked = NaiveAsked { may_lack: names.collect(), ..asked };
        let world = world_of(ISSUER, &jwks, NOW, asked);

        let clock = ManualClock::new();
        clock.set(Timestamp::from_secs(NOW));
        let endpoint: &'static Endpoint = Box::leak(Box::default());
        let mut introspection = Introspection::at(ISSUER, "https://as.example/introspect")
            .client(ClientAuth::mtls(CLIENT))
            .ttl(Duration::ZERO)
            .transport(endpoint);
        if signed {
            introspection = introspection.signed_answers();
        }
        if gaps {
            for gap in AnswerGap::ALL {
                introspection = introspection.may_lack(*gap);
            }
            introspection = introspection.dangerous().insecure_without_audience();
        }
        let algorithms = [Algorithm::EdDsa, Algorithm::Ed25519];
        let api = ResourceServer::builder(&world.resource)
            .issuer(Issuer::fixed_keys(ISSUER, jwks.as_str()).algorithms(algorithms))
            .introspection(introspection)
            .binding(Binding::WhereBound)
            .mtls(Mtls::direct())
            .class(TokenClass::default_at_most(Duration::from_secs(world.max_lifetime_secs)))
            .leeway(Duration::from_secs(world.leeway_secs))
            .clock(clock)
            .build()
            .unwrap();
        let runtime = Builder::new_current_thread().build().unwrap();
        Self { world, api, runtime, endpoint }
    }

    fn decide(&self, content_type: &'static str, body: &[u8]) -> Result<Access, Rejection> {
        *self.endpoint.0.lock().unwrap() = (content_type, body.to_vec());
        let request = Request::get("/").header(AUTHORIZATION, "Bearer opaque").body(()).unwrap();
        self.runtime.block_on(self.api.verify(&request))
    }

    /// With the reference, and with `serde_json` where that can read it: only the boolean `true` is a yes.
    fn compare(&self, decision: &Result<Access, Rejection>, body: &[u8]) {
        let reply = NaiveReply {
            status: 200,
            content_type: Some("application/json".to_owned()),
            body: body.to_vec(),
        };
        let request = NaiveRequest {
            reply: Some(reply),
            ..NaiveRequest::with_lines(vec![b"Bearer opaque".to_vec()])
        };
        assert_agree(decision, &naive::decide(&self.world, &mut Memory::default(), &request));

        let unreadable = Some(RejectionKind::IntrospectionUnavailable);
        let inactive = Some(RejectionKind::Inactive);
        match tree::read(body) {
            Reading::Unknown => {}
            Reading::Refused => assert_eq!(kind(decision), unreadable),
            Reading::Object(_) if body.len() > LONGEST => assert_eq!(kind(decision), unreadable),
            Reading::Object(_) => {
                let value: Value = serde_json::from_slice(body).unwrap();
                match value.get("active") {
                    Some(Value::Bool(true)) => assert_ne!(kind(decision), inactive),
                    Some(Value::Bool(false)) => assert_eq!(kind(decision), inactive),
                    _ => assert_eq!(kind(decision), unreadable),
                }
            }
        }
    }
}

enum Judgement {
    /// The members of the answer, as they were written.
    Good(Vec<u8>),
    Bad,
    Unknown,
}

/// RFC 9701 §5, of an answer whose signature is good.
fn judge(header: &[u8], payload: &[u8], length: usize) -> Judgement {
    let (header_members, claims) = match (tree::read(header), tree::read(payload)) {
        (Reading::Object(header), Reading::Object(claims)) => (header, claims),
        (Reading::Refused, _) | (_, Reading::Refused) => return Judgement::Bad,
        _ => return Judgement::Unknown,
    };
    let header_text = |name| member(&header_members, name).map(Tree::as_text);
    let refused =
        ["crit", "b64", "zip", "enc", "cty"].iter().any(|name| header_text(name).is_some());
    let typ = header_text("typ").flatten().map(str::to_ascii_lowercase);
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    let good_header = !refused
        && typ == Some("token-introspection+jwt")
        && matches!(header_text("alg"), Some(Some("EdDSA" | "Ed25519")))
        && matches!(header_text("kid"), None | Some(Some("k1")))
        && base64url::encode(header).len() <= MAX_HEADER;

    // The digits and the text of the answer are the crate's own reading: the target `json` compares them.
    let Ok(read) = ClaimsSet::parse(payload) else { return Judgement::Bad };
    let issued = read.value("iat").and_then(|iat| iat.as_number()).and_then(exact_nanos);
    let now = u128::from(NOW) * 1_000_000_000;
    let is_young = issued.is_some_and(|at| at.abs_diff(now) <= 60_000_000_000);
    let is_for_us = match member(&claims, "aud") {
        Some(Tree::Text(one)) => one == CLIENT,
        Some(Tree::Array(several)) => {
            let texts: Option<Vec<_>> = several.iter().map(Tree::as_text).collect();
            texts.is_some_and(|texts| texts.contains(&CLIENT))
        }
        _ => false,
    };
    let good = good_header
        && length <= LONGEST
        && member(&claims, "iss").and_then(Tree::as_text) == Some(ISSUER)
        && is_young
        && is_for_us
        && matches!(member(&claims, "token_introspection"), Some(Tree::Object(_)));
    match read.value("token_introspection").filter(|_| good) {
        Some(answer) => Judgement::Good(answer.text().as_bytes().to_vec()),
        None => Judgement::Bad,
    }
}
