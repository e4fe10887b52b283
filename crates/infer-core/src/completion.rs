//! A whole answer, and how pieces add up to one.

use bytes::Bytes;

use crate::{
    Audio, Content, CostEstimate, Filters, FinishReason, Logprobs, Message, RawJson, Role, Served,
    TokenChunk, ToolCall, ToolCallDelta, Usage, Wire, WireFormat,
};

/// A whole answer; every choice is kept apart.
///
/// ```
/// use infer_core::{Completion, FinishKind, TokenChunk};
///
/// let mut answer = Completion::default();
/// for piece in [TokenChunk::text(0, "Hel"), TokenChunk::text(0, "lo"), TokenChunk::finish(0, FinishKind::Stop)] {
///     answer.push(piece);
/// }
/// assert_eq!(answer.text(), "Hello");
/// assert_eq!(answer.finish().map(|finish| finish.kind()), Some(FinishKind::Stop));
/// let _next_turn = answer.choices[0].to_message(); // with reasoning and tool calls that an upstream wants back
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Completion {
    /// The answers, by index.
    pub choices: Vec<Choice>,
    /// Tokens used; `None` when the upstream did not say.
    pub usage: Option<Usage>,
    /// What they cost; `None` when the price is not known.
    pub cost: Option<CostEstimate>,
    /// Who answered.
    pub served: Served,
    /// The body as received; `None` for an answer put together from pieces.
    pub wire: Option<Wire>,
}

/// One answer of several.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Which one, from 0.
    pub index: u32,
    /// The text; empty where the upstream sent none or null.
    pub text: String,
    /// The reasoning, where the upstream shows it.
    pub reasoning: String,
    /// Blocks of reasoning that the upstream wants back unread in the next turn, such as signed ones.
    pub reasoning_blocks: Vec<RawJson>,
    /// The refusal.
    pub refusal: String,
    /// Calls the model wants made.
    pub tool_calls: Vec<ToolCall>,
    /// Sound.
    pub audio: Option<Audio>,
    /// Probabilities.
    pub logprobs: Option<Logprobs>,
    /// What content filters found in it, and with the first answer in the request.
    pub filters: Filters,
    /// Why it ended; `None` when the upstream did not say.
    pub finish: Option<FinishReason>,
}

impl Choice {
    /// An empty answer.
    pub fn new(index: u32) -> Self {
        Self { index, ..Self::default() }
    }

    /// The answer as a message of the conversation, for the next turn. What only this turn knows (probabilities, why
    /// it ended) stays behind.
    pub fn to_message(&self) -> Message {
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        let mut message =
            Message::new(Role::Assistant, filled(&self.text).map_or(Content::Empty, Content::Text));
        message.tool_calls.clone_from(&self.tool_calls);
        message.refusal = filled(&self.refusal);
        message.reasoning = filled(&self.reasoning);
        message.reasoning_blocks.clone_from(&self.reasoning_blocks);
        message
    }
}

impl Completion {
    /// The body as received, if it came in `format`.
    pub fn wire_in(&self, format: WireFormat) -> Option<&Bytes> {
        self.wire.as_ref()?.in_format(format)
    }

    /// The text of the first answer.
    pub fn text(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.text)
    }

    /// Why the first answer ended.
    pub fn finish(&self) -> Option<&FinishReason> {
        self.choices.first().and_then(|choice| choice.finish.as_ref())
    }

    /// Adds the next piece.
    ///
    /// Folding all pieces of a stream gives what decoding the same answer in one piece gives, except for `wire`.
    pub fn push(&mut self, chunk: TokenChunk) {
        if let Some(served) = &chunk.served {
            self.served.learn(served);
        }
        if chunk.usage.is_some() {
            self.usage = chunk.usage;
            self.cost = chunk.cost.as_deref().copied();
        }
        let lasts = chunk.logprobs.is_some() || chunk.filters.is_some() || !chunk.reasoning_blocks.is_empty();
        if chunk.is_content() || lasts {
            self.choice(chunk.index).push(chunk);
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let place = self.choices.partition_point(|choice| choice.index < index);
        if self.choices.get(place).is_none_or(|choice| choice.index != index) {
            self.choices.insert(place, Choice::new(index));
        }
        #[expect(clippy::indexing_slicing, reason = "inserted just above if it was not there")]
        &mut self.choices[place]
    }

    /// The pieces that fold back into this answer: one for every choice, and one for the usage.
    pub fn into_chunks(self) -> Vec<TokenChunk> {
        let mut chunks: Vec<TokenChunk> = self.choices.into_iter().map(Choice::into_chunk).collect();
        if self.usage.is_some() || chunks.is_empty() {
            chunks.push(TokenChunk {
                usage: self.usage,
                cost: self.cost.map(Box::new),
                ..TokenChunk::default()
            });
        }
        if let (Some(first), true) = (chunks.first_mut(), self.served != Served::default()) {
            first.served = Some(Box::new(self.served));
        }
        chunks
    }
}

