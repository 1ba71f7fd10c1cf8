//! Which tokens the crate knows by having accepted them: it does not verify those again, and the reference
//! does.

use std::collections::BTreeSet;

use portcullis::{Outcome, RejectionKind, Step};

use super::answer::Answer;
use crate::naive::NaiveRequest;

/// The tokens that one server accepted, as they were written.
#[derive(Default)]
pub(crate) struct Known(BTreeSet<String>);

impl Known {
    /// Whether the token of this request is one of them.
    pub(crate) fn has(&self, request: &NaiveRequest) -> bool {
        token_of(request).is_some_and(|token| self.0.contains(token))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One that is accepted is known, of those that nobody is asked about: it may be refused for its use
    /// alone. One that is over or revoked is not.
    pub(crate) fn decided(&mut self, request: &NaiveRequest, answer: &Answer) {
        let Some(token) = token_of(request) else { return };
        match answer {
            Answer::Pass { .. } => {
                self.0.insert(token.to_owned());
            }
            Answer::Refuse { kind, .. } if kind.step() == Some(Step::SingleUse) => {
                self.0.insert(token.to_owned());
            }
            Answer::Refuse { kind, .. } => {
                let is_revoked =
                    kind.step() == Some(Step::Revocation) && kind.outcome() == Outcome::Refused;
                if is_revoked || *kind == RejectionKind::Expired {
                    self.0.remove(token);
                }
            }
            Answer::Panic => {}
        }
    }
}

/// The token of the one line that a request has.
pub(crate) fn token_of(request: &NaiveRequest) -> Option<&str> {
    let [line] = &request.authorization[..] else { return None };
    std::str::from_utf8(line).ok()?.rsplit(' ').next()
}
