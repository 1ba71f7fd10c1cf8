use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_TYPE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tower::Service;

use super::Shared;
use crate::check::Needs;
use crate::error::{Faults, key};
use crate::name::{NameError, Scope};
use crate::sender::Binding;

/// The human-readable part of the metadata document (RFC 9728 §2). Everything else in it is
/// derived from what is enforced.
///
/// ```
/// use portcullis::Metadata;
///
/// let metadata = Metadata::new()
///     .resource_name("Notes")
///     .localized("resource_name", "de", "Notizen")
///     .resource_documentation("https://api.example.com/docs");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until it is given to `ServerBuilder::metadata`"]
pub struct Metadata {
    members: Vec<(String, String)>,
    scopes: ScopesShown,
}

/// Which scopes the document lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum ScopesShown {
    #[default]
    Enforced,
    None,
}

impl Metadata {
    /// No names and no links; the scopes of every policy are listed.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for people (`resource_name`).
    pub fn resource_name(self, name: impl Into<String>) -> Self {
        self.member("resource_name".to_owned(), name.into())
    }

    /// A page for developers (`resource_documentation`).
    pub fn resource_documentation(self, url: impl Into<String>) -> Self {
        self.member("resource_documentation".to_owned(), url.into())
    }

    /// A page on how data may be used (`resource_policy_uri`).
    pub fn resource_policy_uri(self, url: impl Into<String>) -> Self {
        self.member("resource_policy_uri".to_owned(), url.into())
    }

    /// The terms of service (`resource_tos_uri`).
    pub fn resource_tos_uri(self, url: impl Into<String>) -> Self {
        self.member("resource_tos_uri".to_owned(), url.into())
    }

    /// One of these in another language: `localized("resource_name", "de", "Notizen")`
    /// (RFC 9728 §2.1).
    pub fn localized(self, name: &str, language: &str, value: impl Into<String>) -> Self {
        self.member(format!("{name}#{language}"), value.into())
    }

    /// Leaves `scopes_supported` out: scopes then become known by challenges only.
    pub fn without_scopes(mut self) -> Self {
        self.scopes = ScopesShown::None;
        self
    }

    fn member(mut self, name: String, value: String) -> Self {
        self.members.push((name, value));
        self
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        const NAMES: [&str; 4] =
            ["resource_name", "resource_documentation", "resource_policy_uri", "resource_tos_uri"];
        for (index, (name, value)) in self.members.iter().enumerate() {
            let (base, language) = name.split_once('#').unwrap_or((name, "und"));
            let place = match name.split_once('#') {
                Some((base, language)) => format!("localized.{}.{}", key(language), key(base)),
                None => key(name),
            };
            let mut fault = |wanted| {
                faults.push_at(&place, NameError::new("metadata member", name, wanted));
            };
            if !NAMES.contains(&base) {
                fault("is not one of resource_name, _documentation, _policy_uri, _tos_uri");
            }
            let is_tag = !language.is_empty()
                && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !is_tag {
                fault("has no BCP 47 language tag after `#`");
            }
            if value.is_empty() {
                fault("is empty; members without a value are left out (RFC 9728 §3.2)");
            }
            if self.members.iter().take(index).any(|(other, _)| other == name) {
                fault("is given twice");
            }
        }
    }
}

/// The document of one server: its names, and the scopes its policies enforce.
pub(super) struct Document {
    metadata: Metadata,
    seen: Mutex<Seen>,
}

/// What the policies made so far enforce.
#[derive(Default)]
struct Seen {
    scopes: BTreeSet<Scope>,
    detail_types: BTreeSet<String>,
    /// Each as it stands in the effective policy, once.
    policies: BTreeSet<String>,
}

