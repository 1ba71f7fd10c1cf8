//! Every peer as a tower service in this process, on the same tokens.

use std::convert::Infallible;

use axum::body::Body;
use axum_07::body::Body as Body07;
use http::{Request, Response, StatusCode};
use portcullis::jose::Algorithm;
use tokio::runtime::Runtime;
use tower::{Layer, Service};

use crate::Backend;
use crate::floor::{Credentials, HandOn, Nothing, answer, requests};
use crate::measure::{Effort, Group, Row, Turn, repeat, sample};
use crate::peers::{self, named, portcullis::Tokens};
use crate::tokens::{Keys, Signed, World};

/// What is measured, and what could not be.
pub struct Measured {
    pub rows: Vec<Row>,
    pub left_out: Vec<String>,
}

pub fn measure(runtime: &Runtime, world: &World, keys: &Keys, effort: Effort) -> Measured {
    let mut measured = Measured { rows: Vec::new(), left_out: Vec::new() };
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        bearer(runtime, world, keys, algorithm, effort, &mut measured);
    }
    dpop(runtime, world, keys, effort, &mut measured);
    measured
}

fn bearer(
    runtime: &Runtime,
    world: &World,
    keys: &Keys,
    algorithm: Algorithm,
    effort: Effort,
    measured: &mut Measured,
) {
    let token = world.token(algorithm);
    let credentials = Credentials::bearer(&token.text);
    let nothing = Nothing::<Body>::new;
    let title = format!("{algorithm}, a token of {} octets", token.text.len());
    let layer = requests(runtime, HandOn.layer(nothing()), &credentials);
    let group = Group::new(title, layer, repeat(|| token.signed.verify()));
    let mut mounted = Mounted { runtime, credentials: &credentials, group, measured };

    let layer = |tokens| peers::portcullis::layer(keys, tokens).layer(nothing());
    mounted.case("portcullis, known token", layer(Tokens::Remembered));
    mounted.case("portcullis, token never seen", layer(Tokens::Forgotten));

    let layer = runtime.block_on(peers::jwt_authorizer::layer(keys));
    mounted.case(&named("jwt-authorizer"), layer.layer(Nothing::<Body07>::new()));
    let layer = runtime.block_on(peers::tower_oauth2_resource_server::layer(keys));
    mounted.case(&named("tower-oauth2-resource-server"), layer.layer(nothing()));
    let layer = runtime.block_on(peers::axum_jwt_auth::layer(keys, algorithm));
    mounted.case(&named("axum-jwt-auth"), layer.layer(nothing()));
    let layer = runtime.block_on(peers::oauth_resource_server::layer(keys));
    mounted.case(&named("oauth-resource-server"), layer.layer(nothing()));
    let layer = runtime.block_on(peers::huskarl::layer(peers::huskarl::Memory::new(keys)));
    mounted.case(&huskarl(), layer.layer(nothing()));
    mounted.run(effort);
}

/// A token that is bound to a key, known where it can be, and a new proof with each request.
fn dpop(runtime: &Runtime, world: &World, keys: &Keys, effort: Effort, measured: &mut Measured) {
    let credentials = Credentials::dpop(&world.bound, || world.proof());
    let nothing = Nothing::<Body>::new;
    let lengths = (world.bound.len(), world.proof().len());
    let title =
        format!("DPoP, ES256, a token of {} octets and a proof of {}", lengths.0, lengths.1);
    let layer = requests(runtime, HandOn.layer(nothing()), &credentials);
    let group = Group::new(title, layer, signatures(world));
    let mut mounted = Mounted { runtime, credentials: &credentials, group, measured };

    let layer = |tokens| peers::portcullis::layer(keys, tokens).layer(nothing());
    mounted.case("portcullis, known token, new proof", layer(Tokens::Remembered));
    mounted.case("portcullis, token never seen, new proof", layer(Tokens::Forgotten));
    let layer = runtime.block_on(peers::huskarl::layer(peers::huskarl::Memory::new(keys)));
    mounted.case(&format!("{}, token and proof", huskarl()), layer.layer(nothing()));

    let name = format!("{}, the proof alone", named("dpop-verifier"));
    mounted.group.case(name, proof_alone(runtime, world));
    mounted.run(effort);
}

/// A new signature each time, as each request has one: the same again would cost less.
fn signatures(world: &World) -> Turn<'_> {
    Box::new(move |times| {
        let proofs = world.signed_proofs(times);
        sample(|| proofs.iter().for_each(Signed::verify))
    })
}

fn proof_alone<'a>(runtime: &'a Runtime, world: &'a World) -> Turn<'a> {
    let mut verifier = peers::dpop_verifier::Verifier::new();
    Box::new(move |times| {
        let proofs: Vec<_> = (0..times).map(|_| world.proof()).collect();
        let verifier = &mut verifier;
        sample(|| {
            runtime.block_on(async move {
                for proof in proofs {
                    let jkt = verifier.verify(&proof, &world.bound).await;
                    assert_eq!(jkt, world.client.thumbprint().as_str(), "the key");
                }
            });
        })
    })
}

fn huskarl() -> String {
    format!("{} by {}", named("huskarl-resource-server"), named("huskarl-axum"))
}

/// Services of one group.
struct Mounted<'a, 'b> {
    runtime: &'a Runtime,
    credentials: &'a Credentials<'a>,
    group: Group<'a>,
    measured: &'b mut Measured,
}

impl<'a> Mounted<'a, '_> {
    /// Measures a service, if it accepts the token and refuses a request without one.
    fn case<S, R>(&mut self, name: &str, mut service: S)
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + 'a,
        R: 'a,
    {
        let open = answer(self.runtime, &mut service, &Credentials::none());
        assert_ne!(open, StatusCode::OK, "{name} lets requests without a token pass");
        match answer(self.runtime, &mut service, self.credentials) {
            StatusCode::OK => {
                self.group.case(name, requests(self.runtime, service, self.credentials));
            }
            status => {
                let title = self.group.title();
                self.measured.left_out.push(format!("{title}: {name} answers {status}"));
            }
        }
    }

    fn run(self, effort: Effort) {
        self.measured.rows.extend(self.group.run(effort));
    }
}

impl Backend {
    /// What verifies signatures for the peers that use jsonwebtoken 10 or 11: once for the process.
    pub fn install(self) {
        use {jsonwebtoken_10::crypto as ten, jsonwebtoken_11::crypto as eleven};
        let installed = match self {
            Self::AwsLc => (
                ten::aws_lc::DEFAULT_PROVIDER.install_default().is_ok(),
                eleven::aws_lc::DEFAULT_PROVIDER.install_default().is_ok(),
            ),
            Self::RustCrypto => (
                ten::rust_crypto::DEFAULT_PROVIDER.install_default().is_ok(),
                eleven::rust_crypto::DEFAULT_PROVIDER.install_default().is_ok(),
            ),
        };
        assert_eq!(installed, (true, true), "nothing was installed before");
    }
}
