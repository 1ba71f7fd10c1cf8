use portcullis::check::allow_all;
use portcullis::observe::SenderBinding;
use portcullis::testing::challenges;
use portcullis::{
    Binding, Dpop, Exception, Mtls, Policy, RejectionKind as Kind, ResourceServer, ServerBuilder,
    TokenClass,
};
use serde_json::json;

use super::support::{anonymous, bearer, builder, send};
use super::{World, dpop, mutual, over};

/// BCP-01, FAPI-05, DPOP-20, MTLS-24: each binding takes what is bound as it says, and nothing else.
#[tokio::test]
async fn each_binding_takes_what_is_bound_so() {
    use Binding::{Both, Dpop, Either, Mtls, WhereBound};
    for (binding, bearer_passes, key_passes, certificate_passes) in [
        (WhereBound, true, true, true),
        (Either, false, true, true),
        (Dpop, false, true, false),
        (Mtls, false, false, true),
        (Both, false, false, false),
    ] {
        let world = World::with(|builder| builder.binding(binding));
        let layer = world.api.layer();
        let token = world.bound().sign();
        let mut both = world.client.confirmation();
        both["x5t#S256"] = world.certificate.confirmation()["x5t#S256"].clone();
        let twice = world.unbound().claim("cnf", both).sign();
        let with_both =
            over(dpop(&twice, [world.proof(&twice).sign()]), world.certificate.certificate());
        for (name, request, passes) in [
            ("nothing", bearer(&world.unbound().sign()), bearer_passes),
            ("a key", dpop(&token, [world.proof(&token).sign()]), key_passes),
            (
                "a certificate",
                mutual(&world.certified().sign(), &world.certificate),
                certificate_passes,
            ),
            ("both", with_both, true),
        ] {
            let sent = send(&layer, request).await;
            let expected = (!passes).then_some(Kind::NotBound);
            assert_eq!(sent.kind(), expected, "{binding:?}: {name}");
        }
    }
}

/// The strictest of server, class and route: a route can only tighten.
#[tokio::test]
async fn a_route_and_a_class_only_tighten() {
    let world = World::with(|builder| {
        builder
            .binding(Binding::Either)
            .class(TokenClass::named("agents").scopes(["agent"]).binding(Binding::Mtls))
    });
    let loose = world.api.protect(Policy::new(allow_all()).binding(Binding::WhereBound));
    let strict = world.api.protect(Policy::new(allow_all()).binding(Binding::Dpop));
    let key = || {
        let token = world.bound().sign();
        dpop(&token, [world.proof(&token).sign()])
    };
    let agent = || {
        let token = world.bound().scope("agent").sign();
        dpop(&token, [world.proof(&token).sign()])
    };
    let certificate = || mutual(&world.certified().sign(), &world.certificate);
    for (name, layer, request, kind) in [
        ("loose, unbound", &loose, bearer(&world.unbound().sign()), Some(Kind::NotBound)),
        ("loose, key", &loose, key(), None),
        ("strict, certificate", &strict, certificate(), Some(Kind::NotBound)),
        ("strict, key", &strict, key(), None),
        ("class, key", &loose, agent(), Some(Kind::NotBound)),
        ("class and route", &strict, agent(), Some(Kind::NotBound)),
    ] {
        assert_eq!(send(layer, request).await.kind(), kind, "{name}");
    }
}

/// Two demands together are met by what meets each of them, and by nothing less; in either order.
#[test]
fn the_strictest_of_two_bindings_meets_both() {
    use Binding::{Both, Dpop, Either, Mtls, WhereBound};
    for (one, other, strictest) in [
        (WhereBound, WhereBound, WhereBound),
        (WhereBound, Either, Either),
        (WhereBound, Dpop, Dpop),
        (WhereBound, Mtls, Mtls),
        (WhereBound, Both, Both),
        (Either, Either, Either),
        (Either, Dpop, Dpop),
        (Either, Mtls, Mtls),
        (Either, Both, Both),
        (Dpop, Dpop, Dpop),
        (Dpop, Mtls, Both),
        (Dpop, Both, Both),
        (Mtls, Mtls, Mtls),
        (Mtls, Both, Both),
        (Both, Both, Both),
    ] {
        assert_eq!(one.strictest(other), strictest, "{one:?}, {other:?}");
        assert_eq!(other.strictest(one), strictest, "{other:?}, {one:?}");
    }
}

