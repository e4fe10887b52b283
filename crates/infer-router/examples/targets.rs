//! From a provider that is down to one that is up.
//!
//! `cargo run -p infer-router --example targets`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use infer_core::{
    Completion, ErrorKind, ExecuteBatch, FinishKind, InferenceError, ModelRunner, Origin, Routing, RunHandle,
    RunMeta, RunnerInfo, TokenChunk,
};
use infer_router::{Provider, Registry, RouteConfig, Router, RouterConfig, TargetConfig};

/// A provider that is up or down.
#[derive(Debug)]
struct Island {
    info: RunnerInfo,
    is_up: bool,
}

#[async_trait]
impl ModelRunner for Island {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        println!("  {} is asked for {}", self.info.name, batch.model);
        if !self.is_up {
            let mut at = Origin::default();
            at.provider = Some(Arc::clone(&self.info.name));
            at.status = Some(503);
            return Err(InferenceError::reported(ErrorKind::Overloaded, Box::new(at), None));
        }
        let mut answer = Completion::default();
        answer.push(TokenChunk::text(0, "Hello."));
        answer.push(TokenChunk::finish(0, FinishKind::Stop));
        Ok(RunHandle::collected(RunMeta::new(Arc::clone(&self.info.name), batch.request_id), answer))
    }
}

fn provider(name: &str, is_up: bool) -> Provider {
    Provider::new(name, Arc::new(Island { info: RunnerInfo::new("island", name), is_up }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::new().with(provider("east", false)).with(provider("west", true));
    let mut backup = TargetConfig::new("west", "small");
    backup.priority = 2;
    let targets = vec![TargetConfig::new("east", "large"), backup];
    let mut config = RouterConfig::default();
    config.routes.insert("chat".to_owned(), RouteConfig { targets, ..RouteConfig::default() });
    let router = Router::new(registry, &config)?;

    println!("a call to the route:");
    let run = router.execute(ExecuteBatch::new("chat", "Say hello")).await?;
    let by = Arc::clone(&run.meta().provider);
    println!("  {by} says: {}", run.collect().await?.text());

    println!("the same, pinned to the provider that is down:");
    let pinned = ExecuteBatch::new("chat", "Say hello").with_routing(Routing::default().pinned_to("east"));
    match router.execute(pinned).await {
        Ok(_) => println!("  answered"),
        Err(error) => println!("  {error}"),
    }
    Ok(())
}
