//! The scripts of an upstream, and what was asked of it.
//!
//! Shared by [`ScriptedTransport`](crate::ScriptedTransport) and [`Upstream`](crate::Upstream), so a test reads the same
//! however its requests travelled.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Script;

/// A request as an upstream saw it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Which one, from 1.
    pub number: usize,
    /// When it came.
    pub at: Instant,
    /// The method.
    pub method: Method,
    /// The whole URI, or over a socket its path and query.
    pub uri: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Seen {
    /// Whether `key` stands in a header or in the URI, however it is presented.
    pub fn carries(&self, key: &str) -> bool {
        let in_headers =
            self.headers.values().any(|value| String::from_utf8_lossy(value.as_bytes()).contains(key));
        in_headers || self.uri.contains(key)
    }
}

/// A request whose client left before the end of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Which request, from 1.
    pub number: usize,
    /// When.
    pub at: Instant,
}

type Otherwise = Box<dyn Fn(&Seen) -> Script + Send + Sync>;

/// The scripts of an upstream, and what was asked of it.
///
/// Scripts are played in the order in which requests come. A request for which there is none is refused with status 400
/// and a text that says which one it was, and counts as [`unscripted`](Self::unscripted).
pub struct Playbook {
    state: Mutex<State>,
    /// Requests seen, and left.
    counts: watch::Sender<(usize, usize)>,
}

#[derive(Default)]
struct State {
    scripts: VecDeque<Script>,
    otherwise: Option<Otherwise>,
    seen: Vec<Seen>,
    left: Vec<Left>,
    unscripted: usize,
}

impl Playbook {
    /// Scripts for the first requests.
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        let state = State { scripts: scripts.into_iter().collect(), ..State::default() };
        Self { state: Mutex::new(state), counts: watch::Sender::new((0, 0)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a script for a further request.
    pub fn push(&self, script: Script) {
        self.state().scripts.push_back(script);
    }

    /// Answers whatever comes when no script is left.
    pub fn otherwise(&self, answer: impl Fn(&Seen) -> Script + Send + Sync + 'static) {
        self.state().otherwise = Some(Box::new(answer));
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The requests whose client left before the end of the answer.
    pub fn left(&self) -> Vec<Left> {
        self.state().left.clone()
    }

    /// How many requests came without a script.
    pub fn unscripted(&self) -> usize {
        self.state().unscripted
    }

    /// Waits until `requests` have come.
    pub async fn until_seen(&self, requests: usize) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.counts.subscribe().wait_for(|(seen, _)| *seen >= requests).await;
    }

    /// Waits until the clients of `requests` have left.
    pub async fn until_left(&self, requests: usize) {
        let _ = self.counts.subscribe().wait_for(|(_, left)| *left >= requests).await;
    }

    /// Takes down a request and says what to do with it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        method: Method,
        uri: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> (Script, Watch) {
        let mut state = self.state();
        let number = state.seen.len() + 1;
        let seen = Seen { number, at: Instant::now(), method, uri, headers, body };
        let scripted = state.scripts.pop_front();
        let script = scripted.or_else(|| state.otherwise.as_ref().map(|answer| answer(&seen)));
        let script = script.unwrap_or_else(|| {
            state.unscripted += 1;
            Script::status(400)
                .header("content-type", "text/plain")
                .body(format!("no script for request {number}"))
        });
        state.seen.push(seen);
        drop(state);
        self.counts.send_modify(|(seen, _)| *seen += 1);
        (script, Watch { book: Arc::clone(self), number, is_over: false })
    }
}

impl fmt::Debug for Playbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Playbook")
            .field("scripts", &state.scripts.len())
            .field("seen", &state.seen.len())
            .field("left", &state.left)
            .finish_non_exhaustive()
    }
}

/// Takes note of a client that leaves: dropped before it is over, the request counts as left.
pub(crate) struct Watch {
    book: Arc<Playbook>,
    number: usize,
    is_over: bool,
}

impl Watch {
    /// The answer reached its end, or was broken off by its script.
    pub(crate) fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_over {
            self.book.state().left.push(Left { number: self.number, at: Instant::now() });
            self.book.counts.send_modify(|(_, left)| *left += 1);
        }
    }
}
