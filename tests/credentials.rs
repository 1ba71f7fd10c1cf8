//! What a request presents, and where a token is never looked for.
//!
//! The first column of each table names the requirements that a row proves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis::check::{Check as _, CheckContext, CheckError, Denial, scope};
use portcullis::credentials::{Credentials, CredentialsError, MAX_TOKEN};
use portcullis::testing::{Failure, ManualClock, TestIssuer, TestNetwork, challenges};
use portcullis::time::Clock as _;
use portcullis::{Policy, RejectionKind, assert_challenge};
use support::{
    ISSUER, RESOURCE, World, anonymous, bearer, builder, outage, role, send, with_field,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// What a presentation gets: nothing if it passes, else status and `error`.
type Told = Option<(u16, Option<&'static str>)>;

const PASS: Told = None;
const BARE: Told = Some((401, None));
const BAD_REQUEST: Told = Some((400, Some("invalid_request")));
const BAD_TOKEN: Told = Some((401, Some("invalid_token")));

/// In the rows, `{t}` is a good token, `{bad}` one whose signature is none, and `{h}` and `{r}` a
/// good token in two.
#[tokio::test]
async fn one_field_of_scheme_spaces_and_token68_is_a_presentation() {
    let world = World::new().await;
    let good = world.token().sign();
    let bad = world.token().tampered();
    let (head, rest) = good.split_at(20);
    let spaced = format!("Bearer{:40}{{t}}", "");
    #[rustfmt::skip]
    let rows: &[(&str, &str, &[&str], Told)] = &[
        ("AUTH-15 FAPI-01", "the header method", &["Bearer {t}"], PASS),
        ("AUTH-16", "lower case", &["bearer {t}"], PASS),
        ("AUTH-16", "upper case", &["BEARER {t}"], PASS),
        ("AUTH-16", "mixed case", &["bEaReR {t}"], PASS),
        ("AUTH-17", "two spaces", &["Bearer  {t}"], PASS),
        ("AUTH-17", "many spaces", &[&spaced], PASS),
        ("AUTH-17", "tab", &["Bearer\t{t}"], BAD_REQUEST),
        ("AUTH-17", "space and tab", &["Bearer \t{t}"], BAD_REQUEST),
        ("AUTH-17", "space before", &[" Bearer {t}"], BAD_REQUEST),
        ("AUTH-17", "quoted", &["Bearer \"{t}\""], BAD_REQUEST),
        ("AUTH-17", "a list", &["Bearer {t},x"], BAD_REQUEST),
        ("AUTH-17", "two in one field", &["Bearer {t}, Bearer {t}"], BAD_REQUEST),
        ("AUTH-17", "a parameter", &["Bearer a=b"], BAD_REQUEST),
        ("AUTH-17", "parameters", &["Bearer realm=\"x\", token=\"{t}\""], BAD_REQUEST),
        ("AUTH-17", "= in the middle", &["Bearer {h}={r}"], BAD_REQUEST),
        ("AUTH-17", "only padding", &["Bearer =="], BAD_REQUEST),
        ("AUTH-17", "percent encoding", &["Bearer {t}%3D"], BAD_REQUEST),
        ("AUTH-17", "not ASCII", &["Bearer {t}\u{e9}"], BAD_REQUEST),
        ("AUTH-12 MCP-09", "no token", &["Bearer"], BAD_REQUEST),
        ("AUTH-12", "no token after a space", &["Bearer "], BAD_REQUEST),
        ("AUTH-12", "two words", &["Bearer a b"], BAD_REQUEST),
        ("AUTH-12", "the token and a word", &["Bearer {t} b"], BAD_REQUEST),
        ("AUTH-12", "an empty field", &[""], BAD_REQUEST),
        ("AUTH-18", "two equal fields", &["Bearer {t}", "Bearer {t}"], BAD_REQUEST),
        ("AUTH-18", "a good field and a bad one", &["Bearer {t}", "Bearer x"], BAD_REQUEST),
        ("AUTH-18", "a bad field and a good one", &["Bearer x", "Bearer {t}"], BAD_REQUEST),
        ("AUTH-18", "fields of two schemes", &["Basic YTpi", "Bearer {t}"], BAD_REQUEST),
        ("AUTH-18", "an empty field beside it", &["Bearer {t}", ""], BAD_REQUEST),
        ("AUTH-03", "no field", &[], BARE),
        ("AUTH-03", "Basic", &["Basic YTpi"], BARE),
        ("AUTH-03", "a scheme without credentials", &["Negotiate"], BARE),
        ("AUTH-03", "a scheme that begins likewise", &["BearerX {t}"], BARE),
        ("AUTH-03", "a scheme and no space", &["Bearer{t}"], BARE),
        ("AUTH-03", "a scheme with parameters", &["Digest username=\"a\", realm=\"b\""], BARE),
        ("AUTH-03", "the token under another scheme", &["Token {t}"], BARE),
        ("AUTH-03", "DPoP, which is not offered", &["DPoP {t}"], BARE),
        ("AUTH-13", "not a JWT", &["Bearer not.a.jwt"], BAD_TOKEN),
        ("AUTH-13", "a bad signature", &["Bearer {bad}"], BAD_TOKEN),
        ("AUTH-13", "padding after the token", &["Bearer {t}="], BAD_TOKEN),
    ];
    let layer = world.api.layer();
    let mut wrong = Vec::new();
    for (id, name, fields, told) in rows {
        let mut request = anonymous();
        for field in *fields {
            let field = field.replace("{t}", &good).replace("{bad}", &bad);
            let field = field.replace("{h}", head).replace("{r}", rest);
            let field = HeaderValue::from_bytes(field.as_bytes()).unwrap();
            request.headers_mut().append(AUTHORIZATION, field);
        }
        let sent = send(&layer, request).await;
        let status = sent.response.status().as_u16();
        let error = sent.error();
        let found = (!sent.passed()).then_some((status, error.as_deref()));
        if found != *told {
            wrong.push(format!("{id} {name}: wanted {told:?}, found {found:?}"));
        }
        // AUTH-01, AUTH-02
        let challenged = sent.response.headers().contains_key(WWW_AUTHENTICATE);
        assert_eq!(challenged, told.is_some(), "{name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // AUTH-17: octets that are not even text.
    let octets = [b"Bearer ", good.as_bytes(), b"\xff"].concat();
    let sent = send(&layer, with_field("authorization", octets)).await;
    assert_challenge!(sent.response, 400, "Bearer", error = "invalid_request");
}

/// AUTH-13, AUTH-31: nobody can be asked about an opaque token, and it is not called malformed.
#[tokio::test]
async fn an_opaque_token_is_told_from_a_malformed_one() {
    let world = World::new().await;
    let layer = world.api.layer();
    for (token, kind) in [
        ("mF_9.B5f-4.1JqM", RejectionKind::MalformedToken),
        ("2YotnFZFEjr1zCsicMWpAA", RejectionKind::OpaqueToken),
        ("2YotnFZFEjr1zCsicMWpAA==", RejectionKind::OpaqueToken),
    ] {
        let sent = send(&layer, bearer(token)).await;
        assert_eq!(sent.kind(), Some(kind), "{token}");
        assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token");
    }
    assert!(send(&layer, bearer(&world.token().sign())).await.passed());
}

/// AUTH-20, BCP-09, FAPI-02, MCP-05, NHI-04: what the query says is neither used nor an error.
#[tokio::test]
async fn the_query_is_ignored() {
    let world = World::new().await;
    let layer = world.api.layer();
    let good = world.token().sign();
    for (name, query, header, passes) in [
        ("a good token in the query", format!("access_token={good}"), None, false),
        ("twice in the query", format!("access_token={good}&access_token={good}"), None, false),
        (
            "a bad one there, a good one in the header",
            "access_token=BAD".to_owned(),
            Some(&good),
            true,
        ),
        ("the same in both", format!("access_token={good}"), Some(&good), true),
    ] {
        let mut request = header.map_or_else(anonymous, |token| bearer(token));
        *request.uri_mut() = format!("/notes?{query}").parse().unwrap();
        let sent = send(&layer, request).await;
        assert_eq!(sent.passed(), passes, "{name}");
        if !passes {
            assert_challenge!(sent.response, 401, "Bearer", !error, !error_description, !error_uri);
        }
    }
}

/// AUTH-12, AUTH-19, NHI-04: the form method is not offered, so a token in a body is body.
#[tokio::test]
async fn the_body_is_ignored() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let world = World::new().await;
    let layer = world.api.layer();
    let good = world.token().sign();
    let multipart = format!(
        "--b\r\ncontent-disposition: form-data; name=\"access_token\"\r\n\r\n{good}\r\n--b--\r\n"
    );
    let form = format!("access_token={good}");
    for (name, method, content_type, body, header, passes) in [
        ("a form", Method::POST, FORM, &form, None, false),
        ("a form by PUT", Method::PUT, FORM, &form, None, false),
        ("a form by GET", Method::GET, FORM, &form, None, false),
        ("multipart", Method::POST, "multipart/form-data; boundary=b", &multipart, None, false),
        ("a form, and the header", Method::POST, FORM, &form, Some(&good), true),
    ] {
        let mut request = header.map_or_else(anonymous, |token| bearer(token));
        *request.method_mut() = method;
        *request.body_mut() = body.clone();
        let content_type = HeaderValue::from_static(content_type);
        request.headers_mut().insert("content-type", content_type);
        let sent = send(&layer, request).await;
        assert_eq!(sent.passed(), passes, "{name}");
        match sent.seen {
            None => assert_challenge!(sent.response, 401, "Bearer", !error),
            // It reaches the inner service as it came.
            Some(seen) => assert_eq!(seen.body(), body),
        }
    }
}

/// AUTH-15: one field carries credentials to this server, and no other does.
#[tokio::test]
async fn other_fields_are_no_credentials() {
    let world = World::new().await;
    let layer = world.api.layer();
    let good = world.token().sign();
    for name in [
        "proxy-authorization",
        "x-authorization",
        "authorization-bearer",
        "x-access-token",
        "x-forwarded-access-token",
        "x-forwarded-authorization",
        "x-amzn-oidc-data",
        "cookie",
        "txn-token",
        "workload-identity-token",
        "dpop",
        "sec-websocket-protocol",
    ] {
        for value in [format!("Bearer {good}"), good.clone(), format!("access_token={good}")] {
            let sent = send(&layer, with_field(name, &value)).await;
            assert!(!sent.passed(), "{name}");
            assert_challenge!(sent.response, 401, "Bearer", !error);
        }
        let mut request = bearer(&good);
        request.headers_mut().insert(name, HeaderValue::from_static("Bearer x"));
        assert!(send(&layer, request).await.passed(), "{name} beside the token");
    }
}

/// AUTH-28, API-01, MCP-05: no method and no path is let through.
#[tokio::test]
async fn every_method_and_every_path_is_decided() {
    let world = World::new().await;
    let layer = world.api.layer();
    let token = world.token().sign();
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
    let paths =
        ["/", "*", "/.well-known/oauth-protected-resource", "/health", "//notes", "/a/../b"];
    for (method, path) in methods.iter().flat_map(|method| paths.map(|path| (*method, path))) {
        let request = |mut request: Request<String>| {
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = path.parse().unwrap();
            request
        };
        let sent = send(&layer, request(anonymous())).await;
        assert!(!sent.passed(), "{method} {path}");
        assert_eq!(sent.response.status(), 401, "{method} {path}");
        assert!(send(&layer, request(bearer(&token))).await.passed(), "{method} {path}");
    }
}

/// AUTH-14, AUTH-25, AUTH-27, BCP-02, BCP-03, NHI-05, MCP-03, MCP-09: each thing that may be
/// wrong with a good token is found alone.
#[tokio::test]
async fn a_token_has_to_be_right_in_every_way() {
    let world = World::new().await;
    let layer = world.api.protect(scope("notes:write").and(role("admin")));
    let good = || world.token().scope("notes:write").claim("roles", ["admin"]);
    let past = world.clock.now().minus(Duration::from_mins(1));
    for (id, name, token, told) in [
        ("AUTH-27", "all is well", good(), PASS),
        (
            "AUTH-27",
            "expired",
            good().expires_at(past).issued_at(past.minus(Duration::from_mins(1))),
            BAD_TOKEN,
        ),
        (
            "AUTH-29 BCP-02",
            "for another resource",
            good().claim("aud", "https://other.example"),
            BAD_TOKEN,
        ),
        (
            "AUTH-14 BCP-03",
            "another scope",
            good().scope("notes:read"),
            Some((403, Some("insufficient_scope"))),
        ),
        ("AUTH-14", "no scope", good().without("scope"), Some((403, Some("insufficient_scope")))),
        (
            "AUTH-25 AT-14",
            "another role",
            good().claim("roles", ["user"]),
            Some((403, Some("insufficient_scope"))),
        ),
        (
            "AUTH-25 AT-14",
            "no role",
            good().without("roles"),
            Some((403, Some("insufficient_scope"))),
        ),
    ] {
        let sent = send(&layer, bearer(&token.sign())).await;
        let status = sent.response.status().as_u16();
        let error = sent.error();
        let found = (!sent.passed()).then_some((status, error.as_deref()));
        assert_eq!(found, told, "{id} {name}");
        if status == 403 && name.contains("role") {
            assert_challenge!(sent.response, 403, "Bearer", !scope);
        } else if status == 403 {
            assert_challenge!(sent.response, 403, "Bearer", scope = "notes:write");
        }
    }
}

/// AUTH-25: a 403 of the inner service stays its own.
#[tokio::test]
async fn what_the_inner_service_answers_is_passed_on_as_it_is() {
    let world = World::new().await;
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let inner = service_fn(move |_: Request<String>| async move {
            let response = Response::builder().status(status).header("x-mine", "1");
            Ok::<_, Infallible>(response.body("mine".to_owned()).unwrap())
        });
        let request = bearer(&world.token().sign());
        let response = world.api.layer().layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.body(), "mine");
        // AUTH-26: no field about caches, and no other, is added.
        let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-mine"]);
    }
}

/// AUTH-26: what a handler says about caches is left alone, and no refusal is stored.
#[tokio::test]
async fn cache_fields_are_the_handlers_own() {
    let world = World::new().await;
    let inner = service_fn(|_: Request<String>| async {
        let response = Response::builder().header(CACHE_CONTROL, "private, max-age=60");
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    });
    let service = world.api.layer().layer(inner);
    let passed = service.clone().oneshot(bearer(&world.token().sign())).await.unwrap();
    assert_eq!(passed.headers()[CACHE_CONTROL], "private, max-age=60");
    let refused = service.oneshot(anonymous()).await.unwrap();
    assert_eq!(refused.headers()[CACHE_CONTROL], "no-store");
}

/// AUTH-28, JWS-44, NIST-04: each request of a connection that stays open is decided anew.
#[tokio::test]
async fn a_token_expires_on_an_open_connection() {
    let world = World::new().await;
    let inner = service_fn(|_: Request<hyper::body::Incoming>| async {
        Ok::<_, Infallible>(Response::new("inner".to_owned()))
    });
    let service = TowerToHyperService::new(world.api.layer().layer(inner));
    let (client, server) = tokio::io::duplex(4_096);
    tokio::spawn(
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service),
    );
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<&[u8]>>(TokioIo::new(client))
            .await
            .unwrap();
    tokio::spawn(connection);
    let token = world.token().sign();
    let mut replay = async || {
        let request = Request::get("/notes")
            .header(HOST, "rs.example")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Empty::new())
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let read = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        Response::from_parts(parts, read)
    };

    assert_eq!(replay().await.body(), "inner");
    assert_eq!(replay().await.status(), 200);
    // Five minutes, and ten seconds of leeway.
    world.clock.advance(Duration::from_secs(309));
    assert_eq!(replay().await.status(), 200);
    world.clock.advance(Duration::from_secs(1));
    let refused = replay().await;
    assert_challenge!(refused, 401, "Bearer", error = "invalid_token");
    assert!(refused.body().is_empty());
}

