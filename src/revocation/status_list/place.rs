//! Where lists may be: origins, and where a redirect leads.

use http::Uri;

use crate::name::{LoopbackHttp, NameError, https_url};

/// Scheme, host and port (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Box<str>,
    /// In lower case.
    host: Box<str>,
    port: u16,
}

impl Origin {
    /// The origin of a URL that may be fetched.
    pub(super) fn of(url: &str, loopback: LoopbackHttp) -> Result<Self, NameError> {
        let uri = https_url("status list", url, loopback)?;
        Self::of_uri(&uri).ok_or_else(|| NameError::new("status list", url, "has no host"))
    }

    fn of_uri(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?;
        let default = if scheme == "https" { 443 } else { 80 };
        Some(Self {
            scheme: scheme.into(),
            host: uri.host()?.to_ascii_lowercase().into(),
            port: uri.port_u16().unwrap_or(default),
        })
    }

    /// An origin that is written down as such: nothing after the host and the port but a slash.
    pub(super) fn parse(text: &str, loopback: LoopbackHttp) -> Result<Self, NameError> {
        const WHAT: &str = "origin of status lists";
        let uri = https_url(WHAT, text, loopback)?;
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(NameError::new(
                WHAT,
                text,
                "has a path; an origin ends with host and port",
            ));
        }
        Self::of_uri(&uri).ok_or_else(|| NameError::new(WHAT, text, "has no host"))
    }
}

/// The URL that a `Location` means (RFC 9110 §10.2.2, RFC 3986 §5.2), without its fragment. Dots in
/// its path are left to the server.
pub(super) fn resolve(base: &str, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, rest) = base.split_once("://")?;
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let path = path.split('?').next().unwrap_or_default();
    let has_scheme = location
        .split_once(':')
        .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?']));
    if has_scheme {
        return Some(location.to_owned());
    }
    if location.starts_with("//") {
        return Some(format!("{scheme}:{location}"));
    }
    if location.starts_with('/') {
        return Some(format!("{scheme}://{authority}{location}"));
    }
    if location.is_empty() || location.starts_with('?') {
        return Some(format!("{scheme}://{authority}{path}{location}"));
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    Some(format!("{scheme}://{authority}{directory}/{location}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TSL-31.
    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |url| Origin::of(url, LoopbackHttp::Allowed).unwrap();
        let own = of("https://as.example/tenant");
        for same in
            ["https://as.example", "https://AS.example:443/lists/1?x", "https://as.example/"]
        {
            assert_eq!(of(same), own, "{same}");
        }
        for other in [
            "https://as.example.evil.example/",
            "https://as.example.:443/",
            "https://as.example:8443/",
            "https://lists.as.example/",
            "http://127.0.0.1/",
        ] {
            assert_ne!(of(other), own, "{other}");
        }
        for forbidden in [
            "http://as.example/lists",
            "https://user@as.example/",
            "https://as.example@evil.example/",
            "file:///etc/passwd",
            "https:///lists",
            "https://as.example/#x",
            "data:text/plain,x",
        ] {
            assert!(Origin::of(forbidden, LoopbackHttp::Allowed).is_err(), "{forbidden}");
        }
        assert!(Origin::of("http://127.0.0.1/", LoopbackHttp::Refused).is_err());
        assert!(Origin::parse("https://lists.example/", LoopbackHttp::Refused).is_ok());
        for text in ["https://lists.example/x", "https://lists.example/?x", "lists.example"] {
            assert!(Origin::parse(text, LoopbackHttp::Refused).is_err(), "{text}");
        }
    }

    /// TSL-06.
    #[test]
    fn a_location_is_relative_or_not() {
        let base = "https://as.example:8443/lists/1?x=/y";
        for (location, wanted) in [
            ("https://b.example/2", "https://b.example/2"),
            ("//b.example/2", "https://b.example/2"),
            ("/2?y", "https://as.example:8443/2?y"),
            ("2", "https://as.example:8443/lists/2"),
            ("?y", "https://as.example:8443/lists/1?y"),
            ("#top", "https://as.example:8443/lists/1"),
            ("2#top", "https://as.example:8443/lists/2"),
            ("a/b:c", "https://as.example:8443/lists/a/b:c"),
        ] {
            assert_eq!(resolve(base, location).as_deref(), Some(wanted), "{location}");
        }
        assert_eq!(resolve("https://as.example", "2").as_deref(), Some("https://as.example/2"));
    }
}
