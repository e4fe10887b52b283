//! What the simulator says: made from what was asked, the same for the same seed.

use fastrand::Rng;
use infer_core::{
    Choice, Completion, Content, ExecuteBatch, FinishKind, FinishReason, InferenceError, Logprobs, Part,
    ResponseFormat, Role, Served, TokenLogprob, ToolCall, ToolChoice, ToolSpec, Usage,
};
use serde_json::{Value, json};

use crate::routes::CREATED;
use crate::{Behaviour, schema};

const BYTES_PER_TOKEN: usize = 4;
/// A flat count a picture is charged for, as vendors do for small ones.
const IMAGE_TOKENS: usize = 85;
const EXCERPT_CHARS: usize = 100;
/// The most a request may ask for (OpenAI's schema, read 2026-11-21).
const MAX_CHOICES: u32 = 128;

const CLOSINGS: [&str; 8] = [
    "Every word of this came over real HTTP.",
    "The same seed gives the same words.",
    "Token counts are a quarter of the bytes.",
    "No key was needed and nothing was charged.",
    "Set a key and a base URL to reach a model.",
    "Model names that begin with sim- show what can go wrong.",
    "The words arrive one by one, as a model's would.",
    "Ask again with another seed for another ending.",
];

const WORDS: [&str; 16] = [
    "a", "brook", "carries", "dry", "elm", "far", "gently", "hills", "into", "June", "keeps", "leaves",
    "moving", "north", "over", "past",
];

/// The answer to `batch`.
pub(crate) fn compose(
    seed: u64,
    batch: &ExecuteBatch,
    behaviour: &Behaviour,
) -> Result<Completion, InferenceError> {
    let asked = Asked::read(batch)?;
    let seed = seed.wrapping_add(batch.sampling.seed.unwrap_or_default().cast_unsigned());
    let hash = hash(seed, asked.prompt.as_bytes());
    let mut completion = Completion::default();
    let mut usage = Usage::new(asked.tokens as u64, 0);
    for index in 0..batch.choices().min(MAX_CHOICES) {
        let mut rng = Rng::with_seed(hash.wrapping_add(u64::from(index)));
        let mut choice = choice(index, &asked, batch, behaviour, &mut rng);
        limit(&mut choice, batch);
        if batch.sampling.logprobs == Some(true) {
            choice.logprobs = Some(logprobs(&choice, batch, &mut rng));
        }
        let calls: usize = choice.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
        usage.reasoning_tokens += tokens(choice.reasoning.len());
        // Rounded once, so that a limit in tokens is never passed by one.
        usage.output_tokens +=
            tokens(choice.reasoning.len() + choice.text.len() + choice.refusal.len() + calls);
        completion.choices.push(choice);
    }
    usage.total_tokens = usage.input_tokens + usage.output_tokens;
    completion.usage = Some(usage);
    completion.served = Served::default();
    completion.served.id = Some(format!("chatcmpl-sim-{hash:016x}"));
    completion.served.model = Some(batch.model.clone());
    completion.served.fingerprint = Some("fp_sim".to_owned());
    completion.served.created = Some(CREATED);
    Ok(completion)
}

/// The pieces a text streams in: words with the space after them, and no piece of more than 24 bytes.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for word in text.split_inclusive([' ', '\n']) {
        let mut rest = word;
        while rest.len() > 24 {
            let (piece, more) = rest.split_at(rest.floor_char_boundary(24));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
    }
    pieces
}