impl Choice {
    fn push(&mut self, chunk: TokenChunk) {
        append(&mut self.text, chunk.text);
        append(&mut self.reasoning, chunk.reasoning);
        self.reasoning_blocks.extend(chunk.reasoning_blocks);
        append(&mut self.refusal, chunk.refusal);
        for delta in chunk.tool_calls {
            self.push_call(delta);
        }
        if let Some(audio) = chunk.audio {
            self.audio.get_or_insert_default().append(&audio);
        }
        if let Some(logprobs) = chunk.logprobs {
            let known = self.logprobs.get_or_insert_default();
            known.content.extend(logprobs.content);
            known.refusal.extend(logprobs.refusal);
        }
        if let Some(filters) = chunk.filters {
            self.filters.learn(&filters);
        }
        // The first word stands: some upstreams send one more piece after the end.
        self.finish = self.finish.take().or(chunk.finish);
    }

    fn push_call(&mut self, delta: ToolCallDelta) {
        // Decoders number calls without gaps; a gap from elsewhere must not reserve memory by its size.
        let place = (delta.index as usize).min(self.tool_calls.len());
        if place == self.tool_calls.len() {
            self.tool_calls.push(ToolCall::default());
        }
        let Some(call) = self.tool_calls.get_mut(place) else { return };
        call.kind = delta.kind;
        if delta.id.as_deref().is_some_and(|id| !id.is_empty()) {
            call.id = delta.id;
        }
        if let Some(name) = delta.name.filter(|name| !name.is_empty()) {
            call.name = name;
        }
        append(&mut call.arguments, delta.arguments);
    }

    fn into_chunk(self) -> TokenChunk {
        let calls = (0..).zip(self.tool_calls).map(|(index, call)| ToolCallDelta {
            index,
            id: call.id,
            name: Some(call.name),
            arguments: call.arguments,
            kind: call.kind,
        });
        TokenChunk {
            index: self.index,
            text: self.text,
            reasoning: self.reasoning,
            reasoning_blocks: self.reasoning_blocks,
            refusal: self.refusal,
            tool_calls: calls.collect(),
            audio: self.audio.map(Box::new),
            logprobs: self.logprobs.map(Box::new),
            filters: (!self.filters.is_empty()).then(|| Box::new(self.filters)),
            finish: self.finish,
            ..TokenChunk::default()
        }
    }
}

/// Takes over `more` whole when there is nothing yet.
fn append(text: &mut String, more: String) {
    if text.is_empty() {
        *text = more;
    } else {
        text.push_str(&more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FinishKind;

    #[test]
    fn interleaved_choices_stay_apart_and_in_order() {
        let mut whole = Completion::default();
        for chunk in [TokenChunk::text(1, "b"), TokenChunk::text(0, "a"), TokenChunk::text(1, "B")] {
            whole.push(chunk);
        }
        let texts: Vec<_> = whole.choices.iter().map(|c| (c.index, c.text.as_str())).collect();
        assert_eq!(texts, [(0, "a"), (1, "bB")]);
    }

    #[test]
    fn an_empty_name_in_a_later_piece_does_not_erase_the_name() {
        let mut whole = Completion::default();
        for (name, arguments) in [(Some("add"), "{"), (Some(""), "}"), (None, "")] {
            let delta = ToolCallDelta {
                name: name.map(Into::into),
                arguments: arguments.into(),
                ..ToolCallDelta::new(0)
            };
            whole.push(TokenChunk { tool_calls: vec![delta], ..TokenChunk::default() });
        }
        let call = &whole.choices[0].tool_calls[0];
        assert_eq!((call.name.as_str(), call.arguments.as_str()), ("add", "{}"));
    }

    #[test]
    fn an_answer_becomes_the_message_that_the_next_turn_needs() {
        let mut choice = Choice::new(0);
        choice.tool_calls = vec![ToolCall::function("1", "add", "{}")];
        choice.reasoning = "hm".to_owned();
        choice.reasoning_blocks = vec![RawJson::from(serde_json::json!({"signature": "s"}))];
        let message = choice.to_message();
        assert_eq!((message.role, &message.content), (Role::Assistant, &Content::Empty));
        assert_eq!((&message.tool_calls, message.refusal.as_deref()), (&choice.tool_calls, None));
        assert_eq!((message.reasoning.as_deref(), message.reasoning_blocks.len()), (Some("hm"), 1));
    }

    #[test]
    fn a_huge_call_number_reserves_no_memory() {
        let mut whole = Completion::default();
        let delta = ToolCallDelta { name: Some("x".into()), ..ToolCallDelta::new(u32::MAX) };
        whole.push(TokenChunk { tool_calls: vec![delta], ..TokenChunk::default() });
        assert_eq!(whole.choices[0].tool_calls.len(), 1);
    }

    #[test]
    fn the_last_usage_counts_and_the_first_finish_stands() {
        let mut whole = Completion::default();
        whole.push(TokenChunk { usage: Some(Usage::new(1, 1)), ..TokenChunk::finish(0, FinishKind::Stop) });
        whole.push(TokenChunk { usage: Some(Usage::new(1, 2)), ..TokenChunk::finish(0, FinishKind::Length) });
        assert_eq!(whole.usage, Some(Usage::new(1, 2)));
        assert_eq!(whole.finish(), Some(&FinishKind::Stop.into()));
    }
}
