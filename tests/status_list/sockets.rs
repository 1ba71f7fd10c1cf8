//! With real sockets: what a transport that was not made for tests does with redirects and with an answer
//! that never ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::{Body, Frame};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis::revocation::{Revocation, StatusLists};
use portcullis::testing::{ManualClock, TestIssuer, TestStatusList};
use portcullis::time::SystemClock;
use portcullis::{Binding, RejectionKind as Kind, ResourceServer, TokenClass};
use tokio::net::TcpListener;

use crate::support::{RESOURCE, present};

type Answer = Either<String, Endless>;

/// A body without an end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'a'; 16 * 1024])))))
    }
}

/// Serves what `answer` says of a path, on a loopback address.
async fn serve(
    answer: impl Fn(&str) -> Response<Answer> + Clone + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<_>| {
                    let _: &Request<hyper::body::Incoming> = &request;
                    let response = answer(request.uri().path());
                    async move { Ok::<_, Infallible>(response) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("http://{address}")
}

/// TSL-06, TSL-29: a redirect on the same origin is followed; another origin, a circle and an endless
/// answer are failures; and nothing is held against the token.
#[tokio::test]
async fn real_answers_are_bounded() {
    let clock = ManualClock::new();
    // It signs with the time of the machine, since sockets need its timer.
    let now = portcullis::time::Clock::now(&SystemClock::new());
    clock.set(now);
    let issuer = TestIssuer::new(crate::support::ISSUER, &clock);
    let made = TestStatusList::new("unused", &issuer, &clock);
    let (sender, token) = tokio::sync::watch::channel(String::new());
    let origin = serve(move |path| {
        let mut response = Response::new(Either::Left(token.borrow().clone()));
        let list = http::HeaderValue::from_static("application/statuslist+jwt");
        response.headers_mut().insert(CONTENT_TYPE, list);
        let mut redirect = |to: &'static str| {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(LOCATION, http::HeaderValue::from_static(to));
        };
        match path {
            "/list" => redirect("/moved"),
            "/circle" => redirect("/circle"),
            "/away" => redirect("http://127.0.0.1:1/list"),
            "/endless" => *response.body_mut() = Either::Right(Endless),
            _ => {}
        }
        response
    })
    .await;
    let lists = StatusLists::new().allow_uris_at(&origin).max_entries(1 << 16);
    let api = ResourceServer::builder(RESOURCE)
        .issuer(issuer.fixed_keys())
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .revocation(Revocation::new().status_lists(lists.dangerous().insecure_loopback_http()))
        .build()
        .unwrap();
    for (path, told) in [
        ("list", None),
        ("circle", Some("back to it")),
        ("away", Some("redirect: ")),
        ("endless", Some("too large")),
    ] {
        let uri = format!("{origin}/{path}");
        let subject = uri.clone();
        made.set(1, 1).edit(move |token| token.claim("sub", &subject));
        sender.send_replace(made.token());
        let ask = async |index: u64| {
            let status = serde_json::json!({ "status_list": { "idx": index, "uri": &uri } });
            let token = issuer.token(RESOURCE).claim("status", status).sign();
            present(&api, &token).await.err().map(|error| error.kind())
        };
        match told {
            None => assert_eq!((ask(0).await, ask(1).await), (None, Some(Kind::Revoked))),
            Some(told) => {
                assert_eq!(ask(0).await, Some(Kind::RevocationUnavailable), "{path}");
                let health = api.revocations().status_lists();
                let list = health.iter().find(|list| *list.uri == *uri).unwrap();
                let error = list.last_error.clone().unwrap();
                assert!(error.contains(told), "{path}: {error}");
            }
        }
    }
}
