//! Steps 1 to 5: what a token says, and that its issuer said it.

use std::borrow::Cow;
use std::sync::Arc;

use super::basis::{Basis, ProvenKey};
use super::detail::{detail, shown};
use super::digest::Digest;
use super::facts::{StandIns, Wanted, facts_of};
use super::known::{KnownToken, KnownTokens};
use super::turns::Place;
use super::{Look, RouteRules, Rules, Stop, Trace, refuse};
use crate::access::Facts;
use crate::credentials::{Credentials, CredentialsError, Fields, RequestHead, Scheme, Unread};
use crate::error::{Refusal, RejectionKind};
use crate::introspection::{Fingerprint, Introspector};
use crate::issuer::{Attempt, IssuerKeys, KeyMiss, TokenProfile};
use crate::jose::json::JsonError;
use crate::jose::{
    Algorithm, BadSignature, ClaimError, ClaimsSet, Compact, CompactError, Header, HeaderError,
    KeyChoiceError, PublicKey, base64url,
};
use crate::name::IssuerId;
use crate::revocation::ClearAt;
use crate::sender::{Binding, KnownSender};
use crate::time::Moment;

/// A token whose issuer said what is known of it.
pub(super) struct Authentic<'a> {
    pub(super) said: Said,
    pub(super) presented: Unread<'a>,
    /// Of a token that was not known: its proof is verified in the same turn.
    pub(super) place: Option<Place<'a>>,
}

/// How it is known what a token says.
pub(super) enum Said {
    /// The token was accepted before.
    Known(Digest, Arc<KnownToken>),
    /// It was verified now.
    Verified(Option<Digest>, KnownToken),
    /// Its issuer was asked.
    Answered {
        facts: Arc<Facts>,
        introspector: Arc<Introspector>,
        fingerprint: Fingerprint,
        /// Of a JWT of an issuer with keys.
        key: Option<ProvenKey>,
    },
}

impl Said {
    pub(super) fn facts(&self) -> &Arc<Facts> {
        match self {
            Self::Known(_, known) => known.facts(),
            Self::Verified(_, known) => known.facts(),
            Self::Answered { facts, .. } => facts,
        }
    }

    /// What is known of its sender's proofs.
    pub(super) fn sender(&self) -> Option<&KnownSender> {
        match self {
            Self::Known(_, known) => Some(known.sender()),
            Self::Verified(Some(_), known) => Some(known.sender()),
            Self::Verified(None, _) | Self::Answered { .. } => None,
        }
    }

    /// Up to where no record spoke against it.
    pub(super) fn clear(&self) -> Option<&ClearAt> {
        match self {
            Self::Known(_, known) => Some(known.clear()),
            Self::Verified(_, known) => Some(known.clear()),
            Self::Answered { .. } => None,
        }
    }

    /// What a decision rests on that says yes. A token that was verified for it is known from now on.
    pub(super) fn accepted(self, tokens: &KnownTokens) -> Basis {
        match self {
            Self::Known(_, known) => Basis::verified(known),
            Self::Verified(digest, known) => {
                let known = Arc::new(known);
                if let Some(digest) = digest {
                    tokens.keep(digest, Arc::clone(&known));
                }
                Basis::verified(known)
            }
            Self::Answered { key, .. } => Basis::answered(key),
        }
    }
}

/// Whether a token whose signature is verified was good before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// That is not known: anybody can have invented it.
    First,
    /// It was.
    Again,
}

/// A JWT, as far as it was read before its signature.
#[derive(Clone, Copy)]
pub(super) struct ReadJwt<'a> {
    pub(super) jws: &'a Compact<'a>,
    pub(super) header: &'a Header<'a>,
    pub(super) claims: &'a ClaimsSet<'a>,
}

impl Rules {
    /// Steps 1 to 5: what the token says, and that its issuer said it.
    pub(super) fn authenticate<'a>(
        &'a self,
        head: RequestHead<'a>,
        fields: Fields<'a>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<Authentic<'a>, Stop> {
        // 1. Exactly one `Authorization` field, a known scheme, within the bounds.
        let used = fields.scheme();
        if used == Some(Scheme::Dpop) && self.mechanisms.dpop.is_none() {
            return refuse(
                RejectionKind::UnsupportedScheme,
                "the scheme DPoP is not offered: `.dpop(Dpop::new())` would",
            );
        }
        trace.scheme = used;
        let presented = fields.unread(self.max_token).map_err(unusable_credentials)?;
        // What was a token before is one.
        let digest = self.known.digest(presented.octets());
        if let Some(digest) = digest
            && let Some(known) = self.known.get(&digest)
            && known.counts(&self.issuers, look.at, look.found.keys)
        {
            return Ok(Authentic { said: Said::Known(digest, known), presented, place: None });
        }
        let credentials = presented.read().map_err(unusable_credentials)?;
        let token = credentials.token();
        let (said, place) = match self.opaque(token, look.route) {
            Some(introspector) => {
                self.check_presented(&credentials, head, look.route)?;
                let fingerprint = introspector.fingerprint(token);
                let token = (token, fingerprint);
                let facts = self.asked_about(introspector, token, None, look, trace)?;
                let introspector = Arc::clone(introspector);
                (Said::Answered { facts, introspector, fingerprint, key: None }, None)
            }
            None => {
                let could_prove = || self.check_presented(&credentials, head, look.route);
                let inner = self.unsealed(token, &could_prove, look.found)?;
                self.read(token, (inner, digest), &could_prove, look, trace)?
            }
        };
        Ok(Authentic { said, presented, place })
    }

