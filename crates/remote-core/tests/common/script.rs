//! What a scripted upstream does with one request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use remote_core::{TransportBody, TransportError, TransportFault};

/// One move of a script.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Bytes(&'static [u8]),
    Wait(Duration),
    Break,
    Hang,
}

pub(crate) fn event(data: &'static str) -> Act {
    Act::Bytes(format!("data: {data}\n\n").leak().as_bytes())
}

/// What the upstream does with one request.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) head_after: Duration,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<Act>,
    pub(crate) fails: Option<TransportFault>,
}

impl Script {
    pub(crate) fn stream(body: impl IntoIterator<Item = Act>) -> Self {
        Self { headers: vec![("content-type", "text/event-stream")], ..Self::status(200, body) }
    }

    pub(crate) fn whole(body: &'static str) -> Self {
        let headers = vec![("content-type", "application/json")];
        Self { headers, ..Self::status(200, [Act::Bytes(body.as_bytes())]) }
    }

    pub(crate) fn status(status: u16, body: impl IntoIterator<Item = Act>) -> Self {
        let body = body.into_iter().collect();
        Self { head_after: Duration::ZERO, status, headers: Vec::new(), body, fails: None }
    }
}

/// Counts a body that is dropped before it is over.
struct Guard(Arc<Mutex<u32>>, bool);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.1 {
            *self.0.lock().unwrap() += 1;
        }
    }
}

/// Plays `script`, and counts in `dropped` if its body is dropped before it is over.
pub(crate) async fn play(
    script: Script,
    dropped: Arc<Mutex<u32>>,
) -> Result<Response<TransportBody>, TransportError> {
    tokio::time::sleep(script.head_after).await;
    if let Some(fault) = script.fails {
        return Err(TransportError::new(fault, "scripted"));
    }
    let guard = Guard(dropped, false);
    let acts =
        futures_util::stream::unfold((script.body.into_iter(), guard), |(mut acts, mut guard)| async move {
            loop {
                match acts.next() {
                    Some(Act::Bytes(bytes)) => {
                        return Some((Ok(Bytes::from_static(bytes)), (acts, guard)));
                    }
                    Some(Act::Wait(time)) => tokio::time::sleep(time).await,
                    Some(Act::Break) => {
                        return Some((
                            Err(TransportError::new(TransportFault::Body, "reset")),
                            (acts, guard),
                        ));
                    }
                    Some(Act::Hang) => std::future::pending().await,
                    None => {
                        guard.1 = true;
                        drop(guard);
                        return None;
                    }
                }
            }
        });
    let mut response = Response::new(Box::pin(acts) as TransportBody);
    *response.status_mut() = StatusCode::from_u16(script.status).unwrap();
    for (name, value) in script.headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
