//! Steps 4 and 5 of a token that its issuer was asked about (RFC 7662 §2.2): that it is active, and what
//! the answer says.

use std::sync::Arc;

use super::facts::{FromClient, StandIns, confirmation_of, facts_of};
use super::{Found, RouteRules, Rules, Stop, Trace, refuse};
use crate::access::{Addressed, Confirmation, Facts, Origin};
use crate::error::{Outcome, Refusal, RejectionKind};
use crate::introspection::{Active, AnswerGap, Introspector, Looked, Unusable};
use crate::jose::{ClaimError, ClaimsSet, Compact, Header};
use crate::name::{KeyId, Scheme};
use crate::time::{Moment, Timestamp};

/// A JWT that is asked about, as far as it was read here.
type ReadJwt<'a> = (&'a str, &'a Compact<'a>, &'a Header<'a>, &'a ClaimsSet<'a>);

/// What a JWT says itself that counts beside the answer about it.
#[derive(Clone)]
pub(super) struct Beside<'a> {
    claims: &'a ClaimsSet<'a>,
    /// The key that it says it is signed with.
    key_id: Option<Arc<KeyId>>,
}

impl Rules {
    /// Steps 4 and 5 of a JWT that its issuer is asked about.
    pub(super) fn jwt_asked_about(
        &self,
        introspector: &Arc<Introspector>,
        (token, jws, header, claims): ReadJwt<'_>,
        route: RouteRules<'_>,
        at: Moment,
        found: &Found,
        trace: &mut Trace,
    ) -> Result<Arc<Facts>, Stop> {
        // An answer would say no more than the token itself does.
        let ended = |exp: &Timestamp| at.wall() >= exp.plus(self.leeway);
        if let Some(exp) = claims.time("exp").ok().flatten().filter(ended) {
            let detail = format!("`exp` is {exp}, it is {}", at.wall());
            return refuse(RejectionKind::Expired, detail);
        }
        let issuer = introspector.issuer();
        let key_id = match issuer.has_keys() {
            // Nobody is asked about what anybody could have written, and what was answered counts no
            // longer than the key does.
            true => self.verify(issuer, jws, header, claims, at, found)?.shared_kid(),
            false => header.kid().map(|kid| Arc::new(KeyId::from_token(kid))),
        };
        let jwt = Some(Beside { claims, key_id });
        self.asked_about(introspector, token, jwt, route, at, found, trace)
    }

    /// Steps 4 and 5 of a token that its issuer is asked about; `jwt`: what one says that can be read here.
    pub(super) fn asked_about(
        &self,
        introspector: &Arc<Introspector>,
        token: &str,
        jwt: Option<Beside<'_>>,
        route: RouteRules<'_>,
        at: Moment,
        found: &Found,
        trace: &mut Trace,
    ) -> Result<Arc<Facts>, Stop> {
        let issuer = introspector.issuer().id();
        trace.issuer = Some(Arc::clone(issuer));
        let unavailable =
            |detail: String| Refusal::new(RejectionKind::IntrospectionUnavailable, detail);
        let no_answer = || {
            let refusal = unavailable(format!("{issuer} gave no answer about the token"));
            Stop::NoAnswer { introspector: Arc::clone(introspector), token: token.into(), refusal }
        };
        let freshest = route.demand.freshness;
        let active = match introspector.look(token, freshest, at, found.answer.as_deref()) {
            Looked::Active(active) => active,
            Looked::Unknown => return Err(no_answer()),
            Looked::Inactive => {
                let detail = format!("{issuer} says that the token is not active");
                return refuse(RejectionKind::Inactive, detail);
            }
            Looked::Failed(None) => {
                let detail = format!("{issuer} gave no answer about the token in time");
                return Err(unavailable(detail).into());
            }
            Looked::Failed(Some(error)) => {
                let mut refusal =
                    unavailable(format!("{issuer} was asked about the token in vain"));
                refusal.source = Some(error.shared());
                return Err(refusal.into());
            }
        };
        let facts = active.facts(|| self.read_answer(introspector, &active, jwt));
        let facts = facts.map_err(|Unusable { kind, detail }| {
            if kind.outcome() == Outcome::Unavailable {
                // The issuer's own fault, which it may mend before the answer is too old.
                introspector.forget(token);
            }
            Refusal::new(*kind, detail.clone())
        })?;
        // Only now is it known which classes the token is of.
        let wanted = self.classes.applied(facts).freshness;
        if found.answer.is_none() && wanted.is_some_and(|wanted| at.since(active.asked()) > wanted)
        {
            return Err(no_answer());
        }
        Ok(Arc::clone(facts))
    }

