//! Laws of the estimate, for texts and for requests.

use bytes::Bytes;
use infer_core::{
    ExecuteBatch, InferenceError, JsonSchema, Message, Messages, Part, RawJson, ToolCall, ToolSpec,
    WireFormat,
};
use model_facts::{
    FILE_TOKENS, IMAGE_TOKENS, LOW_DETAIL_IMAGE_TOKENS, estimate_messages, estimate_request, estimate_tokens,
};
use proptest::prelude::*;

/// Texts of every kind the estimate tells apart.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ a-zA-Z0-9_.,{}\"\n\t]{0,40}",
        "[éüł a-zA-Zжщ字かカ한กअ😀👏🏽 。\n]{0,30}",
        "\\PC{0,40}",
        "(?s).{0,40}"
    ]
}

proptest! {
    /// Law: only empty text has no tokens, and no text has more than its bytes.
    #[test]
    fn only_empty_text_counts_nothing(text in text()) {
        let tokens = estimate_tokens(&text);
        prop_assert_eq!(tokens == 0, text.is_empty());
        prop_assert!(tokens <= text.len() as u64, "{}", tokens);
    }

    /// Law: a whole counts no less than its parts, and joining saves what it may and costs at most one more.
    #[test]
    fn joining_texts_is_monotone(a in text(), b in text()) {
        let (one, two) = (estimate_tokens(&a), estimate_tokens(&b));
        let both = estimate_tokens(&format!("{a}{b}"));
        prop_assert!(both >= one.max(two), "{both} < {one}, {two}");
        prop_assert!(both <= one + two + 1, "{both} > {one} + {two} + 1");
    }

    /// Law: a request counts at least its texts, and more of anything counts more.
    #[test]
    fn a_request_counts_all_its_texts(texts in proptest::collection::vec(text(), 1..5)) {
        let messages: Vec<Message> = texts.iter().map(|text| Message::user(text.as_str())).collect();
        let total: u64 = texts.iter().map(|text| estimate_tokens(text)).sum();
        let batch = ExecuteBatch::new("m", messages.clone());
        prop_assert_eq!(estimate_request(&batch), total + 4 * texts.len() as u64 + 3);
        prop_assert_eq!(estimate_messages(&messages), estimate_request(&batch));
        let tool = ToolSpec::function("f", "does it", RawJson::parse("{}").unwrap());
        prop_assert!(estimate_request(&batch.clone().with_tools([tool])) > estimate_request(&batch));
    }
}

#[test]
fn a_long_run_of_one_character_is_counted_in_one_pass() {
    for unit in [" ", "a", "A", "1", "-", "字", "😀", "\n"] {
        let text = unit.repeat(1_000_000);
        assert!(estimate_tokens(&text) >= 15_000, "{unit:?}");
    }
}

#[test]
fn every_part_of_a_message_counts() {
    let plain = estimate_messages(&[Message::user("")]);
    let with = |part: Part| estimate_messages(&[Message::user([part])]) - plain;
    assert_eq!(with(Part::image_url("https://example.com/a-very-long-name.png")), IMAGE_TOKENS);
    assert_eq!(with(Part::image_base64("image/png", "A".repeat(400_000))), IMAGE_TOKENS);
    let mut low = Part::image_url("https://example.com/cat.png");
    if let Part::Image { detail, .. } = &mut low {
        *detail = Some("low".into());
    }
    assert_eq!(with(low), LOW_DETAIL_IMAGE_TOKENS);
    assert_eq!(with(Part::file_id("file-1")), FILE_TOKENS);
    // Ten seconds of sound: 480,000 bytes, a third more in base64.
    assert_eq!(with(Part::audio("wav", "A".repeat(640_000))), 100);
    assert_eq!(with(Part::text("hello world")), 2);

    let named = estimate_messages(&[Message::user("").with_name("ann")]);
    assert_eq!(named - plain, 2);
    let call = ToolCall::function("call_1", "look_up", "{\"word\":\"otter\"}");
    assert!(estimate_messages(&[Message::user("").with_tool_calls([call])]) > plain + 8);
}

#[test]
fn the_schema_of_the_answer_counts() {
    let batch = ExecuteBatch::new("m", "Say hello");
    let schema = RawJson::parse(r#"{"type":"object","properties":{"greeting":{"type":"string"}}}"#).unwrap();
    let with = batch.clone().with_response_format(JsonSchema::new("greeting", schema));
    assert!(estimate_request(&with) >= estimate_request(&batch) + 15);
}

#[test]
fn raw_messages_are_read_and_count_as_text_where_they_cannot_be() {
    let json = Bytes::from_static(b"[{\"role\":\"user\",\"content\":\"hello world\"}]");
    let read = |_: &Bytes| Ok(vec![Message::user("hello world")]);
    let batch = ExecuteBatch::new("m", Messages::raw(WireFormat("test"), json.clone(), read));
    assert_eq!(estimate_request(&batch), 2 + 4 + 3);

    let fails = |_: &Bytes| Err(InferenceError::invalid_request("not messages"));
    let batch = ExecuteBatch::new("m", Messages::raw(WireFormat("test"), json.clone(), fails));
    assert_eq!(estimate_request(&batch), estimate_tokens(std::str::from_utf8(&json).unwrap()));

    let spoiled = Messages::raw(WireFormat("test"), Bytes::from_static(&[0xff; 40]), fails);
    assert_eq!(estimate_request(&ExecuteBatch::new("m", spoiled)), 10);
}
