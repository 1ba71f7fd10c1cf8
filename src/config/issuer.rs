//! Issuers, and how their tokens are written.

use serde::Deserialize;
use serde_json::Value;

use super::files::{Files, KeyPlace, authority, key_place};
use super::secret::SecretRef;
use super::value::{Some1, Table, Time, WordOr};
use super::word::{AlgorithmWord, KindWord, OptionalClaimWord, words};
use crate::error::{ConfigFault, Faults};
use crate::issuer::config::Issuer;
use crate::issuer::{ClaimTest, KeyRefresh, TokenProfile};

/// An issuer whose tokens are accepted. Its metadata says where its keys are, unless `jwks_uri` or
/// `keys` does, or it is `opaque`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Issuer", extend("required" = ["id"])))]
pub(super) struct IssuerTable {
    /// The issuer identifier, exactly as tokens carry it in `iss`.
    pub(super) id: Option<String>,
    /// Where its JWK Set is.
    jwks_uri: Option<String>,
    /// The path of a file with its JWK Set: nothing is fetched.
    keys: Option<String>,
    /// Whether it writes no JWTs for this server: its tokens are asked about, as an `introspection` of it
    /// says. It has no keys.
    opaque: bool,
    /// Whether JWTs of this issuer are refused that are not encrypted to this server. It needs
    /// `decryption`, and the feature `jwe`.
    encrypted_only: bool,
    /// The algorithms that its tokens may be signed with, preferred ones first.
    algorithms: Option<Some1<AlgorithmWord>>,
    /// How its tokens are written: the name of a profile, or a table that starts from one.
    profile: Option<WordOr<ProfileWord, ProfileTable>>,
    /// How long fetched keys are fresh, and how long they are kept through an outage.
    key_refresh: Option<Table<KeyRefreshTable>>,
    /// The path of a PEM file with the certificates of a private authority: the issuer's documents
    /// are then fetched with these as trust anchors, and no others.
    ca_file: Option<String>,
    /// What is sent as a bearer token with each fetch of its documents.
    fetch_token: Option<SecretRef>,
    /// Settings that weaken what protects its keys.
    dangerous: Option<Table<DangerousTable>>,
}

/// How long fetched keys are fresh, and how long they are kept through an outage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "KeyRefresh"))]
struct KeyRefreshTable {
    /// Keys are fresh for at least this long; "1m" unless said otherwise.
    fresh_at_least: Option<Time>,
    /// Keys are fresh for at most this long; "1h" unless said otherwise.
    fresh_at_most: Option<Time>,
    /// How long keys are used after the last good fetch; "24h" unless said otherwise.
    keep_through_outage: Option<Time>,
    /// How long a request waits for a fetch; "1s" unless said otherwise.
    wait_at_most: Option<Time>,
}

/// Settings that weaken what protects the keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DangerousOfIssuer"))]
struct DangerousTable {
    /// Lets the issuer, its metadata and its keys be at `http` URLs of a loopback host.
    insecure_loopback_http: bool,
}

/// What starts from a profile and differs from it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Profile"))]
struct ProfileTable {
    /// What it starts from; "relaxed", which is as strict as "rfc9068", unless said otherwise.
    base: Option<ProfileWord>,
    /// Further values of `typ` that are taken.
    accept_types: Option<Some1<String>>,
    /// Whether tokens without `typ` are taken.
    accept_no_type: bool,
    /// Claims that a token may lack.
    may_lack: Option<Some1<OptionalClaimWord>>,
    /// The client is in the first of these claims that is there.
    client_id_from: Option<Some1<String>>,
    /// The scope is in the first of these claims that is there.
    scope_from: Option<Some1<String>>,
    /// Whether the scope may be an array.
    accept_scope_array: bool,
    /// Claims that have to have a value.
    require_claims: Option<Some1<Table<RequiredClaim>>>,
    /// How a token says whom it speaks for. The first that holds decides.
    subject_kinds: Option<Some1<Table<KindTable>>>,
    /// Whether ID tokens are taken as access tokens, which no standard does.
    accept_id_tokens: bool,
    /// Settings that weaken what a token has to prove.
    dangerous: Option<Table<DangerousProfileTable>>,
}

/// A claim that has to be there with one of these values.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["claim", "one_of"])))]
struct RequiredClaim {
    /// The claim.
    claim: Option<String>,
    /// The values, compared exactly.
    one_of: Option<Some1<Value>>,
}

/// A kind of subject, and one condition on a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "SubjectKind", extend("required" = ["kind", "claim"])))]
struct KindTable {
    /// The kind.
    kind: Option<KindWord>,
    /// The claim.
    claim: Option<String>,
    /// The claim is this string.
    equals: Option<String>,
    /// The claim is a string that starts so.
    starts_with: Option<String>,
    /// The claim is there, whatever its value.
    present: bool,
    /// The claim is absent.
    absent: bool,
    /// The claim and this one are the same string.
    same_as: Option<String>,
    /// With `same_as`: the claim is the other one and then this.
    suffix: Option<String>,
}

