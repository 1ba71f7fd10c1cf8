//! What a server has of the world around it: its clock, its way out, who watches; and the ways in which
//! it answers.

use std::future::pending;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use portcullis::check::allow_all;
use portcullis::jose::Algorithm;
use portcullis::layer::{ProtectLayer, RefusalStyle};
use portcullis::observe::{Decision, DecisionOutcome, ExceptionStatus, Observer, SourceEvent};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::time::{Clock, Sleep, Timestamp};
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use portcullis::{Binding, Dpop, Exception, RejectionKind as Kind, ResourceServer, TokenClass};

use crate::remembering::Board;
use crate::support::{ISSUER, RESOURCE, World, anonymous, bearer, builder, outage, send, settle};
use crate::{Says, assert_told};

/// A clock of somebody else's: it stands where it was put, and nobody who sleeps by it wakes.
#[derive(Clone, Default)]
struct Dial {
    seconds: Arc<AtomicU64>,
}

impl Dial {
    fn at(seconds: u64) -> Self {
        Self { seconds: Arc::new(AtomicU64::new(seconds)) }
    }
}

impl Clock for Dial {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.seconds.load(Ordering::Relaxed))
    }

    fn steady(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(pending())
    }
}

/// A token lives by the server's clock, also by one that was never set, or that ran away.
#[tokio::test]
async fn a_clock_decides() {
    let clock = Dial::at(1_800_000_000);
    let issuer = TestIssuer::new(ISSUER, &clock);
    let token = issuer.token(RESOURCE).sign();
    let api = ResourceServer::builder(RESOURCE)
        .issuer(issuer.fixed_keys())
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(clock.clone())
        .build()
        .unwrap();
    for (name, seconds, kind) in [
        ("when it was issued", 1_800_000_000, None),
        ("an hour later", 1_800_003_600, Some(Kind::Expired)),
        ("a clock that ran away", Timestamp::MAX_SECONDS, Some(Kind::Expired)),
        ("a clock that was never set", 0, Some(Kind::IssuedInFuture)),
        ("set back", 1_800_000_000, None),
    ] {
        clock.seconds.store(seconds, Ordering::Relaxed);
        assert_told(name, &send(&api.layer(), bearer(&token)).await, kind);
    }
}

/// A way out with a fault.
#[derive(Clone)]
struct Wire {
    network: TestNetwork,
    fault: Fault,
}

#[derive(Clone, Debug)]
enum Fault {
    None,
    Error(FetchErrorKind),
    Answer(StatusCode, &'static str, Bytes),
    Silence,
}

impl Transport for Wire {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        assert!(limits.max_body > 0 && !limits.timeout.is_zero());
        Box::pin(async move {
            match &self.fault {
                Fault::None => self.network.fetch(request, limits).await,
                Fault::Error(kind) => Err(FetchError::new(*kind).caused_by("a cable is cut")),
                Fault::Answer(status, content_type, body) => {
                    let mut response = Response::new(body.clone());
                    *response.status_mut() = *status;
                    let content_type = HeaderValue::from_static(content_type);
                    response.headers_mut().insert(CONTENT_TYPE, content_type);
                    Ok(response)
                }
                Fault::Silence => pending().await,
            }
        })
    }
}

/// Whatever becomes of a fetch, keys that nobody has verify nothing.
#[tokio::test]
async fn a_transport_brings_keys_or_nothing() {
    const JSON: &str = "application/json";
    let gone = Some(Kind::KeysUnavailable);
    let long = Bytes::from(vec![b' '; 64 << 20]);
    for (name, fault, kind) in [
        ("good", Fault::None, None),
        ("no connection", Fault::Error(FetchErrorKind::Connection), gone),
        ("late", Fault::Error(FetchErrorKind::Timeout), gone),
        ("too large", Fault::Error(FetchErrorKind::TooLarge), gone),
        ("forbidden", Fault::Error(FetchErrorKind::Forbidden), gone),
        ("redirected", Fault::Error(FetchErrorKind::Redirect), gone),
        ("500", Fault::Answer(StatusCode::INTERNAL_SERVER_ERROR, JSON, Bytes::new()), gone),
        ("a redirect", Fault::Answer(StatusCode::FOUND, JSON, Bytes::new()), gone),
        ("a page", Fault::Answer(StatusCode::OK, "text/html", "<html>".into()), gone),
        (
            "the issuer has no keys",
            Fault::Answer(StatusCode::OK, JSON, r#"{"keys":[]}"#.into()),
            Some(Kind::UnknownKey),
        ),
        ("longer than its limit", Fault::Answer(StatusCode::OK, JSON, long), gone),
        ("silent", Fault::Silence, gone),
    ] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let network = TestNetwork::of(&[&issuer]);
        let api = builder(&clock)
            .issuer(issuer.jwks())
            .transport(Wire { network, fault })
            .build()
            .unwrap();
        let layer = api.layer();
        let late = async {
            settle().await;
            clock.advance(Duration::from_secs(30));
        };
        let token = issuer.token(RESOURCE).sign();
        let (sent, ()) = tokio::join!(send(&layer, bearer(&token)), late);
        assert_told(name, &sent, kind);
    }
}

