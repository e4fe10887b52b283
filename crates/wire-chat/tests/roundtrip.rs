//! Laws: what one side writes, the other reads.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bytes::Bytes;
use infer_core::{
    Audio, Choice, Codec, Completion, Content, EmbedBatch, EmbedInput, EventDecoder, ExecuteBatch,
    FileSource, FinishKind, FinishReason, FunctionTool, JsonSchema, Logprobs, MediaSource, Message, Part,
    RawJson, ReasoningEffort, ResponseFormat, Role, Served, Step, TokenChunk, TokenLogprob, ToolCall,
    ToolCallDelta, ToolChoice, ToolKind, ToolSpec, Usage, Usd,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use wire_chat::server::{self, ChunkWriter};
use wire_chat::{ChatCodec, ChatDecoder, ChatDialect, TokenLimit};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,8}", "[a-z \"\\\\\n\t]{0,12}", Just("\u{2028}😀\u{0}".to_owned())]
}

/// JSON as somebody might write it: spaces, escapes and spellings that must survive.
fn json() -> impl Strategy<Value = RawJson> {
    let texts = [
        "null",
        "1.50e3",
        "[1, 2 ,{}]",
        "{ \"a\" : \"\\u00e9\" }",
        "\"x\\ud83d\\ude00\"",
        "-0",
        "123456789012345678901234567890",
    ];
    select(texts.to_vec()).prop_map(|text| RawJson::parse(text).unwrap())
}

