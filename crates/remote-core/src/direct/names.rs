//! Names and the addresses they may stand for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::outbound::lookup;

/// The system's resolver; unless private addresses are allowed, it gives none for a public name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    private: bool,
}

impl Names {
    pub(crate) fn new(private: bool) -> Self {
        Self { private }
    }
}

impl Service<Name> for Names {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<IntoIter<SocketAddr>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private = self.private;
        Box::pin(async move { Ok(lookup(name.as_str(), private).await?.into_iter()) })
    }
}
