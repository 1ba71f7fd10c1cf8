//! That nothing is left running, however a test ends.

use std::path::Path;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::cases::Cases;
use crate::certificates::Certificates;
use crate::issuer::Issuer;
use crate::nginx::Nginx;
use crate::process::left_running;
use crate::provider::Provider;

fn is_there(process: u32) -> bool {
    left_running().iter().any(|one| one.starts_with(&format!("{process} ")))
}

/// What this starts, and then a panic.
async fn panics_with<T: Send + 'static>(
    started: impl Future<Output = (T, u32)> + Send + 'static,
) -> (bool, u32) {
    let (tell, told) = oneshot::channel();
    let task = tokio::spawn(async move {
        let (_guard, process) = started.await;
        tell.send((is_there(process), process)).unwrap();
        panic!("as a test may");
    });
    let told = told.await.unwrap();
    assert!(task.await.unwrap_err().is_panic());
    told
}

#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_process_ends_with_the_test_that_started_it_also_if_that_panics() {
    if !Path::new("/proc/self/environ").exists() {
        return;
    }
    let mut cases = Cases::of("processes");
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let provider = panics_with(async {
        let mut provider = Provider::start().await;
        let id = provider.process().id();
        (provider, id)
    });
    let jose = panics_with(async {
        let mut issuer = Issuer::jose().await;
        let id = issuer.process().id();
        (issuer, id)
    });
    let authlib = panics_with(async {
        let mut issuer = Issuer::authlib().await;
        let id = issuer.process().id();
        (issuer, id)
    });
    let nginx = panics_with(async move {
        let certificates = Certificates::new();
        let mut nginx = Nginx::start(&certificates, upstream).await;
        let id = nginx.process().id();
        ((nginx, certificates), id)
    });
    for (name, (was_there, process)) in [
        ("oidc-provider", provider.await),
        ("the issuer in Node", jose.await),
        ("the issuer in Python", authlib.await),
        ("nginx", nginx.await),
    ] {
        cases.holds(format!("{name} was there"), was_there);
        cases.holds(format!("{name} is gone"), !is_there(process));
    }
}

/// Whoever is killed drops nothing.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_process_ends_by_itself_when_nobody_ends_it() {
    let mut cases = Cases::of("processes");
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let certificates = Certificates::new();
        let nginx = runtime.block_on(Nginx::start(&certificates, upstream));
        assert!(tell.send(nginx).is_ok());
    });
    let mut nginx = told.await.unwrap();
    thread.join().unwrap();
    cases.holds("nginx, with the thread that started it", nginx.process().ends_by_itself());

    let mut provider = Provider::start().await;
    provider.process().abandon();
    let ended = provider.process().ends_by_itself();
    cases.holds("oidc-provider, without standard input", ended);
    for (name, mut issuer) in [
        ("the issuer in Node", Issuer::jose().await),
        ("the issuer in Python", Issuer::authlib().await),
    ] {
        issuer.process().abandon();
        let ended = issuer.process().ends_by_itself();
        cases.holds(format!("{name}, without standard input"), ended);
    }
}
