//! The URIs themselves are tested in `tests/htu.rs`.

use std::net::IpAddr;

use http::{Method, Request, Version};
use serde_json::{Value, json};

use super::{ForwardedOrigin, OriginalUri, Origins, Path, PublicOrigin, TargetMismatch};
use crate::certificate::{Certificate, ChainCheck, PeerCertificate};
use crate::credentials::RequestHead;
use crate::error::Faults;
use crate::name::Resource;
use crate::sender::{PeerAddr, TargetUri, TrustedPeers};

const RESOURCE: &str = "https://API.example.com:443/the-resource?v=1";
const PROXY: &str = "192.0.2.1";
const STRANGER: &str = "198.51.100.1";

fn check(origins: &[PublicOrigin], forwarded: Option<&ForwardedOrigin>) -> Result<Origins, String> {
    let mut faults = Faults::new();
    let resource = Resource::parse(RESOURCE).unwrap();
    let checked = Origins::check(&resource, origins, forwarded, &mut faults);
    assert_eq!(checked.is_some(), faults.len() == 0);
    checked.ok_or_else(|| faults.into_error().to_string())
}

fn public<const N: usize>(origins: [PublicOrigin; N]) -> Origins {
    check(&origins, None).unwrap()
}

fn proxies() -> TrustedPeers {
    TrustedPeers::networks(["192.0.2.0/28"])
}

fn x_forwarded() -> ForwardedOrigin {
    ForwardedOrigin::x_forwarded(proxies()).hosts([
        "api.example.com",
        "API.example.com:8443",
        "*.tenants.example.com",
        "[2001:DB8::1]",
    ])
}

fn forwarded() -> ForwardedOrigin {
    ForwardedOrigin::forwarded(proxies()).hosts(["api.example.com", "api.example.com:8443"])
}

/// A request that a peer sends, with these header fields.
fn from(peer: &str, target: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    request.extensions_mut().insert(PeerAddr::new(peer.parse::<IpAddr>().unwrap()));
    request
}

fn get(target: &str) -> Request<()> {
    from(STRANGER, target, &[])
}

fn is_for(origins: &Origins, request: &Request<()>, htu: &str) -> Result<(), TargetMismatch> {
    origins.matches(RequestHead::from(request), &TargetUri::parse(htu).unwrap())
}

fn why(origins: &Origins, request: &Request<()>, htu: &str) -> String {
    is_for(origins, request, htu).unwrap_err().to_string()
}

/// DPOP-C09, DPOP-14: without configuration it is the resource's origin, and the path as seen.
#[test]
fn the_origin_of_the_resource_is_the_default() {
    let origins = public([]);
    for (target, htu) in [
        ("/notes", "https://api.example.com/notes"),
        ("/notes?token=secret", "https://api.example.com/notes"),
        ("/notes", "https://api.example.com/notes?a=1#f"),
        ("/", "https://api.example.com"),
        ("/?a", "https://api.example.com/"),
        ("/%6eotes", "https://api.example.com/notes"),
        ("/n%6ftes/%2f", "https://api.example.com/notes/%2F"),
        ("//notes", "https://api.example.com//notes"),
        ("/%7Ba%7D", "https://api.example.com/%7ba%7d"),
        ("/{a}|[\"]^", "https://api.example.com/{a}|[\"]^"),
    ] {
        assert_eq!(is_for(&origins, &get(target), htu), Ok(()), "{target} {htu}");
    }
    for (target, htu) in [
        ("/notes", "https://api.example.com/notes/"),
        ("/notes", "https://api.example.com/Notes"),
        ("/notes", "https://api.example.com/the-resource/notes"),
        ("/notes", "https://api.example.com:8443/notes"),
        ("/notes", "http://api.example.com/notes"),
        ("/notes", "https://api.example.com.evil.example/notes"),
        ("//notes", "https://api.example.com/notes"),
        ("/a%2Fb", "https://api.example.com/a/b"),
        ("/{a}", "https://api.example.com/%7Ba%7D"),
        ("/notes/%252e%252e/x", "https://api.example.com/x"),
    ] {
        let wanted = why(&origins, &get(target), htu);
        assert!(wanted.starts_with(&format!("`htu` is {htu:?}, wanted \"https://")), "{wanted}");
    }
}

/// DPOP-14, DPOP-15, attack 33: what the sender wrote as its authority changes nothing.
#[test]
fn host_and_authority_are_never_looked_at() {
    let (ours, evil) = ("https://api.example.com/notes", "https://evil.example/notes");
    let configured = public([PublicOrigin::new("https://api.example.com")]);
    let lies = [("host", "evil.example"), ("x-forwarded-host", "evil.example")];
    for origins in [public([]), configured] {
        for target in ["/notes", "https://evil.example/notes", "http://user@evil.example:1/notes?q"]
        {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let mut request = from(PROXY, target, &lies);
                *request.version_mut() = version;
                assert_eq!(is_for(&origins, &request, ours), Ok(()), "{target}");
                assert_eq!(
                    why(&origins, &request, evil),
                    format!("`htu` is {evil:?}, wanted {ours:?}"),
                );
            }
        }
    }
}

