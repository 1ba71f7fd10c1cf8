//! What a decision depends on besides the request, as it is kept in files. What a file does not
//! name is as strict as RFC 9068 has it, and there is no policy beyond it.

use serde::{Deserialize, Serialize};

/// Everything that a decision depends on besides the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    /// The audience that a token must name.
    pub(crate) resource: String,
    /// Other names of the resource.
    #[serde(default)]
    pub(crate) other_names: Vec<String>,
    /// Whether a token may name no audience but these.
    #[serde(default)]
    pub(crate) no_other_audience: bool,
    /// The issuers that are believed.
    pub(crate) issuers: Vec<NaiveIssuer>,
    /// Leeway for `exp`, `nbf` and `iat`, in seconds.
    pub(crate) leeway_secs: u64,
    /// The largest `exp - iat` of tokens about which no class says more, in seconds.
    pub(crate) max_lifetime_secs: u64,
    /// The largest age of such tokens, in seconds.
    #[serde(default)]
    pub(crate) max_age_secs: Option<u64>,
    /// The binding that such tokens need.
    #[serde(default)]
    pub(crate) default_binding: Option<String>,
    /// Further token classes.
    #[serde(default)]
    pub(crate) classes: Vec<NaiveClass>,
    /// The binding that every token needs.
    #[serde(default = "where_bound")]
    pub(crate) binding: String,
    /// The binding that the route needs.
    #[serde(default)]
    pub(crate) route_binding: Option<String>,
    /// Who may do without the binding that every token needs.
    #[serde(default)]
    pub(crate) exceptions: Vec<NaiveException>,
    /// How keys of clients are proven; without it nobody's is, and the scheme is not offered.
    #[serde(default)]
    pub(crate) dpop: Option<NaiveDpop>,
    /// Whether certificates of connections are those of the clients.
    #[serde(default)]
    pub(crate) mtls: bool,
    /// How many used things are remembered, of all clients and of one; as many as come unless it is
    /// said.
    #[serde(default)]
    pub(crate) replay_room: Option<(usize, usize)>,
    /// The scopes that the route needs, all of them.
    pub(crate) needed_scopes: Vec<String>,
    /// How the route wants users to have authenticated.
    #[serde(default)]
    pub(crate) step_up: Option<NaiveStepUp>,
    /// The clients that the route is for.
    #[serde(default)]
    pub(crate) clients: Option<NaiveNames>,
    /// The subjects that the route is for.
    #[serde(default)]
    pub(crate) subjects: Option<NaiveNames>,
    /// What the route wants of actors.
    #[serde(default)]
    pub(crate) actor: Option<NaiveActor>,
    /// The authorization detail that the route needs.
    #[serde(default)]
    pub(crate) detail: Option<NaiveDetail>,
    /// Whether the route wants a nonce in proofs, also where the server only takes one.
    #[serde(default)]
    pub(crate) route_nonce: bool,
    /// Whether the route takes each token once.
    #[serde(default)]
    pub(crate) single_use: bool,
    /// Who is asked about tokens.
    #[serde(default)]
    pub(crate) asked: Vec<NaiveAsked>,
    /// Who is asked about opaque tokens on this route, if the route says so.
    #[serde(default)]
    pub(crate) route_asks: Option<String>,
    /// How old what is known of a token may be on this route, of a server that looks at nothing of
    /// revocation but its issuer's word.
    #[serde(default)]
    pub(crate) route_freshness_secs: Option<u64>,
    /// Nanoseconds since the Unix epoch.
    #[serde(with = "as_text")]
    pub(crate) now_nanos: u128,
    /// Nanoseconds of a clock that nobody sets.
    #[serde(with = "as_text", default = "steady_start")]
    pub(crate) steady_nanos: u128,
}

/// One believed issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveIssuer {
    /// The issuer identifier, compared exactly.
    pub(crate) id: String,
    /// The algorithm allow-list, in order.
    pub(crate) algorithms: Vec<String>,
    /// The JWKS as JSON text; empty of an issuer without keys.
    pub(crate) jwks: String,
    /// How its tokens are written.
    #[serde(default)]
    pub(crate) profile: NaiveProfile,
}

