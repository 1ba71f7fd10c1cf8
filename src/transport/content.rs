//! A body as it was sent, and what was encoded in it (RFC 9110 §8.4), within a bound.
//!
//! Gzip, or nothing: what nobody asked for is not guessed at.

use std::io::Read as _;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Response};

pub(crate) struct Content {
    body: Bytes,
    coding: Coding,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Identity,
    Gzip,
}

/// Why a body is not what it says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("the content is not gzip")]
    Gzip,
    #[error("the content is longer than {most} octets")]
    TooLong { most: usize },
}

impl Content {
    /// The body of an answer. `Err` holds the start of the codings that are none of these.
    pub(crate) fn of(answer: Response<Bytes>) -> Result<Self, String> {
        let coding = Coding::of(answer.headers())?;
        Ok(Self { body: answer.into_body(), coding })
    }

    /// How long it is as it was sent.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// What was encoded, of at most so many octets.
    pub(crate) fn decode(self, most: usize) -> Result<Bytes, ContentError> {
        match self.coding {
            Coding::Identity if self.body.len() > most => Err(ContentError::TooLong { most }),
            Coding::Identity => Ok(self.body),
            Coding::Gzip => {
                let mut decoded = Vec::new();
                let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
                MultiGzDecoder::new(&*self.body)
                    .take(bound)
                    .read_to_end(&mut decoded)
                    .map_err(|_| ContentError::Gzip)?;
                if decoded.len() > most {
                    return Err(ContentError::TooLong { most });
                }
                Ok(decoded.into())
            }
        }
    }
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, String> {
        let values =
            headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
        let codings = values.flat_map(|value| value.split(',')).map(str::trim);
        let is_none = |one: &&str| one.is_empty() || one.eq_ignore_ascii_case("identity");
        let is_gzip =
            |one: &str| ["gzip", "x-gzip"].iter().any(|name| one.eq_ignore_ascii_case(name));
        // More are as good as two.
        let codings: Vec<&str> = codings.filter(|one| !is_none(one)).take(2).collect();
        match codings.as_slice() {
            [] => Ok(Self::Identity),
            [one] if is_gzip(one) => Ok(Self::Gzip),
            others => Err(others.join(", ").chars().take(100).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(body: Vec<u8>, most: usize) -> Result<Bytes, ContentError> {
        Content { body: body.into(), coding: Coding::Gzip }.decode(most)
    }

    /// TSL-29: what is not encoded has the same bound.
    #[test]
    fn a_plain_body_is_bounded_too() {
        for (most, good) in [(9, false), (10, true), (11, true)] {
            let content = Content::of(Response::new("0123456789".into())).unwrap();
            assert_eq!(content.len(), 10);
            assert_eq!(content.decode(most).is_ok(), good, "{most}");
        }
    }

    /// TSL-07, TSL-29.
    #[test]
    fn gzip_is_decoded_within_a_bound() {
        let text = vec![b'a'; 10_000];
        let body = gzip(&text);
        assert_eq!(decode(body.clone(), 10_000).unwrap(), text);
        let twice = [&body[..], &body[..]].concat();
        assert_eq!(decode(twice, 20_000).unwrap().len(), 20_000);
        assert_eq!(decode(body.clone(), 9_999), Err(ContentError::TooLong { most: 9_999 }));

        let bomb = gzip(&vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(decode(bomb, 1 << 20), Err(ContentError::TooLong { most: 1 << 20 }));

        let mut broken = body.clone();
        let checksum = broken.len() - 5;
        broken[checksum] ^= 1;
        for (name, body) in [
            ("text", text),
            ("nothing", Vec::new()),
            ("its start", body[..body.len() - 1].to_vec()),
            ("another checksum", broken),
            ("junk behind it", [&body[..], b"junk"].concat()),
        ] {
            assert_eq!(decode(body, 1 << 20), Err(ContentError::Gzip), "{name}");
        }
    }

    /// TSL-07: what nobody asked for is not guessed at.
    #[test]
    fn no_coding_but_gzip_is_known() {
        for (values, known) in [
            (&[][..], true),
            (&["identity"], true),
            (&["gzip"], true),
            (&["X-GZIP"], true),
            (&["gzip, identity"], true),
            (&["br"], false),
            (&["deflate"], false),
            (&["gzip, gzip"], false),
            (&["gzip", "gzip"], false),
            (&["gzip", "br"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(Coding::of(&headers).is_ok(), known, "{values:?}");
        }
    }
}