/// AUTH-32, API-01: an outage is neither the client's fault nor a yes.
#[tokio::test]
async fn what_cannot_be_decided_is_503() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock)
        .issuer(issuer.discover())
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    let token = issuer.token(RESOURCE).sign();
    for failure in [
        Failure::Connection,
        Failure::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Failure::Status(StatusCode::NOT_FOUND),
        Failure::Redirect("https://evil.example/jwks.json".to_owned()),
        Failure::Body(b"<html>".to_vec()),
        Failure::Body(vec![b' '; 2 << 20]),
    ] {
        issuer.fail(failure.clone());
        let sent = send(&api.layer(), bearer(&token)).await;
        assert_eq!(sent.kind(), Some(RejectionKind::KeysUnavailable), "{failure:?}");
        unavailable(&sent);
        clock.advance(Duration::from_mins(2));
    }
    issuer.recover();
    let token = issuer.token(RESOURCE).sign();
    assert!(send(&api.layer(), bearer(&token)).await.passed());

    // A check that cannot tell.
    let sent = send(&api.protect(outage), bearer(&token)).await;
    assert_eq!(sent.kind(), Some(RejectionKind::CheckUnavailable));
    unavailable(&sent);
}

/// 503, a time to try again, and no word about the token.
fn unavailable(sent: &support::Sent) {
    assert!(!sent.passed());
    assert_eq!(sent.response.status(), 503);
    let retry_after = sent.response.headers()[RETRY_AFTER].to_str().unwrap();
    assert!(retry_after.parse::<u64>().unwrap() >= 1, "{retry_after}");
    assert!(challenges(sent.response.headers()).is_empty());
}

