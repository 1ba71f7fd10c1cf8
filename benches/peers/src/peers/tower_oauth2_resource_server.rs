//! tower-oauth2-resource-server: a layer for any body. It has `iss`, `aud`, `exp`, `nbf`; not `typ`, nor
//! scopes. Fetches its keys in the background: it is ready some time after it was made.

use std::time::Duration;

use axum::body::Body;
use tower_oauth2_resource_server::layer::OAuth2ResourceServerLayer;
use tower_oauth2_resource_server::server::OAuth2ResourceServer;
use tower_oauth2_resource_server::tenant::TenantConfiguration;
use tower_oauth2_resource_server::validation::ClaimsValidationSpec;

use crate::tokens::{Claims, ISSUER, Keys, RESOURCE};

pub async fn layer(keys: &Keys) -> OAuth2ResourceServerLayer<Body, Claims> {
    let audiences = vec![RESOURCE.to_owned()];
    let tenant = TenantConfiguration::builder(ISSUER)
        .jwks_url(&keys.url)
        .claims_validation(ClaimsValidationSpec::recommended(ISSUER, &audiences))
        .build()
        .await
        .expect("a tenant");
    let server = OAuth2ResourceServer::<Claims>::builder()
        .add_tenant(tenant)
        .build()
        .await
        .expect("tower-oauth2-resource-server");
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.into_layer()
}
