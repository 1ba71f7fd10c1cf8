use std::time::Duration;

use crate::time::shown_duration;

/// How long fetched keys are fresh, how long they outlive an outage, and how long a request waits
/// for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `Issuer::key_refresh`"]
pub struct KeyRefresh {
    at_least: Duration,
    at_most: Duration,
    outage: Duration,
    wait: Duration,
}

impl KeyRefresh {
    /// Fresh for as long as `Cache-Control: max-age` of the JWK Set says, within 1 minute and
    /// 1 hour, or 10 minutes where it says nothing; kept for 24 hours from the last good fetch;
    /// a request waits at most 1 second.
    pub const fn new() -> Self {
        Self {
            at_least: Duration::from_mins(1),
            at_most: Duration::from_hours(1),
            outage: Duration::from_hours(24),
            wait: Duration::from_secs(1),
        }
    }

    /// Keys are fresh for at least this long, whatever the issuer says: a bound on fetches.
    pub const fn fresh_at_least(mut self, time: Duration) -> Self {
        self.at_least = time;
        self
    }

    /// Keys are fresh for at most this long, whatever the issuer says: a bound on how long a
    /// withdrawn key is still accepted while the issuer can be reached.
    pub const fn fresh_at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }

    /// Keys are used for this long after the last good fetch, while the issuer cannot be reached.
    /// After that every token of the issuer gets 503.
    pub const fn keep_through_outage(mut self, time: Duration) -> Self {
        self.outage = time;
        self
    }

    /// A request waits at most this long for a fetch that is under way.
    pub const fn wait_at_most(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    pub(super) const fn wait(self) -> Duration {
        self.wait
    }

    pub(super) const fn outage(self) -> Duration {
        self.outage
    }

    /// How long a set is fresh whose `max-age` is this.
    pub(super) fn fresh_for(self, max_age: Option<Duration>) -> Duration {
        /// Where the issuer says nothing.
        const UNSAID: Duration = Duration::from_mins(10);
        max_age.unwrap_or(UNSAID).clamp(self.at_least, self.at_most)
    }

    /// What it says, for a report.
    pub(crate) fn report(self) -> serde_json::Value {
        serde_json::json!({
            "fresh_at_least": shown_duration(self.at_least),
            "fresh_at_most": shown_duration(self.at_most),
            "keep_through_outage": shown_duration(self.outage),
            "wait_at_most": shown_duration(self.wait),
        })
    }

    pub(super) fn fault(self) -> Option<String> {
        const SHORTEST: Duration = Duration::from_secs(1);
        const LONGEST_OUTAGE: Duration = Duration::from_hours(24 * 30);
        const LONGEST_WAIT: Duration = Duration::from_secs(30);
        let Self { at_least, at_most, outage, wait } = self;
        let shown = shown_duration;
        if at_least < SHORTEST {
            let found = shown(at_least);
            Some(format!(
                "`fresh_at_least` is {found}: keys would be fetched without end; say at least 1 second"
            ))
        } else if at_least > at_most {
            let (found, most) = (shown(at_least), shown(at_most));
            Some(format!(
                "`fresh_at_least` is {found}, longer than `fresh_at_most`, {most}: make one of them fit"
            ))
        } else if at_most > outage {
            let (found, most) = (shown(at_most), shown(outage));
            Some(format!(
                "`fresh_at_most` is {found}, longer than `keep_through_outage`, {most}: make one of them \
                 fit"
            ))
        } else if outage > LONGEST_OUTAGE {
            let found = shown(outage);
            Some(format!(
                "`keep_through_outage` is {found}: keys of more than 30 days are no longer the \
                 issuer's; say at most that"
            ))
        } else if wait > LONGEST_WAIT {
            let found = shown(wait);
            Some(format!(
                "`wait_at_most` is {found}: a request would wait for keys longer than 30 seconds; say at \
                 most that"
            ))
        } else {
            None
        }
    }
}

impl Default for KeyRefresh {
    fn default() -> Self {
        Self::new()
    }
}