    /// Whether the sender of some token could be proven by what came with this one, before it costs a
    /// question or work with a private key.
    fn check_presented(
        &self,
        credentials: &Credentials<'_>,
        head: RequestHead<'_>,
        route: RouteRules<'_>,
    ) -> Result<(), Refusal> {
        // Whom an exception is for is not known yet.
        let server = if self.exceptions.is_empty() { self.binding } else { Binding::WhereBound };
        let wanted = route.binding.map_or(server, |route| server.strictest(route));
        self.mechanisms.check_presented(wanted, credentials.scheme(), head)
    }

    /// Who is asked about this token, if it is none that anybody but its issuer could read.
    fn opaque(&self, token: &str, route: RouteRules<'_>) -> Option<&Arc<Introspector>> {
        if self.introspectors.is_empty() {
            return None;
        }
        let whose = || self.introspectors.of_opaque(token, route.opaque_of);
        match looks_like_jose(token) {
            false => whose(),
            // One that nothing here decrypts is as good as opaque, to who is asked about JWTs too.
            true if !self.decrypts() && is_sealed(token) => whose().filter(|one| one.takes_jwts()),
            true => None,
        }
    }

    /// Why a token that is no JWT is not read in another way, for operators.
    fn why_unread(
        &self,
        error: CompactError,
        token: &str,
        route: RouteRules<'_>,
    ) -> Cow<'static, str> {
        match error {
            CompactError::Encrypted => {
                ", and this server has no keys to decrypt it: `.decryption(...)`, feature `jwe`"
                    .into()
            }
            CompactError::Opaque | CompactError::Parts if !looks_like_jose(token) => {
                self.introspectors.why_nobody(route.opaque_of)
            }
            _ => Cow::Borrowed(""),
        }
    }

    /// Steps 2 to 5 of a JWT. `inner` is what was in the envelope, of one that had one; `could_prove`
    /// says whether asking about it can come to anything.
    fn read<'a>(
        &'a self,
        token: &'a str,
        (inner, digest): (Option<&str>, Option<Digest>),
        could_prove: &dyn Fn() -> Result<(), Refusal>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<(Said, Option<Place<'a>>), Stop> {
        // 2. The token's shape and header. The payload is read here too: `iss` is needed to find
        // the key, and to know how the issuer writes its tokens.
        let jws = Compact::parse(inner.unwrap_or(token)).map_err(|error| match inner {
            Some(_) => unusable_form(error, ""),
            None => unusable_form(error, &self.why_unread(error, token, look.route)),
        })?;
        let header = jws.header().map_err(|error| unusable_header(error, &jws))?;
        if TokenProfile::is_other_kind(&header) {
            let detail = format!("`typ` is {}, which no access token has", shown(header.typ()));
            return refuse(RejectionKind::WrongType, detail);
        }
        let claims = ClaimsSet::parse(jws.payload()).map_err(unusable_payload)?;

        // 3. The key, by issuer AND `kid`.
        let iss = claims.text("iss").ok().flatten();
        let issuer = self.issuer(iss.as_deref(), look.at)?;
        trace.issuer = Some(Arc::clone(issuer.id()));
        if inner.is_none() && issuer.encrypted_only() {
            let detail = format!("{} encrypts its tokens, and this one is not", issuer.id());
            return refuse(RejectionKind::NotEncrypted, detail);
        }
        let profile = issuer.profile();
        if !profile.takes_type(&header) {
            let wanted = profile.types.join("` or `");
            let (found, name) = (shown(header.typ()), profile.name());
            let detail =
                format!("`typ` is {found}, profile `{name}` of the issuer takes `{wanted}`");
            return refuse(RejectionKind::WrongType, detail);
        }
        let algorithm = header.algorithm();
        if !issuer.allows(algorithm) {
            let detail = format!(
                "`alg` is {algorithm}, which {} may not use: `Issuer::algorithms` says what it may",
                issuer.id()
            );
            return refuse(RejectionKind::AlgorithmNotAllowed, detail);
        }
        let jwt = ReadJwt { jws: &jws, header: &header, claims: &claims };
        if let Some(introspector) = self.introspectors.of_jwt(issuer.id().as_str()) {
            let said = self.jwt_asked_about(introspector, token, jwt, could_prove, look, trace)?;
            return Ok((said, None));
        }
        let (key, place) = self.verify(&issuer, jwt, Meeting::First, look)?;

        // 5. The claims are there and of the right type.
        let wanted = self.wanted(issuer.id());
        let facts = facts_of(profile, &claims, issuer.id(), jws.payload(), &wanted, StandIns::NONE);
        let mut facts = facts.map_err(unusable_claim)?;
        facts.key_id = key.shared_kid();
        let facts = Arc::new(facts);
        let encrypted_only = issuer.encrypted_only();
        let key = ProvenKey::new(self.issuers.remember(issuer), &header, key);
        let known = KnownToken::new(facts, key, look.at);
        // Who has a token that need not be encrypted can put it into as many envelopes as he likes, each of
        // which would be a token of its own.
        let digest = digest.filter(|_| inner.is_none() || encrypted_only);
        Ok((Said::Verified(digest, known), place))
    }

    /// Steps 3 to 5 of a JWT as far as its signature says: its key, that it was signed with it, and that
    /// no claim is of another kind of token.
    pub(super) fn verify(
        &self,
        issuer: &Arc<IssuerKeys>,
        jwt: ReadJwt<'_>,
        meeting: Meeting,
        look: Look<'_>,
    ) -> Result<(Arc<PublicKey>, Option<Place<'_>>), Stop> {
        let ReadJwt { jws, header, claims } = jwt;
        let Look { at, found, .. } = look;
        let algorithm = header.algorithm();
        let key = Self::find_key(issuer, header.kid(), algorithm, at, found.keys)?;

        // 4. The signature.
        let place = self.place(meeting)?;
        key.verify(algorithm, jws).map_err(|_: BadSignature| forged(header, issuer.id()))?;
        self.issuers.proved(issuer, at);

        check_kind(issuer.profile(), header, claims)?;
        Ok((key, place))
    }

    /// 3. The issuer's key for a token.
    pub(super) fn find_key(
        issuer: &Arc<IssuerKeys>,
        kid: Option<&str>,
        algorithm: Algorithm,
        at: Moment,
        attempt: Attempt,
    ) -> Result<Arc<PublicKey>, Stop> {
        issuer.find(kid, algorithm, at, attempt).map_err(|miss| {
            let mut refusal = no_key(miss, kid, algorithm, issuer.id());
            if !issuer.has_keys() {
                let why =
                    "; it has no keys here: `.jwts()` of its introspection would ask it about JWTs";
                refusal.detail = format!("{}{why}", refusal.detail).into();
            }
            Stop::NoKey { issuer: Arc::clone(issuer), miss, refusal }
        })
    }

    /// A place among those whose signature is verified, for one that needs it.
    pub(super) fn place(&self, meeting: Meeting) -> Result<Option<Place<'_>>, Stop> {
        match (&self.turns, meeting) {
            (None, _) | (_, Meeting::Again) => Ok(None),
            (Some(turns), Meeting::First) => match turns.take() {
                Some(place) => Ok(Some(place)),
                None => Err(Stop::Busy(Arc::clone(turns))),
            },
        }
    }

    /// What the configuration wants to be read of the tokens of this issuer.
    pub(super) fn wanted(&self, issuer: &IssuerId) -> Wanted<'_> {
        let wanted = self.revocation.as_deref().map(|revocation| Wanted {
            claims: revocation.named_claims(),
            session: true,
            status: revocation.reads_status(issuer),
        });
        wanted.unwrap_or_default()
    }
}

