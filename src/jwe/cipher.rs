//! What is done otherwise than josekit does it.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};
use josekit::JoseError;
use josekit::jwe::enc::A256CBC_HS512;
use josekit::jwe::zip::Def;
use josekit::jwe::{
    JweAlgorithm, JweCompression as _, JweContentEncryption, JweContext, JweDecrypter, JweHeader,
};

use super::algorithm::ContentEncryption;

/// The longest key of a content, in octets.
const LONGEST_KEY: usize = 64;

/// josekit without compression, and without a content encryption that is not ours.
pub(super) fn context() -> JweContext {
    const OF_LIBRARY: [&str; 6] =
        ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"];
    let mut context = JweContext::new();
    context.remove_compression(Def.name());
    for name in OF_LIBRARY {
        if ContentEncryption::parse(name).is_none() {
            context.remove_content_encryption(name);
        }
    }
    context.add_content_encryption(Box::new(MacFirst));
    context
}

/// A decrypter that goes on with a random key where there is none to be had, or one of another
/// length: that the encrypted key was bad shows where a bad tag does, and not sooner (RFC 7516 §11.5).
#[derive(Clone)]
pub(super) struct GoesOn(Box<dyn JweDecrypter>);

impl GoesOn {
    pub(super) fn new(decrypter: Box<dyn JweDecrypter>) -> Self {
        Self(decrypter)
    }
}

impl JweDecrypter for GoesOn {
    fn algorithm(&self) -> &dyn JweAlgorithm {
        self.0.algorithm()
    }

    fn key_id(&self) -> Option<&str> {
        None
    }

    fn decrypt(
        &self,
        encrypted_key: Option<&[u8]>,
        cencryption: &dyn JweContentEncryption,
        header: &JweHeader,
    ) -> Result<Cow<'_, [u8]>, JoseError> {
        // It is drawn in either case, which takes the same time.
        let mut random = [0; LONGEST_KEY];
        rand::fill(&mut random).map_err(|_| refused())?;
        let random = random.get(..cencryption.key_len()).ok_or_else(refused)?.to_vec();
        Ok(match self.0.decrypt(encrypted_key, cencryption, header) {
            Ok(key) if key.len() == cencryption.key_len() => key,
            _ => Cow::Owned(random),
        })
    }

    fn box_clone(&self) -> Box<dyn JweDecrypter> {
        Box::new(self.clone())
    }
}

/// A key is never printed.
impl fmt::Debug for GoesOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GoesOn").field(&self.0.algorithm().name()).finish()
    }
}

/// `A256CBC-HS512` that looks at the tag first, in constant time, and decrypts only where it is right
/// (RFC 7518 §5.2.2.2). josekit 0.10 decrypts first: how soon it fails would tell whether the padding
/// was good, and with that, octet by octet, what was encrypted.
#[derive(Clone, Debug)]
struct MacFirst;

impl MacFirst {
    const MAC_KEY: usize = 32;
    const TAG: usize = 32;

    fn tag_is_right(
        key: &[u8],
        iv: &[u8],
        ciphertext: &[u8],
        aad: &[u8],
        tag: &[u8],
    ) -> Option<()> {
        let mac_key = key.get(..Self::MAC_KEY)?;
        let aad_bits = u64::try_from(aad.len()).ok()?.checked_mul(8)?.to_be_bytes();
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, mac_key));
        for octets in [aad, iv, ciphertext, &aad_bits] {
            mac.update(octets);
        }
        let mac = mac.sign();
        verify_slices_are_equal(mac.as_ref().get(..Self::TAG)?, tag).ok()
    }
}

impl JweContentEncryption for MacFirst {
    fn name(&self) -> &str {
        A256CBC_HS512.name()
    }

    fn key_len(&self) -> usize {
        A256CBC_HS512.key_len()
    }

    fn iv_len(&self) -> usize {
        A256CBC_HS512.iv_len()
    }

    fn encrypt(
        &self,
        key: &[u8],
        iv: Option<&[u8]>,
        message: &[u8],
        aad: &[u8],
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), JoseError> {
        A256CBC_HS512.encrypt(key, iv, message, aad)
    }

    fn decrypt(
        &self,
        key: &[u8],
        iv: Option<&[u8]>,
        encrypted_message: &[u8],
        aad: &[u8],
        tag: Option<&[u8]>,
    ) -> Result<Vec<u8>, JoseError> {
        let (Some(octets), Some(known)) = (iv, tag) else { return Err(refused()) };
        Self::tag_is_right(key, octets, encrypted_message, aad, known).ok_or_else(refused)?;
        A256CBC_HS512.decrypt(key, iv, encrypted_message, aad, tag)
    }

    fn box_clone(&self) -> Box<dyn JweContentEncryption> {
        Box::new(self.clone())
    }
}

