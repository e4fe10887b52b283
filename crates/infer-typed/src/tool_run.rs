//! What a tool loop brings: the conversation, the calls made, and what it cost.

use std::fmt;
use std::time::Duration;

use infer_core::{Completion, CostEstimate, InferenceError, Message, ToolCall, Usage};

use crate::ToolboxError;

/// A conversation with its tool calls, and its sums.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ToolRun {
    /// The last answer; empty when none came. After an error it may be incomplete.
    pub completion: Completion,
    /// The conversation from its first message. Every call in it is answered, so it can be sent again and go on.
    pub messages: Vec<Message>,
    /// The calls that ended, by round and then in the order asked.
    pub calls: Vec<CallRecord>,
    /// How many answers came, whole or in part.
    pub rounds: u32,
    /// Tokens over all answers that reported them.
    pub usage: Usage,
    /// Answers that reported no usage; what they used is missing in `usage`.
    pub uncounted_rounds: u32,
    /// Cost over all answers with a known price.
    pub cost: CostEstimate,
    /// Answers without a known price; what they cost is missing in `cost`.
    pub unpriced_rounds: u32,
}

impl ToolRun {
    /// The text of the last answer.
    pub fn text(&self) -> &str {
        self.completion.text()
    }

    /// Takes over an answer and adds up what it used.
    pub(crate) fn account(&mut self, completion: Completion) {
        self.rounds += 1;
        match completion.usage {
            Some(usage) => self.usage = self.usage.saturating_add(usage),
            None => self.uncounted_rounds += 1,
        }
        match completion.cost {
            Some(cost) => self.cost = self.cost.saturating_add(cost),
            None => self.unpriced_rounds += 1,
        }
        self.completion = completion;
    }
}

/// One call that was asked for and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRecord {
    /// The call, with the id it was answered under.
    pub call: ToolCall,
    /// The round that asked for it, from 1.
    pub round: u32,
    /// How it went.
    pub outcome: CallOutcome,
    /// What the model was told.
    pub told: String,
    /// How long the tool took.
    pub took: Duration,
}

impl CallRecord {
    pub(crate) fn new(
        call: ToolCall,
        round: u32,
        outcome: CallOutcome,
        told: String,
        took: Duration,
    ) -> Self {
        Self { call, round, outcome, told, took }
    }
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallOutcome {
    /// The tool gave a result.
    Done,
    /// The tool gave an error.
    Failed,
    /// The arguments did not fit; the tool was not called.
    BadArguments,
    /// There is no such tool.
    UnknownTool,
}

/// Why a loop stopped before an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolLoopCause {
    /// The tools cannot be declared; nothing was sent.
    #[error(transparent)]
    Tools(#[from] ToolboxError),
    /// A call of the model failed.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The model still wants tools after as many answers as allowed.
    #[error("the model still asks for tools after {limit} rounds; raise max_rounds or simplify the task")]
    TooManyRounds {
        /// How many were allowed.
        limit: u32,
    },
    /// The model wants more calls than allowed.
    #[error("the model asks for more than {limit} tool calls; raise max_calls or simplify the task")]
    TooManyCalls {
        /// How many were allowed.
        limit: u32,
    },
    /// The time is up.
    #[error("not finished within {limit:?}; raise the deadline or simplify the task")]
    Deadline {
        /// The time that was allowed.
        limit: Duration,
        /// The runner's own word on it, when it noticed first.
        source: Option<InferenceError>,
    },
    /// The answer ended at a limit on tokens while it asked for tools, so arguments may be cut.
    #[error("tool calls cut at a token limit; raise max_output_tokens")]
    Truncated,
    /// A filter cut the answer while it asked for tools.
    #[error("tool calls cut by a content filter")]
    Filtered,
    /// The upstream could not go on while the answer asked for tools.
    #[error("the upstream broke off its tool calls")]
    BrokenOff,
}

/// A loop that stopped before an answer, with all that happened until then.
#[derive(Debug)]
pub struct ToolLoopError {
    /// Why.
    pub cause: ToolLoopCause,
    /// The conversation, the calls and the sums up to there.
    ///
    /// Calls that were not run are answered in the conversation with the reason. An answer whose calls were cut is not
    /// part of it, and stands in [`ToolRun::completion`] alone.
    pub so_far: Box<ToolRun>,
}

impl fmt::Display for ToolLoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        match (self.so_far.rounds, self.so_far.calls.len()) {
            (0, _) => Ok(()),
            (rounds, calls) => write!(f, " ({rounds} answers and {calls} tool calls so far)"),
        }
    }
}

impl std::error::Error for ToolLoopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}
