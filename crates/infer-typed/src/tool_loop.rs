//! Asking, running the tools asked for, and asking again, until the model answers.
//!
//! What a call means is decided here; time comes from the runtime's clock.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use infer_core::{
    Completion, ErrorKind, ExecuteBatch, FinishKind, FinishReason, InferenceError, Message, Messages,
    ModelRunner, Origin, RequestId, ToolCall, ToolChoice, ToolSpec,
};
use tokio::time::{Instant, timeout_at};

use crate::answer::{collect, one_line};
use crate::toolbox::ToolFailure;
use crate::{CallOutcome, CallRecord, ToolLoopCause, ToolLoopError, ToolRun, Toolbox, call_ids};

/// Lets a model use tools until it answers.
///
/// Bounded in every direction: at most 16 rounds and 64 calls unless said otherwise, results of at most 256 KiB, and a
/// deadline where one is set. Calls of one round run one after the other unless [`ToolLoop::with_parallel`] allows more.
#[derive(Clone, Debug)]
pub struct ToolLoop<'a, 't> {
    runner: &'a dyn ModelRunner,
    tools: &'a Toolbox<'t>,
    max_rounds: u32,
    max_calls: u32,
    max_result_bytes: usize,
    parallel: usize,
    deadline: Option<Duration>,
}

impl<'a, 't> ToolLoop<'a, 't> {
    /// Asks `runner`, with `tools` to call.
    pub fn new(runner: &'a dyn ModelRunner, tools: &'a Toolbox<'t>) -> Self {
        Self {
            runner,
            tools,
            max_rounds: 16,
            max_calls: 64,
            max_result_bytes: 256 * 1024,
            parallel: 1,
            deadline: None,
        }
    }

    /// How often the model is asked, from 1; 0 counts as 1.
    #[must_use]
    pub fn with_max_rounds(mut self, rounds: u32) -> Self {
        self.max_rounds = rounds.max(1);
        self
    }

    /// How many calls are run in all. A round that would pass it is not run at all.
    #[must_use]
    pub fn with_max_calls(mut self, calls: u32) -> Self {
        self.max_calls = calls;
        self
    }

    /// How much of a tool's result the model is told, in bytes; the rest is cut, with a note of less than 100 bytes.
    #[must_use]
    pub fn with_max_result_bytes(mut self, bytes: usize) -> Self {
        self.max_result_bytes = bytes;
        self
    }

    /// How many calls of one round run at the same time, from 1; 0 counts as 1.
    #[must_use]
    pub fn with_parallel(mut self, calls: usize) -> Self {
        self.parallel = calls.max(1);
        self
    }

    /// The most time all of it may take, tools included. What is left of it is each call's own deadline, unless the
    /// batch has a shorter one. Tools that still run then are dropped; one that blocks its thread cannot be.
    ///
    /// Needs a Tokio runtime with time enabled.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs the conversation of `batch` until the model answers without calls.
    ///
    /// A call of an unknown tool, arguments that do not fit and a tool's error are told to the model as the call's
    /// result. Tools of the batch itself are declared to the model too, and nobody runs them. A choice of tool holds
    /// for the first round only, since the model could never answer otherwise. Every round after the first has a
    /// request id of its own. An answer without calls is a result however it ended; its finish reason says so.
    ///
    /// Dropping the future drops the tools that run and cancels the call that runs. A tool's panic is not caught.
    ///
    /// # Errors
    /// Why there is no answer, with everything that happened until then; more than one choice is refused.
    pub async fn run(&self, batch: ExecuteBatch) -> Result<ToolRun, ToolLoopError> {
        let mut run = ToolRun::default();
        match self.converse(batch, &mut run).await {
            Ok(()) => Ok(run),
            Err(cause) => Err(ToolLoopError { cause, so_far: Box::new(run) }),
        }
    }

