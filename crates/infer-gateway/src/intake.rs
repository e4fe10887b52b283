//! Reads request bodies: so large, in so much time, and not before a look at the head.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;

use crate::denial::Denial;

/// Reads the whole body.
///
/// # Errors
/// 413 above `limit` bytes, at once where the length is declared; 408 after `time`; 415 for a compressed body; 400 when the
/// client breaks off.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Denial> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > limit)) {
        return Err(too_large(limit));
    }
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|value| *value != "identity") {
        let message = format!("content-encoding {encoding:?} is not read here: send the body as it is");
        return Err(
            Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", message).for_good()
        );
    }
    match tokio::time::timeout(time, collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("the body did not arrive within {time:?}");
            Err(Denial::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message))
        }
    }
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Denial> {
    let mut body = pin!(body);
    // Most bodies come in one piece, which is taken as it is.
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| {
            Denial::new(StatusCode::BAD_REQUEST, "body_broken", "the body broke off before its end")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if !first.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn too_large(limit: usize) -> Denial {
    let message = format!("the body is larger than {limit} bytes, which is gateway.max_body_bytes");
    Denial::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).for_good()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn taken(pieces: &'static [&'static str], limit: usize) -> Result<Bytes, Denial> {
        let pieces = stream::iter(
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes()))),
        );
        read(&HeaderMap::new(), Body::from_stream(pieces), limit, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn a_body_is_put_together_up_to_the_limit_and_no_further() {
        assert_eq!(taken(&["ab", "", "cd", "e"], 5).await.unwrap(), "abcde");
        assert_eq!(taken(&["ab", "cde"], 4).await.unwrap_err().code, "body_too_large");
        assert_eq!(taken(&[], 4).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_declared_length_above_the_limit_is_refused_unread() {
        let headers: HeaderMap = [(CONTENT_LENGTH, 9.into())].into_iter().collect();
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(&headers, never, 8, Duration::from_secs(3_600)).await.unwrap_err();
        assert_eq!(refused.status, 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(&HeaderMap::new(), never, 8, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(refused.code, "body_timeout");
    }
}