/// BCP-04, MCP-04: a proxy can be kept from passing the token on.
#[tokio::test]
async fn the_inner_service_sees_the_token_only_if_it_may() {
    let world = World::new().await;
    let token = world.token().sign();
    let open = Policy::new(scope("a"));
    let request = || bearer(&world.token().scope("a").sign());
    for (policy, sees) in [(open.clone(), true), (open.clone().strip_credentials(), false)] {
        let sent = send(&world.api.protect(policy), request()).await;
        let seen = sent.seen.expect("it passed");
        assert_eq!(seen.headers().contains_key(AUTHORIZATION), sees);
    }
    // Where a token is optional too.
    let policy = open.optional().strip_credentials();
    let sent = send(&world.api.protect(policy.clone()), request()).await;
    assert!(!sent.seen.expect("it passed").headers().contains_key(AUTHORIZATION));
    assert!(send(&world.api.protect(policy.clone()), anonymous()).await.passed());
    // A token that is not good enough does not become none.
    let sent = send(&world.api.protect(policy), bearer(&token)).await;
    assert_eq!(sent.response.status(), 403);
}

/// AUTH-12, AUTH-13: that credentials are optional does not make bad ones good.
#[tokio::test]
async fn optional_credentials_are_still_read() {
    let world = World::new().await;
    let layer = world.api.protect(Policy::new(scope("a")).optional());
    let sent = send(&layer, anonymous()).await;
    assert!(sent.passed() && sent.access().is_none());
    let good = world.token().scope("a").sign();
    assert!(send(&layer, bearer(&good)).await.access().is_some());
    for (value, status) in
        [("Basic YTpi", 401), ("Bearer", 400), ("", 400), ("Bearer not.a.jwt", 401)]
    {
        let sent = send(&layer, with_field("authorization", value)).await;
        assert!(!sent.passed(), "{value}");
        assert_eq!(sent.response.status(), status, "{value}");
    }
}

