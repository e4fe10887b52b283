//! What goes wrong on a connection.

use std::io;

use infer_core::TransportKind;

use crate::transport::{TransportError, TransportFault};

/// Why an exchange came to no good end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the answer began")]
    Unanswered,
    #[error("the connection was closed within the answer")]
    Cut,
    #[error("invalid HTTP in the answer")]
    Head(#[source] httparse::Error),
    #[error("invalid HTTP in the answer: {0}")]
    Invalid(&'static str),
}

impl Fault {
    /// Before the head of the answer had come.
    pub(super) fn before(self) -> TransportError {
        let kind = match self {
            Self::Io(_) | Self::Unanswered | Self::Cut => TransportKind::Closed,
            Self::Head(_) | Self::Invalid(_) => TransportKind::Protocol,
        };
        TransportError::new(TransportFault::Before(kind), self)
    }

    /// Within the body.
    pub(super) fn within(self) -> TransportError {
        TransportError::new(TransportFault::Body, self)
    }
}
