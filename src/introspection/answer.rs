//! What an endpoint says of a token (RFC 7662 §2.2).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::error::AskError;
use crate::access::Facts;
use crate::error::RejectionKind;
use crate::jose::json::Object;
use crate::time::{Moment, Timestamp};

/// An answer that the token is active. What its members mean is read once, when the first request needs
/// it, and by whoever decides: here only `active` and `exp` have a meaning.
pub(crate) struct Active {
    /// The members of the answer, as a JSON object.
    members: Box<[u8]>,
    asked: Moment,
    expires_at: Option<Timestamp>,
    facts: OnceLock<Result<Arc<Facts>, Unusable>>,
    /// Whether a record has spoken against the token since.
    doubted: AtomicBool,
}

/// Why an active token cannot be used, whoever presents it.
#[derive(Clone, Debug)]
pub(crate) struct Unusable {
    pub(crate) kind: RejectionKind,
    pub(crate) detail: String,
}

/// What was answered.
pub(super) enum Answer {
    Active(Active),
    /// When it was asked for.
    Inactive(Moment),
}

impl Answer {
    /// Reads the members of an answer to a question of this moment.
    pub(super) fn read(members: &[u8], asked: Moment) -> Result<Self, AskError> {
        let malformed = |what: &str| AskError::Answer(what.to_owned());
        let object = Object::parse(members)
            .map_err(|error| AskError::Answer(format!("the answer is {error}")))?;
        let active =
            object.member("active").ok_or_else(|| malformed("the answer has no `active`"))?;
        match active.text() {
            "true" => {}
            "false" => return Ok(Self::Inactive(asked)),
            _ => return Err(malformed("`active` of the answer is not a boolean")),
        }
        let expires_at = match object.member("exp") {
            None => None,
            Some(exp) => {
                let exp = exp.as_number().and_then(Timestamp::from_json_number);
                Some(exp.ok_or_else(|| malformed("`exp` of the answer is not a time"))?)
            }
        };
        let members = members.into();
        Ok(Self::Active(Active {
            members,
            asked,
            expires_at,
            facts: OnceLock::new(),
            doubted: AtomicBool::new(false),
        }))
    }
}

impl Active {
    /// The members of the answer, a checked JSON object.
    pub(crate) fn members(&self) -> &[u8] {
        &self.members
    }

    /// When it was asked for.
    pub(crate) fn asked(&self) -> Moment {
        self.asked
    }

    /// When the token ends, as the answer has it.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// What the answer says of the token, read by `read` if nobody has read it yet.
    pub(crate) fn facts(
        &self,
        read: impl FnOnce() -> Result<Facts, Unusable>,
    ) -> Result<&Arc<Facts>, &Unusable> {
        self.facts.get_or_init(|| read().map(Arc::new)).as_ref()
    }

    /// Whether something spoke against the token after this was answered.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// The bytes that it takes, rather more than less: its members, a copy of them for the claims, as much
    /// again for what is read of them one by one, and what holds it together.
    pub(super) fn weight(&self) -> u32 {
        const REST: usize = 640;
        u32::try_from(self.members.len().saturating_mul(3).saturating_add(REST)).unwrap_or(u32::MAX)
    }
}

/// Whose token it is, and what it may do, is nobody's to print.
impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active").field("asked", &self.asked).finish_non_exhaustive()
    }
}
