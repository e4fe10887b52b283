//! A transport without a network.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use remote_core::{Transport, TransportBody, TransportError, TransportFault};
use tokio::time::sleep;

use crate::playbook::{Playbook, Watch};
use crate::script::{Act, Head, Script};

/// Plays scripts instead of sending requests. Waits are tokio's, so a paused clock makes them instant and exact.
///
/// ```
/// use remote_core::Transport as _;
/// use remote_testkit::{Script, ScriptedTransport};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let transport = ScriptedTransport::new([Script::json("{}")]);
/// let request = http::Request::post("http://upstream.test/v1").body(bytes::Bytes::new()).unwrap();
/// assert_eq!(transport.send(request).await.unwrap().status(), 200);
/// assert_eq!(transport.playbook().seen()[0].uri, "http://upstream.test/v1");
/// # }
/// ```
pub struct ScriptedTransport {
    book: Arc<Playbook>,
}

impl ScriptedTransport {
    /// Plays `scripts`, one a request.
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        Self { book: Arc::new(Playbook::new(scripts)) }
    }

    /// The scripts that are left, and what was asked.
    pub fn playbook(&self) -> &Arc<Playbook> {
        &self.book
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScriptedTransport").field(&self.book).finish()
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<TransportBody>, TransportError> {
        let (head, body) = request.into_parts();
        let (script, watch) = self.book.begin(head.method, head.uri.to_string(), head.headers, body);
        sleep(script.after).await;
        match script.head {
            Head::Sent => {}
            Head::Never => pending().await,
            Head::Fails(fault) => {
                watch.over();
                return Err(TransportError::new(fault, "as scripted"));
            }
        }
        let mut response = Response::new(play(script.body, watch));
        let status = StatusCode::from_u16(script.status);
        *response.status_mut() = status.map_err(|_| unplayable("status"))?;
        for (name, value) in script.headers {
            let name = HeaderName::try_from(name).map_err(|_| unplayable("header name"))?;
            let value = HeaderValue::try_from(value).map_err(|_| unplayable("header value"))?;
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }
}

/// A script that HTTP cannot carry is the test's fault, and the error says so.
fn unplayable(what: &str) -> TransportError {
    let fault = TransportFault::Before(infer_core::TransportKind::Protocol);
    TransportError::new(fault, format!("the script's {what} is none"))
}

fn play(acts: Vec<Act>, watch: Watch) -> TransportBody {
    Box::pin(unfold(Some((acts.into_iter(), watch)), |playing| async move {
        let (mut acts, watch) = playing?;
        loop {
            match acts.next() {
                Some(Act::Bytes(bytes)) => return Some((Ok(bytes), Some((acts, watch)))),
                Some(Act::Wait(time)) => sleep(time).await,
                Some(Act::Hang) => pending().await,
                Some(Act::Break) => {
                    watch.over();
                    let error = TransportError::new(TransportFault::Body, "reset as scripted");
                    return Some((Err(error), None));
                }
                None => {
                    watch.over();
                    return None;
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{FutureExt as _, StreamExt as _};
    use tokio::time::Instant;

    use super::*;

    fn request() -> Request<Bytes> {
        Request::post("http://upstream.test/x").body(Bytes::from_static(b"hi")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_take_the_time_they_say_and_a_break_is_an_error() {
        let wait = Duration::from_secs(9);
        let script = Script::events(["a"]).after(wait).acts([Act::Wait(wait), Act::Break]);
        let transport = ScriptedTransport::new([script]);
        let begun = Instant::now();
        let mut body = transport.send(request()).await.unwrap().into_body();
        assert_eq!(begun.elapsed(), wait);
        assert_eq!(body.next().await.unwrap().unwrap(), "a");
        assert_eq!(body.next().await.unwrap().unwrap_err().fault, TransportFault::Body);
        assert_eq!(begun.elapsed(), wait * 2);
        assert!(transport.playbook().left().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_before_the_head_or_in_the_body_is_noticed() {
        let transport = ScriptedTransport::new([Script::silence(), Script::events(["a"]).hang()]);
        assert!(transport.send(request()).now_or_never().is_none());
        let mut body = transport.send(request()).await.unwrap().into_body();
        assert!(body.next().await.is_some());
        drop(body);
        let left: Vec<usize> = transport.playbook().left().iter().map(|left| left.number).collect();
        assert_eq!(left, [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_script_is_refused_by_its_number() {
        let transport = ScriptedTransport::new([Script::json("{}")]);
        transport.send(request()).await.unwrap();
        let response = transport.send(request()).await.unwrap();
        assert_eq!(response.status(), 400);
        let text = response.into_body().next().await.unwrap().unwrap();
        assert_eq!(text, "no script for request 2");
        assert_eq!(transport.playbook().unscripted(), 1);
    }
}
