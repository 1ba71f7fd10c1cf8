//! Documents that name lists (Token Status List §9).

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::checked::Prefetch;
use super::get::{Getter, Got, ListError};
use super::lists::{Core, Lists};
use super::place::Origin;
use crate::jose::json::{Object, Value};
use crate::name::NameError;
use crate::revocation::rest::Rest;

/// A document is fetched again after this time.
const AGAIN: Duration = Duration::from_hours(1);
/// So many lists of a document are fetched together.
const TOGETHER: usize = 4;
/// Ten thousand URIs of a hundred octets.
const MOST: usize = 1024 * 1024;

/// Fetches the document again and again, and sees to it that the lists that it names are kept fresh.
/// One that cannot be had does not stop the others: each has its own fetches.
pub(super) async fn keep_fetching(core: Arc<Core>, this: Weak<Lists>, place: Prefetch) {
    let mut backoff = Rest::new();
    loop {
        let fetched = fetch(&core, &place).await;
        let rest = match fetched {
            Ok(uris) => {
                let Some(lists) = this.upgrade() else { return };
                keep(&lists, &place, &uris);
                drop(lists);
                start(&this, &place, &uris).await;
                backoff.reset();
                AGAIN
            }
            Err(error) => {
                let (issuer, uri) = (&*place.issuer, &*place.uri);
                tracing::warn!(issuer, uri, "status lists to prefetch are not known: {error}");
                core.tell(uri, None, Some(&error.to_string()));
                backoff.next()
            }
        };
        core.clock.sleep(rest).await;
    }
}

/// The lists that the document names.
async fn fetch(core: &Core, place: &Prefetch) -> Result<Vec<String>, ListError> {
    let rules = &core.rules;
    let keys = core.keys(&place.issuer)?;
    let own = Origin::of(&place.uri, rules.loopback)?;
    let allowed = |url: &str| match Origin::of(url, rules.loopback)? {
        origin if origin == own => Ok(()),
        _ => Err(NameError::new("document", url, "is not where the configured one is")),
    };
    let getter = Getter {
        transport: keys.own_transport().map_or(&*core.transport, |own| &**own),
        clock: &*core.clock,
        loopback: rules.loopback,
        media_type: "application/json",
        most: MOST,
        allowed: &allowed,
    };
    let Got::New { content, .. } = getter.get(&place.uri, None).await? else {
        return Err(ListError::Aggregation);
    };
    named(&content.decode(MOST)?).ok_or(ListError::Aggregation)
}

fn named(document: &[u8]) -> Option<Vec<String>> {
    let document = Object::parse(document).ok()?;
    let lists = document.member("status_lists").and_then(Value::as_array)?;
    lists.into_iter().map(|uri| uri.as_str().map(String::from)).collect()
}

/// Keeps these lists fresh, and no others of the issuer.
fn keep(lists: &Arc<Lists>, place: &Prefetch, uris: &[String]) {
    let rules = &lists.core.rules;
    let issuer = &*place.issuer;
    let several = rules.prefetch.iter().filter(|other| other.issuer == place.issuer).count() > 1;
    if !several {
        for slot in lists.kept(issuer) {
            slot.keep(uris.iter().any(|uri| uri == slot.uri()));
        }
    }
    if uris.len() > rules.max_lists {
        let (named, most) = (uris.len(), rules.max_lists);
        tracing::warn!(issuer, named, most, "more status lists to prefetch than are kept");
    }
    for uri in uris.iter().take(rules.max_lists) {
        match lists.add(issuer, uri) {
            Ok(slot) => slot.keep(true),
            Err(_) => tracing::warn!(issuer, uri, "a status list to prefetch is at another origin"),
        }
    }
}

/// Fetches what is kept of these lists, a few at a time: none waits so long for its turn that it fails,
/// and a request for one of them does not wait for those before it.
async fn start(lists: &Weak<Lists>, place: &Prefetch, uris: &[String]) {
    let mut landings = VecDeque::new();
    for uri in uris {
        let landing = {
            let Some(lists) = lists.upgrade() else { return };
            let Some(slot) = lists.find(&place.issuer, uri).filter(|slot| slot.is_kept()) else {
                continue;
            };
            let number = slot.start(lists.core.clock.moment());
            number.map(|number| Box::pin(slot.flights.landing(number)))
        };
        landings.extend(landing);
        if landings.len() >= TOGETHER
            && let Some(first) = landings.pop_front()
        {
            first.await;
        }
    }
}
