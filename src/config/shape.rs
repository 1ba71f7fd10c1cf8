//! What a file may say. The words of its members are the paths of faults, in the builder too.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::decryption::DecryptionTable;
use super::dpop::DpopTable;
use super::introspection::IntrospectionTable;
use super::issuer::IssuerTable;
use super::mtls::MtlsTable;
use super::policy::PolicyTable;
use super::replay::ReplayTable;
use super::revocation::RevocationTable;
use super::secret::SecretRef;
use super::value::{Count, Some1, Switch, Table, Time};
use super::verifications::VerificationsTable;
use super::word::{BindingWord, KindWord, OtherAudiencesWord, SecurityProfileWord};

/// A resource server: which issuers it accepts tokens of, and what it wants of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "portcullis", extend("required" = ["resource", "binding", "default_class"])))]
pub(super) struct File {
    /// Where editors find the schema of this file. It changes nothing.
    #[serde(rename = "$schema")]
    pub(super) schema: Option<String>,
    /// This protected resource: an absolute https URL without fragment. A token has to name it as
    /// its audience.
    pub(super) resource: Option<String>,
    /// Further audiences that this server answers to, for example an older name of the resource.
    pub(super) accept_audiences: Vec<String>,
    /// What a token may do that names other audiences as well; "accept" unless said otherwise.
    pub(super) other_audiences: Option<OtherAudiencesWord>,
    /// The issuers whose tokens are accepted.
    pub(super) issuers: Vec<Table<IssuerTable>>,
    /// Many issuers, of which only those in use are kept, with their keys.
    pub(super) tenants: Option<Table<Tenants>>,
    /// What is wanted of every token, unless a class says otherwise.
    pub(super) default_class: Option<Table<DefaultClass>>,
    /// What is wanted of some tokens. Of all classes that describe a token the strictest values
    /// apply.
    pub(super) classes: Vec<Table<Class>>,
    /// How tokens have to be bound to their sender, and what an unbound one may do.
    pub(super) binding: Option<BindingWord>,
    /// Proves senders by keys of theirs (DPoP, RFC 9449). Without it every token that is bound to a
    /// key is refused.
    pub(super) dpop: Option<Table<DpopTable>>,
    /// Proves senders by their client certificates (RFC 8705). Without it every token that is bound
    /// to a certificate is refused.
    pub(super) mtls: Option<Table<MtlsTable>>,
    /// Decrypts encrypted tokens (RFC 9068 §4). Without it they are refused. It needs the feature `jwe`.
    pub(super) decryption: Option<Table<DecryptionTable>>,
    /// Who is asked about tokens that only their issuer understands (RFC 7662): one table for each such
    /// issuer. Without any every token that is no JWT is refused.
    pub(super) introspection: Vec<Table<IntrospectionTable>>,
    /// What is known of revocation, and from whom. Without it a token is accepted until it expires, but
    /// for those that are asked about.
    pub(super) revocation: Option<Table<RevocationTable>>,
    /// How much this process remembers of the proofs, and of the tokens for one use, that were used.
    pub(super) replay: Option<Table<ReplayTable>>,
    /// Clients that may use plain bearer tokens where `binding` wants bound ones, for a while.
    pub(super) exceptions: Vec<Table<ExceptionTable>>,
    /// A named set of demands on the whole configuration.
    pub(super) security_profile: Option<SecurityProfileWord>,
    /// How far the clocks of issuers and this server may differ; "10s" unless said otherwise, at
    /// most "5m".
    pub(super) leeway: Option<Time>,
    /// The longest token, in bytes; 16384 unless said otherwise, which is also the most.
    pub(super) max_token_bytes: Option<Count>,
    /// The room for tokens that were accepted before, in bytes, at most 68719476736; 33554432 unless said
    /// otherwise. 0 keeps none, and every signature is verified with every request.
    pub(super) known_tokens_bytes: Option<Count>,
    /// How many tokens that are not known may have their signature verified at once, so that a flood of
    /// forged ones leaves threads to the others; `false` for no bound.
    pub(super) first_verifications: Option<Switch<VerificationsTable>>,
    /// The server's own policy; any accepted token unless said otherwise.
    pub(super) policy: Option<Table<PolicyTable>>,
    /// Policies to be found by name.
    pub(super) policies: BTreeMap<String, Table<PolicyTable>>,
    /// Which further scopes a held scope grants, and those which they grant.
    pub(super) scope_implications: BTreeMap<String, Some1<String>>,
    /// What challenges carry.
    pub(super) challenge: Option<Table<Challenge>>,
    /// The names and links of the metadata document, or `false` for a service that has none.
    pub(super) metadata: Option<Switch<MetadataTable>>,
    /// What hashes of tokens are keyed with in events, at least 16 bytes: the same key in every
    /// replica makes their events comparable.
    pub(super) token_hash_key: Option<SecretRef>,
}

