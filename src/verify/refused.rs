//! What the refusal of a check means.

use crate::check::{CheckContext, CheckError, DenialKind, combined, unmet};
use crate::context::PolicyContext;
use crate::error::{Refusal, RejectionKind};

/// What a check's refusal is answered with, here and in layers below. A token that lacks scope
/// while its user has to authenticate again as well is told both at once, and of every step-up
/// that the policies want, not only of the first that was found unmet (RFC 9470 §3).
pub(crate) fn refused_by_check(
    error: CheckError,
    request: &CheckContext<'_>,
    context: &PolicyContext,
) -> Refusal {
    let mut refusal = refusal_of(error);
    let lacks_scope =
        refusal.kind == RejectionKind::InsufficientScope && !refusal.scopes.is_empty();
    if lacks_scope && context.step_ups.iter().any(|step_up| unmet(step_up, request).is_some()) {
        let detail = &refusal.detail;
        refusal.detail = format!("{detail}, and the user has to authenticate as wanted").into();
        refusal.kind = RejectionKind::InsufficientAuthentication;
    }
    with_step_ups(refusal, context)
}

/// What a handler's refusal is answered with.
pub(crate) fn refused_by_handler(error: CheckError, context: &PolicyContext) -> Refusal {
    with_step_ups(refusal_of(error), context)
}

/// One authentication has to be enough: a check, a handler or a record that wants a step-up is answered
/// with what the route's policies want as well.
pub(super) fn with_step_ups(mut refusal: Refusal, context: &PolicyContext) -> Refusal {
    if matches!(
        refusal.kind,
        RejectionKind::InsufficientAuthentication | RejectionKind::StepUpDemanded
    ) {
        refusal.step_up =
            combined(context.step_ups.iter().chain(refusal.step_up.as_deref())).map(Box::new);
    }
    refusal
}

/// What the refusal of a check means by itself.
fn refusal_of(error: CheckError) -> Refusal {
    match error {
        CheckError::Denied(denial) => {
            let kind = match denial.kind() {
                DenialKind::InsufficientScope => RejectionKind::InsufficientScope,
                DenialKind::InvalidToken => RejectionKind::NotAccepted,
                DenialKind::InsufficientAuthentication => RejectionKind::InsufficientAuthentication,
            };
            let mut refusal = Refusal::new(kind, denial.to_string());
            refusal.scopes = denial.scopes().to_vec();
            refusal.step_up = denial.wanted_step_up().cloned().map(Box::new);
            refusal
        }
        CheckError::Unavailable(unavailable) => {
            let mut refusal =
                Refusal::new(RejectionKind::CheckUnavailable, unavailable.to_string());
            refusal.retry_after = unavailable.retry_after_time();
            refusal
        }
    }
}
