//! Configuration files.

use portcullis::BuildError;
use portcullis::config::ServerConfig;
use portcullis::testing::TestNetwork;

/// Any text as TOML and as JSON: read or refused, with every fault at its place, and what is read
/// builds or says why not.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // A configuration names files: some never end, and a journal would be made.
    if text.contains("journal")
        || text.contains("/dev")
        || text.contains("/proc")
        || text.contains('\\')
    {
        return;
    }
    let read = [ServerConfig::from_toml(text), ServerConfig::from_json(text)];
    let is_json =
        serde_json::from_str::<serde_json::Value>(text).is_ok_and(|json| json.is_object());
    assert!(read[1].is_err() || is_json, "read as JSON what is no JSON object");
    for config in read {
        match config.and_then(ServerConfig::builder) {
            Ok(builder) => {
                let network = TestNetwork::of(&[]);
                if let Err(error) = builder.transport(network).build() {
                    assert_told(&error);
                }
            }
            Err(error) => assert_told(&error),
        }
    }
}

fn assert_told(error: &BuildError) {
    assert!(error.places().count() > 0);
    assert!(!error.to_string().is_empty());
}