/// 5. No claim is of another kind of token.
pub(super) fn check_kind(
    profile: &TokenProfile,
    header: &Header<'_>,
    claims: &ClaimsSet<'_>,
) -> Result<(), Refusal> {
    let other = |detail| Refusal::new(RejectionKind::OtherTokenKind, detail);
    if let Some(claim) = profile.other_kind(Some(header), claims) {
        return Err(other(format!("the token has `{claim}`, which no access token has")));
    }
    profile.unmet_claim(claims).map_or(Ok(()), |detail| Err(other(detail)))
}

/// Whether a token says of itself that it is a JWS or a JWE: it has parts, and the first is a JSON
/// object. What it says may be wrong; it is then refused as what it claims to be.
fn looks_like_jose(token: &str) -> bool {
    let Some((header, _)) = token.split_once('.') else { return false };
    // Four characters are three octets, of which the first that is no space tells.
    let start = header.get(..4).and_then(|start| base64url::decode(start).ok());
    // Where it is all space, what comes after it decides: not as an opaque token.
    start.is_some_and(|start| start.trim_ascii_start().first().is_none_or(|first| *first == b'{'))
}

/// Whether a token has the five parts of a JWE (RFC 7516 §7.1).
pub(super) fn is_sealed(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').take(5).count() == 4
}

