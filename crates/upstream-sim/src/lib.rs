//! A scriptable upstream that speaks OpenAI's Chat Completions and embeddings over real HTTP/1.1 on `127.0.0.1`.
//!
//! It answers without a model: what it says is made from what was asked, and is the same for the same seed. What it
//! does wrong is chosen by the model's name, so a fault can be tried from a test, a shell or a configuration file
//! without any code.
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use upstream_sim::{Behaviour, Sim};
//!
//! let sim = Sim::builder().seed(7).behaviour("gpt-4o", Behaviour::Text("Hello.".into())).start().await?;
//! println!("point a client at {}", sim.base_url());
//! // … run the client …
//! assert!(sim.requests().iter().all(|request| request.path.starts_with("/v1/")));
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! `POST /v1/chat/completions`, in one piece or as an event stream; `POST /v1/responses`, in one piece or as named events;
//! `POST /v1/embeddings`, with unit vectors made from the seed and the text; `POST /v1/moderations`, which flags nothing;
//! `POST /v1/audio/speech`, with bytes that are no text; `GET /v1/models`, which lists the table below;
//! `GET /sim/stats`, with what it counted so far, and which does not count itself. Anything else is a 404 with an error body. No
//! key is needed and any is accepted.
//!
//! # Models
//!
//! Any other name, such as `gpt-4o-mini`, answers: the text says that it is a simulator and repeats an excerpt of the
//! question. It obeys the output limit, stop texts, the number of answers, the seed, log probabilities, JSON formats
//! (the answer fits a plain schema) and tools (a call is made when one is required or the question names the tool).
//! Tokens are counted as a quarter of the bytes.
//!
//! | model | what it does |
//! |---|---|
//! | `sim-slow` | waits two seconds, then writes a word every 100 ms |
//! | `sim-reasoning` | reasons before it answers, and counts reasoning tokens |
//! | `sim-refusal` | refuses |
//! | `sim-long` | answers with 5,000 words |
//! | `sim-finish-<word>` | answers, and gives the word as finish reason: `length`, `content_filter`, `error` |
//! | `sim-error-<status>` | answers with this status, in the body OpenAI uses for it; 502 and 504 are web pages |
//! | `sim-quota` | 429 for a quota that is used up |
//! | `sim-context` | 400 for a conversation that is too long |
//! | `sim-filter` | 400 for a prompt that a filter refuses |
//! | `sim-html` | 200 with a web page |
//! | `sim-200-error` | 200 with an error in the body |
//! | `sim-cut` | closes the connection in the middle of an event, after some text |
//! | `sim-no-done` | ends the stream after the finish reason, without the closing `[DONE]` |
//! | `sim-error-midway` | reports an error in the stream, after some text |
//! | `sim-error-first` | reports an error in the stream, before any text |
//! | `sim-utf8` | sends an event that is not UTF-8, after some text |
//! | `sim-huge` | sends one event of 64 MiB |
//! | `sim-silent` | takes the request and never sends a byte |
//! | `sim-stall` | stops after some text and keeps the connection open |
//! | `sim-redirect` | 307 to another host and path |
//! | `sim-echo-key` | 401 whose message repeats the `Authorization` header |
//!
//! [`SimBuilder::behaviour`] gives any of these, and more, to a name of your own.

mod answer;
mod behaviour;
mod body;
mod chat;
mod embed;
mod fault;
mod record;
mod relay;
mod reply;
mod routes;
mod schema;
mod server;
mod sim;

pub use behaviour::Behaviour;
pub use record::{Answered, Recorded};
pub use sim::{Sim, SimBuilder};

#[cfg(doctest)] // the examples of the README
#[doc = include_str!("../README.md")]
struct Readme;
