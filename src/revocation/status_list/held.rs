use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::checked::CheckedLists;
use super::{SignedStatusList, StatusList};
use crate::time::{Moment, Timestamp};

/// What is held of a list.
pub(super) struct Held {
    pub(super) list: Arc<StatusList>,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    ttl: Option<Duration>,
    /// When it was asked for.
    pub(super) asked: Moment,
    /// How old it may become, by its own word within the configured bounds.
    pub(super) fresh_for: Duration,
}

impl Held {
    pub(super) fn new(signed: SignedStatusList, asked: Moment, rules: &CheckedLists) -> Self {
        let (issued_at, expires_at, ttl) = (signed.issued_at(), signed.expires_at(), signed.ttl());
        let fresh_for = Duration::ZERO;
        let list = Arc::new(signed.into_list());
        Self { list, issued_at, expires_at, ttl, asked, fresh_for }.asked_again(asked, rules)
    }

    /// The same list, which still was the last one at this moment.
    pub(super) fn asked_again(&self, asked: Moment, rules: &CheckedLists) -> Self {
        let left = |end: Timestamp| end.since(asked.wall()).unwrap_or_default();
        // At its end it says nothing any more.
        let before = |end| left(end).saturating_sub(Duration::from_nanos(1));
        let expires_in = self.expires_at.map(before);
        let too_old_in = rules.max_age.map(|age| left(self.issued_at.plus(age)));
        // HTTP's caching fields have no say (Token Status List §8.2).
        let fresh_for = rules.fresh_for(self.ttl.or(expires_in));
        let bounds = [expires_in, too_old_in];
        let fresh_for = bounds.into_iter().flatten().fold(fresh_for, Duration::min);
        Self { list: Arc::clone(&self.list), asked, fresh_for, ..*self }
    }

    /// Whether it says nothing any more, whenever it was fetched.
    pub(super) fn has_ended(&self, at: Moment, rules: &CheckedLists) -> bool {
        let has_expired = self.expires_at.is_some_and(|end| at.wall() >= end);
        has_expired || rules.max_age.is_some_and(|age| at.wall() > self.issued_at.plus(age))
    }

    fn is_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.list, &other.list) || self.list == other.list
    }

    /// Whether it may take the place of `before`, which may have ended. Older copies are stored in
    /// many places, and none of them is an answer. Of two that were signed in the same second nobody
    /// knows which is the older: what is not valid by one of them stays so until a younger one says
    /// that it is.
    pub(super) fn may_follow(&self, before: &Self) -> bool {
        match self.issued_at.cmp(&before.issued_at) {
            Ordering::Less => false,
            Ordering::Equal => !self.list.takes_back(&before.list),
            Ordering::Greater => true,
        }
    }

    /// Whether what it says differs from this.
    pub(super) fn changes(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| !self.is_as(before))
    }
}
