//! Scripted upstreams and a conformance suite for providers built on `remote-core`.
//!
//! # The suite for one provider
//!
//! ```
//! use infer_core::Rates;
//! use remote_testkit::{ChatWire, Parts, conformance_suite};
//! # mod my_provider {
//! # use bytes::Bytes;
//! # use infer_core::*;
//! # use remote_core::{RemoteProvider, Site};
//! # #[derive(Debug)] pub struct MyProvider;
//! # #[derive(Debug)] pub struct Wire;
//! # impl MyProvider { pub fn new(_: &str, _: Rates) -> Result<Self, InferenceError> { Ok(Self) } }
//! # impl Codec for Wire {
//! #     type Decoder = Wire;
//! #     fn encode(&self, _: &ExecuteBatch) -> Result<Bytes, InferenceError> { unreachable!() }
//! #     fn decode_full(&self, _: &Bytes) -> Result<Completion, WireFault> { unreachable!() }
//! #     fn decoder(&self) -> Wire { unreachable!() }
//! #     fn error_body(&self, _: &[u8]) -> ErrorBody { unreachable!() }
//! # }
//! # impl EventDecoder for Wire {
//! #     fn event(&mut self, _: &str, _: &Bytes, _: &mut Vec<TokenChunk>) -> Result<Step, WireFault> { unreachable!() }
//! #     fn finish(&mut self) -> Result<(), WireFault> { unreachable!() }
//! # }
//! # impl RemoteProvider for MyProvider {
//! #     type Codec = Wire;
//! #     fn codec(&self) -> &Wire { unreachable!() }
//! #     fn site(&self) -> &Site { unreachable!() }
//! # }
//! # }
//! use my_provider::MyProvider;
//!
//! const RATES: Rates = Rates::new(2.5, 10.0);
//!
//! conformance_suite! {
//!     model: "my-model",
//!     rates: RATES,
//!     wire: ChatWire::new("my-model"),
//!     runner: |parts: Parts| {
//!         let provider = MyProvider::new(&parts.base_url, RATES)?;
//!         parts.runner(provider)
//!     },
//!     skip: { "content filter": "this upstream has none" },
//! }
//! ```
//!
#![doc = include_str!("../README.md")]

mod chat;
pub mod check;
pub mod fixtures;
mod json;
mod leaks;
mod logs;
mod messages;
mod playbook;
mod records;
pub mod scenario;
mod script;
mod stage;
mod subject;
pub mod suite;
mod transport;
mod upstream;
mod wire;

pub use chat::ChatWire;
pub use leaks::Leaks;
pub use logs::{Listening, Logs};
pub use messages::MessagesWire;
pub use playbook::{Left, Playbook, Seen};
pub use records::{Keys, Records};
pub use script::{Act, Script};
pub use stage::{FIRST_KEY, PROMPT, Place, Rig, SECOND_KEY, Stage};
pub use subject::{Parts, Subject};
pub use transport::ScriptedTransport;
pub use upstream::Upstream;
pub use wire::Wire;
