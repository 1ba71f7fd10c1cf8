use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::ClientAuth;
use super::checked::{Answers, Checked, Choice, Jwts};
use crate::error::{ConfigFault, Faults};
use crate::name::{LoopbackHttp, https_url};
use crate::time::shown_duration;
use crate::transport::Transport;

/// How the tokens of one issuer are asked about (RFC 7662).
///
/// Nothing is checked here: `build()` of the server reports every fault at once. See
/// [`crate::introspection`] for the rules.
#[derive(Clone)]
#[must_use = "it does nothing until it is given to `ResourceServer::builder(...).introspection`"]
pub struct Introspection {
    issuer: String,
    endpoint: String,
    client: Option<ClientAuth>,
    prefixes: Vec<String>,
    only_where_named: bool,
    jwts: Jwts,
    /// `None`: plain JSON. The audience, if it was said.
    signed: Option<Option<String>>,
    gaps: Vec<AnswerGap>,
    without_audience: bool,
    ttl: Duration,
    negative_ttl: Option<Duration>,
    cache_bytes: u64,
    timeout: Duration,
    max_at_once: usize,
    transport: Option<Arc<dyn Transport>>,
    loopback_http: LoopbackHttp,
}

/// A member of an answer that an issuer does not write. Without one of them an active token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerGap {
    /// `token_type`. An issuer answers about refresh tokens too, and it is by this member that most of
    /// them tell: whose answers lack it lets clients use a refresh token here.
    TokenType,
    /// `exp`. The token is then as good as each answer: it ends with [`Introspection::ttl`], and is
    /// asked about again. How long it may live is bounded by `iat` and its [`crate::TokenClass`]; the
    /// issuer's profile cannot let go of `iat` as well.
    ExpiresAt,
    /// `sub`. The client is then the subject, as in a token that a client got for itself. It is wrong
    /// for an issuer that leaves out `sub` to protect its users.
    Subject,
}

impl AnswerGap {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::TokenType, Self::ExpiresAt, Self::Subject];

    /// The member's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenType => "token_type",
            Self::ExpiresAt => "exp",
            Self::Subject => "sub",
        }
    }
}

impl Introspection {
    /// The longest answer, in octets.
    pub(super) const MAX_ANSWER: usize = 64 * 1024;
    const TTL: Duration = Duration::from_secs(30);
    const NEGATIVE_TTL: Duration = Duration::from_secs(5);
    const LONGEST_TTL: Duration = Duration::from_mins(10);
    const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(10);
    const CACHE_BYTES: u64 = 16 * 1024 * 1024;
    const MOST_CACHE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
    const MOST_AT_ONCE: usize = 1_024;
    const MOST_PREFIXES: usize = 32;
    const LONGEST_PREFIX: usize = 64;