    /// What an answer says of the token, with the meaning that its members have in a JWT (RFC 7662 §2.2,
    /// RFC 8705 §3.2, RFC 9449 §6.2).
    fn read_answer(
        &self,
        introspector: &Introspector,
        active: &Active,
        jwt: Option<Beside<'_>>,
    ) -> Result<Facts, Unusable> {
        let not_taken = |kind, detail: &str| Unusable { kind, detail: detail.to_owned() };
        // An answer that contradicts itself is the issuer's fault, not the token's.
        let unreadable = |what: String| Unusable {
            kind: RejectionKind::IntrospectionUnavailable,
            detail: format!("the answer about the token cannot be used: {what}"),
        };
        let unusable = |error: ClaimError| match error {
            ClaimError::Missing(_) => {
                let detail = format!("the answer about the token: {error}");
                Unusable { kind: RejectionKind::MissingClaim, detail }
            }
            ClaimError::Malformed { .. } => unreadable(error.to_string()),
        };
        let claims = ClaimsSet::checked(active.members())
            .map_err(|error| unreadable(format!("it is {error}")))?;
        let (issuer, profile) = (introspector.issuer().id(), introspector.issuer().profile());
        if claims.text("iss").map_err(unusable)?.is_some_and(|iss| iss != issuer.as_str()) {
            let detail = "`iss` of the answer is another issuer than the one that was asked";
            return Err(not_taken(RejectionKind::UnknownIssuer, detail));
        }
        if let Some(claim) = profile.other_kind(None, &claims) {
            let detail = format!("the answer has `{claim}`, which is of no access token");
            return Err(not_taken(RejectionKind::OtherTokenKind, &detail));
        }
        if let Some(detail) = profile.unmet_claim(&claims) {
            return Err(not_taken(RejectionKind::OtherTokenKind, &detail));
        }
        let token_type = claims.text("token_type").map_err(unusable)?;
        let scheme = match token_type.as_deref() {
            None if introspector.has_gap(AnswerGap::TokenType) => None,
            None => {
                let detail = "the answer has no `token_type`: it may be about a refresh token. \
                              `.may_lack(AnswerGap::TokenType)` would accept it";
                return Err(not_taken(RejectionKind::OtherTokenKind, detail));
            }
            Some(name) => match Scheme::parse(name.as_bytes()) {
                Some(scheme) => Some(scheme),
                None => {
                    let detail = "`token_type` of the answer is neither Bearer nor DPoP";
                    return Err(not_taken(RejectionKind::OtherTokenKind, detail));
                }
            },
        };
        let expires_at = active.asked().wall().plus(introspector.ttl().max(AnswerGap::LEAST_LIFE));
        let gap = |gap| introspector.has_gap(gap);
        let stand_ins = StandIns {
            origin: Origin::Answer,
            subject: gap(AnswerGap::Subject).then_some(FromClient),
            expires_at: gap(AnswerGap::ExpiresAt).then_some(expires_at),
            addressed: match introspector.takes_unaddressed() {
                true => Addressed::Unsaid,
                false => Addressed::Named,
            },
        };
        let wanted = self.wanted(issuer);
        let facts = facts_of(profile, &claims, issuer, active.members(), &wanted, stand_ins);
        let mut facts = facts.map_err(unusable)?;
        if let Some(jwt) = jwt {
            facts.confirmation = both(facts.confirmation, confirmation_of(jwt.claims));
            facts.key_id = jwt.key_id;
        }
        facts.confirmation = of_type(facts.confirmation, scheme);
        Ok(facts)
    }
}

/// What an answer and the token itself say of the sender: each is enforced, and neither takes back what
/// the other says.
fn both(answer: Confirmation, token: Confirmation) -> Confirmation {
    const OTHER: &str = "`cnf` of the answer is another than that of the token";
    match (answer, token) {
        (Confirmation::Absent, said) | (said, Confirmation::Absent) => said,
        (answer, token) if answer == token => answer,
        _ => Confirmation::Unenforceable(OTHER),
    }
}

/// What `token_type` says has to fit what `cnf` says (RFC 9449 §6.2).
fn of_type(confirmation: Confirmation, scheme: Option<Scheme>) -> Confirmation {
    const BEARER: &str = "`cnf` has `jkt`, and `token_type` of the answer is not DPoP";
    const DPOP: &str = "`token_type` of the answer is DPoP, and `cnf` has no `jkt`";
    let by_key = matches!(confirmation, Confirmation::Bound { key: Some(_), .. });
    match (scheme, by_key) {
        (Some(Scheme::Bearer), true) => Confirmation::Unenforceable(BEARER),
        (Some(Scheme::Dpop), false) if !matches!(confirmation, Confirmation::Unenforceable(_)) => {
            Confirmation::Unenforceable(DPOP)
        }
        _ => confirmation,
    }
}
