use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE};

use crate::jose::json::{JsonError, Object};
use crate::name::{IssuerId, LoopbackHttp, NameError, https_url, insert_well_known};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// Why a metadata document is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The content type is not JSON.
    #[error("the content type is not application/json")]
    MediaType,
    /// Not a JSON object.
    #[error("the metadata is {0}")]
    Json(#[from] JsonError),
    /// `issuer` is absent or not the one that was asked for (RFC 8414 §3.3).
    #[error(
        "`issuer` is {found:?}, not the issuer that was asked for: configure the identifier that the \
         metadata has, if that one is meant"
    )]
    Issuer {
        /// The value found, its start only.
        found: String,
    },
    /// `jwks_uri` is absent.
    #[error("`jwks_uri` is absent: name it with `Issuer::jwks(...)`")]
    NoJwksUri,
    /// `jwks_uri` may not be fetched.
    #[error(transparent)]
    JwksUri(#[from] NameError),
    /// `jwks_uri` names an IP address, however it is spelled, or this machine, and that is not the
    /// issuer's own host.
    #[error("`jwks_uri` names the address {0:?}, wanted a host name, or the issuer's own host")]
    Address(String),
}

/// Where the metadata of an issuer may be, in the order in which it is looked for: RFC 8414 §3.1
/// (inserted between host and path), OpenID Connect inserted likewise, and, for an issuer with a
/// path, OpenID Connect appended (OpenID Connect Discovery §4).
///
/// ```
/// use portcullis::issuer::discovery_urls;
///
/// assert_eq!(
///     discovery_urls("https://as.example/tenant"),
///     [
///         "https://as.example/.well-known/oauth-authorization-server/tenant",
///         "https://as.example/.well-known/openid-configuration/tenant",
///         "https://as.example/tenant/.well-known/openid-configuration",
///     ],
/// );
/// ```
#[must_use]
pub fn discovery_urls(issuer: &str) -> Vec<String> {
    // A slash that ends the identifier is removed before either way (RFC 8414 §3.1, OIDC §4.1).
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let mut urls = vec![insert_well_known(base, OAUTH), insert_well_known(base, OPENID)];
    let appended = format!("{base}{OPENID}");
    if !urls.contains(&appended) {
        urls.push(appended);
    }
    urls
}

/// The `jwks_uri` of a metadata document that is this issuer's.
pub(super) fn jwks_uri(
    issuer: &IssuerId,
    headers: &HeaderMap,
    body: &[u8],
    loopback_http: LoopbackHttp,
) -> Result<String, MetadataError> {
    if !is_json(headers) {
        return Err(MetadataError::MediaType);
    }
    let metadata = Object::parse(body)?;
    let text = |name| metadata.member(name).and_then(crate::jose::json::Value::as_str);
    let found = text("issuer").unwrap_or_default();
    if found != issuer.as_str() {
        return Err(MetadataError::Issuer { found: found.chars().take(200).collect() });
    }
    let jwks_uri = text("jwks_uri").ok_or(MetadataError::NoJwksUri)?;
    let uri = https_url("`jwks_uri`", &jwks_uri, loopback_http)?;
    if let Some(address) = foreign_address(&uri, issuer) {
        return Err(MetadataError::Address(address.to_owned()));
    }
    Ok(jwks_uri.into_owned())
}

/// The host of a URL that the metadata of this issuer names, if it is an address that the metadata may
/// not name. A name has to resolve and present its certificate; an address would let metadata point
/// into the network that this server stands in. The issuer's own host was configured.
pub(crate) fn foreign_address<'a>(url: &'a http::Uri, issuer: &IssuerId) -> Option<&'a str> {
    let host = url.host().unwrap_or_default();
    let own: http::Uri = issuer.as_str().parse().unwrap_or_default();
    (is_address(host) && own.host() != Some(host)).then_some(host)
}

