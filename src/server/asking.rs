use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::guard::Decided;
use crate::check::{AsyncCheck, CheckError, CheckFuture, CheckRequest, Unavailable};
use crate::time::Sleep;

/// The async checks of a policy, under way.
pub(crate) struct Asking {
    checks: Vec<Arc<dyn AsyncCheck>>,
    request: CheckRequest,
    timeout: Duration,
    deadline: Sleep,
    /// Which check is asked next.
    next: usize,
    current: Option<CheckFuture>,
    /// Taken with the answer.
    decided: Option<Decided>,
}

/// What the async checks said.
pub(crate) struct Answered {
    pub(super) answer: Result<(), CheckError>,
    pub(super) decided: Option<Decided>,
}

impl Asking {
    pub(super) fn new(
        checks: &[Arc<dyn AsyncCheck>],
        request: CheckRequest,
        timeout: Duration,
        deadline: Sleep,
        decided: Decided,
    ) -> Self {
        let decided = Some(decided);
        Self {
            checks: checks.to_vec(),
            request,
            timeout,
            deadline,
            next: 0,
            current: None,
            decided,
        }
    }

    /// What the checks say, once the last of them said yes or one did not.
    fn poll_checks(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CheckError>> {
        loop {
            let current = match &mut self.current {
                Some(current) => current,
                None => {
                    let Some(check) = self.checks.get(self.next) else {
                        return Poll::Ready(Ok(()));
                    };
                    self.next = self.next.saturating_add(1);
                    self.current.insert(check.check(self.request.clone()))
                }
            };
            match current.as_mut().poll(context) {
                Poll::Ready(Ok(())) => self.current = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(self.deadline.as_mut().poll(context));
                    let timeout = self.timeout;
                    let why = format!("an async check gave no answer within {timeout:?}");
                    return Poll::Ready(Err(Unavailable::new(why).into()));
                }
            }
        }
    }
}

impl Future for Asking {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let answer = ready!(self.poll_checks(context));
        Poll::Ready(Answered { answer, decided: self.decided.take() })
    }
}
