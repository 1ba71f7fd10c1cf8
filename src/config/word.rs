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
pub(super) struct OneWord<T> {
    pub(super) words: Vec<(&'static str, T)>,
}

impl<T: Copy> Visitor<'_> for OneWord<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of")?;
        let mut separator = " ";
        for (word, _) in &self.words {
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
    // A type that lists its values, and says what each is called.
    ($(#[$doc:meta])* $name:ident($value:ty);) => {
        words! {
            @of $(#[$doc])* $name($value):
            <$value>::ALL.iter().map(|value| (value.as_str(), *value)).collect()
        }
    };
    ($(#[$doc:meta])* $name:ident($value:ty): $($word:literal => $of:expr,)+) => {
        words! { @of $(#[$doc])* $name($value): vec![$(($word, $of)),+] }
    };
    (@of $(#[$doc:meta])* $name:ident($value:ty): $words:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $value);

        impl $name {
            fn words() -> Vec<(&'static str, $value)> {
                $words
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let word = crate::config::word::OneWord { words: Self::words() };
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
                let words: Vec<_> = Self::words().into_iter().map(|(word, _)| word).collect();
                schemars::json_schema!({ "type": "string", "enum": words })
            }
        }
    };
}

pub(super) use words;

words! {
    /// How a token has to be bound to its sender.
    BindingWord(Binding);
}

words! {
    /// What a token may do that names other audiences as well.
    OtherAudiencesWord(OtherAudiences):
        "accept" => OtherAudiences::Accept,
        "refuse" => OtherAudiences::Refuse,
}

words! {
    /// An algorithm.
    AlgorithmWord(Algorithm);
}

words! {
    /// A kind of subject.
    KindWord(SubjectKind);
}

words! {
    /// A claim that a profile can do without.
    OptionalClaimWord(OptionalClaim);
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
