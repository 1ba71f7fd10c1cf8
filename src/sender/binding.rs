use crate::access::Confirmation;
use crate::error::{Refusal, RejectionKind};
use crate::observe::SenderBinding;

/// How a token has to be bound to its sender. A server states it: there is no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// A bound token has to be proven; an unbound one is accepted as a plain bearer token.
    WhereBound,
    /// Every token has to be bound, by a DPoP key or by a client certificate, and proven.
    Either,
    /// Every token has to be bound by a DPoP key (RFC 9449), and proven.
    Dpop,
    /// Every token has to be bound by a client certificate (RFC 8705), and proven.
    Mtls,
    /// Every token has to be bound by both, and both proven.
    Both,
}

impl Binding {
    /// Every one of them.
    pub const ALL: &'static [Self] =
        &[Self::WhereBound, Self::Either, Self::Dpop, Self::Mtls, Self::Both];

    /// A short name in snake case, as configuration files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhereBound => "where_bound",
            Self::Either => "either",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::Both => "both",
        }
    }

    /// What satisfies this and the other.
    #[must_use]
    pub const fn strictest(self, other: Self) -> Self {
        match (self, other) {
            (Self::WhereBound, stricter) | (stricter, Self::WhereBound) => stricter,
            (Self::Either, stricter) | (stricter, Self::Either) => stricter,
            (Self::Dpop, Self::Dpop) => Self::Dpop,
            (Self::Mtls, Self::Mtls) => Self::Mtls,
            _ => Self::Both,
        }
    }
}

/// Everything that `cnf` names is enforced, and the token is bound as it has to be; or it is
/// refused.
pub(crate) fn enforce(
    confirmation: Confirmation,
    wanted: Binding,
) -> Result<SenderBinding, Refusal> {
    match (confirmation, wanted) {
        (Confirmation::Absent, Binding::WhereBound) => Ok(SenderBinding::Bearer),
        (Confirmation::Absent, binding) => Err(Refusal::new(
            RejectionKind::NotBound,
            format!("the token is bound to no sender, wanted binding `{}`", binding.as_str()),
        )),
        (Confirmation::Unenforceable, _) => Err(Refusal::new(
            RejectionKind::SenderNotProven,
            "the token has `cnf`, and no way to prove its sender is configured",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::Binding::{Both, Dpop, Either, Mtls, WhereBound};

    #[test]
    fn the_strictest_of_two_satisfies_both() {
        for (one, other, strictest) in [
            (WhereBound, WhereBound, WhereBound),
            (WhereBound, Either, Either),
            (Either, Dpop, Dpop),
            (Either, Mtls, Mtls),
            (Dpop, Mtls, Both),
            (Dpop, Dpop, Dpop),
            (Both, WhereBound, Both),
            (Both, Mtls, Both),
        ] {
            assert_eq!(one.strictest(other), strictest, "{one:?} {other:?}");
            assert_eq!(other.strictest(one), strictest, "{other:?} {one:?}");
        }
    }
}
