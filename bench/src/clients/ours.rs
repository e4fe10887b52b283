//! This workspace, used as its documentation shows.

use anyhow::Result;
use futures_util::StreamExt;
use infer_core::{ExecuteBatch, Message, ModelRunner as _, TokenStream};
use remote_core::session::SessionSnapshot;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner, PriceSource};

use super::{Client, KEY, MODEL, PROMPT, Reader, SYSTEM};

/// A runner.
#[derive(Debug)]
pub(crate) struct Ours {
    runner: OpenAiRunner,
}

impl Ours {
    /// A runner for the upstream at `base`, with prices, so that counting money is part of what is measured.
    pub(crate) fn new(base: &str) -> Result<Self> {
        let config = OpenAiConfig {
            endpoint: base.into(),
            prices: PriceSource::Published,
            ..OpenAiConfig::defaults_for_openai(SecretRef::None)
        };
        let session = SessionSnapshot::new(Some(KEY.into()))?.into_handle();
        Ok(Self { runner: OpenAiRunner::new(config, session)? })
    }
}

fn batch() -> ExecuteBatch {
    ExecuteBatch::new(MODEL, [Message::system(SYSTEM), Message::user(PROMPT)])
        .with_temperature(0.2)
        .with_max_output_tokens(64)
}

impl Client for Ours {
    type Reader = TokenStream;

    async fn unary(&self) -> Result<usize> {
        Ok(self.runner.execute(batch()).await?.collect().await?.text().len())
    }

    async fn open(&self) -> Result<TokenStream> {
        Ok(self.runner.execute(batch().streaming()).await?.into_stream())
    }
}

impl Reader for TokenStream {
    async fn next(&mut self) -> Result<Option<usize>> {
        let chunk = StreamExt::next(self).await.transpose()?;
        Ok(chunk.map(|chunk| chunk.text.len()))
    }
}
