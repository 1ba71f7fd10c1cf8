//! Encrypted tokens: the private keys, and how much work they may be.

use serde::Deserialize;

use super::secret::SecretRef;
use super::value::{Count, Some1, Table, Time};
use super::word::words;
#[cfg(feature = "jwe")]
use crate::jwe::{ContentEncryption, KeyManagement};

/// Decrypts encrypted tokens (RFC 9068 §4). It needs the feature `jwe`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Decryption", extend("required" = ["keys"])))]
pub(super) struct DecryptionTable {
    /// The private keys, 1 to 16: the new one, and the old one until the last token that was encrypted
    /// to it has expired.
    keys: Option<Some1<Table<KeyTable>>>,
    /// How many operations with private keys may run at once, 1 to 1024; half as many as the machine
    /// has cores unless said otherwise, at least one.
    max_at_once: Option<Count>,
    /// How long a request may wait for its token to be decrypted, "1ms" to "10s"; "1s" unless said
    /// otherwise.
    wait_at_most: Option<Time>,
}

/// A private key, and what it is used with. It is one of `pem` and `jwk`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DecryptionKey"))]
struct KeyTable {
    /// An unencrypted private key in PKCS #8, as PEM.
    pem: Option<SecretRef>,
    /// A private JWK.
    jwk: Option<SecretRef>,
    /// The name by which tokens choose it; that of the JWK unless said otherwise. Where there are
    /// several keys, each needs one.
    kid: Option<String>,
    /// What it is used with; all that fits its type unless said otherwise.
    algorithms: Option<Some1<KeyManagementWord>>,
    /// How what it decrypts may be encrypted; all of them unless said otherwise.
    encryptions: Option<Some1<ContentEncryptionWord>>,
}

#[cfg(feature = "jwe")]
words! {
    /// How the key that a content is encrypted with comes to its reader.
    KeyManagementWord(KeyManagement);
}

#[cfg(feature = "jwe")]
words! {
    /// How a content is encrypted.
    ContentEncryptionWord(ContentEncryption);
}

#[cfg(not(feature = "jwe"))]
words! {
    /// How the key that a content is encrypted with comes to its reader.
    KeyManagementWord(()):
        "RSA-OAEP-256" => (),
        "ECDH-ES" => (),
        "ECDH-ES+A256KW" => (),
}

#[cfg(not(feature = "jwe"))]
words! {
    /// How a content is encrypted.
    ContentEncryptionWord(()):
        "A128GCM" => (),
        "A256GCM" => (),
        "A256CBC-HS512" => (),
}

/// What is said of a member that needs the feature, where it is not there.
#[cfg(not(feature = "jwe"))]
pub(super) fn without_feature(faults: &mut crate::error::Faults) {
    let fault = "encrypted tokens are read with the crate's feature `jwe`: enable it";
    faults.push(crate::error::ConfigFault::File(fault.to_owned()));
}

#[cfg(feature = "jwe")]
mod enabled {
    use super::{ContentEncryptionWord, Count, DecryptionTable, KeyManagementWord};
    use super::{KeyTable, Some1, Table, Time};
    use crate::config::files::Files;
    use crate::config::issuer::wanted;
    use crate::error::{ConfigFault, Faults};
    use crate::jwe::{Decryption, DecryptionKey};
    use crate::secret::SecretSource;

    impl DecryptionTable {
        /// The decryption. Where something is wrong it is there all the same.
        pub(in crate::config) fn decryption(
            &self,
            files: Files<'_>,
            faults: &mut Faults,
        ) -> Decryption {
            wanted("keys", self.keys.is_some(), faults);
            let mut decryption = Decryption::new();
            let keys = self.keys.iter().flat_map(|Some1(list)| list).enumerate();
            for (index, Table(key)) in keys {
                let look = |faults: &mut Faults| key.key(files, faults);
                decryption = decryption.key(faults.at_element("keys", index, look));
            }
            if let Some(Count(operations)) = self.max_at_once {
                decryption = decryption.max_at_once(operations);
            }
            match self.wait_at_most {
                Some(Time(wait)) => decryption.wait_at_most(wait),
                None => decryption,
            }
        }
    }

    impl KeyTable {
        fn key(&self, files: Files<'_>, faults: &mut Faults) -> DecryptionKey {
            let fault = |what: &str| ConfigFault::File(what.to_owned());
            let mut key = match (&self.pem, &self.jwk) {
                (Some(pem), None) => DecryptionKey::pem(pem.from(files.0)),
                (None, Some(jwk)) => DecryptionKey::jwk(jwk.from(files.0)),
                (Some(pem), Some(_)) => {
                    faults.push_at(
                        "jwk",
                        fault("`pem` says already what it is: keep one of the two"),
                    );
                    DecryptionKey::pem(pem.from(files.0))
                }
                (None, None) => {
                    faults.push(fault("say where it is: `pem = { ... }` or `jwk = { ... }`"));
                    // What cannot be read then follows from it, and is not told.
                    DecryptionKey::pem(SecretSource::env(""))
                }
            };
            if let Some(kid) = &self.kid {
                key = key.kid(kid);
            }
            if let Some(Some1(algorithms)) = &self.algorithms {
                key = key.algorithms(algorithms.iter().map(|KeyManagementWord(word)| *word));
            }
            match &self.encryptions {
                Some(Some1(encryptions)) => {
                    key.encryptions(encryptions.iter().map(|ContentEncryptionWord(word)| *word))
                }
                None => key,
            }
        }
    }
}
