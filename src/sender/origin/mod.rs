//! What the URI of a request is, as its client wrote it: what `htu` of a DPoP proof is compared with.
//!
//! 1. Neither `Host` nor `:authority` nor the authority of an absolute-form target is ever looked at:
//!    whoever sends a request writes them. Scheme, host and port come from the configuration, or from
//!    forwarded fields of trusted proxies, and then only hosts that the configuration names.
//! 2. Without configuration they are those of the resource identifier.
//! 3. A [`ForwardedOrigin`] decides alone where the peer is trusted: what it cannot read makes the URI
//!    unknown, and no proof matches. The fields of every other peer are as good as absent, and the public
//!    origins apply, if there are any.
//! 4. With several public origins a request is for each of them: `htu` has to name one.
//! 5. The path is that of the request target, before anything in this process changed it:
//!    [`OriginalUri`] says what it was, or else axum's `OriginalUri` (feature `axum`), which every axum
//!    `Router` puts there. `*` and an authority-form target have no path and match nothing.
//! 6. What proxies take away from the front of a path is put back, and what they add is taken away.
//! 7. `htu` is normalised, and a received path is not where that could lead to another route: one with
//!    dot segments, plain or percent-encoded, matches nothing. Routers compare paths as they are
//!    written, so that a proof for `/notes` would be good for `/files/../notes`, at a route of its own.
//!    An unreserved character is the same in both spellings (RFC 3986 §6.2.2.2).
//!
//! What it does not do: it cannot see what else a proxy rewrites. A path that no prefix explains needs
//! an [`OriginalUri`] of its own, or a proxy that leaves it alone. A request for `/v1` that its proxy
//! turns into `/` is for `/v1/` as far as this server can see.

mod fields;
mod forwarded;
mod hosts;
mod mismatch;
mod public;
#[cfg(test)]
mod tests;

pub use forwarded::ForwardedOrigin;
pub(crate) use mismatch::TargetMismatch;
pub use public::PublicOrigin;

use forwarded::CheckedForwardedOrigin;
use mismatch::NoTarget;
use public::CheckedOrigin;

use super::uri::{Form, Path, TargetUri};
use crate::credentials::RequestHead;
use crate::error::{ConfigFault, Faults};
use crate::name::Resource;

/// The URI of a request as the server received it: an extension for whoever changes the URI of
/// requests on their way through this process, put there before the change.
///
/// Only its path is looked at. It wins over axum's extension of the same name (feature `axum`), which
/// holds the URI as the outermost axum `Router` saw it: later than a middleware around that router.
/// Whatever else takes prefixes away has to leave one of the two, or its requests match no proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub http::Uri);

/// What requests are for: checked.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    public: Vec<CheckedOrigin>,
    forwarded: Option<CheckedForwardedOrigin>,
}

impl Origins {
    /// A service with more names than this has them from its proxy.
    const MAX: usize = 64;

    pub(crate) fn check(
        resource: &Resource,
        origins: &[PublicOrigin],
        forwarded: Option<&ForwardedOrigin>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let before = faults.len();
        let (found, maximum) = (origins.len(), Self::MAX);
        if found > maximum {
            let what = "number of public origins";
            faults.push_at("public_origins", ConfigFault::Bound { what, found, maximum });
        }
        let mut public = Vec::new();
        for (index, origin) in origins.iter().enumerate().take(maximum) {
            let look = |faults: &mut Faults| origin.check(faults);
            public.extend(faults.at_element("public_origins", index, look));
        }
        if origins.is_empty() && forwarded.is_none() {
            public.extend(CheckedOrigin::of_resource(resource, faults));
        }
        let checked = forwarded
            .and_then(|forwarded| faults.at("forwarded", |faults| forwarded.check(faults)));
        (faults.len() == before).then_some(Self { public, forwarded: checked })
    }

    /// Whether `htu` names the URI of this request.
    pub(crate) fn matches(
        &self,
        head: RequestHead<'_>,
        htu: &TargetUri,
    ) -> Result<(), TargetMismatch> {
        let seen = seen(head)?;
        let forwarded = self.forwarded.as_ref().filter(|forwarded| forwarded.believes(head));
        if let Some(forwarded) = forwarded {
            let (origin, prefix) = forwarded.read(head.headers)?;
            let expected = Expected { origin: &origin, prefix, rest: seen };
            return match expected.is(htu) {
                true => Ok(()),
                false => Err(TargetMismatch::other(htu, [expected].into_iter())),
            };
        }
        let expected = || self.public.iter().filter_map(|origin| origin.expected(seen));
        if expected().any(|expected| expected.is(htu)) {
            return Ok(());
        }
        match (expected().next(), self.public.is_empty()) {
            (Some(_), _) => Err(TargetMismatch::other(htu, expected())),
            (None, false) => Err(NoTarget::NoPrefix.into()),
            (None, true) => Err(NoTarget::UntrustedPeer.into()),
        }
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> serde_json::Value {
        let origins: Vec<_> = self.public.iter().map(CheckedOrigin::report).collect();
        let mut report = serde_json::json!({ "public_origins": origins });
        if let (Some(forwarded), Some(members)) = (&self.forwarded, report.as_object_mut()) {
            members.insert("forwarded".to_owned(), forwarded.report());
        }
        report
    }
}

/// The path that the server received, if it is one.
fn seen<'a>(head: RequestHead<'a>) -> Result<Path<'a>, NoTarget> {
    let ours = head.extensions.get::<OriginalUri>().map(|original| &original.0);
    #[cfg(feature = "axum")]
    let ours = ours.or_else(|| {
        head.extensions.get::<::axum::extract::OriginalUri>().map(|original| &original.0)
    });
    let path = ours.unwrap_or(head.uri).path();
    if !path.starts_with('/') {
        return Err(NoTarget::NoPath);
    }
    let path = Path::parse(path).map_err(NoTarget::Path)?;
    match path.has_dot_segments() {
        true => Err(NoTarget::DotSegments),
        false => Ok(path),
    }
}

/// One URI that a request may be for.
#[derive(Clone, Copy, Debug)]
struct Expected<'a> {
    /// In normal form.
    origin: &'a str,
    /// In normal form, without a slash at its end: empty, or what clients write before the rest.
    prefix: &'a str,
    /// What is left of the path seen.
    rest: Path<'a>,
}

impl Expected<'_> {
    fn is(&self, htu: &TargetUri) -> bool {
        if htu.origin() != self.origin {
            return false;
        }
        match self.rest.form {
            Form::Normal => htu.path().strip_prefix(self.prefix) == Some(self.rest.text),
            Form::Other => htu.path() == self.path(),
        }
    }

    fn path(&self) -> String {
        let text = format!("{}{}", self.prefix, self.rest.text);
        Path { text: &text, form: Form::Other }.normal().into_owned()
    }

    fn text(&self) -> String {
        format!("{}{}", self.origin, self.path())
    }
}