/// Somebody who writes down what happens, and may fall over it.
#[derive(Default)]
struct Log {
    decisions: Mutex<Vec<DecisionOutcome>>,
    sources: AtomicUsize,
    exceptions: AtomicUsize,
    falls: bool,
}

impl Log {
    fn fall(&self) {
        assert!(!self.falls, "an observer falls over what it sees");
    }
}

impl Observer for Log {
    fn observe(&self, decision: &Decision<'_>) {
        self.decisions.lock().unwrap().push(decision.outcome);
        self.fall();
    }

    fn revocation(&self, event: &SourceEvent<'_>) {
        assert_eq!(event.source, "bulletin");
        self.sources.fetch_add(1, Ordering::Relaxed);
        self.fall();
    }

    fn exception(&self, exception: &ExceptionStatus<'_>) {
        assert_eq!(exception.reason, "cannot do DPoP");
        self.exceptions.fetch_add(1, Ordering::Relaxed);
        self.fall();
    }
}

/// What an observer does changes no decision, and what a source says is heard all the same.
#[tokio::test]
async fn an_observer_is_told_and_decides_nothing() {
    use DecisionOutcome::{Accepted, Refused, Unavailable};
    for falls in [false, true] {
        let log = Arc::new(Log { falls, ..Log::default() });
        let world = World::with(Algorithm::Es256, |builder| builder.observer(log.clone())).await;
        let token = world.token();
        for (name, layer, token, kind) in [
            ("good", world.api.layer(), token.sign(), None),
            ("forged", world.api.layer(), token.tampered(), Some(Kind::BadSignature)),
            ("outage", world.api.protect(outage), token.sign(), Some(Kind::CheckUnavailable)),
        ] {
            let name = format!("{name}, falls: {falls}");
            assert_told(&name, &send(&layer, bearer(&token)).await, kind);
        }
        assert_eq!(*log.decisions.lock().unwrap(), [Accepted, Refused, Unavailable]);

        let log = Arc::new(Log { falls, ..Log::default() });
        let board = Board::with(Says::No, |builder| {
            let exception = Exception::for_clients(["app"])
                .until("2027-03-31")
                .because("cannot do DPoP")
                .at_most(Duration::from_hours(1));
            let bound = builder.dpop(Dpop::new()).binding(Binding::Dpop).exception(exception);
            bound.observer(log.clone())
        })
        .await;
        assert!(log.exceptions.load(Ordering::Relaxed) > 0, "falls: {falls}");
        assert!(log.sources.load(Ordering::Relaxed) > 0, "falls: {falls}");
        board.assert("stolen", "stolen", Some(Kind::Revoked)).await;
        board.assert("other", "other", None).await;
    }
}

/// Nobody else can say how a refusal is answered: the ways there are, and that each of them says no.
#[tokio::test]
async fn a_refusal_is_answered_in_one_of_three_ways() {
    async fn answer<F: RefusalStyle<String>>(
        layer: &ProtectLayer<F>,
        request: Request<String>,
    ) -> (StatusCode, Option<String>, String, bool) {
        let sent = send(layer, request).await;
        let (parts, body) = sent.response.clone().into_parts();
        let field = parts.headers.get("grpc-status").or(parts.headers.get(CONTENT_TYPE));
        (parts.status, field.map(|value| value.to_str().unwrap().to_owned()), body, sent.passed())
    }
    let world = World::new().await;
    let layer = || world.api.protect(allow_all());
    let (plain, grpc) = (layer(), layer().grpc());
    let told = layer().refusal_body(|rejection: &portcullis::Rejection| {
        (HeaderValue::from_static("text/plain"), rejection.kind().as_str().to_owned())
    });
    let (no, yes) = (anonymous, || bearer(&world.token().sign()));
    let unauthorized = StatusCode::UNAUTHORIZED;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(answer(&plain, no()).await, (unauthorized, None, String::new(), false));
    assert_eq!(answer(&grpc, no()).await, (StatusCode::OK, text("16"), String::new(), false));
    let body = "no_credentials".to_owned();
    assert_eq!(answer(&told, no()).await, (unauthorized, text("text/plain"), body, false));
    let passed = (StatusCode::OK, None, "inner".to_owned(), true);
    assert_eq!(answer(&plain, yes()).await, passed);
    assert_eq!(answer(&grpc, yes()).await, passed);
    assert_eq!(answer(&told, yes()).await, passed);
}