/// How one issuer is asked about its tokens (RFC 7662).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveAsked {
    /// One of the issuers that are believed.
    pub(crate) issuer: String,
    /// Its opaque tokens begin with one of these.
    pub(crate) prefixes: Vec<String>,
    /// Only routes that name it send it opaque tokens.
    pub(crate) only_where_named: bool,
    /// Whether it is asked about its JWTs as well.
    pub(crate) jwts: bool,
    /// Which of `token_type`, `exp` and `sub` an answer may lack.
    pub(crate) may_lack: Vec<String>,
    /// Whether an answer may lack the audience.
    pub(crate) without_audience: bool,
    pub(crate) ttl_secs: u64,
    /// Five seconds, or the whole ttl if that is shorter, unless it is said.
    pub(crate) negative_ttl_secs: Option<u64>,
}

/// What an endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NaiveReply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Where an issuer's tokens differ from RFC 9068.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NaiveProfile {
    /// Types beside `at+jwt`.
    pub(crate) more_types: Vec<String>,
    /// Whether a token without a type is one of this issuer's.
    pub(crate) untyped: bool,
    /// Which of `client_id`, `iat` and `jti` may be absent.
    pub(crate) may_lack: Vec<String>,
    /// The first of these that is there is the client.
    pub(crate) client_claims: Vec<String>,
    /// The first of these that is there is the scope.
    pub(crate) scope_claims: Vec<String>,
    /// Whether a scope may be an array.
    pub(crate) scope_arrays: bool,
    /// The first of these that is there is the audience.
    pub(crate) audience_claims: Vec<String>,
    /// Whether ID tokens are welcome.
    pub(crate) id_tokens: bool,
    /// Claims that have to be one of these JSON texts.
    pub(crate) required: Vec<(String, Vec<String>)>,
    /// Subject kinds; the first whose test holds.
    pub(crate) kinds: Vec<(String, NaiveTest)>,
}

impl Default for NaiveProfile {
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            more_types: Vec::new(),
            untyped: false,
            may_lack: Vec::new(),
            client_claims: one("client_id"),
            scope_claims: one("scope"),
            scope_arrays: false,
            audience_claims: one("aud"),
            id_tokens: false,
            required: Vec::new(),
            kinds: Vec::new(),
        }
    }
}

/// A condition on the claims: their names first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum NaiveTest {
    Equals(String, String),
    StartsWith(String, String),
    Present(String),
    Absent(String),
    Same(String, String),
    /// One claim, another one, and what the first has behind the other.
    SameWithSuffix(String, String, String),
}

/// A class describes a token for which every list that is not empty fits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NaiveClass {
    pub(crate) issuers: Vec<String>,
    pub(crate) clients: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) kinds: Vec<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) max_lifetime_secs: Option<u64>,
    pub(crate) max_age_secs: Option<u64>,
    /// How old what is known of its revocation may be.
    #[serde(default)]
    pub(crate) freshness_secs: Option<u64>,
    pub(crate) binding: Option<String>,
}

/// Clients that need not bind their tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveException {
    pub(crate) clients: Vec<String>,
    pub(crate) issuer: Option<String>,
    /// The last day, `YYYY-MM-DD`, all of it.
    pub(crate) until: String,
    pub(crate) max_lifetime_secs: Option<u64>,
    /// Where requests come from; anywhere if there is none.
    pub(crate) networks: Vec<String>,
}

/// What is accepted of proofs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveDpop {
    pub(crate) algorithms: Vec<String>,
    pub(crate) max_age_secs: u64,
    #[serde(default)]
    pub(crate) nonces: Option<NaiveNonces>,
    /// By which clients call the server; by the resource's own if there is none.
    #[serde(default)]
    pub(crate) origins: Vec<NaiveOrigin>,
}

