//! The certificates of both servers and of the clients, as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::testing::TestCertificate;

/// One authority and those that it vouches for. The files are removed in the end.
pub(crate) struct Certificates {
    directory: PathBuf,
    pub(crate) api: TestCertificate,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("interop-{}-{count}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();

        let authority = TestCertificate::named("authority").authority().self_signed();
        let server = |name| TestCertificate::named(name).dns("localhost").issued_by(&authority);
        let client = |name: &str| {
            let dns = format!("{name}.example");
            TestCertificate::named(name).dns(dns).issued_by(&authority)
        };
        let alice = client("alice");
        let made = Self { directory, api: server("api") };
        for (name, certificate) in [
            ("authority", &authority),
            ("provider", &server("provider")),
            ("renewed", &alice.renewed()),
            ("alice", &alice),
            ("mallory", &client("mallory")),
        ] {
            made.write(&format!("{name}.pem"), &certificate.pem());
            made.write(&format!("{name}.key"), &certificate.key_pem());
        }
        made
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
