//! A reply before it is written: status, headers, and a body as steps.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use infer_core::Usage;

/// What is sent back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Waited for before the head, beside the simulator's own latency.
    pub(crate) latency: Duration,
    pub(crate) steps: Steps,
    /// What a whole answer says that it used.
    pub(crate) usage: Option<Box<Usage>>,
}

/// How a body is written.
pub(crate) enum Steps {
    /// At once, with its length in the head; `None` once it is handed over.
    Whole(Option<Bytes>),
    /// Step by step.
    Each(Box<dyn Iterator<Item = Step> + Send>),
    /// Never, nor is the head.
    Never,
}

/// One step of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Puts on the wire what was sent so far.
    Flush,
    /// Sends nothing more and keeps the connection open.
    Stall,
    /// Closes the connection.
    Cut,
}

impl Reply {
    pub(crate) fn whole(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::new(status, content_type, Steps::Whole(Some(body.into())))
    }

    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::whole(status, "application/json", body)
    }

    pub(crate) fn steps(
        content_type: &str,
        steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>,
    ) -> Self {
        Self::new(StatusCode::OK, content_type, Steps::Each(Box::new(steps.into_iter())))
    }

    pub(crate) fn silent() -> Self {
        Self::new(StatusCode::OK, "text/plain", Steps::Never)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((HeaderName::from_static(name), value.to_owned()));
        self
    }

    pub(crate) fn using(mut self, usage: Option<Usage>) -> Self {
        self.usage = usage.map(Box::new);
        self
    }

    pub(crate) fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    fn new(status: StatusCode, content_type: &str, steps: Steps) -> Self {
        let headers = vec![(header::CONTENT_TYPE, content_type.to_owned())];
        Self { status, headers, latency: Duration::ZERO, steps, usage: None }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole(..)",
            Self::Each(_) => "Each(..)",
            Self::Never => "Never",
        })
    }
}
