//! Requests to one server, one after the other: what both say of the last one, and how they are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::answer::Answer;
use super::server::{By, Server};
use crate::naive::{
    self, Memory, NaiveRecord, NaiveReply, NaiveRequest, NaiveRevocation, Verdict, World,
};

/// What the reference says of a request, by the side of what the crate says: where it need not
/// remember that a token was revoked, it forgets that if the crate did.
pub(crate) fn reference(
    world: &World,
    memory: &mut Memory,
    request: &NaiveRequest,
    answer: &Answer,
) -> Verdict {
    let mut forgetful = memory.forgetful();
    let is_unavailable = matches!(answer, Answer::Refuse { status: 503, .. });
    let verdict = naive::decide(world, memory, request);
    memory.settle(is_unavailable);
    if answer.agrees_with(&verdict) {
        return verdict;
    }
    let other = naive::decide(world, &mut forgetful, request);
    if !answer.agrees_with(&other) {
        return verdict;
    }
    forgetful.settle(is_unavailable);
    *memory = forgetful.no_more_forgetful();
    other
}

/// A request, and when it comes.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) now_nanos: u128,
    pub(crate) steady_nanos: u128,
    /// What was said of revocation before it.
    pub(crate) said: Vec<NaiveRecord>,
    pub(crate) request: NaiveRequest,
}

/// A request in a world, with those before it, as it is kept in a file.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The world at the time of the request.
    pub(crate) world: World,
    /// What its server looks at of revocation.
    pub(crate) revocation: Option<NaiveRevocation>,
    /// What was said of it before the request, and after those before.
    pub(crate) said: Vec<NaiveRecord>,
    pub(crate) request: NaiveRequest,
    pub(crate) before: Vec<Step>,
    /// The nonces that servers made, and when.
    pub(crate) nonces: BTreeMap<String, u128>,
}

/// What everybody says of a request.
#[derive(Debug)]
pub(crate) struct Verdicts {
    pub(crate) by_server: Answer,
    pub(crate) by_guard: Answer,
    pub(crate) naive: Verdict,
}

impl Case {
    /// Whether the time of day was set back.
    fn was_set_back(&self) -> bool {
        let times = self.before.iter().map(|step| step.now_nanos);
        !times.chain([self.world.now_nanos]).is_sorted()
    }

    pub(crate) fn differs(&self, Verdicts { by_server, by_guard, naive }: &Verdicts) -> bool {
        let agrees = |answer: &Answer| {
            answer.agrees_with(naive) || (self.was_set_back() && answer.cannot_tell(naive))
        };
        !agrees(by_server) || !agrees(by_guard)
    }

    pub(crate) fn verdicts(&self) -> Verdicts {
        let mut memory = Memory::new(self.nonces.clone(), self.revocation.clone());
        let mut worlds: Vec<(World, &[NaiveRecord], &NaiveRequest)> = Vec::new();
        for Step { now_nanos, steady_nanos, said, request } in &self.before {
            let (now_nanos, steady_nanos) = (*now_nanos, *steady_nanos);
            let world = World { now_nanos, steady_nanos, ..self.world.clone() };
            worlds.push((world, said, request));
        }
        worlds.push((self.world.clone(), &self.said, &self.request));
        // Each of them uses something up.
        let by = |by: By| -> Vec<Answer> {
            let server = Server::new(&worlds[0].0, self.revocation.as_ref());
            let decide = |(world, said, request): &(World, &[NaiveRecord], &NaiveRequest)| {
                server.hear(world, said);
                server.decide(world, request, by)
            };
            worlds.iter().map(decide).collect()
        };
        let (mut by_server, mut by_guard) = (by(By::Server), by(By::Guard));
        let naive = worlds.iter().zip(&by_server).map(|((world, said, request), answer)| {
            memory.hear(world, said);
            reference(world, &mut memory, request, answer)
        });
        Verdicts {
            naive: naive.last().unwrap(),
            by_server: by_server.pop().unwrap(),
            by_guard: by_guard.pop().unwrap(),
        }
    }

    /// The same without those of the requests before, and of what was said, that change nothing.
    fn shortened(mut self) -> Self {
        for at in (0..self.before.len()).rev() {
            let mut shorter = self.clone();
            let Step { mut said, .. } = shorter.before.remove(at);
            let next = match shorter.before.get_mut(at) {
                Some(step) => &mut step.said,
                None => &mut shorter.said,
            };
            said.append(next);
            *next = said;
            if shorter.differs(&shorter.verdicts()) {
                self = shorter;
            }
        }
        for at in (0..=self.before.len()).rev() {
            let said = |case: &Self| match case.before.get(at) {
                Some(step) => step.said.clone(),
                None => case.said.clone(),
            };
            for record in (0..said(&self).len()).rev() {
                let mut shorter = self.clone();
                match shorter.before.get_mut(at) {
                    Some(step) => step.said.remove(record),
                    None => shorter.said.remove(record),
                };
                if shorter.differs(&shorter.verdicts()) {
                    self = shorter;
                }
            }
        }
        self
    }

