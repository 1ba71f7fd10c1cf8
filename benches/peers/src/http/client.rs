//! A run of `wrk` against one server, and what the server's process spent on it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server::Served;
use crate::Backend;
use crate::tokens::Keys;

/// What `wrk` is told.
#[derive(Clone, Copy)]
pub struct Load {
    pub threads: usize,
    pub connections: usize,
    pub seconds: u64,
}

/// What came of a run.
pub struct Run {
    pub requests_a_second: f64,
    /// User and system time of the server for each request, in microseconds.
    pub microseconds: f64,
}

/// A clock tick of `/proc/<pid>/stat`, in microseconds: Linux shows a hundredth of a second everywhere.
const TICK: f64 = 10_000.0;

/// Whether there is a `wrk` to run.
pub fn check() -> Result<(), String> {
    match Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("wrk cannot be run ({error}): apt-get install wrk")),
    }
}

/// Starts a server, drives it, and ends it.
pub fn run(
    served: Served,
    keys: &Keys,
    backend: Backend,
    token: &str,
    load: Load,
) -> Result<Run, String> {
    let server = Server::start(served, keys, backend)?;
    let without = server.ask("")?;
    if without.starts_with("HTTP/1.1 200") != served.is_open() {
        return Err(format!("{served:?}: without a token: {without}"));
    }
    let authorization = format!("Authorization: Bearer {token}");
    let accepted = server.ask(&format!("{authorization}\r\n"))?;
    if !accepted.starts_with("HTTP/1.1 200") {
        return Err(format!("{served:?}: with a good token: {accepted}"));
    }
    let before = server.ticks()?;
    let output = Command::new("wrk")
        .args(["--threads", &load.threads.to_string()])
        .args(["--connections", &load.connections.to_string()])
        .args(["--duration", &format!("{}s", load.seconds)])
        .args(["--header", &authorization])
        .arg(format!("http://127.0.0.1:{}/orders", server.port))
        .output()
        .map_err(|error| format!("wrk: {error}"))?;
    let spent = (server.ticks()? - before) * TICK;
    let report = String::from_utf8_lossy(&output.stdout);
    let number = |named: &str| {
        let line = report.lines().find(|line| line.contains(named)).unwrap_or_default();
        line.split_whitespace().find_map(|word| word.parse::<f64>().ok())
    };
    let (Some(requests), Some(rate)) = (number(" requests in "), number("Requests/sec:")) else {
        return Err(format!("{served:?}: wrk said: {report}"));
    };
    if report.contains("Non-2xx") || report.contains("Socket errors") {
        return Err(format!("{served:?}: not every request was answered well: {report}"));
    }
    Ok(Run { requests_a_second: rate, microseconds: spent / requests })
}

/// A server's process, which ends with this value.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(served: Served, keys: &Keys, backend: Backend) -> Result<Self, String> {
        let told = |error: &dyn std::fmt::Display| format!("{served:?}: {error}");
        let program = std::env::current_exe().map_err(|error| told(&error))?;
        let mut child = Command::new(program)
            .args(["serve", &served.argument()])
            .args(backend.argument())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| told(&error))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut server = Self { child, port: 0 };
        let (Some(mut input), Some(output)) = (input, output) else {
            return Err(told(&"no pipes"));
        };
        let line = serde_json::to_string(keys).map_err(|error| told(&error))?;
        writeln!(input, "{line}").map_err(|error| told(&error))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(|error| told(&error))?;
        server.port = line.trim().parse().map_err(|error| told(&error))?;
        Ok(server)
    }

    /// The first line of the answer to one request.
    fn ask(&self, fields: &str) -> Result<String, String> {
        let once = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(
                stream,
                "GET /orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.lines().next().unwrap_or_default().to_owned())
        };
        once().map_err(|error| error.to_string())
    }

    /// User and system time until now.
    fn ticks(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The name of the program, in parentheses, may have spaces.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<f64> =
            rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
        match (fields.get(11), fields.get(12)) {
            (Some(user), Some(system)) => Ok(user + system),
            _ => Err(format!("{path}: {stat}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
