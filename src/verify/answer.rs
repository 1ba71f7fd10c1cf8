//! Steps 4 and 5 of a token that its issuer was asked about (RFC 7662 §2.2): that it is active, and what
//! the answer says.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::authenticate::{Meeting, ReadJwt, Said, check_kind, unusable_claim};
use super::basis::ProvenKey;
use super::facts::{
    FromClient, StandIns, Wanted, actor_of, check_lengths, confirmation_of, facts_of, named,
    status_of,
};
use super::validity::untimely;
use super::{Look, NoAnswer, Rules, Stop, Trace, refuse, shown};
use crate::access::{Addressed, Confirmation, Facts, Origin, TokenForm};
use crate::error::{Outcome, Refusal, RejectionKind};
use crate::introspection::{Active, AnswerGap, Fingerprint, Introspector, Looked, Unusable};
use crate::jose::{ClaimError, ClaimsSet};
use crate::name::{Audience, JwtId, KeyId, Scheme};
use crate::time::Timestamp;

/// What a JWT says itself that counts beside the answer about it.
#[derive(Clone)]
pub(super) struct Beside<'a> {
    claims: &'a ClaimsSet<'a>,
    /// The key that it says it is signed with.
    key_id: Option<Arc<KeyId>>,
    word: Word,
}

/// Whose word it is what a JWT says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    /// Its issuer signed it.
    Issuer,
    /// Nothing here can tell: it may take away, and gives nothing.
    Anybody,
}

