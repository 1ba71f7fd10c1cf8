//! Whose an opaque token is.

use portcullis::check::allow_all;
use portcullis::introspection::Introspection;
use portcullis::testing::{TestIntrospection, TestIssuer};
use portcullis::{Issuer, Policy, RejectionKind as Kind, ResourceServer};

use crate::support::{ISSUER, RESOURCE, bearer, send};
use crate::world::{Parts, World, asked_at};

const B: &str = "https://b.example";
const C: &str = "https://c.example";

/// Three issuers without keys, each with an endpoint of its own.
struct Three {
    issuers: [TestIssuer; 3],
    kits: [TestIntrospection; 3],
    api: ResourceServer,
}

impl Three {
    fn new(change: impl Fn(usize, Introspection) -> Introspection) -> Self {
        let mut parts = Parts::new();
        let (b, at_b) = parts.other(B);
        let (c, at_c) = parts.other(C);
        let mut builder = parts.builder().issuer(Issuer::opaque(B)).issuer(Issuer::opaque(C));
        let issuers = [parts.issuer.clone(), b, c];
        let kits = [parts.kit.clone(), at_b, at_c];
        for (index, (issuer, kit)) in issuers.iter().zip(&kits).enumerate() {
            let introspection = asked_at(issuer.id(), kit.url());
            builder = builder.introspection(change(index, introspection));
        }
        Self { issuers, kits, api: builder.build().unwrap() }
    }

    /// Who was asked about this token so far.
    fn asked(&self, token: &str) -> [usize; 3] {
        self.kits.each_ref().map(|kit| {
            let about = |request: &portcullis::testing::TestIntrospectionRequest| {
                request.form("token").as_deref() == Some(token)
            };
            kit.requests().iter().filter(|request| about(request)).count()
        })
    }

    /// Everybody knows this token.
    fn known(&self, token: &str) {
        for (issuer, kit) in self.issuers.iter().zip(&self.kits) {
            kit.active_as(token, issuer.token(RESOURCE));
        }
    }

    async fn kind_by(&self, policy: impl Into<Policy>, token: &str) -> Option<Kind> {
        send(&self.api.protect(policy), bearer(token)).await.kind()
    }
}

/// The longest prefix that fits decides, whoever else would know the token; the rest is of the one
/// without a prefix.
#[tokio::test]
async fn the_longest_prefix_decides() {
    let world = Three::new(|index, introspection| match index {
        0 => introspection,
        1 => introspection.prefix("b_").prefix("shared_"),
        _ => introspection.prefix("c.").prefix("b_long_").prefix("shared_more"),
    });
    for (token, wanted) in [
        ("anything", [1, 0, 0]),
        ("b_", [0, 1, 0]),
        ("b_token", [0, 1, 0]),
        ("b_lon", [0, 1, 0]),
        ("b_long_token", [0, 0, 1]),
        ("c.d.e", [0, 0, 1]),
        ("c", [1, 0, 0]),
        ("B_token", [1, 0, 0]),
        ("xb_token", [1, 0, 0]),
        ("shared_mor", [0, 1, 0]),
        ("shared_more", [0, 0, 1]),
    ] {
        world.known(token);
        let sent = send(&world.api.layer(), bearer(token)).await;
        assert_eq!(sent.kind(), None, "{token}");
        assert_eq!(world.asked(token), wanted, "{token}");
        let owner = wanted.iter().position(|asked| *asked == 1).unwrap();
        assert_eq!(sent.access().unwrap().issuer(), &world.issuers[owner].id());
    }
    // Whose it is does not change because its issuer does not know it.
    for token in ["b_unknown", "c.unknown", "unknown"] {
        world.known(token);
        for kit in &world.kits {
            if world.kits.iter().position(|other| other.url() == kit.url()) == owner_of(token) {
                kit.revoke(token);
            }
        }
        assert_eq!(world.kind_by(allow_all(), token).await, Some(Kind::Inactive), "{token}");
        assert_eq!(world.asked(token).iter().sum::<usize>(), 1, "{token}");
    }
}

fn owner_of(token: &str) -> Option<usize> {
    Some(match token.as_bytes()[0] {
        b'b' => 1,
        b'c' => 2,
        _ => 0,
    })
}

