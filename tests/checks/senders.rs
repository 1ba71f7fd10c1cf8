//! `spiffe_id(...)` and `client_matches_peer(...)`: who sends a token, by the certificate that the
//! sender proved to have the key of, and whether it is the client's to send.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use portcullis::certificate::{Certificate, ChainCheck, PeerCertificate};
use portcullis::check::{
    Check, CheckError, ClientPeers, ClientTable, DenialKind, allow_all, client_matches_peer, scope,
    spiffe_id,
};
use portcullis::jose::Algorithm;
use portcullis::layer::require;
use portcullis::sender::{ForwardedCertificate, TrustBundle, TrustedPeers};
use portcullis::testing::{
    KeyUsage, TestAccess, TestCertificate, TestIssuer, TestNetwork, TokenBuilder, check,
};
use portcullis::time::Clock as _;
use portcullis::{Mtls, PeerAddr, Policy, RejectionKind as Kind, ServerBuilder, assert_challenge};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{ISSUER, RESOURCE, Sent, World, bearer, builder, send};
use crate::{check_faulty, rules};

const DOMAIN: &str = "example.org";
const WEB: &str = "spiffe://example.org/ns/prod/sa/web";
const BATCH: &str = "spiffe://example.org/ns/prod/sa/batch";
const OTHER: &str = "https://other.example";

async fn world() -> World {
    World::with(Algorithm::Es256, |builder| builder.mtls(Mtls::direct())).await
}

/// A trust domain: its authority, and what is known of it.
struct Domain {
    authority: TestCertificate,
    bundle: TrustBundle,
}

impl Domain {
    fn new(name: &str) -> Self {
        let authority = TestCertificate::named(name).authority().self_signed();
        let bundle = TrustBundle::from_der(name, [authority.der()]).unwrap();
        Self { authority, bundle }
    }

    /// An X.509-SVID.
    fn svid(&self, id: &str) -> TestCertificate {
        svid(id).issued_by(&self.authority)
    }
}

fn svid(id: &str) -> portcullis::testing::TestCertificateBuilder {
    TestCertificate::named("svid").uri(id).key_usage(KeyUsage::DigitalSignature)
}

/// A request with this token over a connection whose peer has proven this certificate.
fn over(token: &TokenBuilder, certificate: &Certificate) -> Request<String> {
    let mut request = bearer(&token.sign());
    let peer = PeerCertificate::new(certificate.clone(), ChainCheck::Unchecked);
    request.extensions_mut().insert(peer);
    request
}

async fn ask(world: &World, policy: impl Into<Policy>, request: Request<String>) -> Sent {
    send(&world.api.protect(policy), request).await
}

/// What an operator is told of a refusal.
fn reason(
    of: &impl Check,
    client: &str,
    certificate: Option<&Certificate>,
) -> (DenialKind, String) {
    let mut access = TestAccess::new().client_id(client);
    if let Some(certificate) = certificate {
        access = access.certificate(certificate.clone());
    }
    match check(of, &access.build(), "GET", "/") {
        Err(CheckError::Denied(denial)) => (denial.kind(), denial.reason().to_owned()),
        other => panic!("{other:?}"),
    }
}

// ---- spiffe_id