/// DPOP-15: `*` and an authority are no path.
#[test]
fn a_target_without_a_path_is_for_nothing() {
    let origins = public([]);
    for (method, target) in [(Method::OPTIONS, "*"), (Method::CONNECT, "api.example.com:443")] {
        let mut request = get(target);
        *request.method_mut() = method;
        for htu in ["https://api.example.com", "https://api.example.com/*"] {
            let unknown = "what the request is for is unknown: its target has no path";
            assert_eq!(why(&origins, &request, htu), unknown, "{target}");
        }
    }
    assert_eq!(is_for(&origins, &get("https://x.example"), "https://api.example.com/"), Ok(()));
}

/// DPOP-13: a path that no URI has is not repaired.
#[test]
fn a_target_that_is_no_uri_is_for_nothing() {
    let origins = public([]);
    let long = format!("/{}", "a".repeat(TargetUri::MAX_LENGTH));
    for (target, reason) in [
        ("/a\\b", "its path has a character"),
        ("/\u{e9}", "its path has a character"),
        ("/%", "its path has a percent sign"),
        ("/%zz", "its path has a percent sign"),
        (&long, "its path is longer than"),
    ] {
        let why = why(&origins, &get(target), "https://api.example.com/");
        assert!(why.contains(&format!("is unknown: {reason}")), "{target}: {why}");
    }
    assert_eq!(is_for(&origins, &get("/?a\\b%"), "https://api.example.com/"), Ok(()));
    // As long as any URI may be, before a proxy's prefix is taken away.
    let longest = &long[..TargetUri::MAX_LENGTH];
    assert_eq!(Path::parse(longest).map(|path| path.text), Ok(longest));
    let why = why(&origins, &get(longest), "https://api.example.com/");
    assert!(!why.contains("unknown"), "{why}");
}

/// DPOP-13, DPOP-14: a proof for one path is none for another that only a reader of dot segments takes
/// for it, while `htu` is normalised.
#[test]
fn a_received_path_with_dot_segments_is_for_nothing() {
    let (notes, v1) = ("https://api.example.com/notes", "https://api.example.com/v1/notes");
    let removes = || PublicOrigin::new("https://api.example.com").proxy_removes("/v1");
    let adds = || PublicOrigin::new("https://api.example.com").proxy_adds("/internal");
    for (origins, target, htu) in [
        (public([]), "/files/../notes", notes),
        (public([]), "/files/%2e%2e/notes", notes),
        (public([]), "/files/%2E%2E/notes", notes),
        (public([]), "/files/.%2e/notes", notes),
        (public([]), "/files/%2E./notes", notes),
        (public([]), "/./notes", notes),
        (public([]), "/%2e/notes", notes),
        (public([]), "/../notes", notes),
        (public([]), "//../notes", notes),
        (public([]), "/notes/x/..", "https://api.example.com/notes/"),
        (public([]), "/notes/.", "https://api.example.com/notes/"),
        (public([]), "/notes/%2e?a", "https://api.example.com/notes/"),
        (public([]), "/files/../notes", "https://api.example.com/files/../notes"),
        (public([removes()]), "/../notes", notes),
        (public([removes()]), "/./notes", v1),
        (public([adds()]), "/internal/../notes", notes),
        (public([adds()]), "/x/../internal/notes", notes),
    ] {
        let unknown = "what the request is for is unknown: its path has dot segments, which lead \
                       elsewhere than they say";
        assert_eq!(why(&origins, &get(target), htu), unknown, "{target}");
        let mut original = get("/notes");
        original.extensions_mut().insert(OriginalUri(target.parse().unwrap()));
        assert_eq!(why(&origins, &original, htu), unknown, "{target}, the original");
    }
    let fields = [("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example.com")];
    let origins = check(&[], Some(&x_forwarded())).unwrap();
    assert!(is_for(&origins, &from(PROXY, "/files/../notes", &fields), notes).is_err());
    assert_eq!(is_for(&origins, &from(PROXY, "/notes", &fields), notes), Ok(()));
    // Dots that are no such segment, in the path; and any in `htu`.
    for (target, htu) in [
        ("/notes", "https://api.example.com/files/../notes"),
        ("/notes", "https://api.example.com/%2e/n%6ftes"),
        ("/%6eotes", notes),
        ("/.../..a/a../.a/a./...", "https://api.example.com/.../..a/a../.a/a./..."),
        ("/%2e%2e%2e/%2ea", "https://api.example.com/.../.a"),
        ("/%252e%252e/..%2Fa", "https://api.example.com/%252e%252e/..%2Fa"),
        ("/notes?a=/../b", notes),
    ] {
        assert_eq!(is_for(&public([]), &get(target), htu), Ok(()), "{target} {htu}");
    }
}