/// A token of nobody's prefix is refused as one that nobody can be asked about: AUTH-31.
#[tokio::test]
async fn a_token_of_nobody_is_shown_to_nobody() {
    let world = Three::new(|index, introspection| introspection.prefix(["a_", "b_", "c_"][index]));
    for (token, wants) in [
        ("a_1", None),
        ("b_1", None),
        ("d_1", Some(Kind::OpaqueToken)),
        ("a", Some(Kind::OpaqueToken)),
    ] {
        world.known(token);
        assert_eq!(world.kind_by(allow_all(), token).await, wants, "{token}");
        assert_eq!(world.asked(token).iter().sum::<usize>(), usize::from(wants.is_none()));
    }
}

/// Where routes name the issuer, its endpoint sees the tokens of these routes and no others.
#[tokio::test]
async fn a_route_can_name_the_issuer() {
    let world = Three::new(|index, introspection| match index {
        0 => introspection.only_where_named(),
        1 => introspection.only_where_named(),
        _ => introspection.prefix("c_"),
    });
    let of = |issuer: &str| Policy::new(allow_all()).introspected_by(issuer);
    for token in ["t1", "c_1"] {
        world.known(token);
    }
    assert_eq!(world.kind_by(allow_all(), "t1").await, Some(Kind::OpaqueToken));
    assert_eq!(world.asked("t1"), [0, 0, 0]);
    assert_eq!(world.kind_by(of(ISSUER), "t1").await, None);
    assert_eq!(world.asked("t1"), [1, 0, 0]);
    assert_eq!(world.kind_by(of(B), "t1").await, None);
    assert_eq!(world.asked("t1"), [1, 1, 0], "an answer of one issuer is none of another");
    // A route that names an issuer sends it nothing that its prefix excludes.
    assert_eq!(world.kind_by(of(C), "t1").await, Some(Kind::OpaqueToken));
    assert_eq!(world.asked("t1"), [1, 1, 0]);
    assert_eq!(world.kind_by(of(C), "c_1").await, None);
    assert_eq!(world.kind_by(allow_all(), "c_1").await, None);
    assert_eq!(world.asked("c_1"), [0, 0, 1]);
    // And what is of another's prefix goes where the route says.
    assert_eq!(world.kind_by(of(B), "c_1").await, None);
    assert_eq!(world.asked("c_1"), [0, 1, 1]);
}

/// A route that names nobody whom the server asks refuses everything, and says so when it is built.
#[tokio::test]
async fn a_route_names_an_issuer_that_is_asked() {
    let world = World::new();
    let of = |issuer: &str| Policy::new(allow_all()).introspected_by(issuer);
    assert!(world.api.guard(of(ISSUER)).is_ok());
    let error = world.api.guard(of(B)).unwrap_err();
    let places: Vec<_> = error.places().map(|(place, _)| place.to_owned()).collect();
    assert_eq!(places, ["introspected_by"], "{error}");
    assert!(error.to_string().contains("nobody whom the server asks about tokens"), "{error}");
    let token = world.token();
    assert_eq!(world.kind_by(of(B), &token).await, Some(Kind::Misconfigured));
    assert_eq!(world.kind_by(of(ISSUER), &token).await, None);
}

/// Opaque tokens may have dots; what says of itself that it is a JWS or a JWE is never sent.
#[tokio::test]
async fn what_looks_like_a_jwt_is_never_sent() {
    let world = World::new();
    let opaque = [
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "..",
        "x.",
        ".x",
        "v2.local.payload",
        "v4.public.a.b",
        "abcd.efgh.ijkl",
        "ory_at_x.y",
        "ey.J.x",
        "W10.W10.x",
    ];
    for token in opaque {
        world.kit.active_as(token, world.claims());
        world.assert_passes(token, token).await;
    }
    assert_eq!(world.calls(), opaque.len());
    let jwt = world.claims().sign();
    let [header, payload, signature] = crate::support::parts(&jwt);
    let none = world.claims().header("alg", "none").signing_input();
    for token in [
        jwt.clone(),
        world.claims().tampered(),
        format!("{none}."),
        format!("{header}.{payload}"),
        format!("{header}."),
        format!("{header}.x.y.z.w"),
        format!("{header}..{payload}.{signature}.x"),
        format!("{header}.{payload}.{signature}.{signature}"),
        "eyJh.junk".to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        "IHsi.x.y".to_owned(),
        "Cnsi.x.y".to_owned(),
    ] {
        world.kit.active_as(&token, world.claims());
        assert!(world.kind(&token).await.is_some(), "{token}");
    }
    assert_eq!(world.calls(), opaque.len(), "nothing was sent");
}
