//! jwt-authorizer: a layer for axum 0.7. It has `iss`, `aud`, `exp`, `nbf` and a function of one's own, here
//! for the scope; not `typ`.

use jwt_authorizer::layer::AuthorizationLayer;
use jwt_authorizer::{IntoLayer as _, JwtAuthorizer, Validation};

use crate::tokens::{Claims, ISSUER, Keys, RESOURCE, SCOPE};

pub async fn layer(keys: &Keys) -> AuthorizationLayer<Claims> {
    let validation = Validation::new().iss(&[ISSUER]).aud(&[RESOURCE]).nbf(true);
    JwtAuthorizer::<Claims>::from_jwks_url(&keys.url)
        .validation(validation)
        .check(|claims: &Claims| claims.scope.split(' ').any(|scope| scope == SCOPE))
        .build()
        .await
        .expect("jwt-authorizer")
        .into_layer()
}