/// Nobody reads what it says.
fn refused() -> JoseError {
    JoseError::InvalidJweFormat(fmt::Error.into())
}

#[cfg(test)]
mod tests {
    use josekit::jwe::RSA_OAEP_256;
    use josekit::jwe::enc::A256GCM;

    use super::*;

    /// JWS-36, attack 21: there is nothing left that could inflate, and no encryption but ours.
    #[test]
    fn the_context_knows_what_is_ours() {
        let context = context();
        assert!(context.get_compression("DEF").is_none());
        for name in ["A128CBC-HS256", "A192CBC-HS384", "A192GCM"] {
            assert!(context.get_content_encryption(name).is_none(), "{name}");
        }
        for encryption in ContentEncryption::ALL {
            let known = context.get_content_encryption(encryption.as_str()).unwrap();
            assert_eq!(known.key_len(), encryption.key_octets(), "{encryption}");
            assert_eq!(known.iv_len(), encryption.iv_octets(), "{encryption}");
        }
        let cbc = context.get_content_encryption("A256CBC-HS512").unwrap();
        assert_eq!(format!("{cbc:?}"), "MacFirst");
    }

    /// RFC 7516 §11.5: a key that cannot be unwrapped looks like any other until the tag is seen; a
    /// good one is itself.
    #[test]
    fn a_bad_key_is_a_random_one() {
        let pair = RSA_OAEP_256.generate_key_pair(2048).unwrap();
        let decrypter = RSA_OAEP_256.decrypter_from_pem(pair.to_pem_private_key()).unwrap();
        let decrypter = GoesOn::new(Box::new(decrypter));
        let mut jwk = pair.to_jwk_public_key();
        jwk.set_key_use("enc");
        let encrypter = RSA_OAEP_256.encrypter_from_jwk(&jwk).unwrap();
        let header = JweHeader::new();
        let wrap = |key: &[u8]| {
            josekit::jwe::JweEncrypter::encrypt(&encrypter, key, &header, &mut header.clone())
                .unwrap()
                .unwrap()
        };
        let unwrap = |octets: &[u8]| {
            decrypter.decrypt(Some(octets), &A256GCM, &header).unwrap().into_owned()
        };
        assert_eq!(unwrap(&wrap(&[7; 32])), [7; 32]);
        let short = wrap(&[7; 16]);
        let mut broken = wrap(&[7; 32]);
        broken[9] ^= 1;
        for octets in [&short[..], &broken, &[0; 256]] {
            let (once, again) = (unwrap(octets), unwrap(octets));
            assert_eq!((once.len(), again.len()), (32, 32));
            assert_ne!(once, again);
            assert_ne!(once, [7; 32]);
        }
    }

    /// RFC 7518 §5.2.2.2: what has a bad tag is not decrypted, whatever its padding; the twin is.
    #[test]
    fn the_tag_comes_first() {
        let (key, iv) = ([1; 64], [2; 16]);
        let (text, tag) = MacFirst.encrypt(&key, Some(&iv), b"a.b.c", b"aad").unwrap();
        let tag = tag.unwrap();
        let open = |text: &[u8], aad: &[u8], tag: &[u8]| {
            MacFirst.decrypt(&key, Some(&iv), text, aad, Some(tag)).ok()
        };
        assert_eq!(open(&text, b"aad", &tag).unwrap(), b"a.b.c");
        let mut padding_seen = false;
        let mut other = text.clone();
        other[0] ^= 1;
        assert_eq!(open(&other, b"aad", &tag), None);
        // The error is ours: the library, which would have seen the padding, was not asked.
        for octet in 0..=255 {
            other[0] = octet;
            let read = MacFirst.decrypt(&key, Some(&iv), &other, b"aad", Some(&tag));
            assert_eq!(read.is_ok(), other == text);
            assert!(matches!(read, Ok(_) | Err(JoseError::InvalidJweFormat(_))));
            let asked = A256CBC_HS512.decrypt(&key, Some(&iv), &other, b"aad", Some(&tag));
            padding_seen |= matches!(asked, Err(JoseError::InvalidKeyFormat(_)));
        }
        assert!(padding_seen, "the library alone looks at it first");
        assert_eq!(open(&text, b"aax", &tag), None);
        assert_eq!(open(&text, b"aad", &tag[..31]), None);
        assert_eq!(open(&text, b"aad", &tag[..0]), None);
        for at in 0..tag.len() {
            let mut other = tag.clone();
            other[at] ^= 0x80;
            assert_eq!(open(&text, b"aad", &other), None, "{at}");
        }
        assert!(MacFirst.decrypt(&key, Some(&iv), &text, b"aad", None).is_err());
        assert!(MacFirst.decrypt(&key, None, &text, b"aad", Some(&tag)).is_err());
        assert!(MacFirst.decrypt(&key[..31], Some(&iv), &text, b"aad", Some(&tag)).is_err());
    }
}
