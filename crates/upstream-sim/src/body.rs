//! A response body that is written step by step, with the faults a network has.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::record::Live;
use crate::reply::{Step, Steps};

/// The body of one reply.
pub(crate) struct SimBody {
    steps: Steps,
    sleep: Option<Pin<Box<Sleep>>>,
    live: Live,
}

impl SimBody {
    pub(crate) fn new(steps: Steps, mut live: Live) -> Self {
        if matches!(&steps, Steps::Whole(Some(bytes)) if bytes.is_empty()) {
            live.done(); // hyper does not ask for what has no length
        }
        Self { steps, sleep: None, live }
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(sleep) = &mut this.sleep {
                ready!(sleep.as_mut().poll(cx));
                this.sleep = None;
            }
            let step = match &mut this.steps {
                Steps::Whole(bytes) => bytes.take().map(Step::Send),
                Steps::Each(steps) => steps.next(),
                Steps::Never => Some(Step::Stall),
            };
            match step {
                Some(Step::Send(bytes)) => {
                    if self.is_end_stream() {
                        self.live.done(); // nobody will ask again
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait(time)) => {
                    if !time.is_zero() {
                        this.sleep = Some(Box::pin(tokio::time::sleep(time)));
                    }
                }
                Some(Step::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Stall) => {
                    this.steps = Steps::Never;
                    return Poll::Pending;
                }
                Some(Step::Cut) => {
                    this.live.done();
                    return Poll::Ready(Some(Err(io::Error::other("cut, as scripted"))));
                }
                None => {
                    this.live.done();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.steps, Steps::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.steps {
            Steps::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Steps::Each(_) | Steps::Never => SizeHint::default(),
        }
    }
}
