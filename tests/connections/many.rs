//! Two thousand connections at once.

use std::fs;
use std::sync::Arc;

use http::Request;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::client::{Answer, Client};
use crate::serve::{NOTES, Service, World, on_two_threads};
use crate::support::bearer;

const CONNECTIONS: usize = 2_000;
/// Files for everything else.
const OTHERS: usize = 200;

/// How many connections can be sockets: each takes two files here, one for either end.
fn sockets() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let files = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    // Where nobody says, as few as anywhere.
    let files: usize = files.unwrap_or(256);
    (files.saturating_sub(OTHERS) / 2).min(CONNECTIONS)
}

/// What a connection asks, and what it has to get.
type Script = Vec<(Request<String>, Answer)>;

/// Of each kind its good requests and their refused twins, in an order of its own.
fn script(world: &World, known: &Request<String>, number: usize) -> Script {
    let ok = || Answer::ok(NOTES);
    let invalid = |error| Answer::refused(401, Some(error));
    match number % 5 {
        0 => vec![
            (known.clone(), ok()),
            (world.forged(), invalid("invalid_token")),
            (known.clone(), ok()),
        ],
        1 => {
            let unknown = world.unknown();
            vec![
                (unknown.clone(), ok()),
                (unknown, ok()),
                (world.forged(), invalid("invalid_token")),
            ]
        }
        2 => {
            let (one, other) = (world.proven(), world.proven());
            let replayed = invalid("invalid_dpop_proof");
            vec![(one.clone(), ok()), (one, replayed), (other, ok())]
        }
        3 => {
            let active = world.active();
            let inactive = bearer(&format!("nobody-knows-{number}"));
            vec![(active.clone(), ok()), (inactive, invalid("invalid_token")), (active, ok())]
        }
        _ => {
            let bare = Request::get("/notes").body(String::new()).unwrap();
            let two = bearer("not.a token");
            vec![
                (bare, Answer::refused(401, None)),
                (two, Answer::refused(400, Some("invalid_request"))),
                (world.forged(), invalid("invalid_token")),
            ]
        }
    }
}

/// AUTH-27, AUTH-28, DPOP-17: two thousand connections that are open at once send what they send at once, and
/// each gets what is right for it, whatever the others send.
#[test]
fn two_thousand_at_once_get_what_each_should() {
    on_two_threads(async || {
        let world = World::warm().await;
        let mut service = Service::of(&world.api).await;
        let known = world.unknown();
        let sockets = sockets();
        println!("{sockets} sockets, {} pipes", CONNECTIONS - sockets);
        let barrier = Arc::new(Barrier::new(CONNECTIONS));
        let mut clients = JoinSet::new();
        for number in 0..CONNECTIONS {
            let client = match number < sockets {
                true => service.connect().await,
                false => service.connect_by_pipe(),
            };
            let script = script(&world, &known, number);
            clients.spawn(ask_all(number, client, script, Arc::clone(&barrier)));
        }
        assert_eq!(service.open(), CONNECTIONS, "open at once");
        let mut answers = 0;
        while let Some(answered) = clients.join_next().await {
            answers += answered.unwrap();
        }
        assert_eq!(answers, 3 * CONNECTIONS);
        world.assert_at_rest(2 * CONNECTIONS / 5);
        service.close().await;
    });
}

/// Asks when everybody is there, and says how often it was answered.
async fn ask_all(
    number: usize,
    mut client: Client,
    script: Script,
    barrier: Arc<Barrier>,
) -> usize {
    barrier.wait().await;
    let mut answers = 0;
    for (at, (request, wanted)) in script.iter().enumerate() {
        let answer = client.ask(request).await.unwrap();
        assert_eq!(answer, *wanted, "connection {number}, request {at}");
        answers += 1;
    }
    // Nobody leaves before everybody was answered.
    barrier.wait().await;
    answers
}