/// WIM-10, WIM-03: the sender is a workload of the trust domain, by its certificate and nothing else;
/// else 403, and the operator knows why.
#[tokio::test]
async fn only_a_workload_of_the_trust_domain_passes() {
    let world = world().await;
    let (domain, elsewhere) = (Domain::new(DOMAIN), Domain::new("other.example"));
    let web = domain.svid(WEB).certificate();
    let wanted = || spiffe_id(&domain.bundle, "/ns/*/sa/web");
    let rows = [
        ("a workload", Some(web.clone()), ""),
        (
            "another path",
            Some(domain.svid(BATCH).certificate()),
            "the sender is spiffe://example.org/ns/prod/sa/batch, wanted `/ns/*/sa/web`",
        ),
        (
            "a longer path",
            Some(domain.svid("spiffe://example.org/ns/prod/sa/web/x").certificate()),
            "wanted `/ns/*/sa/web`",
        ),
        ("no certificate", None, "the sender has proven no certificate"),
        (
            "a digest",
            Some(Certificate::from_sha256(*web.sha256())),
            "only the digest of the certificate is known",
        ),
        (
            "another trust domain",
            Some(elsewhere.svid("spiffe://other.example/ns/prod/sa/web").certificate()),
            "the certificate is of trust domain `other.example`, wanted `example.org`",
        ),
        (
            "its name, from an authority of another trust domain",
            Some(elsewhere.svid(WEB).certificate()),
            "the certificate is not of the trust bundle: no root",
        ),
        (
            "its name, from nobody",
            Some(svid(WEB).self_signed().certificate()),
            "the certificate is not of the trust bundle",
        ),
        (
            "the authority itself",
            Some(domain.authority.certificate()),
            "the certificate has 0 URI names",
        ),
        (
            "no SPIFFE ID",
            Some(domain.svid("https://example.org/ns/prod/sa/web").certificate()),
            "does not begin with spiffe://",
        ),
    ];
    for (name, certificate, told) in rows {
        let token = world.token();
        let request = match &certificate {
            Some(certificate) => over(&token, certificate),
            None => bearer(&token.sign()),
        };
        let sent = ask(&world, wanted(), request).await;
        if told.is_empty() {
            assert!(sent.passed(), "{name}: {:?}", sent.kind());
            continue;
        }
        assert_eq!(sent.kind(), Some(Kind::InsufficientScope), "{name}");
        assert_challenge!(sent.response, 403, "Bearer", error = "insufficient_scope", !scope);
        let (kind, found) = reason(&wanted(), "web", certificate.as_ref());
        assert_eq!(kind, DenialKind::InsufficientScope, "{name}");
        assert!(found.contains(told), "{name}: {found}");
    }
}

/// WIM-10: what a token is bound to is one thing, and who sends it another: the check looks at the
/// certificate of a token that is bound to it too.
#[tokio::test]
async fn a_bound_token_needs_the_workload_as_well() {
    let world = world().await;
    let domain = Domain::new(DOMAIN);
    let (web, batch) = (domain.svid(WEB), domain.svid(BATCH));
    let wanted = || spiffe_id(&domain.bundle, "/ns/prod/sa/web");
    let bound = |to: &TestCertificate| world.token().claim("cnf", to.confirmation());
    for (name, token, certificate, kind) in [
        ("bound to it", bound(&web), &web, None),
        ("bound to another workload", bound(&batch), &batch, Some(Kind::InsufficientScope)),
        ("bound to another certificate", bound(&batch), &web, Some(Kind::OtherCertificate)),
    ] {
        let sent = ask(&world, wanted(), over(&token, &certificate.certificate())).await;
        assert_eq!(sent.kind(), kind, "{name}");
    }
}

/// WIM-10: several patterns, and several trust domains, by `or`.
#[tokio::test]
async fn any_of_several_patterns_is_enough() {
    let world = world().await;
    let (domain, elsewhere) = (Domain::new(DOMAIN), Domain::new("other.example"));
    let wanted = || {
        spiffe_id(&domain.bundle, "/ns/prod/sa/web")
            .or(spiffe_id(&domain.bundle, "/ns/test/**"))
            .or(spiffe_id(&elsewhere.bundle, "/web"))
    };
    for (id, of, passes) in [
        (WEB, &domain, true),
        ("spiffe://example.org/ns/test/sa/web", &domain, true),
        ("spiffe://other.example/web", &elsewhere, true),
        (BATCH, &domain, false),
        ("spiffe://example.org/web", &domain, false),
        ("spiffe://other.example/ns/prod/sa/web", &elsewhere, false),
    ] {
        let sent = ask(&world, wanted(), over(&world.token(), &of.svid(id).certificate())).await;
        assert_eq!(sent.passed(), passes, "{id}: {:?}", sent.kind());
    }
}