/// An IP address in place of a host name, in any spelling that a resolver understands (`127.1`,
/// `0x7f000001`, `2130706433`), or a name of this machine. No domain ends in a number (RFC 3696 §2);
/// a name that ends in a dot is another spelling of the one without.
fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    last.is_empty()
        || host.starts_with('[')
        || hexadecimal
        || last.bytes().all(|byte| byte.is_ascii_digit())
        || last.eq_ignore_ascii_case("localhost")
}

/// `application/json`, with or without parameters, in any case.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1) less the time that caches have held the answer
/// (`Age`, §5.1); zero for `no-store` and `no-cache`.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if directive == "no-store" || directive == "no-cache" {
                return Some(Duration::ZERO);
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                let seconds = seconds.trim_matches('"').parse().ok().map(Duration::from_secs);
                max_age = max_age.or(seconds);
            }
        }
    }
    let held = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| age.parse().ok());
    let held = Duration::from_secs(held.unwrap_or(0));
    max_age.map(|max_age: Duration| max_age.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_is_read() {
        for (value, expected) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-store, max-age=60", Some(0)),
            ("max-age=-1", None),
            ("max-age=99999999999999999999", None),
            ("s-maxage=60", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn only_the_asked_issuers_metadata_is_used() {
        let issuer = IssuerId::parse("https://as.example").unwrap();
        let read = |content_type: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            jwks_uri(&issuer, &headers, body.as_bytes(), LoopbackHttp::Refused)
        };
        let json = "application/json; charset=utf-8";
        let good = r#"{"issuer":"https://as.example","jwks_uri":"https://k.example/jwks"}"#;
        assert_eq!(read(json, good).as_deref(), Ok("https://k.example/jwks"));
        assert_eq!(read("text/html", good), Err(MetadataError::MediaType));
        for body in [
            r#"{"issuer":"https://as.example/","jwks_uri":"https://k.example/jwks"}"#,
            r#"{"issuer":"https://AS.example","jwks_uri":"https://k.example/jwks"}"#,
            r#"{"jwks_uri":"https://k.example/jwks"}"#,
        ] {
            assert!(matches!(read(json, body), Err(MetadataError::Issuer { .. })), "{body}");
        }
        for uri in ["http://k.example/jwks", "file:///etc/passwd", "data:application/json,{}"] {
            let body = format!(r#"{{"issuer":"https://as.example","jwks_uri":"{uri}"}}"#);
            assert!(matches!(read(json, &body), Err(MetadataError::JwksUri(_))), "{uri}");
        }
        for uri in [
            "https://169.254.169.254/jwks",
            "https://[::1]/jwks",
            "https://10.0.0.1/",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0XA9FEA9FE/",
            "https://0251.0376.0251.0376/",
            "https://169.254.0xa9fe/",
            "https://127.1/",
            "https://169.254.169.254./",
            "https://k.example./jwks",
            "https://localhost/",
            "https://LocalHost:8443/",
            "https://keys.localhost/",
        ] {
            let body = format!(r#"{{"issuer":"https://as.example","jwks_uri":"{uri}"}}"#);
            assert!(matches!(read(json, &body), Err(MetadataError::Address(_))), "{uri}");
        }
        for uri in ["https://k2.example/", "https://0x1.example/", "https://localhost.example/"] {
            let body = format!(r#"{{"issuer":"https://as.example","jwks_uri":"{uri}"}}"#);
            assert_eq!(read(json, &body).as_deref(), Ok(uri));
        }
        for own in ["https://127.0.0.1:8443", "https://localhost"] {
            let issuer = IssuerId::parse(own).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, json.parse().unwrap());
            let body = format!(r#"{{"issuer":"{own}","jwks_uri":"{own}/jwks"}}"#);
            assert!(jwks_uri(&issuer, &headers, body.as_bytes(), LoopbackHttp::Refused).is_ok());
        }
        assert_eq!(read(json, r#"{"issuer":"https://as.example"}"#), Err(MetadataError::NoJwksUri));
    }
}
