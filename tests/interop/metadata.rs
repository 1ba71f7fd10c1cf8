//! The metadata of a resource server (RFC 9728), read by a client of others' making (npm `oauth4webapi`).

use serde_json::{Value, json};

use crate::RESOURCE;
use crate::axum_example;
use crate::cases::Cases;
use crate::introspection::text;
use crate::process::{node, run};
use crate::provider::{Provider, discover};
use crate::service::{Service, notes};

/// PRM-01, PRM-05, PRM-08, PRM-10, PRM-15, AUTH-04, AUTH-07, attack 44: who reads it finds the server that it asked for, and
/// nothing else.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_client_reads_the_metadata_of_the_resource_that_it_asked_for() {
    let mut cases = Cases::of("oauth4webapi");
    let provider = Provider::start().await;
    let builder = notes([discover(&provider.issuer_a)]);
    let service = Service::with(|_| builder.build().unwrap(), axum_example::app).await;
    let settings =
        json!({ "origin": service.origin, "resource": RESOURCE, "other": "https://other.example" });
    let printed = run(node("metadata.mjs"), &settings).await;
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [own, other, challenge, named] = &lines[..] else { panic!("{printed}") };

    let metadata = &own["metadata"];
    cases.case("the resource", text(&metadata["resource"]), RESOURCE);
    let servers = json!([provider.issuer_a]);
    cases.holds("its authorization servers", metadata["authorization_servers"] == servers);
    cases.holds("its scopes", metadata["scopes_supported"] == json!(["notes:read", "notes:write"]));
    let error = text(&other["error"]);
    cases.case("another resource at that place", error, "OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED");
    cases.case("the scheme of a challenge", text(&challenge["scheme"]), "bearer");
    let parameters = &challenge["parameters"];
    cases.case("its error", text(&parameters["error"]), "invalid_token");
    cases.case("its realm", text(&parameters["realm"]), RESOURCE);
    cases.case("where it points to", text(&named["metadata"]["resource"]), RESOURCE);
    let path = service.server.metadata_path();
    cases.case("the path of that", text(&named["path"]), &path);
    provider.stop().await;
}