    async fn converse(&self, mut batch: ExecuteBatch, run: &mut ToolRun) -> Result<(), ToolLoopCause> {
        let ends = self.deadline.and_then(|limit| Instant::now().checked_add(limit));
        run.messages = batch.messages.typed()?.to_vec();
        batch.messages = Messages::Typed(Vec::new());
        self.declare(&mut batch)?;
        let mut made: u32 = 0;
        for round in 1..=self.max_rounds {
            self.ask(&batch, ends, run).await?;
            let Some(choice) = run.completion.choices.first() else { return Ok(()) };
            let mut message = choice.to_message();
            if message.tool_calls.is_empty() {
                run.messages.push(message);
                return Ok(());
            }
            if let Some(cause) = choice.finish.as_ref().and_then(cut) {
                return Err(cause);
            }
            call_ids::complete(&mut message.tool_calls, &run.messages, round);
            let calls = message.tool_calls.clone();
            run.messages.push(message);
            made = made.saturating_add(u32::try_from(calls.len()).unwrap_or(u32::MAX));
            if made > self.max_calls {
                tell(run, calls, Vec::new(), "not run: the limit on tool calls is reached");
                return Err(ToolLoopCause::TooManyCalls { limit: self.max_calls });
            }
            if round == self.max_rounds {
                tell(run, calls, Vec::new(), "not run: the limit on rounds is reached");
                break;
            }
            let (records, is_in_time) = self.answers(&calls, round, ends).await;
            tell(run, calls, records, "not finished: the time is up");
            if !is_in_time {
                return Err(self.late(None));
            }
            batch.request_id = RequestId::generate();
            batch.tool_choice = batch.tool_choice.map(relaxed);
        }
        Err(ToolLoopCause::TooManyRounds { limit: self.max_rounds })
    }

    /// Adds the tools to `batch`, which must want one choice.
    fn declare(&self, batch: &mut ExecuteBatch) -> Result<(), ToolLoopCause> {
        if batch.choices() > 1 {
            let what = format!("n: a tool loop follows one choice, got {}; leave it out", batch.choices());
            return Err(InferenceError::invalid_request(what).into());
        }
        let specs = self.tools.specs()?;
        if let Some(name) = specs
            .iter()
            .filter_map(name_of)
            .find(|name| batch.tools.iter().filter_map(name_of).any(|other| other == *name))
        {
            let what = format!("tools: `{name}` stands in the batch and in the toolbox; rename one");
            return Err(InferenceError::invalid_request(what).into());
        }
        batch.tools.extend(specs);
        Ok(())
    }