/// DPOP-15: what changed the URI inside this process.
#[test]
fn the_original_uri_counts_and_ours_before_that_of_axum() {
    let (origins, uri) = (public([]), |text: &str| text.parse::<http::Uri>().unwrap());
    let (inner, middle, outer) = ["/notes", "/v1/notes", "/api/v1/notes"]
        .map(|path| (path, format!("https://api.example.com{path}")))
        .into();
    let mut request = get(inner.0);
    assert_eq!(is_for(&origins, &request, &inner.1), Ok(()));
    #[cfg(feature = "axum")]
    {
        request.extensions_mut().insert(::axum::extract::OriginalUri(uri(middle.0)));
        assert_eq!(is_for(&origins, &request, &middle.1), Ok(()));
        assert!(is_for(&origins, &request, &inner.1).is_err());
    }
    request.extensions_mut().insert(OriginalUri(uri("http://evil.example/api/v1/notes?q")));
    assert_eq!(is_for(&origins, &request, &outer.1), Ok(()));
    assert!(is_for(&origins, &request, &middle.1).is_err());
    assert!(is_for(&origins, &request, &inner.1).is_err());
}

/// DPOP-15: `Router::nest` takes prefixes away.
#[cfg(feature = "axum")]
#[test]
fn a_nested_router_is_asked_for_the_whole_path() {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use ::axum::{Router, body::Body, routing};
    use tower::ServiceExt as _;

    let origins = public([]);
    let handler = move |request: Request<Body>| async move {
        assert_eq!(request.uri().path(), "/notes");
        let head = RequestHead::from(&request);
        let is_for = |htu| origins.matches(head, &TargetUri::parse(htu).unwrap()).is_ok();
        assert!(is_for("https://api.example.com/api/v1/notes"));
        assert!(!is_for("https://api.example.com/notes"));
    };
    let inner = Router::new().route("/notes", routing::get(handler));
    let app: Router = Router::new().nest("/api", Router::new().nest("/v1", inner));
    let response = pin!(app.oneshot(Request::get("/api/v1/notes").body(Body::empty()).unwrap()));
    let Poll::Ready(response) = response.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the handler waits for nothing");
    };
    assert_eq!(response.unwrap().status(), 200);
}

/// DPOP-14: paths that a proxy changes.
#[test]
fn what_a_proxy_takes_away_is_put_back_and_what_it_adds_is_taken_away() {
    let removes = || PublicOrigin::new("https://api.example.com").proxy_removes("/v1");
    let adds = || PublicOrigin::new("https://api.example.com").proxy_adds("/internal");
    let both = || removes().proxy_adds("/internal/a");
    for (origin, target, path) in [
        (removes(), "/notes", Some("/v1/notes")),
        (removes(), "/", Some("/v1/")),
        (removes(), "//notes", Some("/v1//notes")),
        (removes(), "/n%6Ftes", Some("/v1/notes")),
        (adds(), "/internal/notes", Some("/notes")),
        (adds(), "/internal/", Some("/")),
        (adds(), "/internal", Some("/")),
        (adds(), "/internal//notes", Some("//notes")),
        (adds(), "/internal/internal/notes", Some("/internal/notes")),
        (adds(), "/internals/notes", None),
        (adds(), "/Internal/notes", None),
        (adds(), "/%69nternal/notes", None),
        (adds(), "/notes", None),
        (both(), "/internal/a/notes", Some("/v1/notes")),
        (both(), "/internal/a", Some("/v1")),
        (both(), "/internal/a/", Some("/v1/")),
        (both(), "/internal/notes", None),
    ] {
        let origins = public([origin]);
        let Some(path) = path else {
            let htu = format!("https://api.example.com{target}");
            let unknown = "what the request is for is unknown: its path does not begin with what a \
                           proxy adds (`proxy_adds`): correct that, or the proxy";
            assert_eq!(why(&origins, &get(target), &htu), unknown);
            continue;
        };
        let htu = |path: &str| format!("https://api.example.com{path}");
        assert_eq!(is_for(&origins, &get(target), &htu(path)), Ok(()), "{target}");
        for other in [format!("{path}/"), format!("/v1{path}"), format!("/internal{path}")] {
            assert!(is_for(&origins, &get(target), &htu(&other)).is_err(), "{target} {other}");
        }
    }
}

/// DPOP-14: several origins, each with prefixes of its own.
#[test]
fn any_of_several_origins_is_one() {
    let origins = public([
        PublicOrigin::new("https://api.example.com").proxy_removes("/v1"),
        PublicOrigin::new("HTTPS://api.example.net:443"),
        PublicOrigin::new("https://[2001:DB8::1]:8443"),
        PublicOrigin::new("http://api.mesh:8080").proxy_adds("/mesh"),
        PublicOrigin::new("https://api.example.org"),
    ]);
    for htu in [
        "https://api.example.com/v1/notes",
        "https://api.example.net/notes",
        "https://[2001:db8::1]:8443/notes",
        "https://api.example.org/notes",
    ] {
        assert_eq!(is_for(&origins, &get("/notes"), htu), Ok(()), "{htu}");
    }
    assert_eq!(is_for(&origins, &get("/mesh/notes"), "http://api.mesh:8080/notes"), Ok(()));
    for htu in [
        "https://api.example.com/notes",
        "https://api.example.net/v1/notes",
        "https://[2001:db8::1]/notes",
        "http://api.mesh:8080/notes",
    ] {
        assert!(is_for(&origins, &get("/notes"), htu).is_err(), "{htu}");
    }
    assert_eq!(
        why(&origins, &get("/notes"), "https://evil.example/notes"),
        "`htu` is \"https://evil.example/notes\", wanted \"https://api.example.com/v1/notes\" or \
         \"https://api.example.net/notes\" or \"https://[2001:db8::1]:8443/notes\" or one of 1 more",
    );
}

