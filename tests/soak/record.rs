//! The record of what should be: for each token, and each way to present it, the one decision that is right.
//!
//! It is written from the documented order of the ten steps, and shares nothing with the crate but names. It
//! knows the world as it is told of each change, and asks nobody.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::time::Timestamp;

/// How long a token lives.
pub(crate) const LIFE: Duration = Duration::from_secs(300);
pub(crate) const LEEWAY: Duration = Duration::from_secs(10);

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Es256,
    Ed25519,
    Rs256,
    /// Of whom a feed speaks.
    Fed,
    /// Whose tokens are in a status list.
    Listed,
    Tenant,
    /// Who is asked about opaque tokens.
    Asked,
}

impl Who {
    pub(crate) const ALL: [Self; 7] = [
        Self::Es256,
        Self::Ed25519,
        Self::Rs256,
        Self::Fed,
        Self::Listed,
        Self::Tenant,
        Self::Asked,
    ];
}

/// What is wrong with a token as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    Malformed,
    Issuer,
    Kid,
    Signature,
    Audience,
    /// An opaque token that nobody made.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    No,
    Key,
    Certificate,
}

/// A token, and all that the record has to know of it.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) who: Who,
    pub(crate) flaw: Flaw,
    pub(crate) bound: Bound,
    pub(crate) kid: String,
    pub(crate) jti: String,
    pub(crate) about: [About; 3],
    pub(crate) may_write: bool,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Its place in the status list.
    pub(crate) index: Option<usize>,
}

/// Whom a cut-off is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About {
    Subject(usize),
    Session(usize),
    Client(usize),
    Key(String),
    Issuer,
}

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Bearer,
    /// With a proof of this kind, by the right client.
    Proof,
    ProofWithNonce,
    ForgedProof,
    Certificate,
    OtherCertificate,
}

/// Where it is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Plain,
    /// Its check is asked later.
    Later,
    /// Wants a scope.
    Write,
    /// Wants a nonce.
    Nonce,
    /// Takes a token once.
    Once,
}

/// Which cut-offs count. A cut-off is kept as long as a token that it meets can live, by a clock that is
/// right. Where the clock is set back after that, such a token is within its time once more: then either
/// answer may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutOffs {
    All,
    OfLivingTokens,
}

/// What may come: nothing else.
pub(crate) type Wants = Vec<Option<Kind>>;

/// The world as it should be seen.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) now: Timestamp,
    /// The keys that the server has; `None`: too old to be used.
    pub(crate) keys: HashMap<Who, Option<BTreeSet<String>>>,
    pub(crate) is_tenant: bool,
    /// By issuer and `jti`, and when.
    pub(crate) revoked: HashMap<(Who, String), Timestamp>,
    pub(crate) cut_offs: HashMap<(Who, About), Timestamp>,
    pub(crate) statuses: Vec<u8>,
    pub(crate) list_is_up: bool,
    pub(crate) feed_is_up: bool,
    pub(crate) endpoint_is_up: bool,
    /// Opaque tokens that their issuer takes back, by `jti`, and since when.
    pub(crate) inactive: HashMap<String, Timestamp>,
    /// The latest time of day that there ever was.
    pub(crate) latest: Timestamp,
    /// The latest that was right: what was over by then the server keeps no more.
    pub(crate) kept_from: Timestamp,
}

impl Record {
    /// Steps 1 to 9. Step 10 is of whoever sends something twice.
    pub(crate) fn decides(
        &self,
        token: &Token,
        shown: Shown,
        route: Route,
        kept: CutOffs,
    ) -> Option<Kind> {
        self.authenticates(token)
            .or_else(|| self.is_valid(token))
            .or_else(|| self.is_sent_by_its_owner(token, shown, route))
            .or_else(|| self.is_revoked(token, kept))
            .or_else(|| {
                (route == Route::Write && !token.may_write).then_some(Kind::InsufficientScope)
            })
    }

    /// 2 to 5.
    fn authenticates(&self, token: &Token) -> Option<Kind> {
        if token.flaw == Flaw::Malformed {
            return Some(Kind::MalformedToken);
        }
        if token.who == Who::Asked {
            // An answer that was kept is over by then: the conductor sees to that.
            return match self.endpoint_is_up {
                false => Some(Kind::IntrospectionUnavailable),
                true if token.flaw == Flaw::Unknown => Some(Kind::Inactive),
                true if self.inactive.contains_key(&token.jti) => Some(Kind::Inactive),
                true => None,
            };
        }
        if token.flaw == Flaw::Issuer || token.who == Who::Tenant && !self.is_tenant {
            return Some(Kind::UnknownIssuer);
        }
        match &self.keys[&token.who] {
            None => return Some(Kind::KeysUnavailable),
            Some(keys) if !keys.contains(&token.kid) => return Some(Kind::UnknownKey),
            Some(_) => {}
        }
        (token.flaw == Flaw::Signature).then_some(Kind::BadSignature)
    }