fn unusable_credentials(error: CredentialsError) -> Refusal {
    let kind = match error {
        CredentialsError::Absent => RejectionKind::NoCredentials,
        CredentialsError::Several => RejectionKind::SeveralCredentials,
        CredentialsError::UnsupportedScheme => RejectionKind::UnsupportedScheme,
        CredentialsError::Malformed => RejectionKind::MalformedCredentials,
        CredentialsError::TooLong => RejectionKind::TokenTooLong,
    };
    Refusal::new(kind, error.to_string())
}

/// `why`: what else there is to say of it.
fn unusable_form(error: CompactError, why: &str) -> Refusal {
    let kind = match error {
        CompactError::Opaque => RejectionKind::OpaqueToken,
        CompactError::Encrypted => RejectionKind::EncryptedToken,
        _ => RejectionKind::MalformedToken,
    };
    let wanted = match error {
        CompactError::Unsigned => ": no unsigned token is accepted",
        CompactError::Detached => ": a token has to carry its claims",
        _ => "",
    };
    Refusal::new(kind, detail(format_args!("{error}{wanted}{why}")))
}

fn unusable_header(error: HeaderError, jws: &Compact<'_>) -> Refusal {
    let kind = match error {
        HeaderError::Json(_) | HeaderError::KeyId => RejectionKind::MalformedToken,
        HeaderError::Algorithm => RejectionKind::AlgorithmNotAllowed,
        HeaderError::Type => RejectionKind::WrongType,
        HeaderError::Unsupported(_) => RejectionKind::UnsupportedHeader,
    };
    if error == HeaderError::Algorithm {
        let stated = jws.stated_algorithm();
        let stated = shown(stated.as_deref());
        let detail = detail(format_args!(
            "`alg` is {stated}, wanted RS, PS or ES with 256, 384 or 512, EdDSA or Ed25519"
        ));
        return Refusal::new(kind, detail);
    }
    Refusal::new(kind, error.to_string())
}

fn unusable_payload(error: JsonError) -> Refusal {
    Refusal::new(RejectionKind::MalformedToken, detail(format_args!("the payload is {error}")))
}

pub(super) fn unusable_claim(error: ClaimError) -> Refusal {
    let kind = match error {
        ClaimError::Missing(_) => RejectionKind::MissingClaim,
        ClaimError::Malformed { .. } => RejectionKind::MalformedClaim,
    };
    let hint = match &error {
        ClaimError::Missing(claim) => match &**claim {
            "aud" => "; the client has to ask for a token for this resource (RFC 8707)",
            "jti" | "iat" => {
                "; `TokenProfile::may_lack` says what the issuer's tokens may do without"
            }
            "client_id" => "; `TokenProfile::client_id_from` says which claim of the issuer has it",
            _ => "",
        },
        ClaimError::Malformed { .. } => "",
    };
    Refusal::new(kind, detail(format_args!("{error}{hint}")))
}

fn forged(header: &Header<'_>, issuer: &IssuerId) -> Refusal {
    let (kid, algorithm) = (shown(header.kid()), header.algorithm());
    let detail = detail(format_args!(
        "the signature does not verify with the key of {issuer} for kid {kid}, alg {algorithm}"
    ));
    Refusal::new(RejectionKind::BadSignature, detail)
}

fn no_key(miss: KeyMiss, kid: Option<&str>, algorithm: Algorithm, issuer: &IssuerId) -> Refusal {
    let (kind, why) = match miss {
        KeyMiss::Choice(KeyChoiceError::Ambiguous) => {
            (RejectionKind::AmbiguousKey, "more than one key fits")
        }
        KeyMiss::Choice(KeyChoiceError::Unknown) => (RejectionKind::UnknownKey, "no key fits"),
        KeyMiss::NoKeys | KeyMiss::Stale => {
            let detail =
                format!("no keys of {issuer}: none were fetched, or too long ago to be used");
            return Refusal::new(RejectionKind::KeysUnavailable, detail);
        }
    };
    let kid = shown(kid);
    Refusal::new(kind, detail(format_args!("{why}: kid {kid}, alg {algorithm}, issuer {issuer}")))
}
