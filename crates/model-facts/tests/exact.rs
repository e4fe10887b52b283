//! Exact counts against published ones, and the estimate against exact counts.

#![cfg(feature = "exact-tokens")]
use bytes::Bytes;
use infer_core::{ExecuteBatch, InferenceError, Message, Messages, RawJson, ToolSpec, WireFormat};
use model_facts::{
    FactTable, count_messages, count_request, count_tokens, estimate_request, estimate_tokens, has_encoding,
};
use proptest::prelude::*;

/// Counts from OpenAI's cookbook on tiktoken; the third and the last for `cl100k_base` were read again in public copies on
/// 2026-11-21.
#[test]
fn counts_are_those_that_openai_prints() {
    for (text, cl100k, o200k) in [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
    ] {
        assert_eq!(count_tokens("gpt-4", text), Some(cl100k), "{text}");
        assert_eq!(count_tokens("gpt-4o", text), Some(o200k), "{text}");
    }
}

#[test]
fn a_name_finds_the_encoding_of_its_family() {
    let text = "お誕生日おめでとう";
    for (model, tokens) in [
        ("gpt-3.5-turbo-0125", Some(9)),
        ("gpt-35-turbo", Some(9)),
        ("text-embedding-3-small", Some(9)),
        ("gpt-4o-mini-2024-07-18", Some(8)),
        ("openai/gpt-5-mini", Some(8)),
        ("ft:gpt-4o-mini-2024-07-18:acme::7q", Some(8)),
        ("proxy/ft:gpt-4:acme::7q", Some(9)),
        ("o3", Some(8)),
        ("openai/gpt-oss-120b", Some(8)),
        ("claude-sonnet-4.6", None),
        ("mistral-large-latest", None),
        ("our-own-model", None),
        ("", None),
        ("ft:", None),
    ] {
        assert_eq!(count_tokens(model, text), tokens, "{model}");
        assert_eq!(has_encoding(model), tokens.is_some(), "{model}");
    }
}

#[test]
fn a_marker_in_a_text_is_ordinary_text() {
    for model in ["gpt-4", "gpt-4o", "gpt-oss-20b"] {
        assert!(count_tokens(model, "<|endoftext|>").unwrap() > 1, "{model}");
        assert!(count_tokens(model, "<|start|>").unwrap() > 1, "{model}");
    }
}

#[test]
fn messages_count_what_stands_around_them() {
    let one = Message::user("hello world");
    assert_eq!(count_messages("gpt-4o", std::slice::from_ref(&one)), Some(2 + 4 + 3));
    let two = [Message::system("hello world"), one.with_name("hello world")];
    assert_eq!(count_messages("gpt-4", &two), Some(2 + 4 + 2 + 4 + 1 + 2 + 3));
    assert_eq!(count_messages("our-own-model", &two), None);
}

#[test]
fn a_request_counts_its_tools_and_needs_messages_that_can_be_read() {
    let batch = ExecuteBatch::new("gpt-4o", "hello world");
    assert_eq!(count_request(&batch), Some(9));
    let tool = ToolSpec::function("hello", "hello world", RawJson::parse("{}").unwrap());
    assert_eq!(count_request(&batch.with_tools([tool])), Some(9 + 8 + 1 + 2 + 1));
    let fails = |_: &Bytes| Err(InferenceError::invalid_request("not messages"));
    let raw = Messages::raw(WireFormat("test"), Bytes::from_static(b"[]"), fails);
    assert_eq!(count_request(&ExecuteBatch::new("gpt-4o", raw)), None);
}

#[test]
fn every_retired_and_current_chat_model_of_openai_up_to_5_is_counted() {
    for facts in FactTable::published().iter().filter(|facts| facts.provider == "openai") {
        let newer = facts.model.starts_with("gpt-6") || facts.model == "chat-latest";
        assert_eq!(has_encoding(&facts.model), !newer, "{}", facts.model);
    }
}

/// What the documentation of `estimate_tokens` says, by kind of text: the bounds against both encodings.
#[test]
fn the_estimate_is_as_good_as_its_documentation_says() {
    let kinds: &[(&[&str], [f64; 2], [f64; 2])] = &[
        (
            &[
                "english prose",
                "english chat",
                "technical english",
                "rust",
                "python",
                "typescript",
                "sql",
                "json",
                "pretty json",
                "markdown",
                "html",
                "log lines",
            ],
            [0.95, 1.27],
            [0.95, 1.27],
        ),
        (&["numbers", "base64", "hex"], [0.82, 0.98], [0.78, 0.98]),
        (&["german", "french", "spanish", "polish"], [0.76, 0.98], [0.67, 0.90]),
        (&["chinese", "traditional chinese", "japanese", "korean"], [0.95, 1.15], [0.58, 0.79]),
        (&["russian", "greek", "arabic", "hebrew", "hindi", "thai"], [0.90, 1.24], [0.36, 0.74]),
        (&["emoji", "mixed"], [0.97, 1.29], [0.75, 1.14]),
    ];
    let samples: Vec<(&str, &str)> = include_str!("data/corpus.txt")
        .split("=== ")
        .filter_map(|sample| sample.split_once('\n'))
        .map(|(name, text)| (name, text.trim_end()))
        .collect();
    assert_eq!(samples.len(), 31);
    assert_eq!(kinds.iter().map(|(names, ..)| names.len()).sum::<usize>(), 31);
    for (names, o200k, cl100k) in kinds {
        for name in *names {
            let text = samples.iter().find(|(known, _)| known == name).unwrap().1;
            for (model, [low, high]) in [("gpt-4o", o200k), ("gpt-4", cl100k)] {
                let ratio = estimate_tokens(text) as f64 / count_tokens(model, text).unwrap() as f64;
                assert!((*low..=*high).contains(&ratio), "{name} for {model}: {ratio:.2}");
            }
        }
    }
}

#[test]
fn estimate_and_count_agree_on_what_stands_around_texts() {
    let batch = ExecuteBatch::new("gpt-4o", [Message::system("hello world"), Message::user("hello world")]);
    assert_eq!(count_request(&batch), Some(estimate_request(&batch)));
}

proptest! {
    /// Law: any text is counted, by no more tokens than it has bytes.
    #[test]
    fn any_text_is_counted(text in "(?s)(.|<\\|endoftext\\|>|  ){0,60}") {
        for model in ["gpt-4", "gpt-4o"] {
            let tokens = count_tokens(model, &text).unwrap();
            prop_assert!(tokens <= text.len() as u64);
            prop_assert_eq!(tokens == 0, text.is_empty());
        }
    }
}
