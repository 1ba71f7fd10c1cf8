//! Words of which a member is one.

use std::fmt;

use serde::de::{Error, Expected, Visitor};

use super::value::shown;
use crate::access::SubjectKind;
use crate::issuer::OptionalClaim;
use crate::jose::Algorithm;
use crate::sender::Binding;
use crate::server::Preflight;
use crate::verify::OtherAudiences;

/// One word of a list.
pub(super) struct OneWord<T: 'static> {
    pub(super) words: &'static [(&'static str, T)],
}

impl<T: Copy> Visitor<'_> for OneWord<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of")?;
        let mut separator = " ";
        for (word, _) in self.words {
            write!(f, "{separator}`{word}`")?;
            separator = ", ";
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<T, E> {
        match self.words.iter().find(|(word, _)| *word == found) {
            Some((_, value)) => Ok(*value),
            None => {
                let (found, wanted): (_, &dyn Expected) = (shown(found), &self);
                Err(E::custom(format_args!("found {found}, wanted {wanted}")))
            }
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident($value:ty): $($word:literal => $of:expr,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $value);

        impl $name {
            const WORDS: &'static [(&'static str, $value)] = &[$(($word, $of)),+];
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let word = crate::config::word::OneWord { words: Self::WORDS };
                deserializer.deserialize_str(word).map(Self)
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    };
}

pub(super) use words;

words! {
    /// How a token has to be bound to its sender.
    BindingWord(Binding):
        "where_bound" => Binding::WhereBound,
        "either" => Binding::Either,
        "dpop" => Binding::Dpop,
        "mtls" => Binding::Mtls,
        "both" => Binding::Both,
}

words! {
    /// What a token may do that names other audiences as well.
    OtherAudiencesWord(OtherAudiences):
        "accept" => OtherAudiences::Accept,
        "refuse" => OtherAudiences::Refuse,
}

words! {
    /// An algorithm.
    AlgorithmWord(Algorithm):
        "RS256" => Algorithm::Rs256,
        "RS384" => Algorithm::Rs384,
        "RS512" => Algorithm::Rs512,
        "PS256" => Algorithm::Ps256,
        "PS384" => Algorithm::Ps384,
        "PS512" => Algorithm::Ps512,
        "ES256" => Algorithm::Es256,
        "ES384" => Algorithm::Es384,
        "ES512" => Algorithm::Es512,
        "EdDSA" => Algorithm::EdDsa,
        "Ed25519" => Algorithm::Ed25519,
}

words! {
    /// A kind of subject.
    KindWord(SubjectKind):
        "client" => SubjectKind::Client,
        "person" => SubjectKind::Person,
        "workload" => SubjectKind::Workload,
        "unknown" => SubjectKind::Unknown,
}

words! {
    /// A claim that a profile can do without.
    OptionalClaimWord(OptionalClaim):
        "client_id" => OptionalClaim::ClientId,
        "iat" => OptionalClaim::IssuedAt,
        "jti" => OptionalClaim::JwtId,
}

words! {
    /// What becomes of a CORS preflight.
    PreflightWord(Preflight):
        "refuse" => Preflight::Refuse,
        "pass" => Preflight::Pass,
}

/// Whether a request needs credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Required,
    Optional,
}

words! {
    /// Whether a request needs credentials.
    CredentialsWord(Credentials):
        "required" => Credentials::Required,
        "optional" => Credentials::Optional,
}

/// A named set of demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecurityProfile {
    Fapi2,
}

words! {
    /// A named set of demands on the whole configuration.
    SecurityProfileWord(SecurityProfile):
        "fapi2" => SecurityProfile::Fapi2,
}

/// Whether there has to be an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Forbidden,
}

words! {
    /// Whether there has to be an actor.
    PresenceWord(Presence):
        "required" => Presence::Required,
        "forbidden" => Presence::Forbidden,
}
