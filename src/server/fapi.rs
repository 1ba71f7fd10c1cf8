use std::time::Duration;

use crate::error::{ConfigFault, Faults};
use crate::jose::Algorithm;
use crate::sender::Binding;
use crate::verify::{Classes, Exception, TokenClass};

/// A named set of demands on a whole configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecurityProfile {
    /// FAPI 2.0 Security Profile (final, February 2025).
    Fapi2,
}

impl SecurityProfile {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fapi2 => "fapi2",
        }
    }
}

/// What is asked of a configuration by the profile.
pub(super) struct Asked<'a> {
    pub(super) classes: &'a [TokenClass],
    pub(super) exceptions: &'a [Exception],
    pub(super) binding: Option<Binding>,
    pub(super) leeway: Duration,
    pub(super) means: Means,
}

/// What the server can find out beside the token itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Means {
    /// Whether a sender can be proven.
    pub(super) sender: Provided,
    /// Whether it is seen that a token was revoked.
    pub(super) revocation: Provided,
}

/// Whether something is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Provided {
    #[default]
    No,
    Yes,
}

/// The algorithms that FAPI 2.0 §5.4.1 allows; `Ed25519` is the fully specified name of its
/// `EdDSA` (RFC 9864).
pub(super) const ALGORITHMS: &[Algorithm] =
    &[Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ed25519];

/// The profile says "short", and no number.
const LONGEST: Duration = Duration::from_hours(1);

/// Every demand of FAPI 2.0 on a resource server that this configuration does not meet (§5.3.4).
/// Algorithms (§5.4.1) are looked at with each issuer, tenants among them.
pub(super) fn check(asked: &Asked<'_>, faults: &mut Faults) {
    let fault = |what: String| ConfigFault::Fapi2(what);
    for (index, class) in asked.classes.iter().enumerate() {
        if let Some(most) = class.max_lifetime().filter(|most| *most > LONGEST) {
            let what = format!(
                "tokens of {most:?}: at most {LONGEST:?} are accepted under it: say at most that"
            );
            let place = Classes::place(asked.classes, index);
            faults.at(&place, |faults| faults.push_at("at_most", fault(what)));
        }
    }
    if asked.binding == Some(Binding::WhereBound) {
        let what = "only sender-constrained tokens are accepted (§5.3.4): say `Binding::Either` or \
                    stricter";
        faults.push_at("binding", fault(what.to_owned()));
    }
    for index in 0..asked.exceptions.len() {
        let what = "it knows no plain bearer token (§5.3.4), and so no exception: remove it";
        faults.at_element("exceptions", index, |faults| faults.push(fault(what.to_owned())));
    }
    let leeway = Duration::from_secs(10)..=Duration::from_mins(1);
    if !leeway.contains(&asked.leeway) {
        let found = asked.leeway;
        let what = format!(
            "a leeway of {found:?}: 10 seconds are accepted and 60 are the most (§5.3.2.1): say \
             one in between"
        );
        faults.push_at("leeway", fault(what));
    }
    if asked.means.sender == Provided::No {
        let what =
            "no way to prove a sender is configured (§5.3.4): say `.dpop(...)` or `.mtls(...)`";
        faults.push_at("binding", fault(what.to_owned()));
    }
    if asked.means.revocation == Provided::No {
        let what = "no way to see that a token was revoked is configured (§5.3.4): say \
                    `.revocation(...)`, with a source, or `.introspection(...)`";
        faults.push_at("revocation", fault(what.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(means: Means) -> Vec<String> {
        let asked = Asked {
            classes: &[TokenClass::default_at_most(Duration::from_mins(10))],
            exceptions: &[],
            binding: Some(Binding::Either),
            leeway: Duration::from_secs(10),
            means,
        };
        let mut faults = Faults::new();
        check(&asked, &mut faults);
        let error = faults.into_error();
        error.places().map(|(place, fault)| format!("{place}: {fault}")).collect()
    }

    /// FAPI-03, FAPI-05: each by itself is not enough.
    #[test]
    fn a_binding_and_a_source_of_revocation_are_wanted_and_enough() {
        use Provided::{No, Yes};
        for (sender, revocation, expected) in [
            (Yes, Yes, &[][..]),
            (No, Yes, &["binding"]),
            (Yes, No, &["revocation"]),
            (No, No, &["binding", "revocation"]),
        ] {
            let found = faults(Means { sender, revocation });
            let places: Vec<_> =
                found.iter().filter_map(|fault| Some(fault.split_once(':')?.0)).collect();
            assert_eq!(places, expected, "{found:?}");
        }
    }
}
