//! Processes of others: started by a test, and ended with it, however that ends.
//!
//! 1. A process is killed by its own id and waited for when its guard is dropped, so that a test that
//!    panics leaves none.
//! 2. Each has a pipe as standard input, and ends when that closes: also if this process is killed. nginx
//!    does not read it; the kernel kills it with the thread that has started it.
//! 3. Each carries a mark in its environment, by which what it started itself would be found too.
//! 4. Nothing waits for a fixed time: a process says that it is ready, or is asked until it answers.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::DIRECTORY;

const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(10);
const CLIENT: Duration = Duration::from_mins(2);
/// Between two looks at something that does not say when it is done.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Its value is the id of this process.
const MARK: &str = "PORTCULLIS_INTEROP";

/// A program of ours for Node.
pub(crate) fn node(script: &str) -> Command {
    let mut command = command("node");
    command.arg(script);
    command
}

/// A program of ours for Python, with the packages of `requirements.txt`.
pub(crate) fn python(script: &str) -> Command {
    let mut command = command(Path::new(DIRECTORY).join(".venv/bin/python"));
    command.args(["-B", script]);
    command
}

/// A program that ends with the thread that starts it: one that does not look at its standard input.
pub(crate) fn bound_to_thread(program: &str) -> Command {
    let mut command = command("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(DIRECTORY).env(MARK, std::process::id().to_string()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A process that has started. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    id: u32,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let program = command.as_std().get_program().to_owned();
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{}: {error}; run tests/interop/setup first", program.display())
        });
        let id = child.id().expect("it has not ended");
        Self { child, id }
    }

    /// Starts it, and waits for the line of JSON in which it says that it is ready.
    pub(crate) async fn ready(command: &mut Command) -> (Self, Value) {
        // Node was seen to hang once as it started: a second one is tried.
        let mut tries = 0;
        let ready = loop {
            tries += 1;
            let mut process = Self::spawn(command);
            let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
            match timeout(START, lines.next_line()).await {
                Ok(line) => break (process, line),
                Err(_) => assert!(tries < 3, "a process says in time that it is ready"),
            }
        };
        let (process, line) = ready;
        let line = line.unwrap().expect("it started: run tests/interop/setup first");
        (process, serde_json::from_str(&line).unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Closes its standard input, as the end of this process would.
    pub(crate) fn abandon(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Whether it has ended in time, without being killed from here.
    pub(crate) fn ends_by_itself(&mut self) -> bool {
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < END {
            thread::sleep(LOOK);
        }
        self.has_ended()
    }

    /// Waits until it has ended by itself, and for good.
    pub(crate) async fn ended(mut self) {
        let status = timeout(END, self.child.wait()).await.expect("it ends in time").unwrap();
        assert!(status.success(), "it ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let start = Instant::now();
        let _ = self.child.start_kill();
        // Killed is not gone: it is waited for.
        while !matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) && start.elapsed() < END {
            thread::sleep(LOOK);
        }
    }
}

/// Runs a client with these settings to its end; what it printed.
pub(crate) async fn run(mut command: Command, settings: &Value) -> String {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("run tests/interop/setup first");
    let mut stdin = child.stdin.take().unwrap();
    // Where it cannot be written the process has ended, and its status says more.
    let _ = stdin.write_all(settings.to_string().as_bytes()).await;
    drop(stdin);
    let end = timeout(CLIENT, child.wait_with_output()).await;
    let Output { status, stdout, stderr } = end.expect("the client is done in time").unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} ended with {status}:\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The processes that carry the mark of this one, where the system shows them: `id name`.
pub(crate) fn left_running() -> Vec<String> {
    let mark = format!("{MARK}={}", std::process::id());
    let marked = |directory: &Path| {
        let environment = fs::read(directory.join("environ")).ok()?;
        let marked = environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes());
        let name = fs::read_to_string(directory.join("comm")).ok()?;
        marked.then(|| format!("{} {}", directory.file_name().unwrap().display(), name.trim()))
    };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes.filter_map(|entry| marked(&entry.ok()?.path())).collect()
}
