use std::fmt;

use super::id::{MAX_ID, SpiffeId, segment_fault};
use crate::name::NameError;

/// Which paths of a trust domain are meant: segments that are compared exactly, `*` for any one
/// segment, and `**` at the end for one segment or more. Nothing matches a part of a segment, and
/// no pattern matches the trust domain itself.
///
/// ```
/// use portcullis::sender::{SpiffeId, SpiffePattern};
///
/// let web = SpiffePattern::parse("/ns/*/sa/web")?;
/// assert!(web.matches(&SpiffeId::parse("spiffe://example.org/ns/prod/sa/web")?));
/// assert!(!web.matches(&SpiffeId::parse("spiffe://example.org/ns/prod/sa/web2")?));
///
/// let production = SpiffePattern::parse("/ns/prod/**")?;
/// assert!(production.matches(&SpiffeId::parse("spiffe://example.org/ns/prod/sa/web")?));
/// assert!(!production.matches(&SpiffeId::parse("spiffe://example.org/ns/prod")?));
///
/// assert!(SpiffePattern::parse("/ns/prod-*").is_err());
/// # Ok::<(), portcullis::name::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SpiffePattern(Box<str>);

impl SpiffePattern {
    /// Reads a pattern: a path with its leading slash.
    ///
    /// # Errors
    /// If it is empty, is longer than 2048 bytes, has a segment that no SPIFFE ID has, a star
    /// beside other characters, or `**` elsewhere than at its end.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const PARTS: &str = "has a star beside other characters; `*` stands for a whole segment";
        let wrong = |wanted| NameError::new("SPIFFE path pattern", text, wanted);
        if text.len() > MAX_ID {
            return Err(wrong("is longer than 2048 bytes"));
        }
        let path = text.strip_prefix('/').ok_or_else(|| wrong("does not begin with a slash"))?;
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let fault = match segment {
                "*" => None,
                "**" if segments.peek().is_none() => None,
                "**" => Some("has `**` elsewhere than at its end"),
                _ if segment.contains('*') => Some(PARTS),
                _ => segment_fault(segment),
            };
            if let Some(wanted) = fault {
                return Err(wrong(wanted));
            }
        }
        Ok(Self(text.into()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means the path of this SPIFFE ID, whatever its trust domain: a [`TrustBundle`]
    /// answers for that.
    ///
    /// [`TrustBundle`]: super::TrustBundle
    #[must_use]
    pub fn matches(&self, id: &SpiffeId) -> bool {
        // The first of each is what stands before the leading slash.
        let mut found = id.path().split('/');
        for wanted in self.0.split('/') {
            match (wanted, found.next()) {
                (_, None) => return false,
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        found.next().is_none()
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