/// DPOP-14: the log gets no query and no megabyte.
#[test]
fn a_mismatch_is_told_without_queries_and_in_bounds() {
    let path = "/a".repeat(4_000);
    let request = get(&format!("{path}?token=secret"));
    let htu = format!("https://evil.example{path}?token=secret");
    let why = why(&public([]), &request, &htu);
    assert!(!why.contains("secret"), "{why}");
    assert!(why.len() < 500, "{why}");
    assert!(why.contains("…\", wanted \"https://api.example.com/a/a"), "{why}");
}

/// DPOP-14: fields of a trusted peer.
#[test]
fn a_trusted_proxy_says_what_the_client_wrote() {
    let origins = check(&[], Some(&x_forwarded())).unwrap();
    let proto = ("x-forwarded-proto", "https");
    for (fields, origin) in [
        (&[proto, ("x-forwarded-host", "api.example.com")][..], "https://api.example.com"),
        (&[proto, ("x-forwarded-host", "API.Example.com:443")], "https://api.example.com"),
        (&[proto, ("x-forwarded-host", "api.example.com:")], "https://api.example.com"),
        (&[proto, ("x-forwarded-host", "api.example.com:8443")], "https://api.example.com:8443"),
        (
            &[proto, ("x-forwarded-host", "api.example.com"), ("x-forwarded-port", "8443")],
            "https://api.example.com:8443",
        ),
        (
            &[proto, ("x-forwarded-host", "api.example.com:8443"), ("x-forwarded-port", "8443")],
            "https://api.example.com:8443",
        ),
        (
            &[proto, ("x-forwarded-host", "api.example.com"), ("x-forwarded-port", "443")],
            "https://api.example.com",
        ),
        (
            &[("x-forwarded-proto", "HTTP"), ("x-forwarded-host", "api.example.com")],
            "http://api.example.com",
        ),
        (&[proto, ("x-forwarded-host", "a.Tenants.example.com")], "https://a.tenants.example.com"),
        (&[proto, ("x-forwarded-host", "[2001:db8::1]")], "https://[2001:db8::1]"),
    ] {
        let mut request = from(PROXY, "https://evil.example/notes?q", fields);
        request.headers_mut().insert("host", "evil.example".parse().unwrap());
        assert_eq!(is_for(&origins, &request, &format!("{origin}/notes")), Ok(()), "{fields:?}");
        for htu in ["https://evil.example/notes", "https://other.tenants.example.com/notes"] {
            let wanted = format!("`htu` is {htu:?}, wanted \"{origin}/notes\"");
            assert_eq!(why(&origins, &request, htu), wanted);
        }
    }
}

