//! oauth-resource-server: a layer for axum. It has `iss`, `aud`, `exp`, `nbf`, `typ` and scopes, and refuses
//! every token with `cnf`.

use std::sync::Arc;

use oauth_resource_server::axum::AuthLayer;
use oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator};

use crate::tokens::{ISSUER, Keys, RESOURCE, SCOPE};

pub async fn layer(keys: &Keys) -> AuthLayer {
    let config = OAuthConfig {
        enabled: true,
        issuer: ISSUER.to_owned(),
        jwks_uri: Some(keys.url.clone()),
        audience: RESOURCE.to_owned(),
        resource: RESOURCE.to_owned(),
        required_scope: Some(SCOPE.to_owned()),
        require_at_jwt: true,
        ..OAuthConfig::default()
    };
    let config = config.resolve(KeyNaming::Dotted("oauth")).expect("a configuration");
    let validator = OAuthValidator::new(&config.expect("it is enabled"));
    let validator = Arc::new(validator.expect("oauth-resource-server"));
    validator.refresh_now().await.expect("keys");
    AuthLayer::builder().oauth(validator).build().expect("a layer")
}
