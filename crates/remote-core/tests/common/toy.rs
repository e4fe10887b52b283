//! A provider with a toy wire format.
//!
//! Every event is `text`, `!end` (a finish), `!role` (nothing a caller would notice), `!use IN OUT` (usage),
//! `!error CODE` (an error inside a success), `!bad` (cannot be read) or `!done`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Uri;
use infer_core::{
    Choice, Codec, Completion, DecodeKind, EmbedBatch, Embeddings, ErrorBody, ErrorKind, EventDecoder,
    ExecuteBatch, FinishKind, InferenceError, ListedModel, Price, Rates, Step, TokenChunk, Usage, Wire,
    WireFault, WireFormat,
};
use remote_core::{Call, EmbedLimits, Fault, RemoteProvider, Site, SiteSettings};

#[derive(Debug)]
pub(crate) struct Toy {
    site: Site,
    codec: ToyCodec,
    price: Price,
}

impl Toy {
    pub(crate) fn new() -> Self {
        let price = Price::flat(Rates::new(1.0, 2.0));
        let nothing = BTreeMap::new();
        let settings = SiteSettings {
            kind: "toy",
            name: "toy-1",
            endpoint: "",
            home: "http://toy.test:8080/v1",
            headers: &nothing,
            query: &nothing,
            price_overrides: &BTreeMap::new(),
        };
        Self { site: Site::check(settings, Vec::new()).unwrap(), codec: ToyCodec, price }
    }
}

#[derive(Debug)]
pub(crate) struct ToyCodec;

impl Codec for ToyCodec {
    type Decoder = ToyDecoder;

    fn encode(&self, batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
        if batch.model == "refuse" {
            return Err(InferenceError::invalid_request("model: must not be refuse"));
        }
        Ok(Bytes::from(format!("{{\"model\":\"{}\"}}", batch.model)))
    }

    fn decode_full(&self, body: &Bytes) -> Result<Completion, WireFault> {
        let text = std::str::from_utf8(body).map_err(|_| WireFault::malformed(DecodeKind::Utf8, "body"))?;
        if text.starts_with('<') {
            return Err(WireFault::malformed(DecodeKind::ContentType, "a web page"));
        }
        if let Some(code) = text.strip_prefix("!error ") {
            return Err(reported(code));
        }
        let mut whole = Completion::default();
        let mut choice = Choice::new(0);
        text.clone_into(&mut choice.text);
        choice.finish = Some(FinishKind::Stop.into());
        whole.choices.push(choice);
        whole.usage = Some(Usage::new(1000, 10));
        Ok(whole)
    }

    fn decoder(&self) -> ToyDecoder {
        ToyDecoder { finished: false }
    }

    /// One line for each input.
    fn encode_embed(&self, batch: &EmbedBatch) -> Result<Bytes, InferenceError> {
        let lines: Vec<_> = batch.input.iter().map(|input| format!("{input:?}")).collect();
        Ok(lines.join("\n").into())
    }

    /// A number for each input.
    fn decode_embed(&self, body: &Bytes) -> Result<Embeddings, WireFault> {
        let text = String::from_utf8_lossy(body);
        let mut answer = Embeddings::default();
        answer.vectors = text.split_whitespace().map(|number| vec![number.parse().unwrap()]).collect();
        answer.usage = Some(Usage::new(answer.vectors.len() as u64, 0));
        Ok(answer)
    }

    fn decode_models(&self, body: &Bytes) -> Result<Vec<ListedModel>, WireFault> {
        Ok(String::from_utf8_lossy(body).split_whitespace().map(ListedModel::new).collect())
    }

    fn decode_health(&self, body: &Bytes) -> Result<(), WireFault> {
        match body.strip_prefix(b"!error ") {
            Some(code) => Err(reported(&String::from_utf8_lossy(code))),
            None => Ok(()),
        }
    }

    fn error_body(&self, body: &[u8]) -> ErrorBody {
        let text = String::from_utf8_lossy(body).into_owned();
        let mut said = ErrorBody::default();
        said.code = text.strip_prefix("code ").map(ToOwned::to_owned);
        said.message = Some(text);
        said
    }
}

fn reported(code: &str) -> WireFault {
    let mut said = ErrorBody::default();
    said.code = Some(code.to_owned());
    said.meaning = (code == "overloaded").then_some(ErrorKind::Overloaded);
    WireFault::Reported(Box::new(said))
}

pub(crate) struct ToyDecoder {
    finished: bool,
}

impl EventDecoder for ToyDecoder {
    fn event(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        let text =
            String::from_utf8(data.to_vec()).map_err(|_| WireFault::malformed(DecodeKind::Utf8, "event"))?;
        let mut chunk = TokenChunk::default();
        chunk.wire = Some(Wire::new(WireFormat("toy"), data.clone()));
        if name == "error" {
            return Err(reported("named"));
        }
        match text.as_str() {
            "!role" => {}
            "!end" => {
                self.finished = true;
                chunk.finish = Some(FinishKind::Stop.into());
            }
            "!bad" => return Err(WireFault::malformed(DecodeKind::Json, "event")),
            "!done" if self.finished => return Ok(Step::Done),
            "!done" => return Err(WireFault::Truncated),
            text => {
                if let Some(code) = text.strip_prefix("!error ") {
                    return Err(reported(code));
                } else if let Some(counts) = text.strip_prefix("!use ") {
                    let mut counts = counts.split(' ').map(|count| count.parse().unwrap());
                    chunk.usage = Some(Usage::new(counts.next().unwrap(), counts.next().unwrap()));
                } else {
                    text.clone_into(&mut chunk.text);
                }
            }
        }
        out.push(chunk);
        Ok(Step::More)
    }

    fn finish(&mut self) -> Result<(), WireFault> {
        if self.finished { Ok(()) } else { Err(WireFault::Truncated) }
    }
}

impl RemoteProvider for Toy {
    type Codec = ToyCodec;

    fn codec(&self) -> &ToyCodec {
        &self.codec
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn endpoint(&self, _: Call<'_>) -> Result<Uri, InferenceError> {
        Ok(Uri::from_static("http://toy.test:8080/v1/chat?api-key=sk-in-query"))
    }

    fn refine(&self, fault: &Fault<'_>) -> Option<ErrorKind> {
        (fault.body.code.as_deref() == Some("too_long")).then_some(ErrorKind::ContextLengthExceeded)
    }

    fn embed_limits(&self, model: &str) -> EmbedLimits {
        if model == "threes" { EmbedLimits::new(3, 1000) } else { EmbedLimits::default() }
    }

    fn price(&self, model: &str) -> Option<&Price> {
        (model != "unpriced").then_some(&self.price)
    }
}

pub(crate) fn streaming() -> ExecuteBatch {
    ExecuteBatch::new("toy-model", "hi").streaming()
}