impl Rules {
    /// Steps 4 and 5 of a JWT that its issuer is asked about.
    pub(super) fn jwt_asked_about(
        &self,
        introspector: &Arc<Introspector>,
        token: &str,
        jwt: ReadJwt<'_>,
        could_prove: &dyn Fn() -> Result<(), Refusal>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<Said, Stop> {
        let (ReadJwt { header, claims, .. }, at) = (jwt, look.at);
        let issuer = introspector.issuer();
        let fingerprint = introspector.fingerprint(token);
        let (key_id, proven) = match issuer.has_keys() {
            // Nobody is asked about what anybody could have written, and what was answered counts no
            // longer than the key does.
            true => {
                let meeting = match introspector.knew(fingerprint) {
                    true => Meeting::Again,
                    false => Meeting::First,
                };
                let (key, place) = self.verify(issuer, jwt, meeting, look)?;
                drop(place);
                let proven = self.issuers.remember(Arc::clone(issuer));
                (key.shared_kid(), Some(ProvenKey::new(proven, header, key)))
            }
            false => {
                check_kind(issuer.profile(), header, claims)?;
                (header.kid().map(|kid| Arc::new(KeyId::from_token(kid))), None)
            }
        };
        // An answer would say no more than the token itself does.
        let ended = |exp: &Timestamp| at.wall() >= exp.plus(self.leeway);
        if let Some(exp) = claims.time("exp").map_err(unusable_claim)?.filter(ended) {
            let detail = untimely("exp", exp, at.wall(), self.leeway);
            return refuse(RejectionKind::Expired, detail);
        }
        let latest = at.wall().plus(self.leeway);
        if let Some(nbf) = claims.time("nbf").map_err(unusable_claim)?.filter(|nbf| *nbf > latest) {
            let detail = untimely("nbf", nbf, at.wall(), self.leeway);
            return refuse(RejectionKind::NotYetValid, detail);
        }
        could_prove()?;
        let word = if proven.is_some() { Word::Issuer } else { Word::Anybody };
        let jwt = Some(Beside { claims, key_id, word });
        let facts = self.asked_about(introspector, (token, fingerprint), jwt, look, trace)?;
        let introspector = Arc::clone(introspector);
        Ok(Said::Answered { facts, introspector, fingerprint, key: proven })
    }

    /// Steps 4 and 5 of a token that its issuer is asked about; `jwt`: what one says that can be read here.
    pub(super) fn asked_about(
        &self,
        introspector: &Arc<Introspector>,
        (token, fingerprint): (&str, Fingerprint),
        jwt: Option<Beside<'_>>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<Arc<Facts>, Stop> {
        let Look { route, at, found } = look;
        let issuer = introspector.issuer().id();
        trace.issuer = Some(Arc::clone(issuer));
        let unavailable =
            |detail: String| Refusal::new(RejectionKind::IntrospectionUnavailable, detail);
        let no_answer = |freshest| {
            let refusal = unavailable(format!("{issuer} gave no answer about the token"));
            let (introspector, token) = (Arc::clone(introspector), token.into());
            let no_answer = NoAnswer { introspector, token, fingerprint, freshest, refusal };
            Stop::NoAnswer(Box::new(no_answer))
        };
        let freshest = route.demand.freshness;
        let active = match introspector.look(fingerprint, freshest, at, found.answer.as_deref()) {
            Looked::Active(active) => active,
            Looked::Unknown => return Err(no_answer(freshest)),
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
                introspector.cannot_use(fingerprint, detail);
            }
            Refusal::new(*kind, detail.clone())
        })?;
        if found.answer.is_some() {
            // Whether that was too long ago is for step 8 to say: nobody asks twice for one request.
            return Ok(Arc::clone(facts));
        }
        // Only now is it known which classes the token is of.
        let demand = route.demand.and_freshness(self.classes.freshness(facts));
        if demand.freshness.is_some_and(|freshest| at.since(active.asked()) > freshest) {
            return Err(no_answer(demand.freshness));
        }
        // A record spoke against it before. If none does any more, the issuer may still.
        let is_refused = || match &self.revocation {
            Some(revocation) => revocation.decide(facts, None, demand, at).is_err(),
            None => false,
        };
        if active.is_doubted() && !is_refused() {
            return Err(no_answer(demand.freshness));
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
        let unusable = |error: ClaimError| match error {
            ClaimError::Missing(claim) => lacks(&claim),
            ClaimError::Malformed { .. } => unreadable(error),
        };
        let claims = ClaimsSet::checked(active.members())
            .map_err(|error| unreadable(format_args!("it is {error}")))?;
        let (issuer, profile) = (introspector.issuer().id(), introspector.issuer().profile());
        if claims.text("iss").map_err(unusable)?.is_some_and(|iss| iss != issuer.as_str()) {
            let detail = format!(
                "`iss` of the answer is another issuer than {issuer}, which was asked: a prefix, or \
                 `Policy::introspected_by`, says whom a token is shown to"
            );
            return Err(not_taken(RejectionKind::UnknownIssuer, &detail));
        }
        if let Some(claim) = profile.other_kind(None, &claims) {
            // These two name kinds of tokens, and nobody.
            let value = match claim {
                "typ" | "token_use" => claims.value(claim).and_then(|value| value.as_str()),
                _ => None,
            };
            let value = value.map(|value| format!(" {}", shown(Some(&value)))).unwrap_or_default();
            let detail = format!("the answer has `{claim}`{value}, which is of no access token");
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
        let expires_at = active.asked().wall().plus(introspector.counts_for());
        let gap = |gap| introspector.has_gap(gap);
        let stand_ins = StandIns {
            origin: Origin::Answer {
                asked: active.asked(),
                counts_for: introspector.counts_for(),
                form: if jwt.is_some() { TokenForm::Jwt } else { TokenForm::Opaque },
            },
            jwt: jwt.as_ref().map(|jwt| jwt.claims),
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
            narrow(&mut facts, jwt, &wanted)?;
        }
        facts.confirmation = of_type(facts.confirmation, scheme);
        Ok(facts)
    }
}

/// Adds to an answer what the JWT that it is about says itself: an issuer that leaves something out
/// does not take it back. Of two that differ in their `jti`, their actor or their place in a status list one
/// is about another token: no two tokens have one place, and a place or an actor that is passed over would be
/// taken back.
fn narrow(facts: &mut Facts, jwt: Beside<'_>, wanted: &Wanted<'_>) -> Result<(), Unusable> {
    let Beside { claims, key_id, word } = jwt;
    // The fault of the token, whatever its issuer says of it.
    let malformed = |error: ClaimError| Unusable {
        kind: RejectionKind::MalformedClaim,
        detail: format!("of the token itself, beside the answer about it: {error}"),
    };
    facts.confirmation =
        both(mem::replace(&mut facts.confirmation, Confirmation::Absent), confirmation_of(claims));
    facts.key_id = key_id;
    let jti = claims.text("jti").map_err(malformed)?.map(|jti| JwtId::from_token(&jti));
    if let (Some(said), Some(own)) = (&facts.jwt_id, &jti)
        && said != own
    {
        return Err(unreadable("its `jti` is another than that of the token"));
    }
    facts.jwt_id = facts.jwt_id.take().or(jti);
    if wanted.session && facts.session.is_none() {
        facts.session = claims.text("sid").map_err(malformed)?.map(Into::into);
    }
    match (&facts.actor, actor_of(claims, &facts.issuer).map_err(malformed)?) {
        (_, None) => {}
        (Some(said), Some(own)) if *said == own => {}
        (Some(_), Some(_)) => {
            return Err(unreadable("its `act` is another than that of the token"));
        }
        // Some routes are for an actor alone, others for none: what nobody vouches for opens neither.
        (None, Some(_)) if word == Word::Anybody => return Err(lacks("act")),
        (None, own) => facts.actor = own,
    }
    let status = if wanted.status { status_of(claims).map_err(malformed)? } else { None };
    if let (Some(said), Some(own)) = (&facts.status, &status)
        && said != own
    {
        return Err(unreadable("its `status` is another than that of the token"));
    }
    facts.status = facts.status.take().or(status);
    let own = named(claims, wanted.claims).map_err(malformed)?;
    let new = own.into_iter().filter(|claim| !facts.named.contains(claim));
    facts.named = facts.named.iter().cloned().chain(new).collect();
    if facts.addressed == Addressed::Unsaid
        && let Some(audiences) = claims.audiences().map_err(malformed)?
    {
        facts.audiences = audiences.iter().map(|one| Audience::from_token(one)).collect();
        facts.addressed = Addressed::Named;
    }
    if wanted.session {
        check_lengths(facts).map_err(malformed)?;
    }
    Ok(())
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

/// An answer that contradicts itself, or the token: its issuer's fault.
fn unreadable(what: impl fmt::Display) -> Unusable {
    Unusable {
        kind: RejectionKind::IntrospectionUnavailable,
        detail: format!("the answer about the token cannot be used: {what}"),
    }
}

/// An answer without this.
fn lacks(claim: &str) -> Unusable {
    let hint = hint(claim);
    let detail = format!("the answer about the token has no `{claim}`{hint}");
    Unusable { kind: RejectionKind::MissingClaim, detail }
}

/// What would accept an answer without this.
fn hint(claim: &str) -> &'static str {
    match claim {
        "sub" => ": `.may_lack(AnswerGap::Subject)` would take the client for the subject",
        "exp" => ": `.may_lack(AnswerGap::ExpiresAt)` would let it end with the answer",
        "aud" => {
            ": the client has to ask for this audience, or \
             `.dangerous().insecure_without_audience()` takes it as meant for this server"
        }
        "act" => {
            ", which the token names itself: with the issuer's keys here (`Issuer::discover`) its word would do"
        }
        _ => ": the issuer's `TokenProfile` says what its tokens may lack",
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
