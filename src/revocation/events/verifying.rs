//! Asks a transmitter, again and again, to show that its stream is alive (SSF §8.1.4.2).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::outbound::{AskError, Question, Wording};
use super::stream::{Asked, Place, Stream};
use super::streams::{Delivery, StreamEntry};
use super::transmitter::TIMEOUT;
use crate::revocation::rest::Rest;
use crate::revocation::source::SourceHandle;

/// The answer to a verification request is empty.
const MAX_ANSWER: usize = 16 * 1024;

/// Asks every third of the maximum age, and as soon as the stream says that it is enabled again.
pub(super) async fn run(stream: &Stream, asked: &Asked, handle: &SourceHandle) {
    let mut rest = Rest::new();
    let mut entry = None;
    loop {
        let max_age = handle.max_age();
        let late = stream.liveness.waits(handle.clock().moment());
        if let Some(late) = late.filter(|late| *late >= max_age) {
            let seconds = late.as_secs();
            handle.failed(format!(
                "a verification event was asked for {seconds}s ago: it did not come"
            ));
        }
        let wait = match ask(stream, asked, &mut entry, handle).await {
            Ok(()) => {
                rest.reset();
                let third = max_age.checked_div(3).unwrap_or(max_age);
                let least = entry.as_ref().and_then(|entry| entry.verified_every);
                third.max(least.unwrap_or_default()).max(Duration::from_secs(1))
            }
            Err(error) => {
                handle.failed(format!("no verification event could be asked for: {error}"));
                entry = None;
                rest.next()
            }
        };
        tokio::select! {
            () = handle.clock().sleep(wait) => {}
            () = stream.liveness.is_due() => {}
        }
    }
}

/// Asks once. The entry is kept where one was looked up.
async fn ask(
    stream: &Stream,
    asked: &Asked,
    entry: &mut Option<StreamEntry>,
    handle: &SourceHandle,
) -> Result<(), AskError> {
    let credential: Option<&Arc<_>> = asked.credential.as_ref();
    let stream_id = match (&stream.stream_id, &entry) {
        (Some(stream_id), _) => stream_id.clone(),
        (None, Some(entry)) => entry.stream_id.clone(),
        (None, None) => {
            let found = stream.entry(Delivery::Push, credential).await?;
            entry.insert(found).stream_id.clone()
        }
    };
    let url = match &asked.place {
        Place::At(url) => url.clone(),
        Place::Discovered => {
            let known = stream.transmitter.known().await?;
            let endpoint = known.metadata.verification_endpoint.clone();
            let nothing = "the transmitter's metadata has no `verification_endpoint`";
            endpoint.ok_or(AskError::Nothing(nothing))?
        }
    };
    let outbound = stream.transmitter.outbound();
    let outbound = outbound.ok_or(AskError::Nothing("there is no transport"))?;
    let state = stream.liveness.ask(&stream_id, handle.clock().moment());
    let state = state.ok_or(AskError::Nothing("the machine has no randomness to give"))?;
    let question = Question {
        url: &url,
        credential,
        body: Some(json!({ "stream_id": stream_id, "state": state }).to_string()),
        wording: Wording::None,
        max_body: MAX_ANSWER,
        timeout: TIMEOUT,
    };
    let done = outbound.done(question).await;
    if done.is_err() {
        // If it came through all the same, its answer is good; nobody waits for it.
        stream.liveness.not_asked(&state);
    }
    done
}
