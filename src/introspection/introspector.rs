//! One issuer, asked about its tokens: what is known, what is being asked, and what may be asked.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;

use super::answer::Answer;
use super::breaker::{Breaker, Leave};
use super::cache::{Answers, Fingerprint, Known, Standing};
use super::call_permits::CallPermits;
use super::checked::{Checked, Jwts};
use super::endpoint::Endpoint;
use super::error::{AskError, Bearing};
use super::question::Outcome;
use super::{Active, AnswerGap, IntrospectionHealth, Question};
use crate::issuer::flight::{Wait, Waiting, WaitingPlace};
use crate::issuer::{IssuerKeys, Remedy};
use crate::time::{Clock, Moment};
use crate::transport::{FetchError, FetchErrorKind, Transport};

/// The most questions that are open at once, half of them about tokens that were active before. Whoever
/// comes with another token then gets 503.
const MOST_OPEN: usize = 2_048;

/// After a time-out, that of whoever waits and that of the call, nobody waits any more.
const SLACK: Duration = Duration::from_secs(1);

/// When somebody for whom there is no room may come again.
const SOON: Duration = Duration::from_secs(1);

/// Asks one issuer.
pub(crate) struct Introspector {
    endpoint: Endpoint,
    answers: Answers,
    /// The open questions. Nothing that is not ours runs while it is locked.
    open: Mutex<HashMap<Fingerprint, Open>>,
    breaker: Breaker,
    permits: CallPermits,
    waiting: [Waiting; 2],
    calls: AtomicU64,
    failed: AtomicU64,
    not_asked: AtomicU64,
    /// Why the last call failed, if none has succeeded since.
    last_error: ArcSwapOption<AskError>,
}

struct Open {
    question: Arc<Question>,
    standing: Standing,
    /// Steady time.
    since: Duration,
}

/// What is known of a token without asking.
pub(crate) enum Looked {
    Active(Arc<Active>),
    Inactive,
    /// Nothing, or nothing that is young enough.
    Unknown,
    /// It was asked for this request, in vain; `None`: there is no answer yet.
    Failed(Option<Arc<AskError>>),
}

/// Why nothing is asked, and when that may be otherwise.
struct NotAsked {
    retry_after: Duration,
    error: Arc<AskError>,
}