/// AUTH-30: a preflight cannot carry a token, and only a preflight may do without one.
#[tokio::test]
async fn only_a_preflight_is_a_preflight() {
    use portcullis::Preflight;
    let world = World::new().await;
    let preflight = || {
        Request::options("/notes")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .body(String::new())
            .unwrap()
    };
    let refuses = world.api.protect(Policy::new(scope("a")));
    let passes = world.api.protect(Policy::new(scope("a")).preflight(Preflight::Pass));
    assert_eq!(send(&refuses, preflight()).await.response.status(), 401);
    let sent = send(&passes, preflight()).await;
    assert!(sent.passed() && sent.access().is_none());

    let mut with_credentials = preflight();
    let bad = HeaderValue::from_static("Bearer x");
    with_credentials.headers_mut().insert(AUTHORIZATION, bad);
    let mut without_origin = preflight();
    without_origin.headers_mut().remove("origin");
    let mut without_method = preflight();
    without_method.headers_mut().remove("access-control-request-method");
    let mut get = preflight();
    *get.method_mut() = Method::GET;
    for request in [with_credentials, without_origin, without_method, get] {
        let sent = send(&passes, request).await;
        assert!(!sent.passed());
        assert_eq!(sent.response.status(), 401);
    }
}

/// JWS-55, API-03: the bound on a token is the configured one, and holds before anything is read.
#[tokio::test]
async fn a_token_is_bounded_before_it_is_read() {
    let of_length = |world: &World, length: usize| {
        let token = |filler: usize| world.token().claim("jti", "j".repeat(filler)).sign();
        let shortest = token(1).len();
        // Four characters for three octets: the last step finds the exact length.
        (0..)
            .map(|extra| token((length - shortest) * 3 / 4 - 8 + extra))
            .find(|token| token.len() >= length)
            .unwrap()
    };
    for (bound, configured) in [(16_384, None), (1_000, Some(1_000))] {
        let world = World::with(portcullis::jose::Algorithm::Es256, |builder| match configured {
            Some(bytes) => builder.max_token_bytes(bytes),
            None => builder,
        })
        .await;
        let layer = world.api.layer();
        let fits = of_length(&world, bound - 2);
        assert!((bound - 2..=bound).contains(&fits.len()), "{}", fits.len());
        assert!(send(&layer, bearer(&fits)).await.passed());
        for length in [bound + 1, 1 << 20] {
            let token = of_length(&world, length);
            let sent = send(&layer, bearer(&token)).await;
            assert_eq!(sent.kind(), Some(RejectionKind::TokenTooLong), "{length}");
            assert_challenge!(sent.response, 400, "Bearer", error = "invalid_request");
        }
    }
    // To the byte.
    let field = |length| format!("Bearer {}", "a".repeat(length));
    assert!(Credentials::parse(field(MAX_TOKEN).as_bytes(), MAX_TOKEN).is_ok());
    let longer = Credentials::parse(field(MAX_TOKEN + 1).as_bytes(), MAX_TOKEN).map(|_| ());
    assert_eq!(longer, Err(CredentialsError::TooLong));
}

/// ASVS-01: a check is asked about a decided token only.
#[tokio::test]
async fn checks_see_only_accepted_tokens() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let world = World::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let policy = move |_: &CheckContext<'_>| -> Result<(), CheckError> {
        count.fetch_add(1, Ordering::Relaxed);
        Err(Denial::forbidden("asked").into())
    };
    let layer = world.api.protect(policy);
    for token in [
        world.token().tampered(),
        world.token().claim("aud", "https://other.example").sign(),
        world.token().claim("cnf", "x").sign(),
        "x".to_owned(),
    ] {
        assert!(!send(&layer, bearer(&token)).await.passed());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(send(&layer, bearer(&world.token().sign())).await.response.status(), 403);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
