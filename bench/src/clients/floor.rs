//! The floor: the HTTP client alone. Sends a body made beforehand and throws away what comes back.

use anyhow::Result;
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, Url};

use super::{Client, KEY, MODEL, PROMPT, Reader, SYSTEM};

/// reqwest and nothing else.
#[derive(Debug)]
pub(crate) struct Floor {
    http: reqwest::Client,
    url: Url,
    bearer: HeaderValue,
    whole: Bytes,
    streamed: Bytes,
}

impl Floor {
    /// A client of the upstream at `base`.
    pub(crate) fn new(base: &str) -> Result<Self> {
        let mut body = serde_json::json!({
            "model": MODEL,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}],
            "temperature": 0.2,
            "max_completion_tokens": 64,
        });
        let whole = body.to_string().into();
        if let Some(body) = body.as_object_mut() {
            body.insert("stream".into(), true.into());
            body.insert("stream_options".into(), serde_json::json!({"include_usage": true}));
        }
        Ok(Self {
            http: super::http()?,
            url: format!("{base}/chat/completions").parse()?,
            bearer: format!("Bearer {KEY}").parse()?,
            whole,
            streamed: body.to_string().into(),
        })
    }

    async fn post(&self, accept: &'static str, body: &Bytes) -> Result<Response> {
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, const { HeaderValue::from_static("application/json") })
            .header(ACCEPT, HeaderValue::from_static(accept))
            .header(AUTHORIZATION, self.bearer.clone())
            .body(body.clone());
        Ok(request.send().await?)
    }
}

impl Client for Floor {
    type Reader = Response;

    async fn unary(&self) -> Result<usize> {
        Ok(self.post("application/json", &self.whole).await?.bytes().await?.len())
    }

    async fn open(&self) -> Result<Response> {
        self.post("text/event-stream", &self.streamed).await
    }
}

/// A piece is whatever one read brings.
impl Reader for Response {
    async fn next(&mut self) -> Result<Option<usize>> {
        Ok(self.chunk().await?.map(|bytes| bytes.len()))
    }
}
