//! How often keys are fetched while tokens come that name keys which nobody has, each another one: the work
//! that anybody can make a service do, and do to its issuer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::body::Body;
use axum_07::body::Body as Body07;
use http::{Request, Response, StatusCode};
use portcullis::jose::Algorithm;
use portcullis::testing::TestNetwork;
use portcullis::{Binding, ResourceServer, TokenClass};
use tokio::runtime::Runtime;
use tower::{Layer, Service};

use crate::floor::{Credentials, Nothing, answer};
use crate::key_set::KeySet;
use crate::peers::{self, named};
use crate::tokens::{Keys, LIFE, RESOURCE, World};

const TOKENS: usize = 500;

/// What came of it at one peer.
pub struct Flood {
    pub name: String,
    /// Before the flood.
    pub fetches_before: usize,
    pub fetches: usize,
    pub milliseconds: f64,
    pub answers: BTreeMap<u16, usize>,
    /// To a good token after it.
    pub good_after: StatusCode,
}

/// Within the first seconds after the keys were fetched, as each peer comes.
pub fn flood_all(runtime: &Runtime, world: &World) -> Vec<Flood> {
    let junk: Vec<_> =
        (0..TOKENS).map(|number| Credentials::bearer(&world.unknown(number))).collect();
    let rs256 = world.token(Algorithm::Rs256);
    let good = Credentials::bearer(&rs256.text);
    let flood = Junk { runtime, junk, good };
    let serve = || {
        let jwks = world.issuer.jwk_set().to_string();
        let set = KeySet::serve(jwks.clone());
        (Keys { jwks, url: set.url.clone() }, set)
    };
    let nothing = Nothing::<Body>::new;
    let mut floods = Vec::new();

    let server = ResourceServer::builder(RESOURCE)
        .issuer(world.issuer.jwks())
        .class(TokenClass::default_at_most(LIFE))
        .binding(Binding::WhereBound)
        .transport(TestNetwork::of(&[&world.issuer]))
        .build()
        .expect("portcullis");
    let fetches = || world.issuer.fetches();
    floods.push(flood.at("portcullis", server.layer().layer(nothing()), fetches));

    let (keys, set) = serve();
    let layer = runtime.block_on(peers::jwt_authorizer::layer(&keys));
    let service = layer.layer(Nothing::<Body07>::new());
    floods.push(flood.at(&named("jwt-authorizer"), service, || set.fetches()));

    let (keys, set) = serve();
    let layer = runtime.block_on(peers::tower_oauth2_resource_server::layer(&keys));
    let name = named("tower-oauth2-resource-server");
    floods.push(flood.at(&name, layer.layer(nothing()), || set.fetches()));

    let (keys, set) = serve();
    let layer = runtime.block_on(peers::axum_jwt_auth::layer(&keys, Algorithm::Rs256));
    floods.push(flood.at(&named("axum-jwt-auth"), layer.layer(nothing()), || set.fetches()));

    let (keys, set) = serve();
    let layer = runtime.block_on(peers::oauth_resource_server::layer(&keys));
    floods
        .push(flood.at(&named("oauth-resource-server"), layer.layer(nothing()), || set.fetches()));

    let client = peers::huskarl::Memory::new(&serve().0);
    let layer = runtime.block_on(peers::huskarl::layer(client.clone()));
    let fetches = || client.fetches.load(Ordering::SeqCst);
    floods.push(flood.at(&named("huskarl-resource-server"), layer.layer(nothing()), fetches));
    floods
}

struct Junk<'a> {
    runtime: &'a Runtime,
    junk: Vec<Credentials<'a>>,
    good: Credentials<'a>,
}

impl Junk<'_> {
    fn at<S, R>(&self, name: &str, mut service: S, fetches: impl Fn() -> usize) -> Flood
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    {
        let mut ask = |credentials| answer(self.runtime, &mut service, credentials);
        assert_eq!(ask(&self.good), StatusCode::OK, "{name}");
        let fetches_before = fetches();
        let start = Instant::now();
        let mut answers = BTreeMap::new();
        for junk in &self.junk {
            *answers.entry(ask(junk).as_u16()).or_insert(0) += 1;
        }
        Flood {
            name: name.to_owned(),
            fetches_before,
            milliseconds: start.elapsed().as_secs_f64() * 1e3,
            fetches: fetches() - fetches_before,
            answers,
            good_after: ask(&self.good),
        }
    }
}