/// DPOP-14: nothing is guessed from what a trusted peer left out or got wrong.
#[test]
fn unusable_fields_of_a_trusted_proxy_make_the_uri_unknown() {
    // Public origins are no way out: the request did not come by them.
    let public = [PublicOrigin::new("https://api.example.com")];
    let origins = check(&public, Some(&x_forwarded())).unwrap();
    let (proto, host) = (("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example.com"));
    let with_host = |host| vec![proto, ("x-forwarded-host", host)];
    for (fields, reason) in [
        (vec![], "`X-Forwarded-Proto` is absent"),
        (vec![host], "`X-Forwarded-Proto` is absent"),
        (vec![proto], "`X-Forwarded-Host` is absent"),
        (vec![proto, ("host", "api.example.com")], "`X-Forwarded-Host` is absent"),
        (vec![proto, ("x_forwarded_host", "api.example.com")], "`X-Forwarded-Host` is absent"),
        (vec![host, ("x_forwarded_proto", "https")], "`X-Forwarded-Proto` is absent"),
        (vec![("forwarded", "proto=https;host=api.example.com")], "`X-Forwarded-Proto` is absent"),
        (vec![("x-forwarded-proto", ""), host], "`X-Forwarded-Proto` is malformed"),
        (vec![("x-forwarded-proto", "https,"), host], "`X-Forwarded-Proto` is malformed"),
        (vec![("x-forwarded-proto", "wss"), host], "`X-Forwarded-Proto` names a scheme"),
        (vec![("x-forwarded-proto", "\"https\""), host], "`X-Forwarded-Proto` names a scheme"),
        (with_host(""), "`X-Forwarded-Host` is malformed"),
        (with_host("api.example.com/"), "`X-Forwarded-Host` is malformed"),
        (with_host("api.example.com?"), "`X-Forwarded-Host` is malformed"),
        (with_host("u@api.example.com"), "`X-Forwarded-Host` is malformed"),
        (with_host("api.example.com:0443"), "`X-Forwarded-Host` is malformed"),
        (with_host("api.example.com evil.example"), "`X-Forwarded-Host` is malformed"),
        (with_host("https://api.example.com"), "`X-Forwarded-Host` is malformed"),
        (with_host("*.tenants.example.com"), "`X-Forwarded-Host` is malformed"),
        (with_host("evil.example"), "`X-Forwarded-Host` names a host"),
        (with_host("api.example.com."), "`X-Forwarded-Host` names a host"),
        (with_host("evil-api.example.com"), "`X-Forwarded-Host` names a host"),
        (with_host("api.example.com.evil.example"), "`X-Forwarded-Host` names a host"),
        (with_host("api.example.com:444"), "`X-Forwarded-Host` names a host"),
        (with_host("api.example.com:80"), "`X-Forwarded-Host` names a host"),
        (with_host("tenants.example.com"), "`X-Forwarded-Host` names a host"),
        (with_host(".tenants.example.com"), "`X-Forwarded-Host` is malformed"),
        (with_host("a.b.tenants.example.com"), "`X-Forwarded-Host` names a host"),
        (with_host("atenants.example.com"), "`X-Forwarded-Host` names a host"),
        (with_host("a.tenants.example.com:8443"), "`X-Forwarded-Host` names a host"),
        (vec![proto, host, ("x-forwarded-port", "444")], "`X-Forwarded-Host` names a host"),
        (vec![proto, host, ("x-forwarded-port", "")], "`X-Forwarded-Port` is malformed"),
        (vec![proto, host, ("x-forwarded-port", "+443")], "`X-Forwarded-Port` is no port"),
        (vec![proto, host, ("x-forwarded-port", "0443")], "`X-Forwarded-Port` is no port"),
        (vec![proto, host, ("x-forwarded-port", "65979")], "`X-Forwarded-Port` is no port"),
        (
            [with_host("api.example.com:8443"), vec![("x-forwarded-port", "443")]].concat(),
            "`X-Forwarded-Port` is no port",
        ),
    ] {
        let request = from(PROXY, "/notes", &fields);
        let why = why(&origins, &request, "https://api.example.com/notes");
        let unknown = format!("what the request is for is unknown: {reason}");
        assert!(why.starts_with(&unknown), "{fields:?}: {why}");
    }
    let request = from(PROXY, "/notes", &[proto, host]);
    assert_eq!(is_for(&origins, &request, "https://api.example.com/notes"), Ok(()));
}

/// DPOP-14: whoever is no trusted proxy is not listened to.
#[test]
fn fields_of_an_untrusted_peer_are_as_good_as_absent() {
    let lies = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.tenants.example.com"),
        ("forwarded", "proto=https;host=\"api.example.com:8443\""),
    ];
    let public = [PublicOrigin::new("https://api.example.com")];
    for (config, told) in [
        (x_forwarded(), "https://a.tenants.example.com/notes"),
        (forwarded(), "https://api.example.com:8443/notes"),
    ] {
        let origins = check(&public, Some(&config)).unwrap();
        let (trusted, untrusted) = (from(PROXY, "/notes", &lies), from(STRANGER, "/notes", &lies));
        let ours = "https://api.example.com/notes";
        assert_eq!(is_for(&origins, &trusted, told), Ok(()));
        assert!(is_for(&origins, &trusted, ours).is_err());
        assert_eq!(is_for(&origins, &untrusted, ours), Ok(()));
        assert!(is_for(&origins, &untrusted, told).is_err());

        // Without a public origin there is nothing to fall back to: not even the resource's.
        let origins = check(&[], Some(&config)).unwrap();
        let mut unknown_peer = from(PROXY, "/notes", &lies);
        assert_eq!(is_for(&origins, &unknown_peer, told), Ok(()));
        unknown_peer.extensions_mut().clear();
        for request in [untrusted, unknown_peer] {
            for htu in [told, ours] {
                assert_eq!(
                    why(&origins, &request, htu),
                    "what the request is for is unknown: it came from no trusted proxy, and no \
                     public origin is configured: name the proxy in `TrustedPeers`, or an origin with \
                     `public_origin`",
                );
            }
        }
    }
}

/// DPOP-14: a proxy is known by its certificate too.
#[test]
fn a_proxy_with_a_known_certificate_is_trusted() {
    let proxy = Certificate::from_der(b"the DER of the proxy".to_vec());
    let peers = TrustedPeers::certificates([proxy.thumbprint().as_str()]);
    let config = ForwardedOrigin::x_forwarded(peers).hosts(["api.example.com"]);
    let origins = check(&[], Some(&config)).unwrap();
    let fields = [("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example.com")];
    let mut request = from(STRANGER, "/notes", &fields);
    for (certificate, trusted) in [(proxy, true), (Certificate::from_der(*b"another"), false)] {
        let peer = PeerCertificate::new(certificate, ChainCheck::Unchecked);
        request.extensions_mut().insert(peer);
        let is_for = is_for(&origins, &request, "https://api.example.com/notes");
        assert_eq!(is_for.is_ok(), trusted);
    }
}

