//! What a choice needs to know of a call, looked up once.

use std::fmt;
use std::sync::Arc;

use infer_core::{Content, EmbedBatch, EmbedInput, ExecuteBatch, Messages, Part, RelayRequest};

use crate::needs::Needs;
use crate::policy::sticky;

/// Counts the input tokens of a call, or fewer.
///
/// Targets with a smaller context are left out, so too high a count refuses calls that would fit. Too low a one costs a
/// refused attempt, after which a larger context is looked for.
pub type TokenCount = Arc<dyn Fn(&ExecuteBatch) -> u64 + Send + Sync>;

/// Which of it the targets in question depend on, so that the rest is not looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Some lack these.
    pub(crate) needs: Needs,
    /// The smallest known context.
    pub(crate) least_window: Option<u64>,
    /// Some are chosen by cost.
    pub(crate) cost: bool,
    /// Some are chosen by key.
    pub(crate) key: bool,
}

impl Wants {
    pub(crate) fn and(self, other: Self) -> Self {
        let least = self.least_window.into_iter().chain(other.least_window).min();
        Self {
            needs: self.needs | other.needs,
            least_window: least,
            cost: self.cost || other.cost,
            key: self.key || other.key,
        }
    }
}

/// What a choice needs to know of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// What the `*` in the name of the route stands for.
    pub(crate) rest: String,
    pub(crate) needs: Needs,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) key: u64,
    pub(crate) pin: Option<String>,
    pub(crate) streaming: bool,
    /// The only name that the model may have at a target.
    pub(crate) fixed_model: Option<String>,
}

/// About four bytes make a token of English text, and a fifth less leaves room for text that is cheaper than that.
const BYTES_PER_TOKEN: u64 = 5;

impl Ask {
    /// What `wants` asks for of `batch`.
    pub(crate) fn of(batch: &ExecuteBatch, rest: String, wants: Wants, count: Option<&TokenCount>) -> Self {
        let counted = wants.least_window.is_some() || wants.cost;
        let input_tokens = match count {
            Some(count) if counted => count(batch),
            None if counted => estimate(&batch.messages, wants.least_window.unwrap_or(u64::MAX)),
            _ => 0,
        };
        Self {
            rest,
            needs: Needs::of(batch, wants.needs),
            input_tokens,
            output_tokens: batch.max_output_tokens.map(u64::from),
            key: if wants.key { sticky::key_of(batch) } else { 0 },
            pin: batch.routing.pin.clone(),
            streaming: batch.is_streaming(),
            fixed_model: None,
        }
    }

    /// The same for vectors, of which all inputs count together for their cost and none for a context.
    pub(crate) fn of_embedding(batch: &EmbedBatch, rest: String) -> Self {
        let size = |input: &EmbedInput| match input {
            EmbedInput::Text(text) => text.len() as u64 / BYTES_PER_TOKEN,
            EmbedInput::Tokens(tokens) => tokens.len() as u64,
            _ => 0,
        };
        let longest = batch.input.iter().map(size).max().unwrap_or_default();
        Self {
            rest,
            needs: Needs::EMBEDDINGS,
            input_tokens: longest,
            output_tokens: Some(0),
            key: batch.routing.sticky_key.as_deref().map_or(0, sticky::key_of_text),
            pin: batch.routing.pin.clone(),
            streaming: false,
            fixed_model: None,
        }
    }

    /// The same for a request that is passed on. What it needs and how long it is, is between caller and upstream.
    pub(crate) fn of_relay(request: &RelayRequest, rest: String) -> Self {
        Self {
            rest,
            key: request.routing.sticky_key.as_deref().map_or(0, sticky::key_of_text),
            pin: request.routing.pin.clone(),
            streaming: request.is_streaming(),
            fixed_model: request.model.clone().filter(|_| request.has_fixed_model()),
            ..Self::default()
        }
    }

    /// The tokens that a context must hold at least, where an answer is cut to `most`.
    pub(crate) fn least_tokens(&self, most: Option<u32>) -> u64 {
        let output = self.output_tokens.unwrap_or(0);
        let output = most.map_or(output, |most| output.min(u64::from(most)));
        self.input_tokens.saturating_add(output)
    }
}

/// The input tokens of `messages`, rather too few. Raw ones are read only if they might not fit into `least_window`.
fn estimate(messages: &Messages, least_window: u64) -> u64 {
    if let Messages::Raw(raw) = messages {
        let most = raw.json().len() as u64 / BYTES_PER_TOKEN;
        if most <= least_window / 2 {
            return most;
        }
    }
    let messages = messages.typed().unwrap_or_default();
    let bytes: usize = messages
        .iter()
        .map(|message| match &message.content {
            Content::Text(text) => text.len(),
            Content::Parts(parts) => {
                parts.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum()
            }
            _ => 0,
        })
        .sum();
    bytes as u64 / BYTES_PER_TOKEN
}

impl fmt::Display for Ask {
    /// What is asked for, for an error: `a call that needs vision of at least 2000 tokens`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call")?;
        if !self.needs.is_empty() {
            write!(f, " that needs {}", self.needs)?;
        }
        match self.least_tokens(None) {
            0 => Ok(()),
            tokens => write!(f, " of at least {tokens} tokens"),
        }
    }
}
