//! One question to the upstream: pieces go to whoever shows them, and add up to the whole.

use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use infer_core::{Completion, ExecuteBatch, ModelRunner, RunMeta, TokenChunk};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::output::Printer;

/// What has arrived so far. Outlives the call, so that nothing is lost when the call is dropped.
#[derive(Debug)]
pub(crate) struct Received {
    /// The pieces, added up.
    pub(crate) whole: Completion,
    /// What is known about the run, from its first piece on.
    pub(crate) meta: Option<RunMeta>,
    started: Instant,
    took: Duration,
}

/// Who shows the pieces.
#[derive(Debug)]
pub(crate) enum Show<'a> {
    /// A person, as they come.
    Pieces(&'a mut Printer),
    /// Nobody, until all are there.
    Nothing,
}

impl Received {
    /// Nothing yet, from now on.
    pub(crate) fn start() -> Self {
        Self { whole: Completion::default(), meta: None, started: Instant::now(), took: Duration::ZERO }
    }

    /// From the question to the end of the answer.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// From the question to the first piece of content.
    pub(crate) fn first_after(&self) -> Option<Duration> {
        self.meta.as_ref()?.time_to_first_chunk
    }

    fn add(&mut self, chunk: TokenChunk) {
        self.whole.push(chunk);
        self.took = self.started.elapsed();
    }
}

/// Asks, and shows every piece as it comes. Dropping the future ends the call.
pub(crate) async fn ask(
    runner: &impl ModelRunner,
    batch: ExecuteBatch,
    show: &mut Show<'_>,
    received: &mut Received,
) -> Result<(), Failure> {
    let run = runner.execute(batch).await.map_err(Failure::call)?;
    received.meta = Some(run.meta().clone());
    let mut stream = run.into_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(Failure::call)?;
        show.piece(&chunk).await?;
        received.add(chunk);
    }
    Ok(())
}

impl Show<'_> {
    async fn piece(&mut self, chunk: &TokenChunk) -> io::Result<()> {
        match self {
            Self::Pieces(printer) => printer.piece(chunk).await,
            Self::Nothing => Ok(()),
        }
    }
}