/// FNV-1a: unlike the standard library's hasher it gives the same everywhere and for ever.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    seed.to_le_bytes()
        .iter()
        .chain(bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The request as the simulator understands it.
struct Asked {
    /// The last thing the user said.
    prompt: String,
    /// What a tool answered, when that is the last message.
    result: Option<String>,
    images: usize,
    tokens: usize,
}

impl Asked {
    fn read(batch: &ExecuteBatch) -> Result<Self, InferenceError> {
        let messages = batch.messages.typed()?;
        let last = messages.last();
        let said = messages.iter().rev().find(|message| message.role == Role::User).or(last);
        let bytes: usize = messages.iter().map(|message| text_bytes(&message.content)).sum();
        let all_images: usize = messages.iter().map(|message| images(&message.content)).sum();
        Ok(Self {
            prompt: said.map(|message| message.content.text()).unwrap_or_default(),
            result: last.filter(|message| message.role == Role::Tool).map(|message| message.content.text()),
            images: said.map_or(0, |message| images(&message.content)),
            tokens: bytes.div_ceil(BYTES_PER_TOKEN).max(1) + all_images * IMAGE_TOKENS,
        })
    }

    fn excerpt(&self) -> String {
        excerpt(&self.prompt)
    }
}

fn choice(index: u32, asked: &Asked, batch: &ExecuteBatch, behaviour: &Behaviour, rng: &mut Rng) -> Choice {
    let mut choice = Choice::new(index);
    choice.finish = Some(FinishKind::Stop.into());
    match behaviour {
        Behaviour::Text(text) => choice.text.clone_from(text),
        Behaviour::Long(words) => choice.text = long(*words, rng),
        Behaviour::Refusal => {
            "I'm sorry, but this simulator was asked to refuse.".clone_into(&mut choice.refusal);
        }
        _ => {
            choice.tool_calls = calls(asked, batch, rng);
            if choice.tool_calls.is_empty() {
                choice.text = text(asked, batch, rng);
            } else {
                choice.finish = Some(FinishKind::ToolCalls.into());
            }
        }
    }
    match behaviour {
        Behaviour::Reasoning => {
            choice.reasoning = format!(
                "The question is \"{}\". A simulator knows nothing about it, so it repeats the question.",
                asked.excerpt()
            );
        }
        Behaviour::Finish(word) => choice.finish = Some(finish(word)),
        _ => {}
    }
    choice
}

fn finish(word: &str) -> FinishReason {
    let kinds = [
        FinishKind::Stop,
        FinishKind::Length,
        FinishKind::ToolCalls,
        FinishKind::ContentFilter,
        FinishKind::Error,
    ];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == word).unwrap_or(FinishKind::Other);
    FinishReason::new(kind, word)
}

fn text(asked: &Asked, batch: &ExecuteBatch, rng: &mut Rng) -> String {
    match &batch.response_format {
        Some(ResponseFormat::JsonObject) => {
            return json!({ "simulator": true, "asked": asked.excerpt() }).to_string();
        }
        Some(ResponseFormat::JsonSchema(wanted)) => {
            let schema = wanted.schema.as_ref().and_then(|schema| serde_json::from_str(schema.get()).ok());
            return schema::fit(&schema.unwrap_or(Value::Bool(true)), rng).to_string();
        }
        _ => {}
    }
    let said = match &asked.result {
        Some(result) => format!("The tool answered: \"{}\".", excerpt(result)),
        None => format!("You asked: \"{}\".", asked.excerpt()),
    };
    let shown = match asked.images {
        0 => String::new(),
        1 => " A picture came with it.".to_owned(),
        several => format!(" {several} pictures came with it."),
    };
    let first = rng.usize(..CLOSINGS.len());
    let second = (first + rng.usize(1..CLOSINGS.len())) % CLOSINGS.len();
    let closings = [first, second].map(|place| CLOSINGS.get(place).copied().unwrap_or_default());
    format!("This is a simulator, not a model. {said}{shown} {}", closings.join(" "))
}

fn long(words: usize, rng: &mut Rng) -> String {
    let mut text = String::with_capacity(words * 6);
    for number in 1..=words {
        text.push_str(rng.choice(WORDS).unwrap_or("a"));
        text.push_str(match number {
            last if last == words => ".",
            line if line % 12 == 0 => "\n",
            _ => " ",
        });
    }
    text
}