/// Nonces for proofs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveNonces {
    /// Whether a proof needs one.
    pub(crate) required: bool,
    pub(crate) lifetime_secs: u64,
    /// A text that only the servers know which make them.
    pub(crate) key: String,
}

/// Scheme, host and port, and what a proxy does to the front of paths.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NaiveOrigin {
    pub(crate) origin: String,
    #[serde(default)]
    pub(crate) proxy_removes: String,
    #[serde(default)]
    pub(crate) proxy_adds: String,
}

/// How a user has to have authenticated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveStepUp {
    /// One of these, unless there is none.
    pub(crate) acr_values: Vec<String>,
    pub(crate) max_age_secs: Option<u64>,
}

/// Names that an issuer gave to somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveNames {
    pub(crate) names: Vec<String>,
    pub(crate) issuer: Option<String>,
}

/// Who may use a token on behalf of its subject.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum NaiveActor {
    /// Somebody has to.
    Some,
    /// Nobody.
    None,
    /// One of these; of the token's issuer unless it says of which.
    OneOf(NaiveNames),
}

/// What one object of `authorization_details` has to grant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NaiveDetail {
    pub(crate) detail_type: String,
    /// All of these.
    pub(crate) actions: Vec<String>,
    /// One of these.
    pub(crate) locations: Vec<String>,
    /// All of these.
    pub(crate) datatypes: Vec<String>,
    /// All of these.
    pub(crate) privileges: Vec<String>,
    pub(crate) identifier: Option<String>,
}

/// What a server looks at of revocation beside the classes, and who could tell it. Its sources never
/// said a word; what this process itself says is said between requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NaiveRevocation {
    /// The claims that records can name beside session, subject and client.
    pub(crate) claims: Vec<String>,
    pub(crate) sources: Vec<NaiveSource>,
    /// What becomes of tokens where too little is known and nobody says more.
    pub(crate) on_stale: Option<NaiveStale>,
    /// How old what is known may be of tokens about which no class says more.
    pub(crate) default_freshness_secs: Option<u64>,
    /// What the route wants.
    pub(crate) route_freshness_secs: Option<u64>,
    pub(crate) route_on_stale: Option<NaiveStale>,
}

/// A source that never said a word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NaiveSource {
    pub(crate) speaks_for: Vec<String>,
    pub(crate) on_stale: Option<NaiveStale>,
}

/// What becomes of tokens where too little is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NaiveStale {
    Deny,
    /// In seconds since the source was last known.
    AllowFor(u64),
    InsecureUnbounded,
}

/// Something that is said of tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NaiveRecord {
    pub(crate) issuer: String,
    pub(crate) target: NaiveTarget,
    pub(crate) effect: NaiveEffect,
    /// Nanoseconds since the Unix epoch.
    #[serde(with = "as_text")]
    pub(crate) at_nanos: u128,
    /// When the token expires that is meant, if that is said.
    #[serde(with = "as_text_or_null", default)]
    pub(crate) until_nanos: Option<u128>,
}

/// Which tokens are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NaiveTarget {
    /// The one with this `jti`.
    Token(String),
    /// Those that are signed with the key of this `kid`.
    Key(String),
    Issuer,
    /// Those that have all of these.
    Claims(Vec<(NaiveClaim, String)>),
}

/// A claim by which tokens are told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum NaiveClaim {
    Session,
    Subject,
    Client,
    Named(String),
}

/// What becomes of the tokens that are meant; the reasons to hold are `account`, `device` and `risk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NaiveEffect {
    Refuse,
    StepUp,
    Hold(String),
    HoldForStepUp(String),
    Release(String),
    Purge,
    Lift,
}

fn where_bound() -> String {
    "where_bound".to_owned()
}

/// Any moment will do; a clock set by hand begins with this one.
fn steady_start() -> u128 {
    1_000_000_000_000
}

/// JSON numbers end where 64 bits do.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The same where it need not be said.
mod as_text_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &Option<u128>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<u128>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}
