//! How each peer is mounted: as its documentation says, with every check that it has for an access token of
//! RFC 9068 and one scope, and otherwise as it comes.

pub mod axum_jwt_auth;
pub mod dpop_verifier;
pub mod huskarl;
pub mod jwt_authorizer;
pub mod oauth_resource_server;
pub mod portcullis;
pub mod tower_oauth2_resource_server;

/// The name of a peer with its version, which is the exact one that `Cargo.toml` demands.
pub fn named(package: &str) -> String {
    let manifest = include_str!("../../Cargo.toml");
    let entry = manifest.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix(" = "));
    let version = entry.and_then(|entry| entry.split('"').find_map(|part| part.strip_prefix('=')));
    format!("{package} {}", version.expect("an exact version of each peer"))
}