impl Introspector {
    pub(super) fn new(
        rules: Checked,
        issuer: Arc<IssuerKeys>,
        transport: Arc<dyn Transport>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            answers: Answers::new(rules.cache_bytes, rules.ttl, rules.negative_ttl),
            open: Mutex::default(),
            breaker: Breaker::default(),
            permits: CallPermits::new(rules.max_at_once),
            waiting: [Waiting::default(), Waiting::default()],
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            not_asked: AtomicU64::new(0),
            last_error: ArcSwapOption::empty(),
            endpoint: Endpoint { rules, issuer, transport, clock: Arc::clone(clock) },
        }
    }

    /// The issuer that is asked.
    pub(crate) fn issuer(&self) -> &Arc<IssuerKeys> {
        &self.endpoint.issuer
    }

    pub(super) fn rules(&self) -> &Checked {
        &self.endpoint.rules
    }

    /// Whether JWTs of the issuer are asked about.
    pub(crate) fn takes_jwts(&self) -> bool {
        self.rules().jwts == Jwts::AskedAbout
    }

    /// Whether answers may lack this member.
    pub(crate) fn has_gap(&self, gap: AnswerGap) -> bool {
        self.rules().gaps.contains(&gap)
    }

    /// Whether an answer without `aud` is about a token for this server.
    pub(crate) fn takes_unaddressed(&self) -> bool {
        self.rules().without_audience
    }

    /// How long what the issuer said counts for a request that heard it, and waits for something else.
    pub(crate) fn counts_for(&self) -> Duration {
        self.rules().ttl.max(self.rules().timeout)
    }

    /// What this token is known by here.
    pub(crate) fn fingerprint(&self, token: &str) -> Fingerprint {
        self.answers.fingerprint(token)
    }

    /// What is known of this token. What was asked for this very request is young enough, and so is what
    /// is not older than `freshest`.
    pub(crate) fn look(
        &self,
        token: Fingerprint,
        freshest: Option<Duration>,
        at: Moment,
        given: Option<&Question>,
    ) -> Looked {
        if let Some(question) = given {
            return match question.outcome() {
                Some(Outcome::Active(active)) => Looked::Active(Arc::clone(active)),
                Some(Outcome::Inactive) => Looked::Inactive,
                Some(Outcome::Failed(error)) => Looked::Failed(Some(Arc::clone(error))),
                None => Looked::Failed(None),
            };
        }
        match self.answers.get(token) {
            Some(Known::Active(active)) if self.is_young(&active, freshest, at) => {
                Looked::Active(active)
            }
            // That it is not active needs no freshness: no token becomes active again by being asked.
            Some(Known::Inactive(asked)) if at.since(asked) < self.rules().negative_ttl => {
                Looked::Inactive
            }
            Some(_) | None => Looked::Unknown,
        }
    }

    fn is_young(&self, active: &Active, freshest: Option<Duration>, at: Moment) -> bool {
        let age = at.since(active.asked());
        age < self.rules().ttl
            && freshest.is_none_or(|freshest| age <= freshest)
            && active.expires_at().is_none_or(|expires_at| at.wall() < expires_at)
    }

    /// Whether the issuer said of this token before that it is active, and has not taken that back since.
    pub(crate) fn knew(&self, token: Fingerprint) -> bool {
        let taken_back = || matches!(self.answers.get(token), Some(Known::Inactive(_)));
        self.answers.standing(token) == Standing::Known && !taken_back()
    }

    /// Asks about this token for a request that waits for the answer, which it finds there.
    pub(crate) fn remedy(
        self: &Arc<Self>,
        (token, fingerprint): (&str, Fingerprint),
        freshest: Option<Duration>,
        at: Moment,
        answer: &mut Option<Arc<Question>>,
    ) -> Remedy {
        let later = |NotAsked { retry_after, error }: NotAsked| {
            let error: Arc<dyn Error + Send + Sync> = error;
            Remedy::Later { retry_after, error: Some(error) }
        };
        let (question, standing) = match self.ask((token, fingerprint), freshest, at) {
            Ok(asked) => asked,
            Err(not_asked) => return later(not_asked),
        };
        let Some(wait) = self.wait(&question, standing) else {
            return later(self.not_asked(AskError::Crowded, SOON));
        };
        *answer = Some(question);
        Remedy::Wait(wait)
    }

    fn not_asked(&self, error: AskError, retry_after: Duration) -> NotAsked {
        self.not_asked.fetch_add(1, Ordering::Relaxed);
        NotAsked { retry_after, error: Arc::new(error) }
    }

    /// Asks about this token, unless that is being done already, and was not begun too long ago; and says
    /// what was known of it.
    fn ask(
        self: &Arc<Self>,
        (token, fingerprint): (&str, Fingerprint),
        freshest: Option<Duration>,
        at: Moment,
    ) -> Result<(Arc<Question>, Standing), NotAsked> {
        let not_asked = |error, retry_after| Err(self.not_asked(error, retry_after));
        let Ok(runtime) = Handle::try_current() else {
            return not_asked(AskError::NoRuntime, SOON);
        };
        let longest = self.rules().timeout.saturating_add(SLACK);
        let standing = self.answers.standing(fingerprint);
        let question = Arc::new(Question::new());
        {
            let mut open = self.open();
            // A call on a runtime that stands still never ends: it does not bind the others.
            let young = |open: &Open| at.steady().saturating_sub(open.since) <= longest;
            // Its answer is as old as the question.
            let fresh = |open: &Open| {
                let age = at.steady().saturating_sub(open.since);
                freshest.is_none_or(|freshest| age <= freshest)
            };
            if let Some(open) = open.get(&fingerprint).filter(|open| young(open) && fresh(open)) {
                return Ok((Arc::clone(&open.question), standing));
            }
            let is_full = |open: &HashMap<Fingerprint, Open>| {
                let alike = open.values().filter(|open| open.standing == standing).count();
                alike >= MOST_OPEN / 2
            };
            if open.len() >= MOST_OPEN / 2 && is_full(&open) {
                open.retain(|_, open| young(open));
                if is_full(&open) {
                    drop(open);
                    return not_asked(AskError::Crowded, SOON);
                }
            }
            match self.breaker.leave(at.steady(), longest) {
                Leave::Granted => {}
                Leave::Denied { left, faults, last } => {
                    drop(open);
                    return not_asked(AskError::Resting(faults, last), left);
                }
            }
            let since = at.steady();
            let question = Arc::clone(&question);
            open.insert(fingerprint, Open { question, standing, since });
        }
        // A runtime that is shutting down drops the call right here: no lock is held.
        let call = Call {
            introspector: Arc::clone(self),
            token: token.into(),
            fingerprint,
            standing,
            question: Arc::clone(&question),
            result: None,
        };
        runtime.spawn(call.make());
        Ok((question, standing))
    }

    /// A wait for the end of this question; `None` if too many wait already.
    fn wait(self: &Arc<Self>, question: &Question, standing: Standing) -> Option<Wait> {
        let place = WaitingPlace::take(Waiter { introspector: Arc::clone(self), standing })?;
        let sleep = self.endpoint.clock.sleep(self.rules().timeout);
        Some(Wait::new(question.landing(), sleep, place))
    }

    /// Notes that something speaks against this token although the issuer said that it is active.
    pub(crate) fn doubt(&self, token: Fingerprint) {
        self.answers.doubt(token);
    }

    /// Notes that the answer about this token cannot be used, and forgets it.
    pub(crate) fn cannot_use(&self, token: Fingerprint, why: &str) {
        self.answers.forget(token);
        self.failed(&Arc::new(AskError::Answer(why.to_owned())));
    }

    pub(crate) fn health(&self) -> IntrospectionHealth {
        let (kept, kept_inactive) = self.answers.counts();
        IntrospectionHealth {
            issuer: (**self.issuer().id()).clone(),
            state: self.breaker.state(self.endpoint.clock.steady()),
            calls: self.calls.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            not_asked: self.not_asked.load(Ordering::Relaxed),
            under_way: self.open().len(),
            kept,
            kept_inactive,
            kept_bytes: self.answers.bytes(),
            last_error: self.last_error.load().as_ref().map(|error| error.to_string()),
        }
    }

    /// Notes what came of a call, for everybody who waits and for who comes later.
    fn end(
        &self,
        fingerprint: Fingerprint,
        question: &Arc<Question>,
        result: Result<Answer, AskError>,
    ) {
        // A call that was given up, and asked again meanwhile, changes nothing of what is known.
        let is_current = || {
            let open = self.open();
            open.get(&fingerprint).is_some_and(|open| Arc::ptr_eq(&open.question, question))
        };
        let outcome = match result {
            Ok(Answer::Active(active)) => {
                let active = Arc::new(active);
                self.answers.see(fingerprint);
                if is_current() {
                    match self.is_young(&active, None, active.asked()) {
                        true => self.answers.keep_active(fingerprint, Arc::clone(&active)),
                        false => self.answers.forget(fingerprint),
                    }
                }
                Outcome::Active(active)
            }
            Ok(Answer::Inactive(asked)) => {
                match self.rules().negative_ttl.is_zero() {
                    true => self.answers.forget(fingerprint),
                    false => self.answers.keep_inactive(fingerprint, asked),
                }
                Outcome::Inactive
            }
            Err(error) => Outcome::Failed(Arc::new(error)),
        };
        match &outcome {
            Outcome::Failed(error) => self.failed(error),
            Outcome::Active(_) | Outcome::Inactive => {
                self.breaker.answered();
                self.last_error.store(None);
            }
        }
        question.end(outcome);
        let mut open = self.open();
        if open.get(&fingerprint).is_some_and(|open| Arc::ptr_eq(&open.question, question)) {
            open.remove(&fingerprint);
        }
    }

    fn failed(&self, error: &Arc<AskError>) {
        if matches!(**error, AskError::Crowded) {
            self.not_asked.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        let is_news = self.last_error.swap(Some(Arc::clone(error))).is_none();
        let issuer = self.issuer().id();
        // One line for each time that it stops working: calls are many.
        match is_news {
            true => tracing::warn!(%issuer, "{error}"),
            false => tracing::debug!(%issuer, "{error}"),
        }
        match error.bearing() {
            Bearing::Fault => {
                self.breaker.failed(&error.to_string(), self.endpoint.clock.steady());
            }
            Bearing::Answered => self.breaker.answered(),
            Bearing::Nothing => {}
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Fingerprint, Open>> {
        // Nothing that could panic runs while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits for an answer.
struct Waiter {
    introspector: Arc<Introspector>,
    standing: Standing,
}

impl AsRef<Waiting> for Waiter {
    fn as_ref(&self) -> &Waiting {
        let [strangers, known] = &self.introspector.waiting;
        match self.standing {
            Standing::Stranger => strangers,
            Standing::Known => known,
        }
    }
}

/// A call. Its end is noted however it ends: also when its task is dropped with its runtime.
struct Call {
    introspector: Arc<Introspector>,
    token: Box<str>,
    fingerprint: Fingerprint,
    standing: Standing,
    question: Arc<Question>,
    result: Option<Result<Answer, AskError>>,
}

impl Call {
    async fn make(mut self) {
        self.result = Some(self.in_time().await);
    }

    async fn in_time(&self) -> Result<Answer, AskError> {
        let Introspector { endpoint, calls, .. } = &*self.introspector;
        let mut sleep = endpoint.clock.sleep(endpoint.rules.timeout);
        // Whose time is over makes no call, though it may have its turn now: nobody waits for it.
        let permit = tokio::select! {
            biased;
            () = &mut sleep => return Err(AskError::Crowded),
            permit = self.introspector.permits.take(self.standing) => permit,
        };
        // INVARIANT: permits are never closed.
        let Ok(_permit) = permit else { return Err(AskError::Dropped) };
        let question = tokio::select! {
            biased;
            () = &mut sleep => return Err(AskError::Slow("reading this server's own credentials")),
            question = endpoint.question(&self.token) => question?,
        };
        calls.fetch_add(1, Ordering::Relaxed);
        let asked = endpoint.clock.moment();
        let answer = tokio::select! {
            biased;
            () = &mut sleep => {
                return Err(AskError::Fetch(FetchError::new(FetchErrorKind::Timeout)));
            }
            answer = endpoint.ask(question) => answer?,
        };
        tokio::select! {
            biased;
            () = sleep => Err(AskError::Slow("fetching the issuer's keys")),
            answer = endpoint.read(&answer, asked) => answer,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or(Err(AskError::Dropped));
        self.introspector.end(self.fingerprint, &self.question, result);
    }
}
