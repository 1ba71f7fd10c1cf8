use std::fmt;

use super::Expected;
use super::fields::FieldFault;
use crate::sender::uri::{TargetUri, TargetUriError};

/// Why `htu` does not name the URI of a request. Its text is for an operator's log: URIs without their
/// queries, escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetMismatch {
    /// It names another one.
    Other {
        found: String,
        /// Some of what would have matched.
        wanted: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// What the request is for is unknown.
    Unknown(NoTarget),
}

impl TargetMismatch {
    /// How many of the expected URIs are shown.
    const SHOWN: usize = 3;

    pub(super) fn other<'a>(
        htu: &TargetUri,
        mut expected: impl Iterator<Item = Expected<'a>>,
    ) -> Self {
        let wanted = expected.by_ref().take(Self::SHOWN).map(|one| cut(&one.text())).collect();
        Self::Other { found: cut(htu.as_str()), wanted, more: expected.count() }
    }
}

impl From<NoTarget> for TargetMismatch {
    fn from(reason: NoTarget) -> Self {
        Self::Unknown(reason)
    }
}

impl fmt::Display for TargetMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(reason) => write!(f, "what the request is for is unknown: {reason}"),
            Self::Other { found, wanted, more } => {
                write!(f, "`htu` is {found:?}, wanted")?;
                for (index, wanted) in wanted.iter().enumerate() {
                    write!(f, "{} {wanted:?}", if index == 0 { "" } else { " or" })?;
                }
                if *more > 0 { write!(f, " or one of {more} more") } else { Ok(()) }
            }
        }
    }
}

impl std::error::Error for TargetMismatch {}

/// Why nothing is expected of `htu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTarget {
    #[error("its target has no path")]
    NoPath,
    #[error("its path has dot segments, which lead elsewhere than they say")]
    DotSegments,
    #[error("its path {0}")]
    Path(TargetUriError),
    #[error(
        "its path does not begin with what a proxy adds (`proxy_adds`): correct that, or the proxy"
    )]
    NoPrefix,
    #[error(
        "it came from no trusted proxy, and no public origin is configured: name the proxy in \
         `TrustedPeers`, or an origin with `public_origin`"
    )]
    UntrustedPeer,
    #[error("`{field}` {fault}")]
    Forwarded { field: &'static str, fault: FieldFault },
}

/// A path can be as long as a request line.
fn cut(text: &str) -> String {
    const SHOWN: usize = 200;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
