//! A client that writes octets and reads answers: as fast, as slow and as rude as a test wants it.

use std::io;

use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A socket, or a pipe.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One connection of HTTP/1.1.
pub(crate) struct Client {
    io: Box<dyn Io>,
    read: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The `error` of the challenge.
    pub(crate) error: Option<String>,
    pub(crate) octets: usize,
}

impl Answer {
    pub(crate) fn ok(octets: usize) -> Self {
        Self { status: 200, error: None, octets }
    }

    pub(crate) fn refused(status: u16, error: Option<&str>) -> Self {
        Self { status, error: error.map(str::to_owned), octets: 0 }
    }
}

/// A request as octets: of that of the other tests its method, path and fields.
pub(crate) fn octets(request: &Request<String>) -> Vec<u8> {
    let mut text =
        format!("{} {} HTTP/1.1\r\nhost: rs.example\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

impl Client {
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self { io, read: Vec::new() }
    }

    /// Writes octets, and waits for nothing else.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.io.write_all(octets).await?;
        self.io.flush().await
    }

    pub(crate) async fn ask(&mut self, request: &Request<String>) -> io::Result<Answer> {
        self.write(&octets(request)).await?;
        self.answer().await
    }

    /// The next answer; an error if the connection ends before.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                break String::from_utf8(head).unwrap();
            }
            self.more().await?;
        };
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
        let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted);
        let octets = field("content-length").map_or(0, |(_, length)| length.parse().unwrap());
        let error = field("www-authenticate").and_then(|(_, value)| {
            Some(value.split_once("error=\"")?.1.split_once('"')?.0.to_owned())
        });
        while self.read.len() < octets {
            self.more().await?;
        }
        self.read.drain(..octets);
        Ok(Answer { status, error, octets })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.io.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Whether the other side has closed it, and said nothing before that.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more().await.is_err()
    }
}