/// DPOP-14: the syntax of RFC 7239.
#[test]
fn the_forwarded_field_is_read_as_rfc_7239_writes_it() {
    let origins = check(&[], Some(&forwarded())).unwrap();
    for line in [
        "proto=https;host=api.example.com",
        "Host=API.example.COM;PROTO=HTTPS",
        "for=192.0.2.43;by=_x;host=\"api.example.com\";proto=\"https\"",
        "for=\"[2001:db8::1]:4711\" ; host=\"api.example.com:443\" ;\tproto=https ",
        "proto=https;host=\"api.example.com:443\";secret=\"a,b;c=\\\"d\\\\\"",
        ";proto=https;;host=api.example.com;",
        ", ,proto=https;host=api.example.com, ,",
        "host=evil.example;proto=https, proto=https;host=api.example.com",
        "for=\"a, b\", for=\"c;host=evil.example\";proto=https;host=api.example.com",
    ] {
        let request = from(PROXY, "/notes", &[("forwarded", line)]);
        let is_for = is_for(&origins, &request, "https://api.example.com/notes");
        assert_eq!(is_for, Ok(()), "{line}");
    }
    for (line, reason) in [
        ("", "has fewer elements"),
        (", ,", "has fewer elements"),
        (";", "is absent, or does not say it"),
        ("for=192.0.2.43", "is absent, or does not say it"),
        ("proto=https", "is absent, or does not say it"),
        ("host=api.example.com", "is absent, or does not say it"),
        ("proto=https;host=api.example.com, for=192.0.2.43", "is absent, or does not say it"),
        ("proto=https;host=evil.example", "names a host"),
        ("proto=https;host=api.example.com, proto=https;host=evil.example", "names a host"),
        ("proto=http;host=\"api.example.com:443\"", "names a host"),
        ("proto=ftp;host=api.example.com", "names a scheme"),
        ("proto=https;host=api.example.com:8443", "is malformed"),
        ("proto=https;host=\"api.example.com", "is malformed"),
        ("proto=https;host=\"api.example.com\\", "is malformed"),
        ("proto=https;host=\"api\\.example.com\"", "is malformed"),
        ("proto=https;host=\"api.example.com\"x", "is malformed"),
        ("proto=https;host=\"\"", "is malformed"),
        ("proto=https;host=", "is malformed"),
        ("proto=https;host", "is malformed"),
        ("proto=https;host =api.example.com", "is malformed"),
        ("proto=https;host= api.example.com", "is malformed"),
        ("proto=https;host=api.example.com host=x", "is malformed"),
        ("proto=https;host=api.example.com;host=api.example.com", "is malformed"),
        ("proto=https;PROTO=https;host=api.example.com", "is malformed"),
        ("=https;proto=https;host=api.example.com", "is malformed"),
        // A client that leaves a quote open takes nothing of the proxy's element for its own.
        ("for=\"x, proto=https;host=api.example.com", "is malformed"),
        ("for=\"x, for=\"[::1]\";proto=https;host=api.example.com", "is malformed"),
    ] {
        let request = from(PROXY, "/notes", &[("forwarded", line)]);
        let why = why(&origins, &request, "https://api.example.com/notes");
        let unknown = format!("what the request is for is unknown: `Forwarded` {reason}");
        assert!(why.starts_with(&unknown), "{line}: {why}");
    }
    let many = vec!["for=x"; 65].join(",");
    let ours = "proto=https;host=api.example.com".to_owned();
    let long = |length: usize| {
        let rest = format!("for=\"\",{ours}").len();
        format!("for=\"{}\",{ours}", "x".repeat(length - rest))
    };
    for (line, read) in [
        (format!("{},{ours}", vec!["for=x"; 63].join(",")), true),
        (format!("{many},{ours}"), false),
        (long(8_192), true),
        (long(8_193), false),
    ] {
        let request = from(PROXY, "/notes", &[("forwarded", &line)]);
        let is_for = is_for(&origins, &request, "https://api.example.com/notes");
        assert_eq!(is_for.is_ok(), read, "{}", line.len());
    }
    let absent = from(PROXY, "/notes", &[("x-forwarded-host", "api.example.com")]);
    let why = why(&origins, &absent, "https://api.example.com/notes");
    assert!(why.contains("`Forwarded` is absent"), "{why}");
}