impl Document {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self { metadata, seen: Mutex::default() }
    }

    /// A policy was made.
    pub(super) fn add(&self, needs: &Needs, report: &Value) {
        /// A server that makes policies without end must not grow without end.
        const MOST: usize = 100_000;
        let mut seen = self.seen();
        if seen.policies.len() < MOST {
            seen.scopes.extend(needs.scopes().iter().chain(needs.alternatives()).cloned());
            seen.detail_types.extend(needs.detail_types().iter().cloned());
            seen.policies.insert(canonical(report));
        }
    }

    /// The policies made so far, as they stand in the effective policy.
    pub(super) fn policies(&self) -> Vec<Value> {
        let read = |text: &String| serde_json::from_str(text).ok();
        self.seen().policies.iter().filter_map(read).collect()
    }

    fn scopes(&self) -> Vec<String> {
        if self.metadata.scopes == ScopesShown::None {
            return Vec::new();
        }
        self.seen().scopes.iter().cloned().map(String::from).collect()
    }

    fn detail_types(&self) -> Vec<String> {
        self.seen().detail_types.iter().cloned().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One text for one value: its members are sorted, whatever order they are kept in.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let text = |(name, value)| format!("{}:{}", json!(name), canonical(value));
            let members: Vec<_> = sorted.into_iter().map(text).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(canonical).collect();
            format!("[{}]", elements.join(","))
        }
        _ => value.to_string(),
    }
}

impl Shared {
    /// The document of RFC 9728 §2; members without a value are left out (§3.2).
    pub(super) fn document(&self) -> Value {
        let mut document = Map::new();
        let mut member = |name: &str, value: Value| document.insert(name.to_owned(), value);
        member("resource", json!(self.resource.as_str()));
        let issuers: Vec<String> = self.rules.issuers.ids().into_iter().map(String::from).collect();
        if !issuers.is_empty() {
            member("authorization_servers", json!(issuers));
        }
        let scopes = self.document.scopes();
        if !scopes.is_empty() {
            member("scopes_supported", json!(scopes));
        }
        member("bearer_methods_supported", json!(["header"]));
        let mechanisms = &self.rules.mechanisms;
        if mechanisms.mtls.is_some() {
            member("tls_client_certificate_bound_access_tokens", json!(true));
        }
        if let Some(dpop) = &mechanisms.dpop {
            let algorithms: Vec<_> = dpop.algorithms().iter().map(|one| one.as_str()).collect();
            member("dpop_signing_alg_values_supported", json!(algorithms));
            let always = matches!(self.rules.binding, Binding::Dpop | Binding::Both);
            if always && self.rules.exceptions.is_empty() {
                member("dpop_bound_access_tokens_required", json!(true));
            }
        }
        let detail_types = self.document.detail_types();
        if !detail_types.is_empty() {
            member("authorization_details_types_supported", json!(detail_types));
        }
        for (name, value) in &self.document.metadata.members {
            member(name, json!(value));
        }
        Value::Object(document)
    }
}

/// Serves the metadata document: GET and HEAD, to everybody, from every origin.
///
/// It answers whatever path it is mounted at; mount it at
/// [`crate::ResourceServer::metadata_path`], outside every protecting layer.
#[derive(Clone)]
pub struct MetadataService {
    shared: Arc<Shared>,
}

impl MetadataService {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The answer to a request with this method.
    #[must_use]
    pub fn respond(&self, method: &Method) -> Response<Full<Bytes>> {
        const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        match *method {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
                let body = Bytes::from(self.shared.document().to_string());
                if *method == Method::GET {
                    *response.body_mut() = Full::new(body);
                } else {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                }
            }
            Method::OPTIONS => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
                headers.insert(ALLOW, METHODS);
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, METHODS);
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        response
    }
}

impl<B> Service<Request<B>> for MetadataService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request.method())))
    }
}

impl fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataService").field("document", &self.shared.document()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy is listed once, in whatever order its members were made, and reads as it was made.
    #[test]
    fn a_policy_is_listed_once_in_any_order() {
        let document = Document::new(Metadata::new());
        let one: Value = serde_json::from_str(r#"{"b":[{"d":1,"c":"\""}],"a":{}}"#).unwrap();
        let same: Value = serde_json::from_str(r#"{"a":{},"b":[{"c":"\"","d":1}]}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":{},"b":[{"c":"\"","d":2}]}"#).unwrap();
        for report in [&other, &one, &same] {
            document.add(&Needs::default(), report);
        }
        assert_eq!(document.policies(), [one, other]);
        assert_eq!(canonical(&same), r#"{"a":{},"b":[{"c":"\"","d":1}]}"#);
    }
}
