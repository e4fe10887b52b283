//! A real model behind a real server. Run by `cargo xtask real`, which starts one and sets `INFER_REAL_BASE_URL`.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use futures_util::StreamExt as _;
use infer_core::{Completion, EmbedBatch, ErrorKind, ExecuteBatch, FinishKind, JsonSchema, ModelRunner};
use remote_core::session::RemoteSessionActor;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};
use serde_json::json;

const MODEL: &str = "smollm2";

async fn runner() -> OpenAiRunner {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::None);
    config.endpoint = std::env::var("INFER_REAL_BASE_URL")
        .unwrap_or_else(|_| unreachable!("INFER_REAL_BASE_URL is not set: run this by `cargo xtask real`"));
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    OpenAiRunner::new(config, session).unwrap()
}

fn ask(prompt: &str) -> ExecuteBatch {
    ExecuteBatch::new(MODEL, prompt).with_temperature(0.0).with_max_output_tokens(24).with_seed(1)
}

async fn run(batch: ExecuteBatch) -> Completion {
    let whole = runner().await.execute(batch).await.unwrap().collect().await.unwrap();
    eprintln!("  {:?} {:?}", whole.text(), whole.usage);
    whole
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn an_answer_is_whole_and_unpriced() {
    let whole = run(ask("Say hi.")).await;
    assert!(!whole.text().is_empty());
    let usage = whole.usage.unwrap();
    assert!(usage.input_tokens > 0 && usage.output_tokens > 0);
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    assert_eq!(whole.served.model.as_deref(), Some(MODEL));
    assert_eq!(whole.cost, None, "a local model has no list price");
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn a_stream_says_the_same_as_the_whole_and_reports_usage() {
    let whole = run(ask("Name a colour.")).await;
    let streamed = run(ask("Name a colour.").streaming()).await;
    assert_eq!(streamed.text(), whole.text());
    assert_eq!(streamed.finish(), whole.finish());
    assert_eq!(streamed.usage.unwrap().output_tokens, whole.usage.unwrap().output_tokens);
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn a_stop_text_ends_the_answer_and_does_not_appear() {
    let batch = ask("Count from 1 to 10: 1, 2, 3").with_stop(["5"]).with_max_output_tokens(40);
    for batch in [batch.clone(), batch.streaming()] {
        let whole = run(batch).await;
        assert!(!whole.text().contains('5'));
        assert_eq!(whole.finish().unwrap().kind(), FinishKind::Stop);
    }
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn a_limit_on_tokens_is_reported_as_length() {
    let whole = run(ask("Tell me a long story.").with_max_output_tokens(5)).await;
    assert_eq!(whole.finish().unwrap().kind(), FinishKind::Length);
    assert_eq!(whole.usage.unwrap().output_tokens, 5);
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn the_same_seed_gives_the_same_answer_and_another_one_another() {
    let with = |seed| ask("Tell me a story.").with_temperature(1.0).with_seed(seed).streaming();
    let (a, b, c) = (run(with(7)).await, run(with(7)).await, run(with(8)).await);
    assert_eq!(a.text(), b.text());
    assert_ne!(a.text(), c.text());
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn probabilities_come_with_their_tokens_streamed_or_not() {
    let batch = ask("Say hi.").with_max_output_tokens(3).with_logprobs(2);
    for batch in [batch.clone(), batch.streaming()] {
        let whole = run(batch).await;
        let tokens = &whole.choices[0].logprobs.as_ref().unwrap().content;
        assert_eq!(tokens.len(), 3);
        let text: String = tokens.iter().map(|token| token.token.as_str()).collect();
        assert_eq!(text, whole.text());
        assert!(tokens.iter().all(|token| token.logprob <= 0.0 && token.top_logprobs.len() == 2));
    }
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn an_answer_fits_the_schema_it_was_asked_for() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 120}
        },
        "required": ["name", "age"],
        "additionalProperties": false
    });
    let batch = ask("Give me a person as JSON.")
        .with_max_output_tokens(60)
        .with_response_format(JsonSchema::new("person", schema).strict());
    let whole = run(batch).await;
    let person: serde_json::Value = serde_json::from_str(whole.text()).unwrap();
    assert!(person["name"].is_string() && person["age"].is_u64());
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn two_answers_are_kept_apart() {
    let batch = ask("Tell me a story.").with_temperature(1.0).with_n(2).streaming();
    let whole = run(batch).await;
    assert_eq!(whole.choices.len(), 2);
    assert!(whole.choices.iter().all(|choice| !choice.text.is_empty() && choice.finish.is_some()));
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn a_prompt_beyond_the_context_is_told_as_such_before_anything_is_handed_over() {
    for streaming in [false, true] {
        let mut batch = ask(&"word ".repeat(5000));
        if streaming {
            batch = batch.streaming();
        }
        let error = runner().await.execute(batch).await.unwrap_err();
        eprintln!("  {error}");
        assert_eq!(error.kind(), ErrorKind::ContextLengthExceeded);
    }
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn vectors_are_in_order_and_mean_something_as_numbers_and_as_base64() {
    let texts =
        ["The cat sat on the mat.", "A kitten rested on the rug.", "Stock prices fell sharply today."];
    let plain = runner().await.embed(EmbedBatch::new(MODEL, texts)).await.unwrap();
    let packed = runner().await.embed(EmbedBatch::new(MODEL, texts).with_base64()).await.unwrap();
    assert_eq!(plain.vectors.len(), 3);
    for (a, b) in plain.vectors.iter().flatten().zip(packed.vectors.iter().flatten()) {
        assert!((a - b).abs() < 1e-4);
    }
    let alike = |a: usize, b: usize| -> f32 {
        plain.vectors[a].iter().zip(&plain.vectors[b]).map(|(a, b)| a * b).sum()
    };
    assert!(alike(0, 1) > alike(0, 2), "a cat is more like a kitten than like a stock price");
    assert!(plain.usage.unwrap().input_tokens > 0);
}

#[tokio::test]
#[ignore = "needs a model: cargo xtask real"]
async fn leaving_in_the_middle_frees_the_server_for_the_next_call() {
    for _ in 0..4 {
        let batch = ask("Tell me a very long story.").with_max_output_tokens(1500).streaming();
        let mut stream = runner().await.execute(batch).await.unwrap().into_stream();
        assert!(stream.next().await.unwrap().is_ok());
    }
    // Four stories of 1,500 tokens would take the two slots a minute; the next answer comes at once.
    let whole = run(ask("Say hi.").with_deadline(std::time::Duration::from_secs(20))).await;
    assert!(!whole.text().is_empty());
}
