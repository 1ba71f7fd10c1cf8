//! axum-jwt-auth: an extractor for axum, here run by axum's own layer for extractors. It has `iss`, `aud`,
//! `exp`, `nbf`; not `typ`, nor scopes. A decoder is for one kind of key, so each algorithm has its own.

use std::sync::Arc;

use axum::middleware::{FromExtractorLayer, from_extractor_with_state};
use axum_jwt_auth::{Claims as Extractor, Decoder, RemoteJwksDecoder};
use jsonwebtoken_10::{Algorithm as Alg, Validation};
use portcullis::jose::Algorithm;

use crate::tokens::{Claims, ISSUER, Keys, RESOURCE};

pub async fn layer(
    keys: &Keys,
    algorithm: Algorithm,
) -> FromExtractorLayer<Extractor<Claims>, Decoder<Claims>> {
    let mut validation = Validation::new(match algorithm {
        Algorithm::Rs256 => Alg::RS256,
        Algorithm::Es256 => Alg::ES256,
        Algorithm::EdDsa => Alg::EdDSA,
        other => panic!("{other}: no token has it"),
    });
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[RESOURCE]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "nbf"]);
    validation.validate_nbf = true;
    let decoder = RemoteJwksDecoder::builder()
        .jwks_url(keys.url.clone())
        .validation(validation)
        .build()
        .expect("axum-jwt-auth");
    // What it returns would end the refreshing.
    let _ = decoder.initialize().await.expect("keys");
    from_extractor_with_state(Arc::new(decoder) as Decoder<Claims>)
}