/// DPOP-14: elements are counted from the end, over all lines.
#[test]
fn the_last_element_is_that_of_the_nearest_proxy() {
    let host = |host: &str| format!("proto=https;host={host}");
    let (api, evil) = (host("api.example.com"), host("evil.example"));
    for (hops, lines, known) in [
        (1, vec![api.clone()], true),
        (1, vec![format!("{evil}, {api}")], true),
        (1, vec![format!("{api}, {evil}")], false),
        (1, vec![evil.clone(), api.clone()], true),
        (1, vec![api.clone(), evil.clone()], false),
        (2, vec![api.clone()], false),
        (2, vec![format!("{api}, {evil}")], true),
        (2, vec![format!("{evil}, {api}")], false),
        (2, vec![format!("{api}, {evil}, {evil}")], false),
        (2, vec![api.clone(), evil.clone()], true),
        (2, vec![evil.clone(), api.clone()], false),
        (2, vec![format!("{evil}, {api}"), evil.clone()], true),
        (3, vec![format!("{evil}, {api}"), format!("{evil}, {evil}")], true),
        (3, vec![format!("{api}, {evil}"), evil.clone()], true),
        (3, vec![format!("{api}, {evil}")], false),
        (10, vec![api.clone(), vec![evil.clone(); 9].join(",")], true),
        (10, vec![vec![evil.clone(); 9].join(","), api.clone()], false),
    ] {
        // The same, in the words of the other style.
        let field = |name: &'static str, value: fn(&str) -> &str| {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| line.split(',').map(value).collect::<Vec<_>>().join(" ,\t"))
                .collect();
            lines.into_iter().map(move |line| (name, line))
        };
        let protos = field("x-forwarded-proto", |_| "https");
        let hosts = field("x-forwarded-host", |element| element.split('=').next_back().unwrap());
        let forwarded_lines = lines.iter().map(|line| ("forwarded", line.clone()));
        let fields: Vec<_> = protos.chain(hosts).chain(forwarded_lines).collect();
        let fields: Vec<_> = fields.iter().map(|(name, line)| (*name, line.as_str())).collect();
        for config in [forwarded(), x_forwarded()] {
            let origins = check(&[], Some(&config.trusted_hops(hops))).unwrap();
            let request = from(PROXY, "/notes", &fields);
            let is_for = is_for(&origins, &request, "https://api.example.com/notes");
            assert_eq!(is_for.is_ok(), known, "{hops} of {fields:?}: {is_for:?}");
        }
    }
}

/// DPOP-14: prefixes that proxies name are believed where they are listed.
#[test]
fn only_listed_prefixes_are_believed() {
    let fields = |prefix| {
        let fields = [("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example.com")];
        [&fields[..], prefix].concat()
    };
    let name = "x-forwarded-prefix";
    let listed = x_forwarded().prefixes(["/v1", "/v2/a"]);
    let listed = check(&[], Some(&listed)).unwrap();
    let none_listed = check(&[], Some(&x_forwarded())).unwrap();
    for (prefix, path) in [
        (&[][..], Some("/notes")),
        (&[(name, "/v1")], Some("/v1/notes")),
        (&[(name, "/v1/")], Some("/v1/notes")),
        (&[(name, "/v2/a")], Some("/v2/a/notes")),
        (&[(name, "/v9,/v1")], Some("/v1/notes")),
        (&[(name, "/v9"), (name, "/v1")], Some("/v1/notes")),
        (&[(name, "/")], Some("/notes")),
        (&[("x_forwarded_prefix", "/v1")], Some("/notes")),
        (&[(name, "")], None),
        (&[(name, "v1")], None),
        (&[(name, "/V1")], None),
        (&[(name, "/v1//")], None),
        (&[(name, "//")], None),
        (&[(name, "/v2")], None),
        (&[(name, "/v1/..")], None),
        (&[(name, "/evil")], None),
        (&[(name, "/v1,/evil")], None),
    ] {
        let request = from(PROXY, "/notes", &fields(prefix));
        for other in ["/notes", "/v1/notes", "/v2/a/notes", "/evil/notes"] {
            let htu = format!("https://api.example.com{other}");
            let is_for = is_for(&listed, &request, &htu);
            assert_eq!(is_for.is_ok(), path == Some(other), "{prefix:?}: {is_for:?}");
        }
        // Where none is listed, a client's own field does neither good nor harm.
        let is_for = |htu| is_for(&none_listed, &request, htu);
        assert_eq!(is_for("https://api.example.com/notes"), Ok(()));
        assert!(is_for("https://api.example.com/v1/notes").is_err());
    }
}

/// DPOP-14: a public origin that is none.
#[test]
fn faults_of_public_origins_are_told_with_their_places() {
    let new = PublicOrigin::new;
    for (origin, fault) in [
        (new(""), "origin: public origin \"\" is not an absolute https or http URI"),
        (new("api.example.com"), "origin: public origin"),
        (new("ftp://api.example.com"), "origin: public origin"),
        (new("https://"), "origin: public origin"),
        (new("https://*.example.com"), "origin: public origin"),
        (new("https://b\u{fc}cher.example"), "origin: public origin"),
        (new("https://user@api.example.com"), "origin: public origin"),
        (new("https://api.example.com:0"), "origin: public origin"),
        (
            new("https://api.example.com/"),
            "origin: public origin \"https://api.example.com/\" has more",
        ),
        (new("https://api.example.com/v1"), "origin: public origin"),
        (new("https://api.example.com?a"), "origin: public origin"),
        (new("https://api.example.com#a"), "origin: public origin"),
        (new("https://a.example").proxy_removes(""), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_removes("/"), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_removes("v1"), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_removes("/v1/"), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_removes("/v1/.."), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_removes("/%7e"), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_removes("/%c3"), "proxy_removes: path prefix"),
        (new("https://a.example").proxy_adds("/%"), "proxy_adds: path prefix"),
        (new("https://a.example").proxy_adds("/a?b"), "proxy_adds: path prefix"),
        (new("https://a.example").proxy_adds("/a b"), "proxy_adds: path prefix"),
    ] {
        let good = new("https://a.example").proxy_removes("/%C3/v1").proxy_adds("/a//b");
        assert!(check(std::slice::from_ref(&good), None).is_ok());
        let told = check(&[good, origin.clone()], None).unwrap_err();
        let place = format!("one fault in the configuration: public_origins[1].{fault}");
        assert!(told.starts_with(&place), "{origin:?}: {told}");
    }
    let both = new("x").proxy_removes("x").proxy_adds("x");
    assert!(check(&[both], None).unwrap_err().starts_with("3 faults"));
    let many = vec![new("https://a.example"); 65];
    assert!(check(&many[1..], None).is_ok());
    assert!(check(&many, None).unwrap_err().contains("public_origins: number of public origins"));
}

