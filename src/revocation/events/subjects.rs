//! Which claims of tokens the subjects of events are compared with.

use serde_json::{Value, json};

use crate::error::{ConfigFault, Faults, key};
use crate::revocation::record::Claim;

/// Which claims of tokens say what the subjects of events say. The value is compared as it stands:
/// `Ann@example.com` and `ann@example.com` are two.
///
/// Some need no word: `iss_sub` is the issuer and the `sub` of tokens, `jwt_id` the issuer and `jti` of
/// one, and the member `session` of a complex subject is `sid`.
///
/// A subject without an issuer, such as an address, is looked for in the tokens of every issuer that
/// the source speaks for.
///
/// ```
/// use portcullis::revocation::Subjects;
///
/// let subjects = Subjects::new()
///     .email("email")
///     // `{"format": "complex", "device": {..}, "tenant": {..}}`
///     .device("device_id")
///     .tenant("tid");
/// # let _ = subjects;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `EventStream::subjects`"]
pub struct Subjects {
    /// By the format of a user's identifier.
    pub(super) formats: Vec<(&'static str, Claim)>,
    /// By the name of a member of a complex subject.
    pub(super) members: Vec<(Box<str>, Claim)>,
}

/// `"sub"` and `"sid"` are what they are to every token; any other name is [`Claim::Named`].
impl From<&str> for Claim {
    fn from(name: &str) -> Self {
        match name {
            "sub" => Self::Subject,
            "sid" => Self::Session,
            other => Self::Named(other.into()),
        }
    }
}

impl Subjects {
    /// Nothing but what needs no word.
    pub fn new() -> Self {
        Self { formats: Vec::new(), members: vec![("session".into(), Claim::Session)] }
    }

    /// The claim that has what `email` has.
    pub fn email(self, claim: impl Into<Claim>) -> Self {
        self.format("email", claim)
    }

    /// The claim that has what `phone_number` has.
    pub fn phone_number(self, claim: impl Into<Claim>) -> Self {
        self.format("phone_number", claim)
    }

    /// The claim that has what `opaque` has, of a user.
    pub fn opaque(self, claim: impl Into<Claim>) -> Self {
        self.format("opaque", claim)
    }

    /// The claim that has what `account` has: an `acct` URI.
    pub fn account(self, claim: impl Into<Claim>) -> Self {
        self.format("account", claim)
    }

    /// The claim that has what `uri` has, of a user.
    pub fn uri(self, claim: impl Into<Claim>) -> Self {
        self.format("uri", claim)
    }

    /// The claim that has what `did` has, of a user.
    pub fn did(self, claim: impl Into<Claim>) -> Self {
        self.format("did", claim)
    }

    /// The claim that says from which device a token comes: the member `device`, and whom events about
    /// devices are about.
    pub fn device(self, claim: impl Into<Claim>) -> Self {
        self.member("device", claim)
    }

    /// The claim that says to which tenant a user belongs.
    pub fn tenant(self, claim: impl Into<Claim>) -> Self {
        self.member("tenant", claim)
    }

    /// The claim that has the session, instead of `sid`.
    pub fn session(self, claim: impl Into<Claim>) -> Self {
        self.member("session", claim)
    }

    /// The claim that has the application: [`Claim::Client`], most likely.
    pub fn application(self, claim: impl Into<Claim>) -> Self {
        self.member("application", claim)
    }

    /// The claim that has a group of the user.
    pub fn group(self, claim: impl Into<Claim>) -> Self {
        self.member("group", claim)
    }

    /// The claim that has the organisational unit.
    pub fn org_unit(self, claim: impl Into<Claim>) -> Self {
        self.member("org_unit", claim)
    }

    /// The claim that has another member of complex subjects, under a name that both sides have agreed
    /// upon.
    pub fn member(mut self, name: &str, claim: impl Into<Claim>) -> Self {
        self.members.retain(|(known, _)| **known != *name);
        self.members.push((name.into(), claim.into()));
        self
    }

    fn format(mut self, format: &'static str, claim: impl Into<Claim>) -> Self {
        self.formats.retain(|(known, _)| *known != format);
        self.formats.push((format, claim.into()));
        self
    }

    /// The names of the claims that not every token has.
    pub(super) fn claims(&self) -> Vec<Box<str>> {
        let formats = self.formats.iter().map(|(_, claim)| claim);
        let members = self.members.iter().map(|(_, claim)| claim);
        let named = formats.chain(members).filter_map(|claim| match claim {
            Claim::Named(name) => Some(name.clone()),
            _ => None,
        });
        named.collect()
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        let formats = self.formats.iter().map(|(name, claim)| (*name, claim));
        let members = self.members.iter().map(|(name, claim)| (&**name, claim));
        for (name, claim) in formats.chain(members) {
            let wrong = match claim {
                _ if matches!(name, "" | "user" | "format") => {
                    "a user is known by the format of its identifier, not as a member"
                }
                Claim::Named(claim) if claim.is_empty() => "a claim without a name: say which",
                Claim::Named(claim) if matches!(&**claim, "iss" | "jti" | "sub" | "sid") => {
                    "`iss`, `jti`, `sub` and `sid` have a meaning of their own: use `Claim::Subject` \
                     and `Claim::Session`"
                }
                _ => continue,
            };
            let fault = ConfigFault::Revocation(format!("subjects: {name:?}: {wrong}"));
            faults.push_at(&key(name), fault);
        }
    }

    pub(super) fn report(&self) -> Value {
        let name = |claim: &Claim| match claim {
            Claim::Subject => "sub".to_owned(),
            Claim::Session => "sid".to_owned(),
            Claim::Client => "client_id".to_owned(),
            Claim::Named(name) => name.to_string(),
        };
        let formats =
            self.formats.iter().map(|(format, claim)| ((*format).to_owned(), name(claim)));
        let members = self.members.iter().map(|(member, claim)| (member.to_string(), name(claim)));
        json!(formats.chain(members).collect::<std::collections::BTreeMap<_, _>>())
    }
}

impl Default for Subjects {
    fn default() -> Self {
        Self::new()
    }
}
