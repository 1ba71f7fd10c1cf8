//! `Client-Cert` and `Client-Cert-Chain` (RFC 9440 §2), which are Structured Fields (RFC 8941).

use sfv::visitor::ParameterVisitor;
use sfv::visitor::{EntryVisitor, InnerListVisitor, ItemVisitor, ListVisitor, Never};
use sfv::{BareItemFromInput, KeyRef, Parser, Version};

use super::{ForwardedError, MAX_CHAIN, bounded, single};
use crate::certificate::Certificate;

/// The longest `Client-Cert` field, in octets. A certificate of RSA 4096 needs 3 KiB of base64, one
/// of ML-DSA-87 that is signed with it 10 KiB.
pub const MAX_CLIENT_CERT: usize = 16 * 1024;

/// The longest `Client-Cert-Chain` field, all its lines together, in octets: what common servers
/// allow the whole head of a request to have.
pub const MAX_CLIENT_CERT_CHAIN: usize = 64 * 1024;

/// Reads the lines of `Client-Cert`, of which there is one, and those of `Client-Cert-Chain`, of
/// which there may be several; none of the first is no certificate. Nobody has said that whoever
/// wrote them may be believed.
///
/// ```
/// use portcullis::sender::{ForwardedError, parse_client_cert};
///
/// let none: [&[u8]; 0] = [];
/// let certificate = parse_client_cert([b":AQID:".as_slice()], [b":BAU=:, :Bg==:".as_slice()])?;
/// assert_eq!(certificate.map(|certificate| certificate.chain().len()), Some(2));
/// assert_eq!(parse_client_cert(none, none), Ok(None));
/// assert_eq!(parse_client_cert([b"AQID".as_slice()], none), Err(ForwardedError::NotByteSequence));
/// # Ok::<(), ForwardedError>(())
/// ```
///
/// # Errors
/// [`Several`](ForwardedError::Several) lines of `Client-Cert`, a chain without it or with its
/// certificate again (RFC 9440 §2.3), anything that is not a Byte Sequence, with octets and without
/// parameters (§2.1, §2.2: `sf-binary`), more than 10 certificates in the chain, or more than the
/// bounds [`MAX_CLIENT_CERT`] and [`MAX_CLIENT_CERT_CHAIN`].
pub fn parse_client_cert<'a, 'b>(
    client_cert: impl IntoIterator<Item = &'a [u8]>,
    client_cert_chain: impl IntoIterator<Item = &'b [u8]>,
) -> Result<Option<Certificate>, ForwardedError> {
    let leaf = single(client_cert, MAX_CLIENT_CERT)?;
    let lines = bounded(client_cert_chain, MAX_CLIENT_CERT_CHAIN)?;
    let Some(leaf) = leaf else {
        return if lines.is_empty() { Ok(None) } else { Err(ForwardedError::ChainAlone) };
    };
    let leaf = Members::read(1, |members| parser(leaf).parse_item_with_visitor(members))?
        .pop()
        .ok_or(ForwardedError::NotByteSequence)?;
    let chain = Members::read(MAX_CHAIN, |members| {
        lines.iter().try_for_each(|line| parser(line).parse_list_with_visitor(&mut *members))
    })?;
    if chain.contains(&leaf) {
        return Err(ForwardedError::LeafInChain);
    }
    Ok(Some(Certificate::with_chain(leaf, chain)))
}

/// RFC 9440 is written in the terms of RFC 8941.
fn parser(line: &[u8]) -> Parser<'_> {
    Parser::new(line).with_version(Version::Rfc8941)
}

/// Byte Sequences as they are parsed, at most so many.
struct Members {
    found: Vec<Box<[u8]>>,
    most: usize,
    /// What is wrong, if something is: the parser passes on its text alone.
    fault: ForwardedError,
}

impl Members {
    fn read<T>(
        most: usize,
        parse: impl FnOnce(&mut Self) -> Result<T, sfv::Error>,
    ) -> Result<Vec<Box<[u8]>>, ForwardedError> {
        let mut members = Self { found: Vec::new(), most, fault: ForwardedError::NotByteSequence };
        match parse(&mut members) {
            Ok(_) => Ok(members.found),
            Err(_) => Err(members.fault),
        }
    }

    fn fail<T>(&mut self, fault: ForwardedError) -> Result<T, ForwardedError> {
        self.fault = fault;
        Err(fault)
    }
}

impl<'de> ListVisitor<'de> for &mut Members {
    type Out = ();
    type Error = ForwardedError;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, ForwardedError> {
        // Before the member is decoded.
        if self.found.len() == self.most {
            return self.fail(ForwardedError::TooManyCertificates);
        }
        Ok(&mut **self)
    }

    fn finish(self) -> Result<(), ForwardedError> {
        Ok(())
    }
}

impl<'de> EntryVisitor<'de> for &mut Members {
    type Error = ForwardedError;

    fn item(self) -> Result<impl ItemVisitor<'de>, ForwardedError> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, ForwardedError> {
        self.fail::<Never>(ForwardedError::NotByteSequence)
    }
}

impl<'de> ItemVisitor<'de> for &mut Members {
    type Out = ();
    type Error = ForwardedError;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, ForwardedError> {
        match item {
            BareItemFromInput::ByteSequence(octets) if octets.is_empty() => {
                self.fail(ForwardedError::EmptyCertificate)
            }
            BareItemFromInput::ByteSequence(octets) => {
                self.found.push(octets.into());
                Ok(NoParameters)
            }
            _ => self.fail(ForwardedError::NotByteSequence),
        }
    }
}

/// RFC 9440 §2.1 has the value alone, and defines no parameter that could be understood.
struct NoParameters;

impl<'de> ParameterVisitor<'de> for NoParameters {
    type Out = ();
    type Error = ForwardedError;

    fn parameter(
        &mut self,
        _: &'de KeyRef,
        _: BareItemFromInput<'de>,
    ) -> Result<(), ForwardedError> {
        Err(ForwardedError::NotByteSequence)
    }

    fn finish(self) -> Result<(), ForwardedError> {
        Ok(())
    }
}
