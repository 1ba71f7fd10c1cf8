//! Step 5: the claims, read as the issuer's profile says they are written.

use std::borrow::Cow;
use std::sync::Arc;

use crate::access::{Actor, Addressed, Confirmation, Facts, NamedClaims, Origin, StatusReference};
use crate::issuer::{OptionalClaim, TokenProfile};
use crate::jose::claims::required;
use crate::jose::json::Value;
use crate::jose::{ClaimError, ClaimsSet};
use crate::name::{Audience, ClientId, IssuerId, JwtId, Subject, Thumbprint};
use crate::revocation::Record;
use crate::revocation::{Reference, reference_of};
use crate::time::Timestamp;

/// What is read of a token because the server's configuration asks for it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// Claims by which tokens are told apart.
    pub(crate) claims: &'a [Box<str>],
    /// Whether the claim `sid` is looked at.
    pub(crate) session: bool,
    /// Whether the claim `status` is looked at.
    pub(crate) status: bool,
}

/// Where the claims come from, and what stands in for one of RFC 9068 §2.2 that is absent. A token has to have
/// them all; what an issuer answers about one may lack what a configuration names.
#[derive(Clone, Copy)]
pub(crate) struct StandIns<'a> {
    pub(crate) origin: Origin,
    /// What a JWT says itself, where they are an answer about it.
    pub(crate) jwt: Option<&'a ClaimsSet<'a>>,
    /// Without `sub` the client is the subject.
    pub(crate) subject: Option<FromClient>,
    /// Without `exp` it ends then.
    pub(crate) expires_at: Option<Timestamp>,
    /// Without `aud` it is for whoever knows of it.
    pub(crate) addressed: Addressed,
}

/// That something is taken from the client.
#[derive(Clone, Copy)]
pub(crate) struct FromClient;

impl StandIns<'_> {
    /// What is absent is missing.
    pub(crate) const NONE: Self = Self {
        origin: Origin::Token,
        jwt: None,
        subject: None,
        expires_at: None,
        addressed: Addressed::Named,
    };
}

/// What the token says: the claims of RFC 9068 §2.2 and those that are checked where they are
/// present.
pub(crate) fn facts_of(
    profile: &TokenProfile,
    claims: &ClaimsSet<'_>,
    issuer: &Arc<IssuerId>,
    payload: &[u8],
    wanted: &Wanted<'_>,
    stand_ins: StandIns<'_>,
) -> Result<Facts, ClaimError> {
    let may_lack = |claim| profile.may_lack.contains(&claim);
    let client_id = first(&profile.client_id_claims, |name| claims.text(name))?;
    if client_id.is_none() && !may_lack(OptionalClaim::ClientId) {
        return Err(missing(&profile.client_id_claims));
    }
    let subject = match (claims.text("sub")?, stand_ins.subject) {
        (None, Some(FromClient)) => client_id.clone(),
        (subject, _) => subject,
    };
    let subject = required("sub", Ok(subject))?;
    let jwt_id = claims.text("jti")?;
    // Who can be asked about a token needs no name for it.
    let is_named = stand_ins.origin == Origin::Token;
    if jwt_id.is_none() && is_named && !may_lack(OptionalClaim::JwtId) {
        return Err(ClaimError::Missing("jti".to_owned()));
    }
    let issued_at = claims.time("iat")?;
    if issued_at.is_none() && !may_lack(OptionalClaim::IssuedAt) {
        return Err(ClaimError::Missing("iat".to_owned()));
    }
    // An issuer that names no audience may also say so with an empty list, where it is asked.
    let unsaid = |name: &str| {
        let is_empty = |value: Value<'_>| value.as_array().is_some_and(|found| found.is_empty());
        stand_ins.origin != Origin::Token && claims.value(name).is_some_and(is_empty)
    };
    let audience = |text: Cow<'_, str>| Audience::from_token(&text);
    let audiences_in = |name: &str| match unsaid(name) {
        true => Ok(None),
        false => claims.texts_as(name, audience),
    };
    let (mut audiences, addressed) =
        match (first(&profile.audience_claims, audiences_in)?, stand_ins.addressed) {
            (Some(audiences), _) => (audiences, Addressed::Named),
            (None, Addressed::Unsaid) => (Vec::new(), Addressed::Unsaid),
            (None, Addressed::Named) => return Err(missing(&profile.audience_claims)),
        };
    // They stay as long as the token is known.
    audiences.shrink_to_fit();
    let scope = first(&profile.scope_claims, |name| claims.scope_in(name, profile.scope_form))?;
    check_details(claims)?;

    let facts = Facts {
        expires_at: required("exp", claims.time("exp").map(|exp| exp.or(stand_ins.expires_at)))?,
        issued_at,
        not_before: claims.time("nbf")?,
        audiences,
        subject_kind: profile.kind_of(claims, stand_ins.jwt, &subject, client_id.as_deref()),
        subject: Subject::from_token(&subject),
        client_id: client_id.as_deref().map(ClientId::from_token),
        jwt_id: jwt_id.as_deref().map(JwtId::from_token),
        scope: scope.unwrap_or_default().into(),
        auth_time: claims.time("auth_time")?,
        acr: claims.text("acr")?.map(Into::into),
        actor: actor_of(claims, issuer)?,
        confirmation: confirmation_of(claims),
        key_id: None,
        session: if wanted.session { claims.text("sid")?.map(Into::into) } else { None },
        named: named(claims, wanted.claims)?,
        status: if wanted.status { status_of(claims)? } else { None },
        origin: stand_ins.origin,
        addressed,
        issuer: Arc::clone(issuer),
        claims: payload.into(),
    };
    if wanted.session {
        check_lengths(&facts)?;
    }
    Ok(facts)
}

