//! Sends a request, and holds its answer against the record.

use std::collections::HashMap;
use std::sync::Arc;

use http::Request;
use portcullis::layer::ProtectLayer;
use portcullis::{Rejection, RejectionKind as Kind};

use crate::record::{Epoch, Route, Token, Wants};
use crate::support::{Sent, send, told};
use crate::traffic::Worker;
use crate::world::World;

/// More wrong decisions say nothing new.
const ENOUGH: usize = 20;

/// How often each thing was sent, and how often each answer came.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: HashMap<&'static str, u64>,
    pub(crate) answers: HashMap<Option<Kind>, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        for (name, count) in other.sent {
            *self.sent.entry(name).or_default() += count;
        }
        for (kind, count) in other.answers {
            *self.answers.entry(kind).or_default() += count;
        }
    }

    pub(crate) fn all(&self) -> u64 {
        self.answers.values().sum()
    }
}

impl Worker {
    pub(crate) async fn send(
        &mut self,
        what: &'static str,
        epoch: &Epoch,
        route: Route,
        request: Request<String>,
        wants: &Wants,
        token: Option<&Token>,
    ) -> Sent {
        let world = Arc::clone(&self.world);
        let sent = send(layer(&world, route), request).await;
        self.judge(what, epoch, route, &sent, wants, token);
        sent
    }

    /// Holds an answer against the record, and the status and challenge against its kind.
    pub(crate) fn judge(
        &mut self,
        what: &'static str,
        epoch: &Epoch,
        route: Route,
        sent: &Sent,
        wants: &Wants,
        token: Option<&Token>,
    ) {
        let kind = sent.kind();
        *self.counts.sent.entry(what).or_default() += 1;
        *self.counts.answers.entry(kind).or_default() += 1;
        let (status, error) = kind.map_or((200, None), told);
        let is_told = sent.response.status() == status
            && sent.error().as_deref() == error
            && sent.passed() == kind.is_none();
        if wants.contains(&kind) && is_told {
            return;
        }
        let mut wrong = self.world.wrong.lock().unwrap();
        if wrong.len() < ENOUGH {
            let (number, change, now) = (epoch.number, epoch.change, epoch.before.now);
            let is_changing = epoch.after.is_some();
            let refused = sent.response.extensions().get::<Rejection>();
            let about = token.map(|token| {
                let Token { who, flaw, bound, kid, jti, about, index, .. } = token;
                let (from, to) = (token.issued_at, token.expires_at);
                format!("{who:?} {flaw:?} {bound:?} {kid} {jti} {about:?} {index:?} {from}..{to}")
            });
            wrong.push(format!(
                "epoch {number} ({change}, changing: {is_changing}), now {now}: {what} on {route:?}, \
                 {about:?}: wanted {wants:?}, found {kind:?}, {} {:?}: {refused:?}",
                sent.response.status(),
                sent.error(),
            ));
        }
    }
}

/// The layer of a route.
pub(crate) fn layer(world: &World, route: Route) -> &ProtectLayer {
    let layers = &world.layers;
    match route {
        Route::Plain => &layers.plain,
        Route::Later => &layers.later,
        Route::Write => &layers.write,
        Route::Nonce => &layers.nonce,
        Route::Once => &layers.once,
    }
}