/// WIM-10, RFC 5280 §4.1.2.5: a connection outlives an SVID, and what was remembered of it does not.
#[tokio::test]
async fn an_expired_svid_is_refused_on_the_next_request_of_a_warm_connection() {
    let world = world().await;
    let domain = Domain::new(DOMAIN);
    let now = world.clock.now();
    let short = svid(WEB).valid(now, now.plus(Duration::from_mins(2)));
    let (short, long) = (short.issued_by(&domain.authority), domain.svid(WEB));
    // One certificate a connection: what is remembered of it goes from request to request.
    let (short, long) = (short.certificate(), long.certificate());
    let token = world.token().client_id(WEB);
    let by_id = || Policy::new(spiffe_id(&domain.bundle, "/ns/prod/sa/web"));
    let by_client = || Policy::new(client_matches_peer(ClientPeers::spiffe(&domain.bundle)));
    let table = || ClientPeers::table().spiffe(&domain.bundle, WEB, "/ns/prod/sa/web");
    let by_table = || Policy::new(client_matches_peer(table()));
    for (step, passes) in [(0, true), (120, true), (1, false)] {
        world.clock.advance(Duration::from_secs(step));
        for (policy, kind) in [
            (by_id(), Kind::InsufficientScope),
            (by_client(), Kind::NotAccepted),
            (by_table(), Kind::NotAccepted),
        ] {
            let expected = (!passes).then_some(kind);
            let sent = ask(&world, policy.clone(), over(&token, &short)).await;
            assert_eq!(sent.kind(), expected, "after {step} more");
            let twin = ask(&world, policy, over(&token, &long)).await;
            assert!(twin.passed(), "after {step} more: {:?}", twin.kind());
        }
    }
}

/// WIM-10, MTLS-10: the certificate may come from a proxy that is believed, and from nobody else.
#[tokio::test]
async fn a_forwarded_certificate_proves_a_workload_if_it_comes_whole() {
    let domain = Domain::new(DOMAIN);
    let forwarding = |builder: ServerBuilder| {
        let envoy = ForwardedCertificate::envoy(TrustedPeers::networks(["10.0.0.1"]));
        builder.mtls(Mtls::forwarded(envoy))
    };
    let world = World::with(Algorithm::Es256, forwarding).await;
    let web = domain.svid(WEB);
    let whole = web.xfcc_field();
    let (hash, _) = whole.split_once(';').unwrap();
    for (name, peer, field, passes) in [
        ("whole", "10.0.0.1", whole.as_str(), true),
        ("its hash alone", "10.0.0.1", hash, false),
        ("from a stranger", "10.0.0.2", &whole, false),
    ] {
        let mut request = bearer(&world.token().sign());
        request.headers_mut().insert("x-forwarded-client-cert", field.parse().unwrap());
        request.extensions_mut().insert(PeerAddr::new(peer.parse().unwrap()));
        let sent = ask(&world, spiffe_id(&domain.bundle, "/**"), request).await;
        assert_eq!(sent.passed(), passes, "{name}: {:?}", sent.kind());
    }
}

// ---- client_matches_peer

