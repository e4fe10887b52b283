//! One request to a token service, and its whole answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use infer_core::{DecodeKind, InferenceError, Origin, TransportKind};
use remote_core::{Transport, TransportBody, TransportError, TransportFault, headers};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// The longest answer. 1 MiB: tokens have a few KiB.
const BODY_LIMIT: usize = 1 << 20;

/// A token service and how long it may take.
#[derive(Debug)]
pub(crate) struct Service {
    /// What it is, in errors.
    pub(crate) name: &'static str,
    /// Scheme, host and port.
    pub(crate) endpoint: String,
    /// How long a whole exchange may take.
    pub(crate) limit: Duration,
}

/// What a service answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum Miss {
    /// This way to a token does not exist here; another one may.
    Absent(InferenceError),
    /// It exists and does not work.
    Failed(InferenceError),
}

impl Miss {
    pub(crate) fn into_error(self) -> InferenceError {
        match self {
            Self::Absent(error) | Self::Failed(error) => error,
        }
    }
}

impl Service {
    /// Sends `request` once. [`Miss::Absent`] when nobody answers there.
    pub(crate) async fn exchange(
        &self,
        transport: &dyn Transport,
        request: Request<Bytes>,
        now: fn() -> SystemTime,
    ) -> Result<Answer, Miss> {
        let mut head_came = false;
        let work = async {
            let response = transport.send(request).await.map_err(|error| Miss::Absent(self.broken(error)))?;
            head_came = true;
            let (head, body) = response.into_parts();
            let retry_after = headers::retry_after(&head.headers, now());
            let body = self.whole(body).await.map_err(Miss::Failed)?;
            Ok(Answer { status: head.status, retry_after, body })
        };
        match timeout(self.limit, work).await {
            Ok(end) => end,
            Err(_) => {
                let at =
                    self.origin(|at| at.message = Some(format!("no whole answer within {:?}", self.limit)));
                let error = InferenceError::Upstream { at, retry_after: None };
                Err(if head_came { Miss::Failed(error) } else { Miss::Absent(error) })
            }
        }
    }

    async fn whole(&self, mut body: TransportBody) -> Result<Zeroizing<Vec<u8>>, InferenceError> {
        let mut whole = Zeroizing::new(Vec::with_capacity(8 << 10));
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| self.broken(error))?;
            if whole.len() + piece.len() > BODY_LIMIT {
                return Err(InferenceError::Decode {
                    at: self.origin(|_| ()),
                    kind: DecodeKind::BodyTooLarge,
                    detail: format!("more than {BODY_LIMIT} bytes"),
                });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    fn broken(&self, error: TransportError) -> InferenceError {
        let (kind, what) = match error.fault {
            TransportFault::ConnectTimeout => (TransportKind::Connect, Some("nothing answers in time")),
            TransportFault::Before(kind) => (kind, None),
            _ => (TransportKind::Closed, Some("the answer broke off")),
        };
        let at = self.origin(|at| at.message = what.map(str::to_owned));
        InferenceError::Transport { at, kind, source: error.source }
    }

    /// Where it happened, with what `change` knows besides.
    pub(crate) fn origin(&self, change: impl FnOnce(&mut Origin)) -> Box<Origin> {
        let mut at = Box::<Origin>::default();
        at.provider = Some(self.name.into());
        at.endpoint = Some(self.endpoint.as_str().into());
        change(&mut at);
        at
    }
}
