use std::io;

use ::axum::extract::connect_info::Connected;
use ::axum::serve::{IncomingStream, Listener};
use tokio::net::TcpStream;

use super::connection::TlsConnection;
use super::listener::TlsListener;
use super::peer::PeerInfo;
use crate::sender::PeerAddr;

impl Listener for TlsListener {
    type Io = TlsConnection<TcpStream>;
    type Addr = PeerInfo;

    async fn accept(&mut self) -> (Self::Io, PeerInfo) {
        let connection = TlsListener::accept(self).await;
        let peer = connection.peer().clone();
        (connection, peer)
    }

    /// The address without its port: [`TlsListener::local_addr`] has both.
    fn local_addr(&self) -> io::Result<PeerInfo> {
        let address = TlsListener::local_addr(self)?;
        Ok(PeerInfo::new(PeerAddr::new(address.ip()), None))
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for PeerInfo {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        stream.io().peer().clone()
    }
}