    pub(crate) fn to_json(&self, name: &str) -> String {
        let verdicts = self.verdicts();
        let mut case = of_request(&self.request);
        let before = self.before.iter().map(|step| {
            let mut before = of_request(&step.request);
            before["now_nanos"] = step.now_nanos.to_string().into();
            before["steady_nanos"] = step.steady_nanos.to_string().into();
            before["said"] = json!(step.said);
            before
        });
        let members = [
            ("name", json!(name)),
            (
                "crate",
                json!({
                    "server": format!("{:?}", verdicts.by_server),
                    "guard": format!("{:?}", verdicts.by_guard),
                }),
            ),
            ("reference", json!(format!("{:?}", verdicts.naive))),
            ("before", before.collect()),
            (
                "nonces",
                self.nonces
                    .iter()
                    .map(|(nonce, at)| (nonce.clone(), json!(at.to_string())))
                    .collect(),
            ),
            ("said", json!(self.said)),
            ("revocation", json!(self.revocation)),
            ("world", json!(self.world)),
        ];
        for (name, value) in members {
            case[name] = value;
        }
        serde_json::to_string_pretty(&case).unwrap() + "\n"
    }

    pub(crate) fn from_json(text: &str) -> Self {
        let case: Value = serde_json::from_str(text).unwrap();
        let nanos = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        let nonces = case["nonces"].as_object().into_iter().flatten();
        let before = case["before"].as_array().into_iter().flatten();
        let said = |case: &Value| {
            let said: Option<_> = serde_json::from_value(case["said"].clone()).unwrap();
            said.unwrap_or_default()
        };
        Self {
            world: serde_json::from_value(case["world"].clone()).unwrap(),
            revocation: serde_json::from_value(case["revocation"].clone()).unwrap(),
            said: said(&case),
            request: to_request(&case),
            before: before
                .map(|step| Step {
                    now_nanos: nanos(&step["now_nanos"]),
                    steady_nanos: nanos(&step["steady_nanos"]),
                    said: said(step),
                    request: to_request(step),
                })
                .collect(),
            nonces: nonces.map(|(nonce, at)| (nonce.clone(), nanos(at))).collect(),
        }
    }

    /// Prints the case and keeps it beside the others.
    pub(crate) fn keep(self, seed: u64, number: usize, name: &str) {
        let json = self.shortened().to_json(name);
        let path = directory().join(format!("seed-{seed}-case-{number}.json"));
        eprintln!("{json}");
        match std::fs::write(&path, json) {
            Ok(()) => eprintln!("kept as {}", path.display()),
            Err(error) => eprintln!("not kept as {}: {error}", path.display()),
        }
    }
}

fn of_request(request: &NaiveRequest) -> Value {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let lines = |lines: &[Vec<u8>]| lines.iter().map(|line| hex(line)).collect::<Vec<_>>();
    json!({
        "method": request.method,
        "target": request.target,
        "original": request.original,
        "authorization_hex": lines(&request.authorization),
        "dpop_hex": lines(&request.dpop),
        "certificate_hex": request.certificate.as_deref().map(hex),
        "peer": request.peer,
        "reply": request.reply.as_ref().map(|reply| json!({
            "status": reply.status,
            "content_type": reply.content_type,
            "body_hex": hex(&reply.body),
        })),
    })
}

/// What a file does not name is as in a request for `/` that has nothing else. Where it says nothing of
/// revocation, nothing is looked at.
fn to_request(json: &Value) -> NaiveRequest {
    let octets = |value: &Value| -> Vec<u8> {
        let hex = value.as_str().unwrap();
        let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(octet).collect()
    };
    let lines = |name: &str| json[name].as_array().into_iter().flatten().map(octets).collect();
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let plain = NaiveRequest::with_lines(lines("authorization_hex"));
    NaiveRequest {
        method: text("method").unwrap_or(plain.method),
        target: text("target").unwrap_or(plain.target),
        original: text("original"),
        authorization: plain.authorization,
        dpop: lines("dpop_hex"),
        certificate: json.get("certificate_hex").filter(|hex| hex.is_string()).map(octets),
        peer: json["peer"].as_str().map(|peer| peer.parse().unwrap()),
        reply: json.get("reply").filter(|reply| reply.is_object()).map(|reply| NaiveReply {
            status: reply["status"].as_u64().unwrap().try_into().unwrap(),
            content_type: reply["content_type"].as_str().map(str::to_owned),
            body: octets(&reply["body_hex"]),
        }),
    }
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential-regressions")
}