    /// Sends the conversation and takes over the answer, also one that breaks off.
    async fn ask(
        &self,
        batch: &ExecuteBatch,
        ends: Option<Instant>,
        run: &mut ToolRun,
    ) -> Result<(), ToolLoopCause> {
        let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(self.late(None));
        }
        let mut request = batch.clone();
        request.messages = Messages::Typed(run.messages.clone());
        let is_ours = left.is_some_and(|left| request.deadline.is_none_or(|own| left <= own));
        if is_ours {
            request.deadline = left;
        }
        let mut completion = Completion::default();
        let answer = collect(self.runner, request, &mut completion);
        let ended = match ends {
            None => answer.await.map_err(ToolLoopCause::from),
            Some(ends) => match timeout_at(ends, answer).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) if is_ours && error.kind() == ErrorKind::DeadlineExceeded => {
                    Err(self.late(Some(error)))
                }
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(self.late(None)),
            },
        };
        if ended.is_ok() || completion != Completion::default() {
            run.account(completion);
        }
        ended
    }

    fn late(&self, source: Option<InferenceError>) -> ToolLoopCause {
        ToolLoopCause::Deadline { limit: self.deadline.unwrap_or_default(), source }
    }

    /// Runs `calls`; those that ended in time, at their places, and whether all did.
    async fn answers(
        &self,
        calls: &[ToolCall],
        round: u32,
        ends: Option<Instant>,
    ) -> (Vec<Option<CallRecord>>, bool) {
        let running: Vec<BoxFuture<'_, _>> = (0..)
            .zip(calls)
            .map(|(place, call): (usize, _)| -> BoxFuture<'_, _> {
                Box::pin(async move { (place, self.answer(call, round).await) })
            })
            .collect();
        let mut records: Vec<Option<CallRecord>> = calls.iter().map(|_| None).collect();
        let mut running = stream::iter(running).buffer_unordered(self.parallel);
        let all = async {
            while let Some((place, record)) = running.next().await {
                if let Some(free) = records.get_mut(place) {
                    *free = Some(record);
                }
            }
        };
        let is_in_time = match ends {
            None => {
                all.await;
                true
            }
            Some(ends) => timeout_at(ends, all).await.is_ok(),
        };
        (records, is_in_time)
    }

    async fn answer(&self, call: &ToolCall, round: u32) -> CallRecord {
        let started = Instant::now();
        let name = one_line(&Origin::excerpt(&call.name));
        let (outcome, told) = match self.tools.call(&call.name, &call.arguments).await {
            Some(Ok(result)) => (CallOutcome::Done, result),
            Some(Err(ToolFailure::Tool(error))) => (CallOutcome::Failed, format!("error: {error}")),
            Some(Err(ToolFailure::Arguments(misfit))) => {
                let told = format!(
                    "error: the arguments do not fit `{name}`, at {}: {}; call it again with arguments that fit its schema",
                    misfit.path,
                    Origin::excerpt(&misfit.error.to_string())
                );
                (CallOutcome::BadArguments, told)
            }
            None => {
                let told = format!("error: there is no tool `{name}`; the tools are: {}", self.tools.names());
                (CallOutcome::UnknownTool, told)
            }
        };
        let told = capped(told, self.max_result_bytes);
        CallRecord::new(call.clone(), round, outcome, told, started.elapsed())
    }
}

/// Answers `calls` in the conversation, in the order asked: with their records, or with `missing`.
fn tell(run: &mut ToolRun, calls: Vec<ToolCall>, records: Vec<Option<CallRecord>>, missing: &str) {
    let records = records.into_iter().chain(std::iter::repeat_with(|| None));
    for (call, record) in calls.into_iter().zip(records) {
        let told = record.as_ref().map_or(missing, |record| &record.told);
        run.messages.push(Message::tool(call.id.unwrap_or_default(), told));
        run.calls.extend(record);
    }
}

/// Whether an answer that asks for tools was cut, so that its calls cannot be trusted.
fn cut(finish: &FinishReason) -> Option<ToolLoopCause> {
    match finish.kind() {
        FinishKind::Length => Some(ToolLoopCause::Truncated),
        FinishKind::ContentFilter => Some(ToolLoopCause::Filtered),
        FinishKind::Error => Some(ToolLoopCause::BrokenOff),
        _ => None,
    }
}

/// A choice that leaves the model free to answer.
fn relaxed(choice: ToolChoice) -> ToolChoice {
    match choice {
        ToolChoice::Required | ToolChoice::Function(_) => ToolChoice::Auto,
        other => other,
    }
}

fn name_of(tool: &ToolSpec) -> Option<&str> {
    match tool {
        ToolSpec::Function(function) => Some(&function.name),
        _ => None,
    }
}

/// At most `limit` bytes of `text`, with a note where something is missing.
fn capped(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(limit));
        let shown = text.len();
        // Writing to a `String` cannot fail.
        let _ = write!(text, "… [cut: {shown} of {whole} bytes shown]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_at_a_character_and_says_so() {
        assert_eq!(capped("four".to_owned(), 4), "four");
        assert_eq!(capped("aé".to_owned(), 2), "a… [cut: 1 of 3 bytes shown]");
    }

    #[test]
    fn a_forced_choice_is_forced_once() {
        assert_eq!(relaxed(ToolChoice::Required), ToolChoice::Auto);
        assert_eq!(relaxed(ToolChoice::Function("f".to_owned())), ToolChoice::Auto);
        assert_eq!(relaxed(ToolChoice::None), ToolChoice::None);
    }
}
