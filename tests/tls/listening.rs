//! Many handshakes on one listener.

use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use portcullis::rustls::{ClientCertificates, TlsListener};
use portcullis::testing::TestCertificate;
use portcullis::time::Clock as _;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::Presents::{Nothing, Own};
use crate::world::{World, connect};

async fn listener(world: &World) -> TlsListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TlsListener::new(listener, world.acceptor(ClientCertificates::requested()))
}

async fn dial(listener: &TlsListener) -> TcpStream {
    TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
}

/// A test that is about to hang fails instead.
async fn ends(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_mins(1), test).await.expect("it ends");
}

/// The listener accepts until this client has a connection.
async fn serves(listener: &mut TlsListener, client: &Arc<ClientConfig>, stream: TcpStream) -> bool {
    let (accepted, connected) = tokio::join!(listener.accept(), connect(client, stream));
    let (mut accepted, mut connected) = (accepted, connected.unwrap());
    accepted.write_all(b"!").await.unwrap();
    accepted.flush().await.unwrap();
    connected.read_u8().await.unwrap() == b'!'
}

#[tokio::test]
async fn a_slow_handshake_holds_up_no_other() {
    ends(async {
        let world = World::new();
        let mut listener = listener(&world).await;
        let client = Arc::new(world.client(Nothing));
        let mut silent = dial(&listener).await;
        let mut slow = dial(&listener).await;
        slow.write_all(&[22, 3, 1]).await.unwrap();
        for _ in 0..3 {
            let stream = dial(&listener).await;
            assert!(serves(&mut listener, &client, stream).await);
        }
        // Both are still under way, until their time is up.
        assert_eq!(world.clock.sleepers(), 2);
        world.clock.advance(Duration::from_secs(10));
        let next = dial(&listener).await;
        assert!(serves(&mut listener, &client, next).await);
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        // Bytes of the client were read: the connection is closed, not reset.
        assert_eq!(slow.read(&mut [0]).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_silent_connection_can_still_be_used_in_time() {
    ends(async {
        let world = World::new();
        let mut listener = listener(&world).await;
        let client = Arc::new(world.client(Nothing));
        let silent = dial(&listener).await;
        let stream = dial(&listener).await;
        assert!(serves(&mut listener, &client, stream).await);
        world.clock.advance(Duration::from_millis(9_999));
        assert!(serves(&mut listener, &client, silent).await);
    })
    .await;
}

#[tokio::test]
async fn past_the_limit_the_oldest_handshakes_make_room() {
    ends(async {
        let world = World::new();
        let client = Arc::new(world.client(Nothing));
        for (limit, dropped) in [(1, 4_u32), (2, 3), (3, 2), (4, 1), (5, 0)] {
            let mut listener =
                listener(&world).await.max_handshakes(NonZeroU16::new(limit).unwrap());
            let mut silent = Vec::new();
            for _ in 0..4 {
                silent.push(dial(&listener).await);
            }
            let fifth = dial(&listener).await;
            let began = world.clock.steady();
            // One sleeps for each handshake, and one more if a connection waits for a place.
            let time_passes = async {
                loop {
                    if world.clock.sleepers() > usize::from(limit) {
                        world.clock.advance(Duration::from_secs(2));
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                served = serves(&mut listener, &client, fifth) => assert!(served, "{limit}"),
                () = time_passes => {}
            }
            let passed = world.clock.steady() - began;
            assert_eq!(passed, Duration::from_secs(2) * dropped.div_ceil(limit.into()), "{limit}");
            let kept = silent.split_off(dropped.try_into().unwrap());
            for mut stream in silent {
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "{limit}");
            }
            for stream in kept {
                assert!(serves(&mut listener, &client, stream).await, "{limit}");
            }
        }
    })
    .await;
}

/// Clients that come all at once do not drive each other out.
#[tokio::test]
async fn before_its_time_is_up_no_handshake_makes_room() {
    ends(async {
        let world = World::new();
        for (name, passes, open) in [("before", 1_999, true), ("then", 2_000, false)] {
            let mut listener = listener(&world).await.max_handshakes(NonZeroU16::MIN);
            let mut silent = dial(&listener).await;
            let _waiting = dial(&listener).await;
            let time_passes = async {
                while world.clock.sleepers() < 2 {
                    tokio::task::yield_now().await;
                }
                world.clock.advance(Duration::from_millis(passes));
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                _ = listener.accept() => panic!("nobody speaks"),
                () = time_passes => {}
            }
            if open {
                let error = silent.try_read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{name}");
            } else {
                assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "{name}");
            }
        }
    })
    .await;
}

/// Each of many clients at once, and far fewer places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once_are_all_served() {
    ends(async {
        const CLIENTS: usize = 100;
        let world = World::new();
        let mut listener = listener(&world).await.max_handshakes(NonZeroU16::new(4).unwrap());
        let client = Arc::new(world.client(Nothing));
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let client = Arc::clone(&client);
                tokio::spawn(async move {
                    let stream = TcpStream::connect(address).await.unwrap();
                    connect(&client, stream).await.unwrap().read_u8().await.unwrap()
                })
            })
            .collect();
        for _ in 0..CLIENTS {
            let mut connection = listener.accept().await;
            connection.write_all(b"!").await.unwrap();
            connection.flush().await.unwrap();
        }
        for client in clients {
            assert_eq!(client.await.unwrap(), b'!');
        }
    })
    .await;
}

#[tokio::test]
async fn failed_handshakes_are_passed_over() {
    ends(async {
        let world = World::new();
        let mut listener = listener(&world).await;
        let alice = TestCertificate::named("alice").self_signed();
        let client = Arc::new(world.client(Own(&alice)));
        for _ in 0..10 {
            let mut plain = dial(&listener).await;
            plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            drop(dial(&listener).await);
        }
        let stream = dial(&listener).await;
        let address = stream.local_addr().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), connect(&client, stream));
        let _connected = connected.unwrap();
        assert_eq!(accepted.get_ref().peer_addr().unwrap(), address);
        assert_eq!(accepted.peer().address().ip(), address.ip());
        let known = accepted.peer().certificate().unwrap();
        assert_eq!(*known.certificate(), alice.certificate());
    })
    .await;
}

/// As a graceful shutdown does, which waits for one thing or another.
#[tokio::test]
async fn a_listener_that_is_not_waited_for_loses_nothing() {
    ends(async {
        let world = World::new();
        let mut listener = listener(&world).await;
        let client = Arc::new(world.client(Nothing));
        for _ in 0..3 {
            let stream = dial(&listener).await;
            let connecting = tokio::spawn({
                let client = Arc::clone(&client);
                async move { connect(&client, stream).await }
            });
            let mut tries = 0_u64;
            let accepted = loop {
                tries += 1;
                tokio::select! {
                    biased;
                    accepted = listener.accept() => break accepted,
                    () = tokio::task::yield_now() => {}
                }
            };
            assert!(tries > 1, "it was dropped while a handshake was under way");
            connecting.await.unwrap().unwrap();
            drop(accepted);
        }
    })
    .await;
}

#[tokio::test]
async fn handshakes_end_with_the_listener() {
    ends(async {
        let world = World::new();
        let mut listener = listener(&world).await;
        let client = Arc::new(world.client(Nothing));
        let mut silent = dial(&listener).await;
        let stream = dial(&listener).await;
        assert!(serves(&mut listener, &client, stream).await);
        assert_eq!(world.clock.sleepers(), 1);
        drop(listener);
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(world.clock.sleepers(), 0);
    })
    .await;
}
