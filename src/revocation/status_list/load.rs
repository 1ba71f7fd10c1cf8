//! From the URI of a list to what is held of it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::fetches::FetchTurn;
use super::get::{Getter, Got, ListError, TIMEOUT, longest_token};
use super::held::Held;
use super::lists::Core;
use super::slot::ListSlot;
use super::token::Signer;
use super::{ExpectedStatusList, SignedStatusList, StatusListError, StatusListToken};
use crate::issuer::IssuerKeys;
use crate::jose::{Algorithm, PublicKey};
use crate::time::Timestamp;
use crate::transport::Content;

/// How long keys are looked for.
const KEYS: Duration = Duration::from_secs(5);

/// A text of this length is read at once; a longer one on a thread that may block.
const SHORT: usize = 4 * 1024;

impl ListSlot {
    /// Fetches the list and holds it: the flight of this number.
    pub(super) async fn load(&self, number: u64) -> Result<(), ListError> {
        let Core { rules, clock, transport, .. } = &*self.core;
        let _turn = self.turn(number).await?;
        let keys = self.core.keys(self.issuer())?;
        let asked = clock.moment();
        let before = self.held.load_full();
        // What has ended is asked for whole.
        let is_good = before.as_ref().is_some_and(|held| !held.has_ended(asked, rules));
        let known = self.tag.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let most = longest_token(rules.max_entries);
        let getter = Getter {
            transport: keys.own_transport().map_or(&**transport, |own| &**own),
            clock: &**clock,
            loopback: rules.loopback,
            media_type: StatusListToken::MEDIA_TYPE,
            most,
            allowed: &|url| rules.allows(&self.issuer, url),
        };
        let got = getter.get(&self.uri, known.as_ref().filter(|_| is_good)).await?;
        let (held, tag) = match (got, before) {
            (Got::Unchanged, Some(before)) => (before.asked_again(asked, rules), known),
            // INVARIANT: nothing was asked for on condition then; the transport made this up.
            (Got::Unchanged, None) => return Err(ListError::Ended),
            (Got::New { content, tag }, before) => {
                let signed = self.read(content, most, &keys).await?;
                let new = Held::new(signed, asked, rules);
                let follows = offload(new.list.octets(), move || {
                    let may = before.is_none_or(|before| new.may_follow(&before));
                    may.then_some(new)
                });
                (follows.await?.ok_or(ListError::WentBack)?, tag)
            }
        };
        if held.has_ended(clock.moment(), rules) {
            return Err(ListError::Ended);
        }
        self.lists.upgrade().ok_or(ListError::Dropped)?.install(self, held)?;
        *self.tag.lock().unwrap_or_else(PoisonError::into_inner) = tag;
        self.fetched();
        Ok(())
    }

    /// Waits for its turn, in haste from when on a request needs it.
    async fn turn(&self, number: u64) -> Result<FetchTurn, ListError> {
        let turn = self.core.fetches.ask(&self.issuer);
        let mut hurried = self.hurried.subscribe();
        let hurry = async {
            if hurried.wait_for(|hurried| *hurried >= number).await.is_ok() {
                turn.hurry();
            }
            std::future::pending::<()>().await;
        };
        let has_come = tokio::select! {
            // Whoever gives up in the moment in which the turn comes has it.
            biased;
            () = hurry => false,
            () = turn.comes() => true,
            () = self.core.clock.sleep(TIMEOUT) => false,
        };
        if has_come { Ok(turn) } else { Err(ListError::Busy) }
    }

    /// Decodes, verifies and inflates what was sent.
    async fn read(
        &self,
        content: Content,
        most: usize,
        keys: &Arc<IssuerKeys>,
    ) -> Result<SignedStatusList, ListError> {
        let Core { rules, clock, .. } = &*self.core;
        let (text, signer) = offload(content.len(), move || {
            let text = content.decode(most)?;
            let signer = Signer::read(as_text(&text)?)?;
            Ok::<_, ListError>((text, signer))
        })
        .await??;
        let algorithms: Box<[Algorithm]> = match &rules.algorithms {
            Some(named) => named.clone(),
            None => keys.algorithms().into(),
        };
        if !algorithms.iter().any(|allowed| allowed.same_operation(signer.algorithm)) {
            return Err(StatusListError::Algorithm(signer.algorithm).into());
        }
        let key = tokio::select! {
            key = keys.find_or_fetch(signer.kid.as_deref(), signer.algorithm, &**clock) => key?,
            () = clock.sleep(KEYS) => return Err(ListError::NoKeysInTime),
        };
        let expected = Expected {
            uri: self.uri.clone(),
            issuer: self.issuer.clone(),
            algorithms,
            now: clock.now(),
            max_age: rules.max_age,
            max_entries: rules.max_entries,
        };
        offload(text.len(), move || expected.verify(as_text(&text)?, &key)).await?
    }
}

/// [`ExpectedStatusList`], for another thread.
struct Expected {
    uri: Box<str>,
    issuer: Box<str>,
    algorithms: Box<[Algorithm]>,
    now: Timestamp,
    max_age: Option<Duration>,
    max_entries: u64,
}

impl Expected {
    fn verify(&self, text: &str, key: &PublicKey) -> Result<SignedStatusList, ListError> {
        let expected = ExpectedStatusList {
            issuer: Some(&self.issuer),
            algorithms: &self.algorithms,
            max_age: self.max_age,
            max_entries: self.max_entries,
            ..ExpectedStatusList::new(&self.uri, self.now)
        };
        Ok(StatusListToken::parse(text)?.verify(key, &expected)?)
    }
}

fn as_text(octets: &[u8]) -> Result<&str, ListError> {
    std::str::from_utf8(octets).map_err(|_| ListError::NotText)
}

/// Does work that takes time with the size of something where it holds up no request.
async fn offload<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ListError> {
    if size <= SHORT {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| ListError::Dropped)
}