    /// Tokens of this issuer are asked about at this endpoint. The issuer has to be one of the
    /// server's: [`crate::Issuer::opaque`] for one that writes no JWTs.
    pub fn at(issuer: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            endpoint: endpoint.into(),
            client: None,
            prefixes: Vec::new(),
            only_where_named: false,
            jwts: Jwts::ReadHere,
            signed: None,
            gaps: Vec::new(),
            without_audience: false,
            ttl: Self::TTL,
            negative_ttl: None,
            cache_bytes: Self::CACHE_BYTES,
            timeout: Duration::from_secs(2),
            max_at_once: 64,
            transport: None,
            loopback_http: LoopbackHttp::Refused,
        }
    }

    /// Who this server is at the endpoint. Mandatory (RFC 7662 §2.1).
    pub fn client(mut self, client: ClientAuth) -> Self {
        self.client = Some(client);
        self
    }

    /// Only tokens that begin so are of this issuer. Call it once for each beginning. Of several issuers
    /// all but one need one; the longest that fits decides.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Opaque tokens are sent to this issuer only on routes that name it
    /// ([`crate::Policy::introspected_by`]). JWTs, by [`Self::jwts`], say themselves whose they are.
    pub fn only_where_named(mut self) -> Self {
        self.only_where_named = true;
        self
    }

    /// JWTs that name this issuer are sent to it as well: it says what they are worth, and whether they
    /// are revoked. Where the server has the issuer's keys, a forged token is never asked about.
    ///
    /// The answer counts; what the token says itself of its sender (`cnf`), of when it begins and ends, of
    /// its `jti`, session and status list, and of who acts (`act`), is not taken back by an answer that leaves
    /// it out, nor is its audience where answers may leave that out. An answer with another `jti`, status list
    /// or actor is about another token, and none. Where the server has no keys of the issuer, an actor that
    /// only the token names is nobody's word: such a token is refused.
    pub fn jwts(mut self) -> Self {
        self.jwts = Jwts::AskedAbout;
        self
    }

    /// Wants answers that are signed with a key of the issuer (RFC 9701), and no others. The server's
    /// [`crate::Issuer`] says where its keys are.
    pub fn signed_answers(mut self) -> Self {
        self.signed.get_or_insert(None);
        self
    }

    /// Wants signed answers that name this audience: what the issuer calls this server. It is the client
    /// id of [`Self::client`] unless said otherwise.
    pub fn signed_for(mut self, audience: impl Into<String>) -> Self {
        self.signed = Some(Some(audience.into()));
        self
    }

    /// The issuer's answers lack this member, and tokens are accepted all the same. What else
    /// RFC 9068 has, and an issuer does not write, its [`crate::issuer::TokenProfile`] lets go.
    pub fn may_lack(mut self, gap: AnswerGap) -> Self {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
        self
    }

    /// How long an answer is kept; 30 seconds unless said otherwise, at most 10 minutes. It is how late
    /// a token may be seen to be revoked. Zero asks with every request.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long "not active" is kept, at most as long as other answers; 5 seconds unless said
    /// otherwise. A token that becomes active is refused for so long.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// The room for answers, in bytes; 16 MiB unless said otherwise, which is some 10 000 of them.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The longest a call may take, its turn included, and the longest a request waits; 2 seconds
    /// unless said otherwise, 50 milliseconds to 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many calls are under way at once; 64 unless said otherwise, 1 to 1024.
    ///
    /// Beyond these, calls wait for their turn. At most 1 024 requests with unknown tokens wait for an
    /// answer, and 1 024 with tokens that were active before; one more of its kind gets 503 at once.
    pub fn max_at_once(mut self, calls: usize) -> Self {
        self.max_at_once = calls;
        self
    }

    /// What sends the calls, in place of the server's transport: for example with a client certificate,
    /// or with a private CA.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Settings that weaken what an answer proves.
    pub fn dangerous(self) -> DangerousIntrospection {
        DangerousIntrospection(self)
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether its calls have to be sent by the server's transport.
    pub(super) fn needs_transport(&self) -> bool {
        self.transport.is_none()
    }

    /// Whether JWTs of the issuer are asked about.
    pub(crate) fn takes_jwts(&self) -> bool {
        self.jwts == Jwts::AskedAbout
    }

    /// Whether answers may lack `exp`.
    pub(super) fn has_no_end(&self) -> bool {
        self.gaps.contains(&AnswerGap::ExpiresAt)
    }

    /// Whether the issuer's keys are needed.
    pub(super) fn wants_keys(&self) -> bool {
        self.signed.is_some()
    }

    /// The checked form, or every fault of its own.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<Checked> {
        let before = faults.len();
        if let Err(fault) = https_url("introspection endpoint", &self.endpoint, self.loopback_http)
        {
            faults.push_at("endpoint", fault);
        }
        let client = match &self.client {
            Some(client) => faults.at("client", |faults| client.check(&self.issuer, faults)),
            None => {
                let what = "an introspection endpoint answers only whom it knows: \
                            `.client(ClientAuth::basic(id, SecretSource::env(..)))`, or by name \
                            `ClientAuth::insecure_unauthenticated()`";
                faults.push_at("client", fault(what));
                None
            }
        };
        let choice = self.choice(faults);
        let audience = client.as_ref().and_then(|client| client.client_id());
        let answers = match &self.signed {
            None => Some(Answers::Json),
            Some(said) => match said.as_deref().or(audience) {
                Some(audience) if !audience.is_empty() => Some(Answers::Signed(audience.into())),
                Some(_) => {
                    let what = "the audience of signed answers is empty: say with `signed_for` what the \
                                issuer writes into `aud`";
                    faults.push_at("signed_for", fault(what));
                    None
                }
                None if client.is_some() => {
                    let what =
                        "signed answers name this server in `aud`: say how, with `signed_for`";
                    faults.push_at("signed_for", fault(what));
                    None
                }
                None => None,
            },
        };
        if self.ttl > Self::LONGEST_TTL {
            let (found, most) = (shown_duration(self.ttl), shown_duration(Self::LONGEST_TTL));
            let what = format!(
                "`ttl` is {found}, longer than {most}: a revocation at the issuer is seen that late; \
                 say at most that"
            );
            faults.push_at("ttl", fault(what));
        }
        let negative_ttl = self.negative_ttl.unwrap_or(Self::NEGATIVE_TTL.min(self.ttl));
        if negative_ttl > self.ttl {
            let (found, most) = (shown_duration(negative_ttl), shown_duration(self.ttl));
            let what = format!(
                "`negative_ttl` is {found}, longer than the `ttl`, {most}: a token that becomes active \
                 is refused that long; say at most that"
            );
            faults.push_at("negative_ttl", fault(what));
        }
        if !Self::TIMEOUTS.contains(&self.timeout) {
            let [found, least, most] =
                [&self.timeout, Self::TIMEOUTS.start(), Self::TIMEOUTS.end()]
                    .map(|time| shown_duration(*time));
            let what = format!(
                "`timeout` is {found}, which is not between {least} and {most}: say \
                                one in between"
            );
            faults.push_at("timeout", fault(what));
        }
        if !(1..=Self::MOST_AT_ONCE).contains(&self.max_at_once) {
            let (what, maximum) = ("number of calls at once", Self::MOST_AT_ONCE);
            let found = self.max_at_once;
            faults.push_at("max_at_once", ConfigFault::Bound { what, found, maximum });
        }
        if self.cache_bytes > Self::MOST_CACHE_BYTES {
            let most = Self::MOST_CACHE_BYTES;
            let what = format!("{} is more than {most} bytes: say at most that", self.cache_bytes);
            faults.push_at("cache_bytes", fault(what));
        }
        match (client, choice, answers) {
            (Some(client), Some(choice), Some(answers)) if faults.len() == before => {
                Some(Checked {
                    issuer: self.issuer.as_str().into(),
                    endpoint: self.endpoint.as_str().into(),
                    client,
                    choice,
                    jwts: self.jwts,
                    answers,
                    gaps: self.gaps.as_slice().into(),
                    without_audience: self.without_audience,
                    ttl: self.ttl,
                    negative_ttl,
                    cache_bytes: self.cache_bytes,
                    timeout: self.timeout,
                    max_at_once: self.max_at_once,
                    transport: self.transport.clone(),
                    loopback_http: self.loopback_http,
                })
            }
            _ => None,
        }
    }

    fn choice(&self, faults: &mut Faults) -> Option<Choice> {
        let before = faults.len();
        if self.prefixes.len() > Self::MOST_PREFIXES {
            let (what, maximum) = ("number of prefixes", Self::MOST_PREFIXES);
            let found = self.prefixes.len();
            faults.push_at("prefixes", ConfigFault::Bound { what, found, maximum });
        }
        for (index, prefix) in self.prefixes.iter().enumerate() {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            let most = Self::LONGEST_PREFIX;
            if !(1..=most).contains(&prefix.len()) || !prefix.bytes().all(legal) {
                let what = format!(
                    "{prefix:?} is no beginning of a token: 1 to {most} letters, digits and `-._~+/` \
                     are wanted (RFC 6750 §2.1)"
                );
                faults.at_element("prefixes", index, |faults| faults.push(fault(what)));
            }
        }
        if self.only_where_named && !self.prefixes.is_empty() {
            let what = "a prefix chooses by the token, `only_where_named` by the route: say one";
            faults.push_at("only_where_named", fault(what));
        }
        if faults.len() > before {
            return None;
        }
        Some(match (self.only_where_named, self.prefixes.as_slice()) {
            (true, _) => Choice::WhereNamed,
            (false, []) => Choice::Rest,
            (false, prefixes) => Choice::Prefixes(prefixes.into()),
        })
    }
}

pub(super) fn fault(what: impl Into<String>) -> ConfigFault {
    ConfigFault::Introspection(what.into())
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("issuer", &self.issuer)
            .field("endpoint", &self.endpoint)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Settings of an [`Introspection`] that weaken what an answer proves.
#[must_use = "take the introspection back with one of the methods"]
pub struct DangerousIntrospection(Introspection);

impl DangerousIntrospection {
    /// Takes an answer without `aud` as one about a token for this server. RFC 7662 §2.2 lets an issuer
    /// leave it out; whoever else is told "active" about the same token can then use it here.
    pub fn insecure_without_audience(mut self) -> Introspection {
        self.0.without_audience = true;
        self.0
    }

    /// Lets the endpoint be at an `http` URL of a loopback host, for tests and local development. Tokens
    /// and this server's own secret then go over the wire in the clear. Any other host is still refused.
    pub fn insecure_loopback_http(mut self) -> Introspection {
        self.0.loopback_http = LoopbackHttp::Allowed;
        self.0
    }
}

impl fmt::Debug for DangerousIntrospection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DangerousIntrospection").field(&self.0).finish()
    }
}