/// Settings that weaken what a token has to prove.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DangerousOfProfile"))]
struct DangerousProfileTable {
    /// The audience is in the first of these claims that is there.
    insecure_audience_from: Option<Some1<String>>,
}

impl IssuerTable {
    /// The issuer. Where something is wrong it stands for it all the same, so that the places of
    /// the others are right.
    pub(super) fn build(&self, files: Files<'_>, faults: &mut Faults) -> Issuer {
        let id = self.id.clone().unwrap_or_else(|| {
            let fault = "an issuer without identifier: say `id = \"https://...\"`";
            faults.push_at("id", ConfigFault::File(fault.to_owned()));
            String::new()
        });
        let mut issuer = match self.opaque {
            true => self.without_keys(id, faults),
            false => self.with_keys(id, files, faults),
        };
        match &self.profile {
            None => {}
            Some(WordOr::Word(word)) => issuer = issuer.profile((word.0)()),
            Some(WordOr::Table(table)) => {
                let profile = faults.at("profile", |faults| table.profile(faults));
                issuer = issuer.profile(profile);
            }
        }
        if self.encrypted_only {
            #[cfg(feature = "jwe")]
            {
                issuer = issuer.encrypted_only();
            }
            #[cfg(not(feature = "jwe"))]
            faults.at("encrypted_only", super::decryption::without_feature);
        }
        match &self.dangerous {
            Some(Table(DangerousTable { insecure_loopback_http: true })) => {
                issuer.dangerous().insecure_loopback_http()
            }
            _ => issuer,
        }
    }

    fn with_keys(&self, id: String, files: Files<'_>, faults: &mut Faults) -> Issuer {
        let mut issuer = match key_place(&self.jwks_uri, &self.keys, files, faults) {
            KeyPlace::Discovery => Issuer::discover(id),
            KeyPlace::Jwks(url) => Issuer::jwks(id, url),
            KeyPlace::Fixed(keys) => Issuer::fixed_keys(id, keys),
        };
        if let Some(Some1(algorithms)) = &self.algorithms {
            issuer = issuer.algorithms(algorithms.iter().map(|word| word.0));
        }
        if let Some(Table(refresh)) = &self.key_refresh {
            issuer = issuer.key_refresh(refresh.key_refresh());
        }
        if let Some(path) = &self.ca_file
            && let Some(transport) = authority(path, files, faults)
        {
            issuer = issuer.transport(transport);
        }
        if let Some(secret) = &self.fetch_token {
            let source = secret.from(files.0);
            // A secret that is not there would show with the first fetch, when nobody looks.
            if let Err(error) = source.read() {
                faults.push_at("fetch_token", ConfigFault::Secret(error.to_string()));
            }
            issuer = issuer.fetch_token(source);
        }
        issuer
    }

    fn without_keys(&self, id: String, faults: &mut Faults) -> Issuer {
        for (member, there) in [
            ("jwks_uri", self.jwks_uri.is_some()),
            ("keys", self.keys.is_some()),
            ("algorithms", self.algorithms.is_some()),
            ("key_refresh", self.key_refresh.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("fetch_token", self.fetch_token.is_some()),
        ] {
            if there {
                let fault = "`opaque` says that the issuer has no keys: keep one of the two";
                faults.push_at(member, ConfigFault::File(fault.to_owned()));
            }
        }
        Issuer::opaque(id)
    }

    /// Nobody can be asked about what this issuer writes.
    pub(super) fn needs_keys(&self, faults: &mut Faults) {
        if self.opaque {
            let fault =
                "its keys are needed here, and `opaque` says that it has none: leave it out";
            faults.push_at("opaque", ConfigFault::File(fault.to_owned()));
        }
    }
}

impl IssuerTable {
    /// The builder does not know the tenants, and so tells it of the other issuers only.
    pub(super) fn needs_no_decryption(&self, faults: &mut Faults) {
        if self.encrypted_only && cfg!(feature = "jwe") {
            let fault = "its tokens are encrypted, and this server has no keys: say which in \
                         `[decryption]`";
            faults.push_at("encrypted_only", ConfigFault::File(fault.to_owned()));
        }
    }

