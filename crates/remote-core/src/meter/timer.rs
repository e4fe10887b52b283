//! What one attempt used and how long it took, as events come in.

use std::time::Duration;

use infer_core::{CostEstimate, ErrorClass, FinishReason, Price, Served, TokenChunk, Usage};
use tokio::time::Instant;

use super::record::{Cost, Outcome, RunRecord, Unpriced};

/// Bytes of text that make a token, on average over English; other scripts have fewer.
const BYTES_PER_TOKEN: u64 = 4;

/// One attempt that is under way. Made by [`CallTimer::attempt`](super::CallTimer::attempt), ended by
/// [`CallTimer::settle`](super::CallTimer::settle).
///
/// Calls must come in the order of time; an earlier `now` counts as no time passed.
#[derive(Debug)]
#[must_use = "an attempt that is not settled is in no record"]
pub struct AttemptTimer {
    record: RunRecord,
    begun: Instant,
    content_at: Option<Instant>,
    /// Pieces in which the model wrote something, and the bytes of it.
    deltas: u64,
    delta_bytes: u64,
    /// Whether the model wrote more since `usage` was reported.
    behind: bool,
    /// Whether the upstream began to answer, and so has read the prompt.
    read: bool,
}

impl AttemptTimer {
    pub(super) fn new(record: RunRecord, begun: Instant) -> Self {
        Self { record, begun, content_at: None, deltas: 0, delta_bytes: 0, behind: false, read: false }
    }

    /// The request has a body of so many bytes.
    pub fn sent(&mut self, bytes: usize) {
        self.record.bytes_out += bytes as u64;
    }

    /// The head of the response is there.
    pub fn head(&mut self, now: Instant, status: u16) {
        self.record.status = Some(status);
        self.record.timing.head = Some(self.since_begun(now));
        self.read |= (200..300).contains(&status);
    }

    /// The upstream's name for the attempt.
    pub fn named(&mut self, upstream_request_id: Option<String>) {
        self.record.upstream_request_id = upstream_request_id;
    }

    /// More bytes of the response's body.
    pub fn received(&mut self, bytes: usize) {
        self.record.bytes_in += bytes as u64;
    }

    /// The next piece of a streamed answer. Allocates only for a piece that says who answers.
    pub fn chunk(&mut self, now: Instant, chunk: &TokenChunk) {
        self.record.chunks += 1;
        if let Some(served) = &chunk.served {
            self.record.served.learn(served);
        }
        if chunk.is_content() {
            self.content(now);
        }
        let bytes = delta_bytes(chunk);
        if bytes > 0 || chunk.audio.is_some() {
            self.deltas += 1;
            self.delta_bytes += bytes;
            self.behind = true;
        }
        if chunk.finish.is_some() && (chunk.index == 0 || self.record.finish.is_none()) {
            self.record.finish.clone_from(&chunk.finish);
        }
        if chunk.usage.is_some() {
            self.record.usage = chunk.usage;
            self.behind = false;
        }
    }

    /// An answer that came in one piece.
    pub fn whole(
        &mut self,
        now: Instant,
        usage: Option<Usage>,
        served: Served,
        finish: Option<FinishReason>,
    ) {
        self.record.chunks += 1;
        self.content(now);
        self.record.usage = usage;
        self.record.served = served;
        self.record.finish = finish;
    }

    /// Counts the prompt as read although no head came, as for a request given up while the upstream is at work on it.
    ///
    /// Once there is a head, that tells whether it was read, and this does nothing.
    pub fn assume_read(&mut self) {
        self.read |= self.record.status.is_none();
    }

    /// Who answers, as far as is known.
    pub fn served(&self) -> &Served {
        &self.record.served
    }

    /// The model that answers, else the one asked for: the one to look up the price of.
    pub fn served_model(&self) -> &str {
        self.record.served_model()
    }

    /// The usage counted from what came, for when the upstream did not say.
    ///
    /// Input is a token for every 4 bytes of the prompt, rounded up. Output is a token for every 4 bytes that the model
    /// wrote, rounded up, and at least one for every piece it wrote in, since no upstream splits a token over pieces;
    /// that is what counts for scripts in which a token is shorter, and for sound. Reasoning that is not shown is not
    /// counted, so the estimate of a model that thinks in secret is too low.
    pub fn estimate(&self) -> Usage {
        let input = self.record.subject.prompt_bytes.div_ceil(BYTES_PER_TOKEN);
        Usage::new(input, self.delta_bytes.div_ceil(BYTES_PER_TOKEN).max(self.deltas))
    }

    /// The record of the attempt.
    pub(super) fn settle(mut self, now: Instant, outcome: Outcome, price: Option<&Price>) -> RunRecord {
        let (usage, estimated) = self.settled_usage(outcome);
        let billed = self.record.subject.is_billed;
        let cost = match (usage, price) {
            _ if !billed => Cost::Known(CostEstimate::default()),
            (Some(usage), Some(price)) => {
                Cost::Known(price.cost(&usage, self.record.served.service_tier.as_deref()))
            }
            (Some(_), None) => Cost::Unpriced(Unpriced::NoPriceForModel),
            (None, _) if outcome == Outcome::Completed => Cost::Unpriced(Unpriced::NoUsage),
            (None, _) => Cost::Unpriced(Unpriced::Failed),
        };
        self.record.timing.total = self.since_begun(now);
        let unpriced = matches!(cost, Cost::Unpriced(Unpriced::NoPriceForModel | Unpriced::NoUsage));
        RunRecord { outcome, usage, estimated, cost, unpriced_attempts: u32::from(unpriced), ..self.record }
    }

    /// What the upstream reported; an estimate only where an answer began and was not told to its end.
    fn settled_usage(&self, outcome: Outcome) -> (Option<Usage>, bool) {
        match self.record.usage {
            // A count from the middle of an answer does not know what was written after it.
            Some(mut usage) if self.behind && outcome != Outcome::Completed => {
                let more = self.estimate().output_tokens.saturating_sub(usage.output_tokens);
                usage.output_tokens += more;
                usage.total_tokens = usage.total_tokens.saturating_add(more);
                (Some(usage), true)
            }
            Some(usage) => (Some(usage), false),
            None if self.is_billed(outcome) => (Some(self.estimate()), true),
            None => (None, false),
        }
    }

    /// Whether the upstream will bill an attempt that it reported no usage of. One that it says failed before it wrote
    /// anything is taken for free; one that was cut or left is not.
    fn is_billed(&self, outcome: Outcome) -> bool {
        use ErrorClass::{Local, Network, Protocol};
        if !self.record.subject.is_billed {
            return false;
        }
        let ours = |outcome: Outcome| {
            outcome.error().is_none_or(|kind| matches!(kind.policy().class, Network | Protocol | Local))
        };
        outcome != Outcome::Completed && (self.deltas > 0 || self.read && ours(outcome))
    }

    fn content(&mut self, now: Instant) {
        match self.content_at.replace(now) {
            Some(before) => self.record.gaps.add(now.saturating_duration_since(before)),
            None => self.record.timing.first_content = Some(self.since_begun(now)),
        }
    }

    fn since_begun(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }
}

/// Bytes of what the model wrote: text, reasoning, refusals, names and arguments of tool calls. Sound is base64 and no text.
fn delta_bytes(chunk: &TokenChunk) -> u64 {
    let tools =
        chunk.tool_calls.iter().map(|call| call.name.as_ref().map_or(0, String::len) + call.arguments.len());
    (chunk.text.len() + chunk.reasoning.len() + chunk.refusal.len() + tools.sum::<usize>()) as u64
}