/// An exception lets a plain bearer token pass, never a bound one without its proof; and it is seen.
#[tokio::test]
async fn an_exception_is_no_way_round_a_cnf() {
    let world = World::with(|builder| {
        let partner = Exception::for_clients(["partner"]).until("2027-03-31").because("SEC-1");
        builder.binding(Binding::Either).exception(partner)
    });
    let layer = world.api.layer();
    let partner = world.unbound().client_id("partner");
    let passed = send(&layer, bearer(&partner.sign())).await;
    assert_eq!(passed.access().unwrap().binding(), SenderBinding::Bearer);
    let stranger = send(&layer, bearer(&world.unbound().client_id("x").sign())).await;
    assert_eq!(stranger.kind(), Some(Kind::NotBound));
    let bound = partner.claim("cnf", world.client.confirmation()).sign();
    assert_eq!(send(&layer, bearer(&bound)).await.kind(), Some(Kind::BearerDowngrade));
    assert!(send(&layer, dpop(&bound, [world.proof(&bound).sign()])).await.passed());

    // Nor does it take less of a token that is bound otherwise than is wanted.
    let world = World::with(|builder| {
        let partner = Exception::for_clients(["partner"]).until("2027-03-31").because("SEC-1");
        builder.binding(Binding::Dpop).exception(partner)
    });
    let layer = world.api.layer();
    let certified = world.certified().client_id("partner").sign();
    let sent = send(&layer, mutual(&certified, &world.certificate)).await;
    assert_eq!(sent.kind(), Some(Kind::NotBound));
    assert!(send(&layer, bearer(&world.unbound().client_id("partner").sign())).await.passed());
}

/// DPOP-23, MTLS-06: challenges offer the schemes with which a token can be used there.
#[tokio::test]
async fn challenges_offer_what_the_policy_takes() {
    let all = |builder: ServerBuilder| builder.dpop(Dpop::new()).mtls(Mtls::direct());
    let key_only = |builder: ServerBuilder| builder.dpop(Dpop::new());
    let certificate_only = |builder: ServerBuilder| builder.mtls(Mtls::direct());
    type Settings = fn(ServerBuilder) -> ServerBuilder;
    let rows: [(&str, Settings, Binding, &[&str]); 9] = [
        ("all", all, Binding::WhereBound, &["Bearer", "DPoP"]),
        ("all", all, Binding::Either, &["Bearer", "DPoP"]),
        ("all", all, Binding::Dpop, &["DPoP"]),
        ("all", all, Binding::Mtls, &["Bearer"]),
        ("all", all, Binding::Both, &["DPoP"]),
        ("keys", key_only, Binding::WhereBound, &["Bearer", "DPoP"]),
        ("keys", key_only, Binding::Either, &["DPoP"]),
        ("certificates", certificate_only, Binding::WhereBound, &["Bearer"]),
        ("certificates", certificate_only, Binding::Either, &["Bearer"]),
    ];
    for (name, settings, binding, expected) in rows {
        let world = World::new();
        let server = settings(builder(&world.clock).issuer(world.issuer.fixed_keys()));
        let api = server.build().unwrap();
        let layer = api.protect(Policy::new(allow_all()).binding(binding));
        let sent = send(&layer, anonymous()).await;
        let schemes: Vec<_> =
            challenges(sent.response.headers()).into_iter().map(|one| one.scheme).collect();
        assert_eq!(schemes, expected, "{name} {binding:?}");
    }
}