/// Calls when one is required, or when the question names a tool and no tool has answered yet.
fn calls(asked: &Asked, batch: &ExecuteBatch, rng: &mut Rng) -> Vec<ToolCall> {
    let tools = batch.tools.iter().filter_map(|tool| match tool {
        ToolSpec::Function(function) => Some(function),
        _ => None,
    });
    let several = if batch.parallel_tool_calls == Some(false) { 1 } else { usize::MAX };
    let chosen: Vec<_> = match &batch.tool_choice {
        Some(ToolChoice::None) => Vec::new(),
        Some(ToolChoice::Function(name)) => tools.filter(|tool| tool.name == *name).take(1).collect(),
        _ if asked.result.is_some() => Vec::new(),
        choice => {
            let first = matches!(choice, Some(ToolChoice::Required)).then(|| tools.clone().next()).flatten();
            let named: Vec<_> =
                tools.filter(|tool| asked.prompt.contains(&tool.name)).take(several).collect();
            if named.is_empty() { first.into_iter().collect() } else { named }
        }
    };
    let mut call = |tool: &infer_core::FunctionTool| {
        let schema = tool.parameters.as_ref().and_then(|schema| serde_json::from_str(schema.get()).ok());
        let arguments = schema.map_or_else(|| json!({}), |schema| schema::fit(&schema, rng));
        ToolCall::function(format!("call_sim_{:08x}", rng.u32(..)), &tool.name, arguments.to_string())
    };
    chosen.into_iter().map(&mut call).collect()
}

/// Ends the answer at a stop text or at the output limit, hidden reasoning counted.
fn limit(choice: &mut Choice, batch: &ExecuteBatch) {
    let stops = batch.sampling.stop.iter().filter(|stop| !stop.is_empty());
    if let Some(end) = stops.filter_map(|stop| choice.text.find(stop)).min() {
        choice.text.truncate(end);
    }
    let Some(tokens) = batch.max_output_tokens else { return };
    let mut left = (tokens as usize).saturating_mul(BYTES_PER_TOKEN);
    let calls = choice.tool_calls.iter_mut().map(|call| &mut call.arguments);
    for text in [&mut choice.reasoning, &mut choice.text, &mut choice.refusal].into_iter().chain(calls) {
        if text.len() > left {
            text.truncate(text.floor_char_boundary(left));
            choice.finish = Some(FinishKind::Length.into());
        }
        left = left.saturating_sub(text.len());
    }
}

fn logprobs(choice: &Choice, batch: &ExecuteBatch, rng: &mut Rng) -> Logprobs {
    let alternatives = batch.sampling.top_logprobs.unwrap_or_default().min(20);
    let mut entry = |piece: &str| {
        let mut entry = token(piece, -rng.f64());
        entry.top_logprobs.extend((0..alternatives).map(|place| match place {
            0 => token(piece, entry.logprob),
            _ => token(&format!("alt{place}"), entry.logprob - f64::from(place)),
        }));
        entry
    };
    let mut logprobs = Logprobs::default();
    logprobs.content = pieces(&choice.text).into_iter().map(&mut entry).collect();
    logprobs.refusal = pieces(&choice.refusal).into_iter().map(&mut entry).collect();
    logprobs
}

fn token(text: &str, logprob: f64) -> TokenLogprob {
    let mut token = TokenLogprob::default();
    text.clone_into(&mut token.token);
    token.logprob = logprob;
    token.bytes = Some(text.as_bytes().to_vec());
    token
}

fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

fn text_bytes(content: &Content) -> usize {
    match content {
        Content::Text(text) => text.len(),
        other => other.text().len(),
    }
}

fn images(content: &Content) -> usize {
    match content {
        Content::Parts(parts) => parts.iter().filter(|part| matches!(part, Part::Image { .. })).count(),
        _ => 0,
    }
}

/// One line of at most 100 characters.
fn excerpt(text: &str) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.chars().nth(EXCERPT_CHARS).is_some() {
            return words.chars().take(EXCERPT_CHARS).chain(['…']).collect();
        }
    }
    words
}
