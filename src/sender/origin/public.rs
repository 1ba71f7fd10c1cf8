use super::Expected;
use crate::error::Faults;
use crate::name::{NameError, Resource};
use crate::sender::uri::{Form, Origin, Path};

/// An origin under which clients reach this service: what their URIs, and so `htu` of their DPoP proofs,
/// begin with.
///
/// Without any it is the origin of the resource identifier. It says too what a proxy in between does to
/// the front of paths; each prefix is an absolute path without a slash at its end.
///
/// ```
/// use portcullis::sender::PublicOrigin;
///
/// // Clients call https://api.example.com/v1/notes, and the proxy asks here for /internal/notes.
/// let origin =
///     PublicOrigin::new("https://api.example.com").proxy_removes("/v1").proxy_adds("/internal");
/// # let _ = origin;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a server is given it"]
pub struct PublicOrigin {
    origin: String,
    proxy_removes: Option<String>,
    proxy_adds: Option<String>,
}

impl PublicOrigin {
    /// Scheme, host and, if it is not the default one, port: `https://api.example.com:8443`. `http` is
    /// for services whose clients write it, for example inside a mesh that encrypts.
    pub fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), proxy_removes: None, proxy_adds: None }
    }

    /// The path prefix that clients write and the proxy takes away: it is put before the path that
    /// arrives.
    pub fn proxy_removes(mut self, prefix: impl Into<String>) -> Self {
        self.proxy_removes = Some(prefix.into());
        self
    }

    /// The path prefix that the proxy puts before what clients write: it is taken away from the path
    /// that arrives, before the other one is put back. Where a path does not begin with it, at the end
    /// of a segment and in exactly this spelling, the request did not come by this origin.
    pub fn proxy_adds(mut self, prefix: impl Into<String>) -> Self {
        self.proxy_adds = Some(prefix.into());
        self
    }

    pub(super) fn check(&self, faults: &mut Faults) -> Option<CheckedOrigin> {
        let wrong = |wanted| NameError::new("public origin", &self.origin, wanted);
        let origin = match Origin::split(&self.origin) {
            Ok((origin, "")) => Some(origin.to_text()),
            Ok(_) => {
                faults.push_at("origin", wrong("has more than scheme, host and port; remove it"));
                None
            }
            Err(fault) => {
                faults.push_at("origin", wrong(fault.found()));
                None
            }
        };
        let mut prefix = |member, prefix: &Option<String>| match prefix {
            None => Some(String::new()),
            Some(prefix) => check_prefix(prefix)
                .map(|()| prefix.clone())
                .map_err(|fault| faults.push_at(member, fault))
                .ok(),
        };
        let proxy_removes = prefix("proxy_removes", &self.proxy_removes);
        let proxy_adds = prefix("proxy_adds", &self.proxy_adds);
        Some(CheckedOrigin {
            origin: origin?,
            proxy_removes: proxy_removes?,
            proxy_adds: proxy_adds?,
        })
    }
}

/// A public origin without faults.
#[derive(Clone, Debug)]
pub(super) struct CheckedOrigin {
    /// In normal form.
    origin: String,
    /// Empty: nothing.
    proxy_removes: String,
    proxy_adds: String,
}

impl CheckedOrigin {
    /// That of a resource, whose path is that of the service or of nothing at all: not looked at.
    pub(super) fn of_resource(resource: &Resource, faults: &mut Faults) -> Option<Self> {
        match Origin::split(resource.as_str()) {
            Ok((origin, _)) => Some(Self {
                origin: origin.to_text(),
                proxy_removes: String::new(),
                proxy_adds: String::new(),
            }),
            Err(fault) => {
                faults.push(NameError::new("resource", resource.as_str(), fault.found()));
                None
            }
        }
    }

    /// What a request for this path is for, if it came by this origin.
    pub(super) fn expected<'a>(&'a self, seen: Path<'a>) -> Option<Expected<'a>> {
        let text = seen.text.strip_prefix(self.proxy_adds.as_str())?;
        let rest = match text {
            "" => Path { text, form: Form::Other },
            _ if text.starts_with('/') => Path { text, form: seen.form },
            _ => return None,
        };
        Some(Expected { origin: &self.origin, prefix: &self.proxy_removes, rest })
    }

    pub(super) fn report(&self) -> serde_json::Value {
        let mut report = serde_json::Map::new();
        let members = [
            ("origin", &self.origin),
            ("proxy_removes", &self.proxy_removes),
            ("proxy_adds", &self.proxy_adds),
        ];
        for (member, value) in members.into_iter().filter(|(_, value)| !value.is_empty()) {
            report.insert(member.to_owned(), value.as_str().into());
        }
        report.into()
    }
}

/// A prefix that can be put before a path, and taken away from it, without looking at the rest: an
/// absolute path in normal form, without a slash at its end.
pub(super) fn check_prefix(prefix: &str) -> Result<(), NameError> {
    let wrong = |wanted| Err(NameError::new("path prefix", prefix, wanted));
    if !prefix.starts_with('/') || prefix.ends_with('/') {
        return wrong("does not begin with a slash, or ends with one; write it as in \"/v1\"");
    }
    match Path::parse(prefix) {
        Ok(Path { form: Form::Normal, .. }) => Ok(()),
        Ok(_) => wrong(
            "is not in normal form; write it without dot segments, with upper-case \
             percent-encodings, and with none of a letter, a digit or one of -._~",
        ),
        Err(fault) => wrong(fault.found()),
    }
}