/// Many issuers, of which only those in use are kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["at_most", "issuers"])))]
pub(super) struct Tenants {
    /// How many of them are kept at once, 1 to 100000.
    pub(super) at_most: Option<Count>,
    /// The issuers.
    pub(super) issuers: Vec<Table<IssuerTable>>,
}

/// What is wanted of every token, unless a class says otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["at_most"])))]
pub(super) struct DefaultClass {
    /// The longest `exp - iat`.
    pub(super) at_most: Option<Time>,
    /// How long ago the token may have been issued.
    pub(super) max_age: Option<Time>,
    /// What is known of the token's revocation has to be no older than this. It needs a source of
    /// revocation, or an introspection.
    pub(super) freshness: Option<Time>,
    /// How the token has to be bound to its sender.
    pub(super) binding: Option<BindingWord>,
}

/// What is wanted of some tokens: which, and what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["name"])))]
pub(super) struct Class {
    /// The class's name, in events and metric labels.
    pub(super) name: Option<String>,
    /// Tokens of one of these issuers.
    pub(super) issuers: Option<Some1<String>>,
    /// Tokens of one of these clients.
    pub(super) clients: Option<Some1<String>>,
    /// Tokens that name at least one of these scopes.
    pub(super) scopes: Option<Some1<String>>,
    /// Tokens that speak for a subject of one of these kinds.
    pub(super) subject_kinds: Option<Some1<KindWord>>,
    /// Tokens that name at least one of these audiences.
    pub(super) audiences: Option<Some1<String>>,
    /// The longest `exp - iat`.
    pub(super) at_most: Option<Time>,
    /// How long ago the token may have been issued.
    pub(super) max_age: Option<Time>,
    /// What is known of the token's revocation has to be no older than this. It needs a source of
    /// revocation, or an introspection.
    pub(super) freshness: Option<Time>,
    /// How the token has to be bound to its sender.
    pub(super) binding: Option<BindingWord>,
}

/// Clients that may use plain bearer tokens, for a while and for a reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["clients", "until", "because"])))]
pub(super) struct ExceptionTable {
    /// The clients.
    pub(super) clients: Option<Some1<String>>,
    /// The issuer whose clients they are; mandatory where there is more than one.
    pub(super) of_issuer: Option<String>,
    /// The last day, `YYYY-MM-DD`: it ends at 24:00 UTC.
    pub(super) until: Option<String>,
    /// Why, and where it is tracked. Each exception has a reason of its own.
    pub(super) because: Option<String>,
    /// Only tokens that live at most this long.
    pub(super) at_most: Option<Time>,
    /// Only requests from one of these networks, in CIDR notation.
    pub(super) from_networks: Option<Some1<String>>,
}

/// What challenges carry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Challenge {
    /// The `realm`; the resource unless said otherwise.
    pub(super) realm: Option<String>,
    /// The `error_uri` of challenges with an error: a page for developers.
    pub(super) error_uri: Option<String>,
    /// Further auth-params of every challenge.
    pub(super) params: BTreeMap<String, String>,
}

/// The names and links of the metadata document (RFC 9728 §2).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct MetadataTable {
    /// A name for people.
    pub(super) resource_name: Option<String>,
    /// A page for developers.
    pub(super) resource_documentation: Option<String>,
    /// A page on how data may be used.
    pub(super) resource_policy_uri: Option<String>,
    /// The terms of service.
    pub(super) resource_tos_uri: Option<String>,
    /// The same in other languages, by BCP 47 language tag.
    pub(super) localized: BTreeMap<String, Table<Localized>>,
    /// Whether `scopes_supported` is left out: scopes then become known by challenges only.
    pub(super) without_scopes: bool,
}

/// Names and links in one language.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Localized {
    /// A name for people.
    pub(super) resource_name: Option<String>,
    /// A page for developers.
    pub(super) resource_documentation: Option<String>,
    /// A page on how data may be used.
    pub(super) resource_policy_uri: Option<String>,
    /// The terms of service.
    pub(super) resource_tos_uri: Option<String>,
}