/// What no record could name could not be revoked.
pub(super) fn check_lengths(facts: &Facts) -> Result<(), ClaimError> {
    let names = [
        ("sub", Some(facts.subject.as_str())),
        ("jti", facts.jwt_id.as_ref().map(AsRef::as_ref)),
        ("client_id", facts.client_id.as_ref().map(AsRef::as_ref)),
        ("sid", facts.session.as_deref()),
    ];
    let named = facts.named.iter().map(|(_, value)| ("a claim that records name", Some(&**value)));
    for (name, value) in names.into_iter().chain(named) {
        if value.is_some_and(|value| value.len() > Record::MAX_LENGTH) {
            return Err(ClaimError::malformed(name, "short enough to be revoked by it"));
        }
    }
    Ok(())
}

/// The token's place in a status list. One whose `status` has other mechanisms only has none.
pub(super) fn status_of(claims: &ClaimsSet<'_>) -> Result<Option<StatusReference>, ClaimError> {
    Ok(match reference_of(claims)? {
        Some(Reference::List(place)) => Some(place),
        Some(Reference::OtherMechanism) | None => None,
    })
}

/// What `cnf` binds the token to (RFC 7800 §3.1). Members that mean nothing here are passed over as
/// long as one is there that does; one that does has to be right.
pub(super) fn confirmation_of(claims: &ClaimsSet<'_>) -> Confirmation {
    const NO_OBJECT: &str = "`cnf` is not an object, as RFC 7800 §3.1 wants it";
    const NOTHING: &str =
        "`cnf` has neither `jkt` nor `x5t#S256`: nothing in it can be enforced here";
    const KEY: &str = "`jkt` is not a SHA-256 in canonical base64url";
    const CERTIFICATE: &str = "`x5t#S256` is not a SHA-256 in canonical base64url";
    let Some(cnf) = claims.value("cnf") else {
        return Confirmation::Absent;
    };
    let Some(cnf) = cnf.as_object() else {
        return Confirmation::Unenforceable(NO_OBJECT);
    };
    let thumbprint = |name, wanted| match cnf.member(name) {
        None => Ok(None),
        Some(value) => {
            value.as_str().and_then(|text| Thumbprint::parse(&text)).map(Some).ok_or(wanted)
        }
    };
    match (thumbprint("jkt", KEY), thumbprint("x5t#S256", CERTIFICATE)) {
        (Err(wrong), _) | (_, Err(wrong)) => Confirmation::Unenforceable(wrong),
        (Ok(None), Ok(None)) => Confirmation::Unenforceable(NOTHING),
        (Ok(key), Ok(certificate)) => Confirmation::Bound { key, certificate },
    }
}

/// The values of these claims, each with the place of its claim.
pub(super) fn named(
    claims: &ClaimsSet<'_>,
    wanted: &[Box<str>],
) -> Result<NamedClaims, ClaimError> {
    let mut found = Vec::new();
    for (place, name) in (0_u16..).zip(wanted) {
        let malformed = || ClaimError::malformed(name, "a string or an array of strings");
        let Some(value) = claims.value(name) else { continue };
        let values = value.as_array().unwrap_or_else(|| vec![value]);
        for value in values {
            found.push((place, value.as_str().ok_or_else(malformed)?.into()));
        }
    }
    Ok(found.into())
}

/// The first of these claims that is there.
fn first<T>(
    names: &[String],
    read: impl Fn(&str) -> Result<Option<T>, ClaimError>,
) -> Result<Option<T>, ClaimError> {
    for name in names {
        if let Some(found) = read(name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn missing(names: &[String]) -> ClaimError {
    ClaimError::Missing(names.join("` or `"))
}

/// The current actor: the outermost `act`, and nothing inside it (RFC 8693 §4.1). An actor without
/// `iss` is one of the token's issuer.
pub(super) fn actor_of(
    claims: &ClaimsSet<'_>,
    issuer: &Arc<IssuerId>,
) -> Result<Option<Actor>, ClaimError> {
    let malformed = || ClaimError::malformed("act", "an object with `sub` (RFC 8693 §4.1)");
    let Some(act) = claims.value("act") else {
        return Ok(None);
    };
    let act = act.as_object().ok_or_else(malformed)?;
    let text = |name| match act.member(name) {
        None => Ok(None),
        Some(value) => {
            value.as_str().filter(|text| !text.is_empty()).map(Some).ok_or_else(malformed)
        }
    };
    let subject = text("sub")?.ok_or_else(malformed)?;
    let issuer = text("iss")?.unwrap_or(issuer.as_str().into());
    Ok(Some(Actor::new(&issuer, Subject::from_token(&subject))))
}

/// An array of objects, each with a `type` (RFC 9396 §2).
fn check_details(claims: &ClaimsSet<'_>) -> Result<(), ClaimError> {
    const NAME: &str = "authorization_details";
    let Some(value) = claims.value(NAME) else {
        return Ok(());
    };
    let typed = |detail: Value<'_>| {
        let detail = detail.as_object()?;
        detail.member("type")?.as_str().filter(|kind| !kind.is_empty())?;
        Some(())
    };
    value
        .as_array()
        .and_then(|details| details.into_iter().map(typed).collect::<Option<Vec<_>>>())
        .map(|_| ())
        .ok_or_else(|| ClaimError::malformed(NAME, "an array of objects with `type` (RFC 9396 §2)"))
}
