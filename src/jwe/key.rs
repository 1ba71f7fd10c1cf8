use std::fmt;

use super::algorithm::{ContentEncryption, KeyManagement};
use super::cipher::GoesOn;
use super::material::{KeyTextFault, Material, Shape};
use crate::error::{ConfigFault, Faults};
use crate::secret::{Secret, SecretError, SecretSource};

/// The longest `kid`, in octets. A thumbprint has 43.
const LONGEST_KID: usize = 256;

/// The text of a private key: what is known of it, or where it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PrivateKeyText {
    /// This, as a vault hands it out.
    Known(Secret),
    /// What is there when the server is built. A file should be readable to this process alone.
    At(SecretSource),
}

impl From<Secret> for PrivateKeyText {
    fn from(secret: Secret) -> Self {
        Self::Known(secret)
    }
}

impl From<SecretSource> for PrivateKeyText {
    fn from(source: SecretSource) -> Self {
        Self::At(source)
    }
}

impl PrivateKeyText {
    fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Known(secret) => Ok(secret.clone()),
            Self::At(source) => source.read(),
        }
    }

    fn report(&self) -> serde_json::Value {
        match self {
            Self::Known(_) => "known".into(),
            Self::At(source) => source.report(),
        }
    }
}

/// A private key that tokens are decrypted with.
///
/// ```
/// use portcullis::jwe::{ContentEncryption, DecryptionKey, KeyManagement};
/// use portcullis::secret::SecretSource;
///
/// let key = DecryptionKey::pem(SecretSource::file("/run/secrets/tokens-2026.pem"))
///     .kid("tokens-2026")
///     .algorithms([KeyManagement::RsaOaep256])
///     .encryptions([ContentEncryption::A256Gcm]);
/// # let _ = key;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `Decryption::key`"]
pub struct DecryptionKey {
    form: Form,
    text: PrivateKeyText,
    kid: Option<String>,
    /// `None`: those of its type.
    algorithms: Option<Vec<KeyManagement>>,
    /// `None`: all.
    encryptions: Option<Vec<ContentEncryption>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Pem,
    Jwk,
}

impl DecryptionKey {
    /// An unencrypted private key in PKCS#8, as PEM (RFC 7468 §10): RSA of 2048 to 4096 bits, P-256,
    /// P-384, P-521 or X25519.
    pub fn pem(text: impl Into<PrivateKeyText>) -> Self {
        Self::new(Form::Pem, text.into())
    }

    /// A private JWK (RFC 7517) of one of those kinds. Its `kid` is that of the key, and its `alg`
    /// narrows what the key is used with.
    pub fn jwk(text: impl Into<PrivateKeyText>) -> Self {
        Self::new(Form::Jwk, text.into())
    }

    const fn new(form: Form, text: PrivateKeyText) -> Self {
        Self { form, text, kid: None, algorithms: None, encryptions: None }
    }

    /// The name by which tokens choose it (RFC 7516 §4.1.6): that of its public part, as it was
    /// published. Where there are several keys, each needs one.
    pub fn kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// What it is used with; all that fits its type unless said otherwise.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = KeyManagement>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// How what it decrypts may be encrypted; all of [`ContentEncryption::ALL`] unless said otherwise.
    pub fn encryptions(mut self, encryptions: impl IntoIterator<Item = ContentEncryption>) -> Self {
        self.encryptions = Some(encryptions.into_iter().collect());
        self
    }

    /// Reads it. Looks for faults; `None` if there is one.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<CheckedKey> {
        let before = faults.len();
        let encryptions = self.encryptions.as_deref().unwrap_or(ContentEncryption::ALL);
        if encryptions.is_empty() {
            faults.push_at("encryptions", fault("none is named: name one, or leave it out"));
        }
        let place = match self.form {
            Form::Pem => "pem",
            Form::Jwk => "jwk",
        };
        let secret = match self.text.read() {
            Ok(secret) => secret,
            Err(error) => {
                faults.push_at(place, ConfigFault::Secret(error.to_string()));
                return None;
            }
        };
        let read = match self.form {
            Form::Pem => Material::pem(secret.expose()),
            Form::Jwk => Material::jwk(secret.expose()),
        };
        let material = match read {
            Ok(material) => material,
            Err(what) => {
                let what = match &self.text {
                    PrivateKeyText::Known(_) => format!("private key: {what}"),
                    PrivateKeyText::At(source) => source.unusable(&what).to_string(),
                };
                faults.push_at(place, ConfigFault::Secret(what));
                return None;
            }
        };
        let kid = self.kid.clone().or(material.kid);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > LONGEST_KID) {
            let what = format!(
                "a `kid` is empty or longer than {LONGEST_KID} octets: say another, or leave it out"
            );
            faults.push_at("kid", fault(what));
        }
        let shape = material.shape;
        let possible: Vec<_> = match material.algorithm {
            None => shape.algorithms().to_vec(),
            Some(only) => vec![only],
        };
        let algorithms = self.algorithms.as_deref().unwrap_or(&possible);
        if algorithms.is_empty() {
            faults.push_at("algorithms", fault("none is named: name one, or leave it out"));
        }
        for algorithm in algorithms {
            if !shape.algorithms().contains(algorithm) {
                let what =
                    format!("a key of {shape} cannot be used with {algorithm}: take that away");
                faults.push_at("algorithms", fault(what));
            } else if !possible.contains(algorithm) {
                let what = format!("the `alg` of the key is not {algorithm}: take that away");
                faults.push_at("algorithms", fault(what));
            }
        }
        (faults.len() == before).then(|| CheckedKey {
            form: place,
            text: self.text.report(),
            kid,
            shape,
            decrypters: material
                .decrypters
                .into_iter()
                .filter(|(algorithm, _)| algorithms.contains(algorithm))
                .collect(),
            encryptions: encryptions.to_vec(),
        })
    }
}

pub(super) fn fault(what: impl Into<KeyTextFault>) -> ConfigFault {
    ConfigFault::Decryption(what.into())
}

/// A key without faults.
pub(super) struct CheckedKey {
    form: &'static str,
    text: serde_json::Value,
    pub(super) kid: Option<String>,
    pub(super) shape: Shape,
    decrypters: Vec<(KeyManagement, GoesOn)>,
    encryptions: Vec<ContentEncryption>,
}

impl CheckedKey {
    /// What decrypts with it, if it is used with this.
    pub(super) fn decrypter(&self, algorithm: KeyManagement) -> Option<&GoesOn> {
        self.decrypters.iter().find(|(known, _)| *known == algorithm).map(|(_, found)| found)
    }

    pub(super) fn allows(&self, encryption: ContentEncryption) -> bool {
        self.encryptions.contains(&encryption)
    }

    /// What it says, in the words of a file.
    pub(super) fn report(&self) -> serde_json::Value {
        let algorithms: Vec<_> = self.decrypters.iter().map(|(known, _)| known.as_str()).collect();
        let encryptions: Vec<_> = self.encryptions.iter().map(|known| known.as_str()).collect();
        serde_json::json!({
            self.form: self.text,
            "kid": self.kid,
            "type": self.shape.to_string(),
            "algorithms": algorithms,
            "encryptions": encryptions,
        })
    }
}

/// Its name only.
impl fmt::Debug for CheckedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedKey")
            .field("kid", &self.kid)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}
