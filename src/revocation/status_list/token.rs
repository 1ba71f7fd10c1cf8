use std::fmt;
use std::time::Duration;

use super::{StatusList, StatusListError};
use crate::jose::claims::required;
use crate::jose::json::{Object, Value};
use crate::jose::{
    Algorithm, ClaimError, ClaimsSet, Compact, CompactError, Header, PublicKey, base64url,
};
use crate::time::Timestamp;

/// `typ` of a status list in a JWT (Token Status List §5.1).
const TYPE: &str = "statuslist+jwt";

/// What a status list has to be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ExpectedStatusList<'a> {
    /// Where the token says that it is (`status_list.uri`), which has to be its `sub`, exactly.
    pub uri: &'a str,
    /// The issuer of the tokens. Where the list has an `iss`, it has to be this one.
    pub issuer: Option<&'a str>,
    /// What it may be signed with.
    pub algorithms: &'a [Algorithm],
    /// The time to judge it at.
    pub now: Timestamp,
    /// How far `iat` and `nbf` may lie ahead. `exp` has none.
    pub leeway: Duration,
    /// How long ago it may have been signed; `None`: any time.
    pub max_age: Option<Duration>,
    /// How many entries it may have.
    pub max_entries: u64,
}

impl<'a> ExpectedStatusList<'a> {
    /// Clocks differ by this much.
    pub const LEEWAY: Duration = Duration::from_mins(1);

    /// The list at this URI, now: signed by anybody with any algorithm, at any time before
    /// [`Self::LEEWAY`] from now, with at most [`StatusList::MAX_ENTRIES`] entries.
    #[must_use]
    pub const fn new(uri: &'a str, now: Timestamp) -> Self {
        Self {
            uri,
            issuer: None,
            algorithms: Algorithm::ALL,
            now,
            leeway: Self::LEEWAY,
            max_age: None,
            max_entries: StatusList::MAX_ENTRIES,
        }
    }

    /// The same, for tokens of this issuer.
    #[must_use]
    pub const fn issuer(mut self, issuer: &'a str) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// The same, signed with one of these.
    #[must_use]
    pub const fn algorithms(mut self, algorithms: &'a [Algorithm]) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// The same, signed at most this long ago.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The same, with at most this many entries.
    #[must_use]
    pub const fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }
}

/// A status list in a JWT (Token Status List §5.1), as it was received: nobody has verified it yet.
pub struct StatusListToken<'a> {
    jws: Compact<'a>,
    signer: Signer,
}

/// Who says to have signed it.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
}

impl Signer {
    /// Reads the header alone: the key can be looked for before the rest is decoded.
    pub(super) fn read(text: &str) -> Result<Self, StatusListError> {
        let (header, _) = text.split_once('.').ok_or(CompactError::Opaque)?;
        if header.is_empty() || header.len() > crate::jose::MAX_HEADER {
            return Err(CompactError::HeaderLength.into());
        }
        let header = base64url::decode(header).map_err(|_| CompactError::Encoding)?;
        Self::of(&Header::parse(&header)?)
    }

    fn of(header: &Header<'_>) -> Result<Self, StatusListError> {
        if !header.is_type(TYPE) {
            return Err(StatusListError::Type);
        }
        Ok(Self { algorithm: header.algorithm(), kid: header.kid().map(Into::into) })
    }
}

impl<'a> StatusListToken<'a> {
    /// The media type of a status list in a JWT (§8.2).
    pub const MEDIA_TYPE: &'static str = "application/statuslist+jwt";

    /// Reads its form and its header.
    ///
    /// # Errors
    /// [`StatusListError::Form`], [`StatusListError::Header`], [`StatusListError::Type`].
    pub fn parse(text: &'a str) -> Result<Self, StatusListError> {
        let jws = Compact::parse(text)?;
        let signer = Signer::of(&jws.header()?)?;
        Ok(Self { jws, signer })
    }

    /// What it says it is signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.signer.algorithm
    }

    /// The id of the key that it says it is signed with.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.signer.kid.as_deref()
    }

    /// Verifies it with a key of the issuer of the tokens, and inflates it.
    ///
    /// # Errors
    /// See [`StatusListError`]: nothing can then be said of any token.
    pub fn verify(
        &self,
        key: &PublicKey,
        expected: &ExpectedStatusList<'_>,
    ) -> Result<SignedStatusList, StatusListError> {
        let algorithm = self.signer.algorithm;
        if !expected.algorithms.iter().any(|allowed| allowed.same_operation(algorithm)) {
            return Err(StatusListError::Algorithm(algorithm));
        }
        key.verify(algorithm, &self.jws).map_err(|_| StatusListError::Signature)?;

        let claims = ClaimsSet::parse(self.jws.payload())?;
        let cut = |text: &str| text.chars().take(200).collect();
        let subject = required("sub", claims.text("sub"))?;
        if subject != expected.uri {
            return Err(StatusListError::Subject { found: cut(&subject) });
        }
        if let (Some(found), Some(wanted)) = (claims.text("iss")?, expected.issuer)
            && found != wanted
        {
            return Err(StatusListError::Issuer { found: cut(&found) });
        }
        if claims.has("aud") {
            return Err(StatusListError::Audience);
        }
        let issued_at = required("iat", claims.time("iat"))?;
        let expires_at = claims.time("exp")?;
        expected.judge(issued_at, expires_at, claims.time("nbf")?)?;
        let ttl = time_to_live(&claims)?;

        let list = claims.value("status_list").and_then(Value::as_object);
        let list = list.ok_or_else(|| missing(&claims, "status_list", "an object"))?;
        let bits = match list.member("bits").and_then(Value::as_number) {
            Some("1") => 1,
            Some("2") => 2,
            Some("4") => 4,
            Some("8") => 8,
            _ => return Err(StatusListError::Bits),
        };
        let lst = list.member("lst").and_then(Value::as_str);
        let lst = lst.ok_or_else(|| ClaimError::malformed("status_list.lst", "a string"))?;
        let zlib = base64url::decode(&*lst).map_err(|_| StatusListError::Encoding)?;
        let list_of = StatusList::from_compressed(bits, &zlib, expected.max_entries)?;
        Ok(SignedStatusList {
            list: list_of,
            issued_at,
            expires_at,
            ttl,
            aggregation_uri: aggregation_uri(&list),
        })
    }
}

