//! Files that a configuration names.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::secret::beside;
use crate::error::{ConfigFault, Faults};
use crate::transport::Transport;

/// The longest file of keys or certificates, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// The files that a configuration names, and the place from which they are looked for.
#[derive(Clone, Copy)]
pub(super) struct Files<'a>(pub(super) Option<&'a Path>);

impl Files<'_> {
    /// Where a file is; what is wrong is at the current place.
    pub(super) fn path(self, what: &str, path: &str, faults: &mut Faults) -> Option<PathBuf> {
        // A document in place of its path must not be shown: it may hold a private key.
        if path.is_empty() || path.contains(['{', '\n']) || path.contains("-----BEGIN") {
            let fault = format!("wanted the path of a file with {what}, not {what} in its place");
            faults.push(ConfigFault::File(fault));
            return None;
        }
        Some(beside(self.0, Path::new(path)))
    }

    /// A whole file; what is wrong is at the current place.
    fn read(self, what: &str, path: &str, faults: &mut Faults) -> Option<Vec<u8>> {
        let path = self.path(what, path, faults)?;
        let mut fault = |why: String| faults.push(ConfigFault::File(why));
        let mut bytes = Vec::new();
        let read = File::open(&path)
            .and_then(|file| file.take(LONGEST.saturating_add(1)).read_to_end(&mut bytes));
        match read {
            Err(error) => {
                fault(format!("file {:?} cannot be read: {error}", path.display().to_string()));
                None
            }
            Ok(read) if u64::try_from(read).is_ok_and(|read| read > LONGEST) => {
                fault(format!(
                    "file {:?} is longer than 1 MiB: is it the right one?",
                    path.display().to_string()
                ));
                None
            }
            Ok(_) => Some(bytes),
        }
    }
}

/// Where keys are.
pub(super) enum KeyPlace {
    /// Where metadata says.
    Discovery,
    Jwks(String),
    Fixed(Vec<u8>),
}

/// Where keys are, by the members `jwks_uri` and `keys` of the current place.
pub(super) fn key_place(
    jwks_uri: &Option<String>,
    keys: &Option<String>,
    files: Files<'_>,
    faults: &mut Faults,
) -> KeyPlace {
    match (jwks_uri, keys) {
        (Some(_), Some(_)) => {
            let fault = "`jwks_uri` says already where the keys are: keep one of the two";
            faults.push_at("keys", ConfigFault::File(fault.to_owned()));
            KeyPlace::Discovery
        }
        (Some(jwks_uri), None) => KeyPlace::Jwks(jwks_uri.clone()),
        (None, Some(path)) => {
            let keys = faults.at("keys", |faults| files.read("a JWK Set", path, faults));
            keys.map_or(KeyPlace::Discovery, KeyPlace::Fixed)
        }
        (None, None) => KeyPlace::Discovery,
    }
}

/// An HTTP client with the trust anchors of the member `ca_file` of the current place.
pub(super) fn authority(
    path: &str,
    files: Files<'_>,
    faults: &mut Faults,
) -> Option<Arc<dyn Transport>> {
    faults.at("ca_file", |faults| {
        let pem = files.read("certificates", path, faults)?;
        client(&pem).map_err(|what| faults.push(ConfigFault::File(what))).ok()
    })
}

#[cfg(feature = "reqwest")]
fn client(pem: &[u8]) -> Result<Arc<dyn Transport>, String> {
    match crate::transport::ReqwestTransport::with_root_certificates(pem) {
        Ok(transport) => Ok(Arc::new(transport)),
        Err(error) => Err(format!("its certificates cannot be used: {error}")),
    }
}

#[cfg(not(feature = "reqwest"))]
fn client(_: &[u8]) -> Result<Arc<dyn Transport>, String> {
    let fault =
        "a private authority needs the crate's own HTTP client: enable the feature `reqwest`";
    Err(fault.to_owned())
}