/// A binding that nothing could prove would refuse everybody: it is a fault, at its place.
#[test]
fn a_binding_without_its_mechanism_is_a_fault() {
    let world = World::new();
    let faults = |settings: &dyn Fn(ServerBuilder) -> ServerBuilder| {
        let server = builder(&world.clock).issuer(world.issuer.fixed_keys());
        match settings(server).build() {
            Ok(_) => Vec::new(),
            Err(error) => error.places().map(|(place, _)| place.to_owned()).collect::<Vec<_>>(),
        }
    };
    let dpop = |builder: ServerBuilder| builder.dpop(Dpop::new());
    let class = |binding| TokenClass::named("c").scopes(["c"]).binding(binding);
    let policy = |binding| Policy::new(allow_all()).binding(binding);
    assert_eq!(faults(&|b| b.binding(Binding::Either)), ["binding"]);
    assert_eq!(faults(&|b| b.binding(Binding::Mtls)), ["binding"]);
    assert_eq!(faults(&|b| dpop(b).binding(Binding::Both)), ["binding"]);
    assert_eq!(faults(&|b| b.class(class(Binding::Dpop))), ["classes[0].binding"]);
    assert_eq!(faults(&|b| dpop(b).policy(policy(Binding::Mtls))), ["policy.binding"]);
    let named = faults(&|b| b.named_policy("pay", policy(Binding::Either)));
    assert_eq!(named, ["policies.pay.binding"]);
    for good in [Binding::WhereBound, Binding::Either, Binding::Dpop] {
        assert_eq!(faults(&|b| dpop(b).binding(good)), Vec::<String>::new());
    }
    // A mechanism that is faulty itself is one fault, not two.
    let faulty = |b: ServerBuilder| b.dpop(Dpop::new().algorithms([])).binding(Binding::Dpop);
    assert_eq!(faults(&faulty), ["dpop.algorithms"]);
    // And for a policy that is made later.
    assert!(world.api.guard(policy(Binding::Both)).is_ok());
    let plain = builder(&world.clock).issuer(world.issuer.fixed_keys()).build().unwrap();
    assert!(plain.guard(policy(Binding::Dpop)).is_err());
}

/// RFC 9728 §2, RFC 8705 §3.3, RFC 9449 §5.1: the metadata says what is enforced.
#[test]
fn the_metadata_says_what_can_be_proven() {
    let world = World::new();
    let with = |settings: fn(ServerBuilder) -> ServerBuilder| {
        let server = settings(builder(&world.clock).issuer(world.issuer.fixed_keys()));
        let document = server.build().unwrap().metadata();
        let names = [
            "dpop_signing_alg_values_supported",
            "dpop_bound_access_tokens_required",
            "tls_client_certificate_bound_access_tokens",
        ];
        names.map(|name| document.get(name).cloned())
    };
    let algs = Some(json!(["ES256", "EdDSA", "Ed25519"]));
    let yes = Some(json!(true));
    assert_eq!(with(|b| b), [None, None, None]);
    assert_eq!(with(|b| b.dpop(Dpop::new())), [algs.clone(), None, None]);
    let required = |b: ServerBuilder| b.dpop(Dpop::new()).binding(Binding::Dpop);
    assert_eq!(with(required), [algs.clone(), yes.clone(), None]);
    assert_eq!(with(|b| b.mtls(Mtls::direct())), [None, None, yes]);
}

/// The event of a decision says how the sender was proven.
#[tokio::test]
async fn the_decision_says_how_the_sender_was_proven() {
    let (observer, mut received) = portcullis::observe::channel(16);
    let world = World::with(|builder| builder.observer(observer));
    let layer = world.api.layer();
    let token = world.bound().sign();
    send(&layer, bearer(&world.unbound().sign())).await;
    send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
    send(&layer, mutual(&world.certified().sign(), &world.certificate)).await;
    send(&layer, bearer(&token)).await;
    let mut found = Vec::new();
    for _ in 0..4 {
        found.push(received.recv().await.unwrap().binding);
    }
    let (bearer, dpop, mtls) = (SenderBinding::Bearer, SenderBinding::Dpop, SenderBinding::Mtls);
    assert_eq!(found, [Some(bearer), Some(dpop), Some(mtls), None]);
}

/// A server is what it was without any of this.
#[tokio::test]
async fn a_server_without_mechanisms_takes_plain_tokens_only() {
    let world = World::new();
    let api: ResourceServer =
        builder(&world.clock).issuer(world.issuer.fixed_keys()).build().unwrap();
    let certified = mutual(&world.certified().sign(), &world.certificate);
    assert_eq!(send(&api.layer(), certified).await.kind(), Some(Kind::SenderNotProven));
    let sent = send(&api.layer(), mutual(&world.unbound().sign(), &world.certificate)).await;
    assert_eq!(sent.access().unwrap().binding(), SenderBinding::Bearer);
    assert!(sent.access().unwrap().certificate().is_none());
}