impl ExpectedStatusList<'_> {
    fn judge(
        &self,
        issued_at: Timestamp,
        expires_at: Option<Timestamp>,
        not_before: Option<Timestamp>,
    ) -> Result<(), StatusListError> {
        let now = self.now;
        if let Some(expires_at) = expires_at.filter(|expires_at| now >= *expires_at) {
            return Err(StatusListError::Expired { expires_at, now });
        }
        let latest = now.plus(self.leeway);
        for (claim, at) in [("iat", Some(issued_at)), ("nbf", not_before)] {
            if let Some(at) = at.filter(|at| *at > latest) {
                return Err(StatusListError::Future { claim, at, now });
            }
        }
        match self.max_age {
            Some(max_age) if now.since(issued_at).unwrap_or_default() > max_age => {
                Err(StatusListError::TooOld { issued_at, now, max_age })
            }
            _ => Ok(()),
        }
    }
}

/// `ttl`: a positive number of seconds (§5.1).
fn time_to_live(claims: &ClaimsSet<'_>) -> Result<Option<Duration>, ClaimError> {
    let Some(value) = claims.value("ttl") else { return Ok(None) };
    value
        .as_number()
        .and_then(Timestamp::from_json_number)
        .map(Timestamp::as_duration)
        .filter(|ttl| !ttl.is_zero())
        .map(Some)
        .ok_or_else(|| ClaimError::malformed("ttl", "a positive number of seconds"))
}

/// Where more lists of the issuer are said to be (§9). It is information only.
fn aggregation_uri(list: &Object<'_>) -> Option<Box<str>> {
    list.member("aggregation_uri").and_then(Value::as_str).map(|uri| uri.into_owned().into())
}

fn missing(claims: &ClaimsSet<'_>, name: &str, wanted: &'static str) -> ClaimError {
    if claims.has(name) {
        ClaimError::malformed(name, wanted)
    } else {
        ClaimError::Missing(name.to_owned())
    }
}

impl fmt::Debug for StatusListToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusListToken")
            .field("algorithm", &self.algorithm())
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}

/// A status list whose signature is good: what its signer said, and until when.
#[derive(Clone, Debug)]
pub struct SignedStatusList {
    list: StatusList,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    ttl: Option<Duration>,
    aggregation_uri: Option<Box<str>>,
}

impl SignedStatusList {
    /// The statuses.
    #[must_use]
    pub fn list(&self) -> &StatusList {
        &self.list
    }

    /// The statuses alone.
    #[must_use]
    pub fn into_list(self) -> StatusList {
        self.list
    }

    /// When it was signed (`iat`).
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// From when on it says nothing any more (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// How long after it was fetched it is to be fetched again (`ttl`).
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Where more lists are said to be (§9). Nothing is done with it here.
    #[must_use]
    pub fn aggregation_uri(&self) -> Option<&str> {
        self.aggregation_uri.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::MAX_HEADER;

    /// TSL-25: a header is looked at before a key is looked for, and is as long as that of any token.
    #[test]
    fn a_header_is_no_longer_than_allowed() {
        let read = |octets: usize| {
            let start = r#"{"alg":"ES256","typ":"statuslist+jwt","x":""#;
            let padding = "x".repeat(octets - start.len() - 2);
            let header = base64url::encode(format!("{start}{padding}\"}}"));
            (
                header.len(),
                Signer::read(&format!("{header}.e30.e30")).map(|signer| signer.algorithm),
            )
        };
        let too_long = Err(StatusListError::Form(CompactError::HeaderLength));
        assert_eq!(read(100), (134, Ok(Algorithm::Es256)));
        let most = MAX_HEADER / 4 * 3;
        assert_eq!(read(most), (MAX_HEADER, Ok(Algorithm::Es256)));
        assert_eq!(read(most + 1), (MAX_HEADER + 2, too_long.clone()));
        assert_eq!(Signer::read(".e30.e30").map(|signer| signer.algorithm), too_long);
        let opaque = Err(StatusListError::Form(CompactError::Opaque));
        assert_eq!(Signer::read("e30").map(|signer| signer.algorithm), opaque);
    }
}
