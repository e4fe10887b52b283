//! A provider of one's own beside the others in one file: it is routed, counted and reloaded as they are.
//!
//! `cargo run -p infer-kit --example custom_provider`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{
    Completion, ExecuteBatch, FinishKind, InferenceError, ModelRunner, RunHandle, RunMeta, RunnerFactory,
    RunnerInfo, TokenChunk, Usage,
};

/// Says what its settings tell it to.
#[derive(Debug)]
struct Parrot(RunnerInfo, String);

#[async_trait]
impl ModelRunner for Parrot {
    fn info(&self) -> &RunnerInfo {
        &self.0
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let mut end = TokenChunk::finish(0, FinishKind::Stop);
        end.usage = Some(Usage::new(1, 1));
        let mut whole = Completion::default();
        whole.push(TokenChunk::text(0, self.1.as_str()));
        whole.push(end);
        Ok(RunHandle::collected(RunMeta::new(Arc::clone(&self.0.name), batch.request_id), whole))
    }
}

#[derive(Debug)]
struct Parrots;

#[async_trait]
impl RunnerFactory for Parrots {
    fn kind(&self) -> &'static str {
        "parrot"
    }

    async fn build(
        &self,
        name: &str,
        settings: serde_json::Value,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        let says = settings.get("says").and_then(serde_json::Value::as_str);
        let says =
            says.ok_or_else(|| InferenceError::config(format!("providers.{name}.says: is missing")))?;
        Ok(Arc::new(Parrot(RunnerInfo::new("parrot", name), says.to_owned())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let source = Source::text("providers: {polly: {type: parrot, says: hello}}", Format::Yaml);
    let inference = Inference::builder().with_factory(Arc::new(Parrots)).with_source(source).build().await?;
    let run = inference.execute(ExecuteBatch::new("polly/any", "Who is there?")).await?;
    println!("polly says {:?}", run.collect().await?.text());
    Ok(())
}
