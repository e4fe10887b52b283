//! What content filters found, in Azure's shapes (its documents, read 2026-11-21), whole and streamed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use infer_core::{Codec as _, Completion, ErrorKind, EventDecoder as _, FilterFinding, Filters, TokenChunk};
use wire_chat::{ChatCodec, ChatDecoder};

fn data(name: &str) -> String {
    let path = format!("{}/tests/data/azure/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The pieces of a stream, one list for every event.
fn pieces(events: &str) -> Vec<Vec<TokenChunk>> {
    let mut decoder = ChatDecoder::default();
    let events = events.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let read = |event: &str| {
        let mut out = Vec::new();
        decoder.event("", &Bytes::copy_from_slice(event.as_bytes()), &mut out).unwrap();
        out
    };
    events.map(read).collect()
}

fn fold(events: &str) -> Completion {
    let mut whole = Completion::default();
    pieces(events).into_iter().flatten().for_each(|chunk| whole.push(chunk));
    whole
}

/// Categories, each with whether it filtered and how bad it was.
fn summary(findings: &[FilterFinding]) -> Vec<(&str, bool, &str)> {
    let words = |found: &'_ FilterFinding| match found.detected {
        Some(true) => "detected",
        Some(false) => "not detected",
        None => "",
    };
    let one = |found: &'_ FilterFinding| (found.filtered, words(found));
    findings
        .iter()
        .map(|found| {
            let (filtered, words) = one(found);
            (found.category.as_str(), filtered, found.severity.as_deref().unwrap_or(words))
        })
        .collect()
}

const SAFE: [(&str, bool, &str); 4] = [
    ("hate", false, "safe"),
    ("self_harm", false, "safe"),
    ("sexual", false, "safe"),
    ("violence", false, "safe"),
];

fn safe_and(more: &[(&'static str, bool, &'static str)]) -> Vec<(&'static str, bool, &'static str)> {
    SAFE.iter().chain(more).copied().collect()
}

#[test]
fn a_whole_answer_has_the_findings_of_both_sides() {
    let whole = ChatCodec::default().decode_full(&data("chat_ok_filters.json").into()).unwrap();
    let filters = &whole.choices[0].filters;
    let material = [
        ("protected_material_text", false, "not detected"),
        ("protected_material_code", false, "not detected"),
    ];
    assert_eq!(summary(&filters.answer), safe_and(&material));
    assert_eq!(summary(&filters.prompt), safe_and(&[("jailbreak", false, "not detected")]));
    assert_eq!(filters.filtered().count(), 0);
}

#[test]
fn an_answer_that_was_held_back_says_for_what() {
    let whole = ChatCodec::default().decode_full(&data("chat_content_filtered.json").into()).unwrap();
    assert_eq!(whole.finish().unwrap().as_str(), "content_filter");
    assert_eq!(whole.choices[0].filters.filtered().collect::<Vec<_>>(), ["violence"]);
}

#[test]
fn a_filter_that_did_not_run_is_told_from_one_that_found_nothing() {
    let whole = ChatCodec::default().decode_full(&data("chat_filter_system_error.json").into()).unwrap();
    assert_eq!(summary(&whole.choices[0].filters.answer), [("error", false, "")]);
}

#[test]
fn the_first_event_of_a_stream_tells_of_the_prompt_by_either_name() {
    for name in ["stream_prompt_filter_first.sse", "stream_prompt_annotations_name.sse"] {
        let first = pieces(&data(name)).remove(0).remove(0);
        assert_eq!((first.index, first.is_content(), first.wire.is_some()), (0, false, true), "{name}");
        let filters = first.filters.unwrap();
        assert_eq!(summary(&filters.prompt), safe_and(&[("jailbreak", false, "not detected")]), "{name}");
        assert!(filters.answer.is_empty());
    }
}

#[test]
fn findings_that_every_event_repeats_are_handed_out_once() {
    let all = pieces(&data("stream_prompt_filter_first.sse"));
    let with: Vec<usize> =
        (0..all.len()).filter(|at| all[*at].iter().any(|chunk| chunk.filters.is_some())).collect();
    assert_eq!(with, [0, 2], "the prompt's, and the first of the answer's");
    let whole = fold(&data("stream_prompt_filter_first.sse"));
    assert_eq!((whole.text(), summary(&whole.choices[0].filters.answer)), ("Bonjour.", SAFE.to_vec()));
}

#[test]
fn findings_that_come_late_count_even_after_the_end() {
    let mut events = data("stream_async_filter.sse");
    let whole = fold(&events);
    assert_eq!((whole.text(), whole.finish().unwrap().as_str()), ("Color is light.", "stop"));
    assert_eq!(summary(&whole.choices[0].filters.answer), SAFE);
    let late = r#"{"index":0,"content_filter_results":{"hate":{"filtered":true,"severity":"low"}}}"#;
    events = events.replace("data: [DONE]", &format!("data: {{\"choices\":[{late}]}}"));
    let whole = fold(&events);
    assert_eq!(summary(&whole.choices[0].filters.answer)[0], ("hate", true, "low"));
    assert_eq!(whole.finish().unwrap().as_str(), "stop");
}

#[test]
fn a_stream_that_an_asynchronous_filter_cut_says_for_what() {
    let whole = fold(&data("stream_async_filter_blocked.sse"));
    assert_eq!((whole.text(), whole.finish().unwrap().as_str()), ("Hey there", "content_filter"));
    let filters: &Filters = &whole.choices[0].filters;
    assert_eq!(filters.filtered().collect::<Vec<_>>(), ["protected_material_text"]);
    assert_eq!(summary(&filters.answer), safe_and(&[("protected_material_text", true, "detected")]));
}

#[test]
fn choices_keep_their_own_findings_and_the_prompt_belongs_to_the_first() {
    let found = |severity| format!(r#"{{"hate":{{"filtered":false,"severity":"{severity}"}}}}"#);
    let choice = |index: u8, severity| {
        let (text, found) = (format!(r#"{{"content":"{index}"}}"#), found(severity));
        format!(
            r#"{{"index":{index},"delta":{text},"message":{text},"finish_reason":"stop","content_filter_results":{found}}}"#
        )
    };
    // The second answer alone comes first, and the prompt's findings with it.
    let event = |choices: &str, more: &str| format!("data: {{\"choices\":[{choices}]{more}}}\n\n");
    let (a, b) = (choice(0, "low"), choice(1, "high"));
    let prompt = format!(r#","prompt_filter_results":[{{"content_filter_results":{}}}]"#, found("safe"));
    let streamed = fold(&(event(&b, &prompt) + &event(&a, &prompt)));
    let body = format!(r#"{{"choices":[{b},{a}]{prompt}}}"#);
    let mut whole = ChatCodec::default().decode_full(&body.into()).unwrap();
    (whole.wire, whole.wire_format) = (None, None);
    assert_eq!(streamed, whole);
    let severity = |found: &[FilterFinding]| found.first().and_then(|found| found.severity.clone());
    let seen: Vec<_> = whole
        .choices
        .iter()
        .map(|choice| (severity(&choice.filters.prompt), severity(&choice.filters.answer)))
        .collect();
    assert_eq!(seen, [(Some("safe".into()), Some("low".into())), (None, Some("high".into()))]);
}

#[test]
fn an_error_names_the_categories_that_caused_it_in_few_words() {
    let body = ChatCodec::default().error_body(data("error_content_filter.json").as_bytes());
    assert_eq!(
        (body.meaning, body.filtered),
        (Some(ErrorKind::ContentFiltered), vec!["violence".to_owned()])
    );
    let long = "x".repeat(5000);
    let many: Vec<_> = (0..100).map(|at| format!(r#""{at}{long}":{{"filtered":true}}"#)).collect();
    let body = format!(r#"{{"error":{{"innererror":{{"content_filter_results":{{{}}}}}}}}}"#, many.join(","));
    let filtered = ChatCodec::default().error_body(body.as_bytes()).filtered;
    assert!(filtered.len() == 16 && filtered.iter().all(|category| category.len() == 40), "{filtered:?}");
}

#[test]
fn findings_of_any_other_shape_do_not_spoil_an_answer() {
    for odd in ["null", "1", "[]", r#""x""#, r#"{"hate":1}"#, r"[[{}]]", r#"[{"content_filter_results":[]}]"#]
    {
        let body = format!(
            r#"{{"prompt_filter_results":{odd},"choices":[{{"message":{{"content":"a"}},"content_filter_results":{odd}}}]}}"#
        );
        let whole = ChatCodec::default().decode_full(&body.into()).unwrap();
        assert_eq!(whole.text(), "a", "{odd}");
        assert!(whole.choices[0].filters.is_empty(), "{odd}");
    }
}