/// DPOP-14: a forwarded origin that believes nobody, nothing or everything.
#[test]
fn faults_of_forwarded_origins_are_told_with_their_places() {
    let hosts = |hosts: &[&str]| x_forwarded().hosts(hosts.iter().copied());
    for (config, fault) in [
        (ForwardedOrigin::x_forwarded(proxies()), "hosts: forwarded hosts \"\" are none at all"),
        (hosts(&[]), "hosts: forwarded hosts"),
        (hosts(&["a.example", ""]), "hosts[1]: forwarded host"),
        (hosts(&["*"]), "hosts[0]: forwarded host \"*\" is not a host"),
        (hosts(&["*."]), "hosts[0]: forwarded host"),
        (hosts(&["*.com"]), "hosts[0]: forwarded host \"*.com\" stands for a whole top-level"),
        (hosts(&["*.com."]), "hosts[0]: forwarded host"),
        (hosts(&["*.[::ffff:1.2.3.4]"]), "hosts[0]: forwarded host"),
        (hosts(&["*.*.example.com"]), "hosts[0]: forwarded host"),
        (hosts(&["a.*.example.com"]), "hosts[0]: forwarded host"),
        (hosts(&["https://a.example"]), "hosts[0]: forwarded host"),
        (hosts(&["a.example/"]), "hosts[0]: forwarded host"),
        (hosts(&["a.example:0"]), "hosts[0]: forwarded host"),
        (hosts(&["u@a.example"]), "hosts[0]: forwarded host"),
        (hosts(&["a.example"; 65]), "hosts: number of forwarded hosts"),
        (x_forwarded().prefixes(["/v1", "/v2/"]), "prefixes[1]: path prefix"),
        (x_forwarded().prefixes(vec!["/v1"; 65]), "prefixes: number of path prefixes"),
        (forwarded().prefixes(["/v1"]), "prefixes: path prefix \"/v1\" is nothing that"),
        (x_forwarded().trusted_hops(0), "trusted_hops: number of trusted hops of 0"),
        (x_forwarded().trusted_hops(11), "trusted_hops: number of trusted hops of 11"),
        (
            ForwardedOrigin::forwarded(TrustedPeers::networks(["10.0.0.1/8"])).hosts(["a.example"]),
            "peers.networks: network",
        ),
    ] {
        let told = check(&[], Some(&config)).unwrap_err();
        let place = format!("one fault in the configuration: forwarded.{fault}");
        assert!(told.starts_with(&place), "{config:?}: {told}");
    }
    for config in [x_forwarded(), forwarded(), x_forwarded().prefixes(["/v1"]).trusted_hops(10)] {
        assert!(check(&[], Some(&config)).is_ok());
    }
}

#[test]
fn the_report_speaks_the_words_of_a_file() {
    let report = |origins: &[PublicOrigin], forwarded: Option<&ForwardedOrigin>| -> Value {
        check(origins, forwarded).unwrap().report()
    };
    let of_resource = json!({ "public_origins": [{ "origin": "https://api.example.com" }] });
    assert_eq!(report(&[], None), of_resource);
    let origin = PublicOrigin::new("HTTPS://a.example:443").proxy_removes("/v1").proxy_adds("/i");
    let config = x_forwarded().prefixes(["/v1"]).trusted_hops(2);
    assert_eq!(
        report(&[origin], Some(&config)),
        json!({
            "public_origins": [
                { "origin": "https://a.example", "proxy_removes": "/v1", "proxy_adds": "/i" },
            ],
            "forwarded": {
                "style": "x_forwarded",
                "peers": { "networks": ["192.0.2.0/28"], "certificates": [], "verified": false },
                "hosts": [
                    "api.example.com", "api.example.com:8443", "*.tenants.example.com",
                    "[2001:db8::1]",
                ],
                "prefixes": ["/v1"],
                "trusted_hops": 2,
            },
        }),
    );
    let bare = report(&[], Some(&forwarded()));
    assert_eq!(bare["public_origins"], json!([]));
    assert_eq!(bare["forwarded"]["style"], "forwarded");
    assert_eq!(bare["forwarded"].get("prefixes"), None);
}