    /// 6.
    fn is_valid(&self, token: &Token) -> Option<Kind> {
        if token.flaw == Flaw::Audience {
            return Some(Kind::WrongAudience);
        }
        if self.now >= token.expires_at.plus(LEEWAY) {
            return Some(Kind::Expired);
        }
        (token.issued_at > self.now.plus(LEEWAY)).then_some(Kind::IssuedInFuture)
    }

    /// 7.
    fn is_sent_by_its_owner(&self, token: &Token, shown: Shown, route: Route) -> Option<Kind> {
        match (token.bound, shown) {
            (Bound::No, _) => None,
            (Bound::Key, Shown::Proof) if route == Route::Nonce => Some(Kind::NonceMissing),
            (Bound::Key, Shown::Proof | Shown::ProofWithNonce) => None,
            (Bound::Key, Shown::ForgedProof) => Some(Kind::ProofSignature),
            (Bound::Key, _) => Some(Kind::BearerDowngrade),
            (Bound::Certificate, Shown::Certificate) => None,
            (Bound::Certificate, Shown::OtherCertificate) => Some(Kind::OtherCertificate),
            (Bound::Certificate, _) => Some(Kind::CertificateMissing),
        }
    }

    /// 8.
    fn is_revoked(&self, token: &Token, kept: CutOffs) -> Option<Kind> {
        let is_cut_off = |about: About| {
            let cut_off = self.cut_offs.get(&(token.who, about));
            let is_over = |at: Timestamp| at.plus(LIFE + LEEWAY * 2) <= self.kept_from;
            cut_off
                .is_some_and(|at| token.issued_at <= *at && (kept == CutOffs::All || !is_over(*at)))
        };
        let abouts = token.about.iter().cloned();
        if self.revoked.contains_key(&(token.who, token.jti.clone()))
            || abouts.chain([About::Key(token.kid.clone()), About::Issuer]).any(is_cut_off)
        {
            return Some(Kind::Revoked);
        }
        match token.index.map(|index| self.statuses[index]) {
            // "No" needs no freshness.
            Some(1) => return Some(Kind::Revoked),
            Some(_) if !self.list_is_up => return Some(Kind::RevocationUnavailable),
            Some(2) => return Some(Kind::Suspended),
            _ => {}
        }
        (token.who == Who::Fed && !self.feed_is_up).then_some(Kind::RevocationUnavailable)
    }

    /// What time it is.
    pub(crate) fn see(&mut self, now: Timestamp) {
        self.now = now;
        self.latest = self.latest.max(now);
    }

    /// Whether what is used now could be among what the replay memory has forgotten: it has dropped what
    /// ended by then, and what is used now ends no later. A proof ends after seventy seconds, and all else
    /// later than that. It is 503 rather than a second use.
    fn may_have_forgotten(&self) -> bool {
        self.now.plus(Duration::from_secs(60)) <= self.latest
    }

    /// Forgets what can matter no more, however the clock is set.
    pub(crate) fn tidy(&mut self) {
        let long_ago = self.now.minus(LIFE * 8);
        self.revoked.retain(|_, at| *at > long_ago);
        self.cut_offs.retain(|_, at| *at > long_ago);
        self.inactive.retain(|_, at| *at > long_ago);
    }
}

/// The world before and while something changes.
pub(crate) struct Epoch {
    pub(crate) number: u64,
    /// What changed last, or changes now.
    pub(crate) change: &'static str,
    pub(crate) before: Record,
    /// While something changes: what will be right when it has.
    pub(crate) after: Option<Record>,
}

impl Epoch {
    /// The answers that are right: one, or two while the world changes.
    pub(crate) fn wants(&self, token: &Token, shown: Shown, route: Route) -> Wants {
        let records = [Some(&self.before), self.after.as_ref()];
        let mut wants: Wants = Vec::with_capacity(2);
        for record in records.into_iter().flatten() {
            for kept in [CutOffs::All, CutOffs::OfLivingTokens] {
                let want = record.decides(token, shown, route, kept);
                if !wants.contains(&want) {
                    wants.push(want);
                }
            }
        }
        wants
    }

    /// The same for what is used up by passing.
    pub(crate) fn wants_once(&self, token: &Token, shown: Shown, route: Route) -> Wants {
        let mut wants = self.wants(token, shown, route);
        let records = [Some(&self.before), self.after.as_ref()];
        let mut records = records.into_iter().flatten();
        if records.any(Record::may_have_forgotten) && wants.contains(&None) {
            wants.push(Some(Kind::ReplayUnavailable));
        }
        wants
    }
}

/// What may come when the same is sent again: it was used up if it passed, and is refused as before if not.
pub(crate) fn again(wants: &Wants, first: Option<Kind>, used: Kind) -> Wants {
    match first {
        None => {
            let others = wants.iter().copied().filter(Option::is_some);
            others.chain([Some(used)]).collect()
        }
        Some(_) => wants.clone(),
    }
}