    /// Whoever signs something that is no token: what it says of keys counts.
    pub(super) fn signer(&self, files: Files<'_>, faults: &mut Faults) -> Issuer {
        for (member, there) in
            [("profile", self.profile.is_some()), ("encrypted_only", self.encrypted_only)]
        {
            if there {
                let fault = "it says how tokens are written, and this signs none: leave it out";
                faults.push_at(member, ConfigFault::File(fault.to_owned()));
            }
        }
        self.needs_keys(faults);
        self.build(files, faults)
    }
}

impl KeyRefreshTable {
    fn key_refresh(&self) -> KeyRefresh {
        let mut refresh = KeyRefresh::new();
        if let Some(Time(time)) = self.fresh_at_least {
            refresh = refresh.fresh_at_least(time);
        }
        if let Some(Time(time)) = self.fresh_at_most {
            refresh = refresh.fresh_at_most(time);
        }
        if let Some(Time(time)) = self.keep_through_outage {
            refresh = refresh.keep_through_outage(time);
        }
        if let Some(Time(time)) = self.wait_at_most {
            refresh = refresh.wait_at_most(time);
        }
        refresh
    }
}

impl ProfileTable {
    fn profile(&self, faults: &mut Faults) -> TokenProfile {
        let list = |list: &Option<Some1<String>>| list.as_ref().map(|Some1(list)| list.clone());
        let mut profile = self.base.map_or_else(TokenProfile::relaxed, |base| (base.0)());
        for typ in list(&self.accept_types).unwrap_or_default() {
            profile = profile.accept_type(typ);
        }
        if self.accept_no_type {
            profile = profile.accept_no_type();
        }
        for OptionalClaimWord(claim) in self.may_lack.iter().flat_map(|Some1(list)| list) {
            profile = profile.may_lack(*claim);
        }
        if let Some(claims) = list(&self.client_id_from) {
            profile = profile.client_id_from(claims);
        }
        if let Some(claims) = list(&self.scope_from) {
            profile = profile.scope_from(claims);
        }
        if self.accept_scope_array {
            profile = profile.accept_scope_array();
        }
        let required = self.require_claims.iter().flat_map(|Some1(list)| list).enumerate();
        for (index, Table(required)) in required {
            let claim = required.claim.as_ref();
            let values = required.one_of.as_ref();
            faults.at_element("require_claims", index, |faults| {
                wanted("claim", claim.is_some(), faults);
                wanted("one_of", values.is_some(), faults);
            });
            if let (Some(claim), Some(Some1(values))) = (claim, values) {
                profile = profile.require_claim_in(claim, values.iter().cloned());
            }
        }
        let kinds = self.subject_kinds.iter().flat_map(|Some1(list)| list).enumerate();
        for (index, Table(rule)) in kinds {
            let test = faults.at_element("subject_kinds", index, |faults| {
                wanted("kind", rule.kind.is_some(), faults);
                wanted("claim", rule.claim.is_some(), faults);
                rule.test(faults)
            });
            if let (Some(KindWord(kind)), Some(test)) = (rule.kind, test) {
                profile = profile.subject_kind(kind, test);
            }
        }
        if self.accept_id_tokens {
            profile = profile.accept_id_tokens();
        }
        let dangerous =
            self.dangerous.as_ref().and_then(|Table(table)| list(&table.insecure_audience_from));
        if let Some(claims) = dangerous {
            profile = profile.dangerous().insecure_audience_from(claims);
        }
        profile
    }
}

impl KindTable {
    fn test(&self, faults: &mut Faults) -> Option<ClaimTest> {
        let claim = self.claim.as_ref()?;
        let mut tests = Vec::new();
        tests.extend(self.equals.as_ref().map(|value| ClaimTest::equals(claim, value)));
        tests.extend(self.starts_with.as_ref().map(|start| ClaimTest::starts_with(claim, start)));
        tests.extend(self.present.then(|| ClaimTest::present(claim)));
        tests.extend(self.absent.then(|| ClaimTest::absent(claim)));
        tests.extend(self.same_as.as_ref().map(|other| match &self.suffix {
            Some(suffix) => ClaimTest::same_with_suffix(claim, other, suffix),
            None => ClaimTest::same(claim, other),
        }));
        if self.suffix.is_some() && self.same_as.is_none() {
            let fault = "`suffix` says nothing without `same_as`: say that too, or leave it out";
            faults.push_at("suffix", ConfigFault::File(fault.to_owned()));
        }
        match <[ClaimTest; 1]>::try_from(tests) {
            Ok([test]) => Some(test),
            Err(tests) => {
                let found = tests.len();
                let fault = format!(
                    "{found} conditions: say one of `equals`, `starts_with`, `present = true`, \
                     `absent = true`, `same_as`"
                );
                faults.push(ConfigFault::File(fault));
                None
            }
        }
    }
}

/// A member without which its table says nothing.
pub(super) fn wanted(member: &str, there: bool, faults: &mut Faults) {
    if !there {
        let fault = format!("`{member}` is missing: say it");
        faults.push_at(member, ConfigFault::File(fault));
    }
}

/// The profiles that a file can name.
type Start = fn() -> TokenProfile;

words! {
    /// The name of a profile.
    ProfileWord(Start):
        "rfc9068" => TokenProfile::rfc9068,
        "relaxed" => TokenProfile::relaxed,
        "keycloak" => TokenProfile::keycloak,
        "auth0" => TokenProfile::auth0,
        "entra_id" => TokenProfile::entra_id,
        "okta" => TokenProfile::okta,
        "cognito" => TokenProfile::cognito,
        "kubernetes" => TokenProfile::kubernetes,
        "oidc_provider" => TokenProfile::oidc_provider,
        "hydra" => TokenProfile::hydra,
}
