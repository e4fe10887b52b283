//! Answers as types: what is sent, what is read, and what an error keeps.

use infer_core::{
    Choice, Completion, DecodeKind, ErrorKind, ExecuteBatch, FinishKind, InferenceError, Origin,
    ResponseFormat, TokenChunk, ToolCall, Usage,
};
use infer_typed::{Schema, TypedError, ask};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::script::{Reply, Script, calls, ends, now, paid, says};

/// A dish
/// and its price.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Dish {
    name: String,
    price: Option<f64>,
    allergens: Vec<Tag>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Tag {
    Vegan,
    Hot,
}

type IsTold = fn(&TypedError) -> bool;

fn question() -> ExecuteBatch {
    ExecuteBatch::new("m", "A dish, please")
}

fn asked(reply: Completion) -> TypedError {
    now(ask::<Dish>(&Script::of([reply]), question())).unwrap_err()
}

#[test]
fn a_type_is_asked_for_by_its_strict_schema_and_read_from_the_answer() {
    let runner = Script::of([says(r#" {"name": "Curry", "price": null, "allergens": ["hot"]} "#)]);
    let answer = now(ask::<Dish>(&runner, question())).unwrap();
    assert_eq!(answer.value, Dish { name: "Curry".into(), price: None, allergens: vec![Tag::Hot] });
    assert_eq!(answer.completion.usage, Some(Usage::new(10, 5)));

    let sent = runner.asked();
    let Some(ResponseFormat::JsonSchema(format)) = &sent[0].response_format else { panic!("no schema sent") };
    assert_eq!((format.name.as_str(), format.strict), ("Dish", Some(true)));
    assert_eq!(format.description.as_deref(), Some("A dish\nand its price."));
    assert_eq!(
        format.schema.as_ref().unwrap().get(),
        concat!(
            r##"{"$defs":{"Tag":{"enum":["vegan","hot"],"type":"string"}},"additionalProperties":false,"##,
            r##""properties":{"name":{"type":"string"},"price":{"type":["number","null"]},"##,
            r##""allergens":{"items":{"$ref":"#/$defs/Tag"},"type":"array"}},"##,
            r##""required":["name","price","allergens"],"title":"Dish","type":"object"}"##
        )
    );
}

#[test]
fn nothing_is_sent_for_a_type_that_strict_mode_cannot_say() {
    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Open {
        anything: serde_json::Value,
        pairs: std::collections::BTreeMap<String, u8>,
    }
    let runner = Script::of([]);
    let error = now(ask::<Open>(&runner, question())).unwrap_err();
    let TypedError::Schema(error) = &error else { panic!("{error}") };
    let places: Vec<_> = error.faults().iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(places, ["#/properties/anything", "#/properties/pairs"]);
    assert!(runner.asked().is_empty());
}

#[test]
fn a_loose_schema_takes_any_type_and_asks_for_no_enforcement() {
    let schema = Schema::loose::<std::collections::BTreeMap<String, u8>>().with_name("pairs of things");
    let runner = Script::of([says(r#"{"a": 1}"#)]);
    let answer = now(schema.ask(&runner, question())).unwrap();
    assert_eq!(answer.value["a"], 1);
    let sent = runner.asked();
    let Some(ResponseFormat::JsonSchema(format)) = &sent[0].response_format else { panic!("no schema sent") };
    assert_eq!((format.name.as_str(), format.strict), ("pairs_of_things", None));
    assert!(format.schema.as_ref().unwrap().get().contains("additionalProperties"));
}

#[test]
fn an_unenforced_schema_is_the_strict_one_without_the_question() {
    let strict = Schema::of::<Dish>().unwrap();
    let plain = strict.clone().unenforced().with_description("a dish");
    assert_eq!(plain.json(), strict.json());
    let ResponseFormat::JsonSchema(format) = plain.response_format() else { panic!("no schema") };
    assert_eq!((format.strict, format.description.as_deref()), (None, Some("a dish")));
}

#[test]
fn a_misfit_names_the_place_and_keeps_what_was_paid_for() {
    let text = format!(r#"{{"name": "{}", "price": "much", "allergens": []}}"#, "é".repeat(600));
    let error = asked(says(&text));
    assert_eq!(error.completion().unwrap().cost.unwrap().total().picos(), 7);
    assert!(!error.to_string().contains('\n'));
    let TypedError::Mismatch { name, path, excerpt, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), path.as_str()), ("Dish", "price"));
    assert!(excerpt.len() <= 512 && excerpt.contains("much"), "{excerpt}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn every_way_to_end_without_an_answer_is_told_apart_and_keeps_the_completion() {
    let whole = r#"{"name": "x", "price": null, "allergens": []}"#;
    let mut refusal = Choice::new(0);
    refusal.refusal = "I cannot\ncook that.".to_owned();
    let cases: [(Completion, IsTold); 7] = [
        (ends(whole, FinishKind::Length), |e| matches!(e, TypedError::Truncated { .. })),
        (ends(whole, FinishKind::ContentFilter), |e| matches!(e, TypedError::Filtered { .. })),
        (ends(whole, FinishKind::Error), |e| matches!(e, TypedError::BrokenOff { .. })),
        (paid(refusal), |e| matches!(e, TypedError::Refused { text, .. } if text.contains("cook"))),
        (calls([ToolCall::function("1", "t", "{}")]), |e| matches!(e, TypedError::WantsTools { .. })),
        (says(" \n"), |e| matches!(e, TypedError::NoAnswer { .. })),
        (says("Here you are:"), |e| matches!(e, TypedError::Mismatch { .. })),
    ];
    for (reply, is_told) in cases {
        let error = asked(reply.clone());
        assert!(is_told(&error), "{error:?}");
        assert_eq!(error.completion(), Some(&reply), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let error = asked(Completion::default());
    assert!(matches!(error, TypedError::NoAnswer { .. }), "{error}");
}

#[test]
fn a_stream_is_collected_and_one_that_breaks_keeps_what_arrived() {
    let pieces = || {
        let mut last = TokenChunk::finish(0, FinishKind::Stop);
        last.usage = Some(Usage::new(3, 4));
        vec![
            Ok(TokenChunk::text(0, r#"{"name": "Soup", "#)),
            Ok(TokenChunk::text(0, r#""price": 2.5, "allergens": []}"#)),
            Ok(last),
        ]
    };
    let runner = Script::new([Reply::Pieces(pieces())]);
    let answer = now(ask::<Dish>(&runner, question().streaming())).unwrap();
    assert_eq!((answer.value.price, answer.completion.usage), (Some(2.5), Some(Usage::new(3, 4))));
    assert!(runner.asked()[0].is_streaming());

    let mut broken = pieces();
    let fault = || InferenceError::Decode {
        at: Box::new(Origin::default()),
        kind: DecodeKind::Json,
        detail: "x".into(),
    };
    broken[1] = Err(fault());
    let runner = Script::new([Reply::Pieces(broken), Reply::Error(fault())]);
    let error = now(ask::<Dish>(&runner, question().streaming())).unwrap_err();
    assert_eq!(error.completion().map(Completion::text), Some(r#"{"name": "Soup", "#));
    let TypedError::Interrupted { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), ErrorKind::Decode);

    let error = now(ask::<Dish>(&runner, question())).unwrap_err();
    assert!(matches!(&error, TypedError::Inference(_)), "{error:?}");
}