fn schema() -> impl Strategy<Value = RawJson> {
    select(vec![r#"{"type":"object"}"#, "{ }", r#"{"type": "object", "n": 1.0}"#])
        .prop_map(|text| RawJson::parse(text).unwrap())
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()),
        Just(0.1),
        Just(-0.0),
        Just(2.0)
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let base64 = "[A-Za-z0-9+/]{0,12}";
    let source = prop_oneof![
        "https://[a-z]{1,8}".prop_map(MediaSource::Url),
        ("[a-z]{1,5}/[a-z]{1,5}", base64)
            .prop_map(|(media_type, data)| MediaSource::Base64 { media_type, data }),
    ];
    let other = [r#"{"type":"video_url","video_url":{"url": "u"}}"#, r#"{"type":"text","text":"a","x":1}"#];
    prop_oneof![
        text().prop_map(Part::Text),
        text().prop_map(Part::Refusal),
        (source, option::of(text())).prop_map(|(source, detail)| Part::Image { source, detail }),
        (base64, "wav|mp3").prop_map(|(data, format)| Part::Audio { data, format }),
        text().prop_map(|id| Part::File(FileSource::Id(id))),
        (option::of(text()), text())
            .prop_map(|(filename, data)| Part::File(FileSource::Data { filename, data })),
        select(other.to_vec()).prop_map(|raw| Part::Other(RawJson::parse(raw).unwrap())),
    ]
}

fn tool_kind() -> impl Strategy<Value = ToolKind> {
    select(vec![ToolKind::Function, ToolKind::Custom])
}

fn call() -> impl Strategy<Value = ToolCall> {
    (option::of("[a-z]{1,3}"), "[a-z_]{1,6}", text(), tool_kind()).prop_map(|(id, name, arguments, kind)| {
        let mut call = ToolCall::function("", name, arguments);
        call.id = id;
        call.kind = kind;
        call
    })
}

fn message() -> impl Strategy<Value = Message> {
    let roles = vec![Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];
    let content = prop_oneof![
        Just(Content::Empty),
        text().prop_map(Content::Text),
        vec(part(), 0..3).prop_map(Content::Parts),
    ];
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (select(roles), content, texts, vec(call(), 0..3), vec(("x_[a-z]{1,3}", json()), 0..2)).prop_map(
        |(role, content, (name, answered, refusal, reasoning), calls, extra)| {
            let mut message = Message::new(role, content).with_tool_calls(calls);
            message.name = name;
            message.tool_call_id = answered;
            message.refusal = refusal;
            message.reasoning = reasoning;
            message.extra = extra.into_iter().collect();
            message
        },
    )
}

fn tool() -> impl Strategy<Value = ToolSpec> {
    let function = (text(), option::of(text()), option::of(schema()), any::<Option<bool>>()).prop_map(
        |(name, description, parameters, strict)| {
            let mut tool = FunctionTool::new(name);
            tool.description = description;
            tool.parameters = parameters;
            tool.strict = strict;
            ToolSpec::Function(tool)
        },
    );
    let other = [
        r#"{"type":"custom","custom":{"name": "x"}}"#,
        r#"{"type":"function","function":{"name":"f","strict":null}}"#,
        r#"{"type":"function","function":{"name":"f"},"cache":true}"#,
    ];
    prop_oneof![
        function,
        select(other.to_vec()).prop_map(|raw| ToolSpec::Other(RawJson::parse(raw).unwrap()))
    ]
}

fn tool_choice() -> impl Strategy<Value = ToolChoice> {
    let other =
        ["\"any\"", r#"{"type":"allowed_tools"}"#, r#"{"type":"function","function":{"name":"f","x":1}}"#];
    prop_oneof![
        select(vec![ToolChoice::Auto, ToolChoice::None, ToolChoice::Required]),
        text().prop_map(ToolChoice::Function),
        select(other.to_vec()).prop_map(|raw| ToolChoice::Other(RawJson::parse(raw).unwrap())),
    ]
}

fn response_format() -> impl Strategy<Value = ResponseFormat> {
    let named = (text(), option::of(text()), option::of(schema()), any::<Option<bool>>()).prop_map(
        |(name, description, schema, strict)| {
            let mut format = JsonSchema::new(name, serde_json::Value::Null);
            format.description = description;
            format.schema = schema;
            format.strict = strict;
            ResponseFormat::JsonSchema(format)
        },
    );
    let other = [r#"{"type": "grammar"}"#, r#"{"type":"text","x":1}"#, r#"{"type":"json_schema"}"#];
    prop_oneof![
        select(vec![ResponseFormat::Text, ResponseFormat::JsonObject]),
        named,
        select(other.to_vec()).prop_map(|raw| ResponseFormat::Other(RawJson::parse(raw).unwrap())),
    ]
}

fn sampling() -> impl Strategy<Value = infer_core::Sampling> {
    let decimals = (option::of(number()), option::of(number()), option::of(number()), option::of(number()));
    let counts = (any::<Option<u32>>(), any::<Option<i64>>(), any::<Option<bool>>(), any::<Option<u32>>());
    (decimals, counts, vec(text(), 0..3), btree_map(text(), any::<i32>(), 0..3)).prop_map(
        |((temperature, top_p, presence, frequency), (n, seed, logprobs, top), stop, bias)| {
            let mut sampling = infer_core::Sampling::default();
            sampling.temperature = temperature;
            sampling.top_p = top_p;
            sampling.presence_penalty = presence;
            sampling.frequency_penalty = frequency;
            sampling.n = n;
            sampling.seed = seed;
            sampling.logprobs = logprobs;
            sampling.top_logprobs = top;
            sampling.stop = stop;
            sampling.logit_bias = bias;
            sampling
        },
    )
}

fn options() -> impl Strategy<Value = ExecuteBatch> {
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let tools =
        (vec(tool(), 0..3), option::of(tool_choice()), any::<Option<bool>>(), option::of(response_format()));
    let rest = (any::<Option<u32>>(), vec(text(), 0..2), btree_map(text(), text(), 0..3), any::<bool>());
    (texts, tools, rest).prop_map(|(texts, tools, rest)| {
        let mut batch = ExecuteBatch::new("", "");
        batch.reasoning_effort = texts.0.as_deref().map(ReasoningEffort::from);
        (batch.prediction, batch.service_tier, batch.user) = (texts.1, texts.2, texts.3);
        (batch.tools, batch.tool_choice, batch.parallel_tool_calls, batch.response_format) = tools;
        let is_streaming;
        (batch.max_output_tokens, batch.modalities, batch.metadata, is_streaming) = rest;
        if is_streaming { batch.streaming() } else { batch }
    })
}

prop_compose! {
    fn batch()(
        model in text(),
        messages in vec(message(), 0..4),
        sampling in sampling(),
        options in options(),
        extra in vec(("x_[a-zé]{1,3}", json()), 0..3),
        stream_options in any::<bool>(),
    ) -> ExecuteBatch {
        let mut messages = messages;
        messages.push(Message::user("something to answer"));
        let mut batch = options;
        (batch.model, batch.messages, batch.sampling) = (model, messages.into(), sampling);
        batch.extra = extra.into_iter().collect();
        if stream_options && batch.is_streaming() {
            batch.extra.set("stream_options", RawJson::parse(r#"{"include_obfuscation":false,"x":[1, 2]}"#).unwrap());
        }
        batch
    }
}

fn dialect() -> impl Strategy<Value = ChatDialect> {
    let limits = vec![TokenLimit::Auto, TokenLimit::MaxTokens, TokenLimit::MaxCompletionTokens];
    (select(limits), any::<bool>())
        .prop_map(|(limit, usage)| ChatDialect::compatible().with_token_limit(limit).with_stream_usage(usage))
}

fn logprobs() -> impl Strategy<Value = Logprobs> {
    let token = |top: Vec<TokenLogprob>, (token, eighths, bytes): (String, i32, Option<Vec<u8>>)| {
        let mut entry = TokenLogprob::default();
        entry.token = token;
        entry.logprob = f64::from(eighths) / 8.0;
        entry.bytes = bytes;
        entry.top_logprobs = top;
        entry
    };
    let said = || (text(), any::<i32>(), option::of(vec(any::<u8>(), 0..4)));
    let tops = vec(said().prop_map(move |said| token(Vec::new(), said)), 0..2);
    vec((tops, said()).prop_map(move |(top, said)| token(top, said)), 1..3).prop_map(|content| {
        let mut logprobs = Logprobs::default();
        logprobs.refusal = content.iter().skip(1).cloned().collect();
        logprobs.content = content;
        logprobs
    })
}

fn audio() -> impl Strategy<Value = Audio> {
    ("[a-z]{1,4}", "[A-Za-z0-9]{0,8}", text(), any::<Option<u64>>()).prop_map(
        |(id, data, transcript, until)| {
            let mut audio = Audio::default();
            audio.id = Some(id);
            audio.data = data;
            audio.transcript = transcript;
            audio.expires_at = until;
            audio
        },
    )
}

fn finish() -> impl Strategy<Value = FinishReason> {
    let words = vec![
        (FinishKind::Stop, "stop"),
        (FinishKind::Stop, "eos"),
        (FinishKind::Length, "model_length"),
        (FinishKind::ToolCalls, "tool_calls"),
        (FinishKind::ContentFilter, "content_filter"),
        (FinishKind::Error, "error"),
        (FinishKind::Other, "weather"),
    ];
    select(words).prop_map(|(kind, word)| FinishReason::new(kind, word))
}

fn choice() -> impl Strategy<Value = Choice> {
    let sound = (option::of(audio()), option::of(logprobs()));
    (text(), text(), text(), vec(call(), 0..4), sound, finish()).prop_map(
        |(text, reasoning, refusal, calls, (audio, logprobs), finish)| {
            let mut choice = Choice::new(0);
            choice.text = text;
            choice.reasoning = reasoning;
            choice.refusal = refusal;
            choice.tool_calls = calls;
            choice.audio = audio;
            choice.logprobs = logprobs;
            choice.finish = Some(finish);
            choice
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    let counts = (0..1_000_u64, 1..1_000_u64, 0..9_u64, 0..9_u64, 0..9_u64);
    (counts, option::of(0..1_000_000_000_u64)).prop_map(|((input, output, cached, written, detail), cost)| {
        let mut usage = Usage::new(input, output);
        usage.cached_input_tokens = cached;
        usage.cache_write_tokens = written;
        usage.reasoning_tokens = detail;
        usage.input_audio_tokens = detail + 1;
        usage.output_audio_tokens = detail + 2;
        usage.accepted_prediction_tokens = detail + 3;
        usage.rejected_prediction_tokens = detail + 4;
        usage.reported_cost = cost.map(|picos| Usd::from_picos(picos.into()));
        usage
    })
}

prop_compose! {
    fn completion()(
        choices in vec(choice(), 1..4),
        usage in option::of(usage()),
        id in "[a-z]{1,6}",
        model in "[a-z]{1,6}",
        rest in (option::of("[a-z]{1,4}"), option::of("[a-z]{1,4}"), option::of(1..u64::MAX)),
    ) -> Completion {
        let mut served = Served::default();
        (served.id, served.model) = (Some(id), Some(model));
        (served.fingerprint, served.service_tier, served.created) = rest;
        let mut whole = Completion::default();
        whole.choices = choices;
        for (index, choice) in (0..).zip(&mut whole.choices) {
            choice.index = index;
        }
        whole.usage = usage;
        whole.served = served;
        whole
    }
}

/// The text in pieces of `size` characters, at least one.
fn split(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(size.max(1)).map(|piece| piece.iter().collect()).collect()
}

/// The pieces one choice streams in, `size` characters each.
fn pieces(choice: &Choice, size: usize) -> Vec<TokenChunk> {
    let mut pieces = Vec::new();
    let mut push = |set: &dyn Fn(&mut TokenChunk)| {
        let mut chunk = TokenChunk::default();
        chunk.index = choice.index;
        set(&mut chunk);
        pieces.push(chunk);
    };
    for more in split(&choice.reasoning, size) {
        push(&|chunk| chunk.reasoning.clone_from(&more));
    }
    for more in split(&choice.text, size) {
        push(&|chunk| chunk.text.clone_from(&more));
    }
    for more in split(&choice.refusal, size) {
        push(&|chunk| chunk.refusal.clone_from(&more));
    }
    for (index, call) in (0..).zip(&choice.tool_calls) {
        let mut delta = ToolCallDelta::new(index);
        delta.id.clone_from(&call.id);
        delta.name = Some(call.name.clone());
        delta.kind = call.kind;
        push(&|chunk| chunk.tool_calls = vec![delta.clone()]);
        for more in split(&call.arguments, size) {
            let mut delta = ToolCallDelta::new(index);
            delta.arguments = more;
            delta.kind = call.kind;
            push(&|chunk| chunk.tool_calls = vec![delta.clone()]);
        }
    }
    push(&|chunk| {
        chunk.audio = choice.audio.clone().map(Box::new);
        chunk.logprobs = choice.logprobs.clone().map(Box::new);
        chunk.finish.clone_from(&choice.finish);
    });
    pieces
}

/// The pieces of all choices, taking turns.
fn streamed(whole: &Completion, size: usize) -> Vec<TokenChunk> {
    let mut choices: Vec<_> = whole.choices.iter().map(|choice| pieces(choice, size).into_iter()).collect();
    let mut chunks = Vec::new();
    while !choices.is_empty() {
        choices.retain_mut(|pieces| pieces.next().map(|chunk| chunks.push(chunk)).is_some());
    }
    let mut last = TokenChunk::default();
    last.usage = whole.usage;
    chunks.push(last);
    chunks[0].served = Some(Box::new(whole.served.clone()));
    chunks
}

fn data_of(event: &Bytes) -> Bytes {
    event.slice(b"data: ".len()..event.len() - 2)
}

proptest! {
    // For every batch that this wire can say: read(write(batch)) == batch, and writing that again gives the same bytes.
    #[test]
    fn a_server_reads_the_batch_the_client_wrote(batch in batch(), dialect in dialect()) {
        let codec = ChatCodec::new(dialect.clone());
        let body = codec.encode(&batch).unwrap();
        let read = server::read_request(&body).unwrap();
        prop_assert_eq!(read.include_usage, dialect.stream_usage && batch.is_streaming());
        let again = codec.encode(&read.batch).unwrap();
        let mut same = read.batch;
        same.request_id = batch.request_id.clone();
        same.deadline = batch.deadline;
        prop_assert_eq!(&same, &batch);
        prop_assert_eq!(again, body);
    }

    #[test]
    fn a_server_reads_the_embedding_batch_the_client_wrote(
        model in text(),
        texts in vec(text(), 1..4),
        tokens in option::of(vec(vec(any::<u32>(), 1..4), 1..4)),
        (dimensions, base64, user) in (any::<Option<u32>>(), any::<bool>(), option::of(text())),
        extra in vec(("x_[a-z]{1,3}", json()), 0..3),
    ) {
        let input = match tokens {
            Some(lists) => lists.into_iter().map(EmbedInput::Tokens).collect(),
            None => texts.into_iter().map(EmbedInput::Text).collect::<Vec<_>>(),
        };
        let mut batch = EmbedBatch::new(model, input);
        (batch.dimensions, batch.base64, batch.user) = (dimensions, base64, user);
        batch.extra = extra.into_iter().collect();
        let mut read = server::read_embed_request(&ChatCodec::default().encode_embed(&batch).unwrap()).unwrap();
        read.request_id = batch.request_id.clone();
        prop_assert_eq!(read, batch);
    }

    #[test]
    fn a_client_reads_the_answer_the_server_wrote(whole in completion()) {
        let body = server::write_completion(&whole, "asked");
        let mut read = ChatCodec::default().decode_full(&body).unwrap();
        prop_assert_eq!((read.wire.take(), read.wire_format.take().is_some()), (Some(body), true));
        prop_assert_eq!(read, whole);
    }

    // The fold of a stream's pieces is the answer in one piece; every choice finishes once, with nothing after it.
    #[test]
    fn a_streamed_answer_adds_up_to_the_whole_one(whole in completion(), size in 1..6_usize) {
        let mut writer = ChunkWriter::new("asked", true);
        let mut decoder = ChatDecoder::default();
        let mut folded = Completion::default();
        let mut finished: BTreeMap<u32, u32> = BTreeMap::new();
        for chunk in streamed(&whole, size) {
            let event = writer.write(&chunk).unwrap();
            let mut out = Vec::new();
            prop_assert_eq!(decoder.event("", &data_of(&event), &mut out).unwrap(), Step::More);
            prop_assert!(!out.is_empty());
            for chunk in out {
                prop_assert!(!chunk.is_content() || !finished.contains_key(&chunk.index));
                if chunk.finish.is_some() {
                    *finished.entry(chunk.index).or_default() += 1;
                }
                folded.push(chunk);
            }
        }
        prop_assert!(finished.len() == whole.choices.len() && finished.values().all(|times| *times == 1));
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(decoder.event("", &Bytes::from_static(b"[DONE]"), &mut Vec::new()), Ok(Step::Done));
        let unary = ChatCodec::default().decode_full(&server::write_completion(&whole, "asked")).unwrap();
        prop_assert_eq!(&folded.choices, &unary.choices);
        prop_assert_eq!(folded.usage, unary.usage);
        prop_assert_eq!(&folded.served, &unary.served);
        prop_assert_eq!(folded, whole);
    }

    // A gateway that passes pieces on by their wire sends what it received.
    #[test]
    fn a_stream_passed_on_is_the_stream_received(whole in completion(), size in 1..6_usize) {
        let (mut upstream, mut gateway) = (ChunkWriter::new("asked", true), ChunkWriter::new("asked", true));
        let mut decoder = ChatDecoder::default();
        for chunk in streamed(&whole, size) {
            let event = upstream.write(&chunk).unwrap();
            let mut out = Vec::new();
            decoder.event("", &data_of(&event), &mut out).unwrap();
            let passed: Vec<Bytes> = out.iter().filter_map(|chunk| gateway.write(chunk)).collect();
            prop_assert_eq!(passed, [event]);
        }
    }
}
