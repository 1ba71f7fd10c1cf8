//! What a client says of its steps, and what stands around a server so that it can.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::middleware::{self, Next};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Request, Response};
use portcullis::Rejection;
use portcullis::testing::{Challenge, challenges};
use serde::Deserialize;

use crate::cases::Cases;

/// A step, and what each of its requests gets: a status, and for a refusal its kind and its challenges.
pub(crate) type Steps<'a> = &'a [(&'a str, &'a [&'a str])];

#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) walk: String,
    pub(crate) step: String,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) body: Option<String>,
    /// As the library read them.
    challenges: Option<Vec<Read>>,
    pub(crate) token_type: Option<String>,
    pub(crate) bound_to_own_key: Option<bool>,
    pub(crate) bound_to_own_certificate: Option<bool>,
    /// Of its last request.
    pub(crate) connection: Option<Connection>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Connection {
    /// How many there were made in this step.
    pub(crate) made: u32,
    /// Whether its TLS session is that of an earlier connection.
    pub(crate) resumed: bool,
    /// By ALPN.
    pub(crate) protocol: String,
}

#[derive(Debug, Deserialize)]
struct Read {
    scheme: String,
    parameters: BTreeMap<String, String>,
}

/// A request and its response.
#[derive(Debug, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) status: u16,
    pub(crate) proof: Option<SentProof>,
    /// `DPoP-Nonce` of the response.
    pub(crate) nonce: Option<String>,
    challenge: Option<String>,
    kind: Option<String>,
    pub(crate) version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SentProof {
    pub(crate) alg: String,
    pub(crate) jti: String,
    pub(crate) nonce: Option<String>,
}

impl Exchange {
    pub(crate) fn challenges(&self) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        if let Some(text) = &self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::try_from(text).unwrap());
        }
        challenges(&headers)
    }

    fn told(&self) -> String {
        let mut told = self.status.to_string();
        if let Some(kind) = &self.kind {
            told = format!("{told} {kind}");
        }
        for challenge in self.challenges() {
            let error = challenge.param("error").unwrap_or("-");
            told = format!("{told}, {} {error}", challenge.scheme);
        }
        told
    }
}

impl Line {
    fn told(&self) -> Vec<String> {
        self.exchanges.iter().map(Exchange::told).collect()
    }

    /// AUTH-23: a client reads the same challenges as the test kit, whether in one line or in several.
    fn check_reading(&self) {
        let Some(read) = &self.challenges else { return };
        let read: Vec<_> =
            read.iter().map(|read| (read.scheme.clone(), &read.parameters)).collect();
        let sent = self.exchanges.last().unwrap().challenges();
        let sent: Vec<_> = sent
            .into_iter()
            .map(|challenge| {
                let parameters: BTreeMap<_, _> = challenge.params.into_iter().collect();
                (challenge.scheme.to_ascii_lowercase(), parameters)
            })
            .collect();
        let sent: Vec<_> = sent.iter().map(|(scheme, params)| (scheme.clone(), params)).collect();
        assert_eq!(read, sent, "{}: {}", self.walk, self.step);
    }
}

/// The lines of a client, by walk.
pub(crate) fn lines(printed: &str) -> BTreeMap<String, Vec<Line>> {
    let mut walks = BTreeMap::<_, Vec<_>>::new();
    for text in printed.lines() {
        let line: Line = serde_json::from_str(text).unwrap();
        line.check_reading();
        walks.entry(line.walk.clone()).or_default().push(line);
    }
    walks
}

/// Every step in its order, and no other: a case each.
pub(crate) fn check_steps(cases: &mut Cases, lines: &[Line], steps: Steps<'_>) {
    let walk = lines[0].walk.as_str();
    let found: Vec<_> = lines.iter().map(|line| line.step.as_str()).collect();
    let wanted: Vec<_> = steps.iter().map(|(step, _)| *step).collect();
    assert_eq!(found, wanted, "{walk}");
    for (line, (step, wanted)) in lines.iter().zip(steps) {
        cases.case(format!("{walk}: {step}"), line.told().join(" | "), &wanted.join(" | "));
    }
}

/// Lets a client see why it was refused, and over which version of HTTP it came.
pub(crate) fn telling(app: Router) -> Router {
    async fn tell(request: Request<Body>, next: Next) -> Response<Body> {
        let version = format!("{:?}", request.version());
        let mut response = next.run(request).await;
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            println!("refused: {rejection}");
            let kind = HeaderValue::from_static(rejection.kind().as_str());
            response.headers_mut().insert("interop-kind", kind);
        }
        response.headers_mut().insert("interop-version", HeaderValue::try_from(version).unwrap());
        response
    }
    app.layer(middleware::from_fn(tell))
}