/// MTLS-02, WIM-10, NHI-09: a token that is bound to nothing is of no use to another workload.
#[tokio::test]
async fn a_stolen_token_is_refused_over_the_connection_of_another_workload() {
    let world = world().await;
    let (domain, elsewhere) = (Domain::new(DOMAIN), Domain::new("other.example"));
    let (web, batch) = (domain.svid(WEB).certificate(), domain.svid(BATCH).certificate());
    let of = |client: &str| world.token().client_id(client);

    // The client id is the SPIFFE ID.
    let same = || client_matches_peer(ClientPeers::spiffe(&domain.bundle));
    // A client with a name of its own.
    let table = || {
        let table = ClientPeers::table()
            .spiffe(&domain.bundle, "web", "/ns/prod/sa/web")
            .certificate("batch", batch.thumbprint().as_str());
        client_matches_peer(table)
    };
    let forged = elsewhere.svid(WEB).certificate();
    type Made<'a> = &'a dyn Fn() -> portcullis::check::RequireClientPeer;
    let rows: [(&str, Made<'_>, &str, Option<&Certificate>, &str); 17] = [
        ("its own", &same, WEB, Some(&web), ""),
        ("its own, of another", &same, BATCH, Some(&batch), ""),
        ("stolen", &same, WEB, Some(&batch), "the token's client is another"),
        ("stolen the other way", &same, BATCH, Some(&web), "the token's client is another"),
        ("other case", &same, "spiffe://example.org/ns/prod/sa/Web", Some(&web), "is another"),
        ("a part of it", &same, "spiffe://example.org/ns/prod/sa", Some(&web), "is another"),
        ("the path alone", &same, "/ns/prod/sa/web", Some(&web), "is another"),
        ("no certificate", &same, WEB, None, "has proven no certificate"),
        ("forged", &same, WEB, Some(&forged), "not of the trust bundle"),
        ("of the table", &table, "web", Some(&web), ""),
        ("of the table, by certificate", &table, "batch", Some(&batch), ""),
        (
            "table: stolen",
            &table,
            "web",
            Some(&batch),
            "none that may send this client's tokens: it is spiffe://example.org/ns/prod/sa/batch",
        ),
        (
            "table: stolen the other way",
            &table,
            "batch",
            Some(&web),
            "none that may send this client's tokens",
        ),
        ("table: no certificate", &table, "web", None, "has proven no certificate"),
        ("table: forged", &table, "web", Some(&forged), "not of the trust bundle"),
        ("table: not in it", &table, "Web", Some(&web), "none of the table"),
        ("table: a SPIFFE ID is no name", &table, WEB, Some(&web), "none of the table"),
    ];
    for (name, policy, client, certificate, told) in rows {
        let request = match certificate {
            Some(certificate) => over(&of(client), certificate),
            None => bearer(&of(client).sign()),
        };
        let sent = ask(&world, policy(), request).await;
        if told.is_empty() {
            assert!(sent.passed(), "{name}: {:?}", sent.kind());
            continue;
        }
        assert_eq!(sent.kind(), Some(Kind::NotAccepted), "{name}");
        assert_challenge!(sent.response, 401, "Bearer", error = "invalid_token", !scope);
        let (kind, found) = reason(&policy(), client, certificate);
        assert_eq!(kind, DenialKind::InvalidToken, "{name}");
        assert!(found.contains(told), "{name}: {found}");
    }
}

/// MTLS-03, MTLS-09: a client with several senders, of which any is enough.
#[tokio::test]
async fn a_client_may_have_several_senders() {
    let world = world().await;
    let (domain, elsewhere) = (Domain::new(DOMAIN), Domain::new("other.example"));
    let (old, new) = (TestCertificate::named("old"), TestCertificate::named("new"));
    let (old, new) = (old.self_signed().certificate(), new.self_signed().certificate());
    let digest = Certificate::from_sha256(*new.sha256());
    let policy = || {
        let table = ClientPeers::table()
            .certificate("app", old.thumbprint().as_str())
            .certificate("app", new.thumbprint().as_str())
            .spiffe(&domain.bundle, "app", "/ns/prod/sa/web")
            .spiffe(&domain.bundle, "app", "/ns/test/**")
            .spiffe(&elsewhere.bundle, "app", "/web");
        client_matches_peer(table)
    };
    let stranger = TestCertificate::named("old").self_signed().certificate();
    for (name, certificate, passes) in [
        ("old certificate", old.clone(), true),
        ("new certificate", new.clone(), true),
        ("its digest", digest, true),
        ("the first path", domain.svid(WEB).certificate(), true),
        ("the second path", domain.svid("spiffe://example.org/ns/test/x").certificate(), true),
        ("elsewhere", elsewhere.svid("spiffe://other.example/web").certificate(), true),
        ("a path of elsewhere, here", domain.svid("spiffe://example.org/web").certificate(), false),
        ("another path", domain.svid(BATCH).certificate(), false),
        ("another certificate of that subject", stranger, false),
    ] {
        let sent = ask(&world, policy(), over(&world.token().client_id("app"), &certificate)).await;
        assert_eq!(sent.passed(), passes, "{name}: {:?}", sent.kind());
    }
}

/// A token that names no client is nobody's to send.
#[test]
fn a_token_without_a_client_is_refused() {
    let own = TestCertificate::named("app").self_signed().certificate();
    let table = ClientPeers::table().certificate("app", own.thumbprint().as_str());
    let policy = client_matches_peer(table);
    let token = TestAccess::new().certificate(own);
    assert!(check(&policy, &token.clone().client_id("app").build(), "GET", "/").is_ok());
    let Err(CheckError::Denied(denial)) =
        check(&policy, &token.without("client_id").build(), "GET", "/")
    else {
        panic!("accepted")
    };
    assert_eq!(denial.kind(), DenialKind::InvalidToken);
    assert_eq!(denial.reason(), "the token names no client");
}

/// JWS-47: a client of one issuer is not a client of another by the same name.
#[tokio::test]
async fn a_client_is_one_of_its_issuer() {
    let one = world().await;
    let other = TestIssuer::new(OTHER, &one.clock);
    let api = builder(&one.clock)
        .mtls(Mtls::direct())
        .issuer(one.issuer.jwks())
        .issuer(other.jwks())
        .transport(TestNetwork::of(&[&one.issuer, &other]))
        .build()
        .unwrap();
    api.warm_up().await.unwrap();
    let domain = Domain::new(DOMAIN);
    let own = domain.svid(WEB).certificate();
    let table = || ClientPeers::table().certificate(WEB, own.thumbprint().as_str());
    let words = "`client_matches_peer` names no issuer, and the server has more than one";
    for peers in [ClientPeers::from(table()), ClientPeers::spiffe(&domain.bundle)] {
        let check = client_matches_peer(peers);
        let fault = api.guard(check.clone()).unwrap_err().to_string();
        assert!(fault.contains(words), "{fault}");
        let deep = allow_all().and(scope("a").or(check.clone()));
        assert!(api.guard(deep).unwrap_err().to_string().contains(words));
        assert!(one.api.guard(check.clone()).is_ok());

        let ours = check.of_issuer(ISSUER);
        let theirs = ours.clone().of_issuer(OTHER);
        let (our_token, their_token) = (one.token(), other.token(RESOURCE));
        for (name, policy, token, passes) in [
            ("ours", Policy::new(ours.clone()), &our_token, true),
            ("theirs for ours", Policy::new(ours.clone()), &their_token, false),
            ("theirs", Policy::new(theirs.clone()), &their_token, true),
            ("ours for theirs", Policy::new(theirs.clone()), &our_token, false),
            ("either", Policy::new(ours.or(theirs)), &their_token, true),
        ] {
            let token = token.clone().client_id(WEB);
            let sent = send(&api.protect(policy), over(&token, &own)).await;
            let expected = (!passes).then_some(Kind::NotAccepted);
            assert_eq!(sent.kind(), expected, "{name}");
        }
    }
}

// ---- where they stand

/// A `require` below a `Protect` knows the sender that was proven above it.
#[tokio::test]
async fn a_require_below_knows_the_sender() {
    let world = world().await;
    let domain = Domain::new(DOMAIN);
    let (web, batch) = (domain.svid(WEB).certificate(), domain.svid(BATCH).certificate());
    let token = world.token().client_id("web");
    let table = ClientPeers::table().spiffe(&domain.bundle, "web", "/ns/prod/sa/web");
    let status = async |check: std::sync::Arc<dyn Check>, certificate: &Certificate| {
        let inner = service_fn(async |_: Request<String>| {
            Ok::<_, Infallible>(Response::new("inner".to_owned()))
        });
        let service = world.api.layer().layer(require(check).layer(inner));
        let response: Response<String> = service.oneshot(over(&token, certificate)).await.unwrap();
        response.status().as_u16()
    };
    let checks: [(std::sync::Arc<dyn Check>, u16); 2] = [
        (std::sync::Arc::new(spiffe_id(&domain.bundle, "/ns/prod/sa/web")), 403),
        (std::sync::Arc::new(client_matches_peer(table)), 401),
    ];
    for (check, refused) in checks {
        assert_eq!(status(check.clone(), &web).await, 200);
        assert_eq!(status(check, &batch).await, refused);
    }
}

/// Where mutual TLS is not configured nobody has proven a certificate, whatever the connection has.
#[tokio::test]
async fn without_mutual_tls_nobody_passes() {
    let plain = World::new().await;
    let domain = Domain::new(DOMAIN);
    let own = domain.svid(WEB).certificate();
    let with = world().await;
    for (world, passes) in [(&with, true), (&plain, false)] {
        for policy in [
            Policy::new(spiffe_id(&domain.bundle, "/**")),
            Policy::new(client_matches_peer(ClientPeers::spiffe(&domain.bundle))),
        ] {
            let sent = ask(world, policy, over(&world.token().client_id(WEB), &own)).await;
            assert_eq!(sent.passed(), passes, "{:?}", sent.kind());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_is_a_fault() {
    let world = world().await;
    let domain = Domain::new(DOMAIN);
    for (path, words) in [
        ("", "does not begin with a slash"),
        ("ns/prod", "does not begin with a slash"),
        ("/ns/prod-*", "has a star beside other characters"),
        ("/**/web", "has `**` elsewhere than at its end"),
        ("/ns/../web", "has a segment that is a dot or two"),
        (WEB, "does not begin with a slash"),
    ] {
        check_faulty(&world, spiffe_id(&domain.bundle, path), words).await;
        let table = ClientPeers::table().spiffe(&domain.bundle, "test-client", path);
        check_faulty(&world, client_matches_peer(table), words).await;
    }

    let own = TestCertificate::named("app").self_signed();
    let thumbprint = own.certificate().thumbprint().to_string();
    let hex: String =
        own.certificate().sha256().iter().map(|octet| format!("{octet:02x}")).collect();
    let words = "client \"test-client\": certificate thumbprint";
    for malformed in ["", &format!("{thumbprint}="), &hex, &thumbprint[1..], &own.pem()] {
        let table = ClientPeers::table().certificate("test-client", malformed);
        check_faulty(&world, client_matches_peer(table), words).await;
    }
    let table = || ClientPeers::table().certificate("test-client", &thumbprint);
    let empty = ClientPeers::table().certificate("", &thumbprint);
    check_faulty(&world, client_matches_peer(ClientPeers::table()), "no client is named").await;
    check_faulty(&world, client_matches_peer(empty), "has an empty text").await;
    let of_nobody = client_matches_peer(table()).of_issuer("as.example");
    check_faulty(&world, of_nobody, "as.example").await;
    assert!(world.api.guard(client_matches_peer(table())).is_ok());

    // One malformed entry, and nobody passes: who is meant is not known.
    let access = TestAccess::new().certificate(own.certificate()).build();
    assert!(check(&client_matches_peer(table()), &access, "GET", "/").is_ok());
    let faulty = client_matches_peer(table().certificate("other", "x"));
    assert!(check(&faulty, &access, "GET", "/").is_err());

    // All of them at once.
    let faulty = table().certificate("a", "x").spiffe(&domain.bundle, "b", "y");
    let error = world.api.guard(client_matches_peer(faulty).of_issuer("z")).unwrap_err();
    assert_eq!(error.faults().len(), 3, "{error}");
}

/// NHI-09: a table is bounded, in all and for each client.
#[tokio::test]
async fn a_table_is_bounded() {
    let world = world().await;
    let own = TestCertificate::named("app").self_signed().certificate();
    let thumbprint = own.thumbprint().as_str();
    let table = |clients: usize, peers: usize| {
        let mut table: ClientTable = ClientPeers::table();
        for client in 0..clients {
            for _ in 0..peers {
                table = table.certificate(format!("client-{client}"), thumbprint);
            }
        }
        client_matches_peer(table)
    };
    for (clients, peers, fault) in [
        (1, 16, None),
        (1, 17, Some("number of peers of a client of 17 is not between 1 and 16")),
        (256, 16, None),
        (4_096, 1, None),
        (4_097, 1, Some("number of peers of all clients of 4097 is not between 1 and 4096")),
    ] {
        let found = world.api.guard(table(clients, peers)).err().map(|error| error.to_string());
        match (fault, &found) {
            (None, None) => {}
            (Some(fault), Some(found)) => assert!(found.contains(fault), "{found}"),
            _ => panic!("{clients} of {peers}: {found:?}"),
        }
    }

    // The last that fits counts as the first does.
    let other = TestCertificate::named("other").self_signed().certificate();
    let filled = |clients: usize, peers: usize| {
        let mut table = ClientPeers::table();
        for client in 0..clients {
            for _ in 0..peers {
                table = table.certificate(format!("client-{client}"), other.thumbprint().as_str());
            }
        }
        table
    };
    let passes = |table: ClientTable, client: &str| {
        let access = TestAccess::new().client_id(client).certificate(own.clone()).build();
        check(&client_matches_peer(table), &access, "GET", "/").is_ok()
    };
    let sixteen = filled(1, 15).certificate("client-0", thumbprint);
    assert!(passes(sixteen, "client-0") && !passes(filled(1, 16), "client-0"));
    let full = filled(4_095, 1).certificate("last", thumbprint);
    assert!(passes(full, "last") && !passes(filled(4_095, 1), "client-0"));
}

#[tokio::test]
async fn both_stand_in_the_effective_policy() {
    /// The rule of this name, at a member of its own or beside.
    fn rule(report: &Value, name: &str) -> Value {
        let beside = report["all_of"].as_array().into_iter().flatten();
        let mut all = beside.chain([report]).filter_map(|rules| rules.get(name));
        all.next().unwrap_or_else(|| panic!("no {name} in {report}")).clone()
    }
    let world = world().await;
    let domain = Domain::new(DOMAIN);
    let thumbprint =
        TestCertificate::named("batch").self_signed().certificate().thumbprint().clone();
    let table = ClientPeers::table()
        .spiffe(&domain.bundle, "web", "/ns/prod/sa/web")
        .spiffe(&domain.bundle, "web", "/ns/test/**")
        .certificate("batch", thumbprint.as_str());
    let check = scope("a")
        .and(spiffe_id(&domain.bundle, "/ns/*/sa/web"))
        .and(client_matches_peer(table).of_issuer(ISSUER));
    let report = rules(&world, "table", check);
    assert_eq!(
        rule(&report, "spiffe_id"),
        json!({ "trust_domain": "example.org", "path": "/ns/*/sa/web" })
    );
    assert_eq!(
        rule(&report, "client_matches_peer"),
        json!({
            "table": {
                "batch": [{ "certificate": thumbprint.as_str() }],
                "web": [
                    { "trust_domain": "example.org", "path": "/ns/prod/sa/web" },
                    { "trust_domain": "example.org", "path": "/ns/test/**" },
                ],
            },
            "of_issuer": ISSUER,
        })
    );
    let report = rules(&world, "same", client_matches_peer(ClientPeers::spiffe(&domain.bundle)));
    assert_eq!(rule(&report, "client_matches_peer"), json!({ "spiffe": "example.org" }));
}
