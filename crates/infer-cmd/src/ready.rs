//! `infer health --gateway`: whether a gateway says that it can answer, for whoever keeps it running and has no curl.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{Request, Uri};
use inference::remote::config::{NetworkConfig, TimeoutConfig};
use inference::remote::{HttpTransport, Transport as _};
use serde_json::Value;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::json;
use crate::output::Printer;
use crate::signals::Signals;
use crate::terminal::one_line;

/// Where a gateway listens if nothing is said.
pub(crate) const USUAL: &str = "http://127.0.0.1:8080";

/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// As much of an answer as is read, in bytes.
const MOST: usize = 16 << 10;

/// Asks once.
pub(crate) async fn run(
    told: &str,
    ca: Option<&Path>,
    is_json: bool,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let address = address(told).map_err(Failure::usage)?;
    let network = NetworkConfig { ca: ca.map(Path::to_owned), private: true, ..NetworkConfig::default() };
    let transport =
        HttpTransport::by(&TimeoutConfig { connect: PATIENCE, ..TimeoutConfig::default() }, &network, true)
            .map_err(Failure::call)?;
    let begun = Instant::now();
    let asked = tokio::select! {
        biased;
        stop = signals.stop() => return Err(Failure::stopped(stop)),
        asked = tokio::time::timeout(PATIENCE, ask(&transport, &address)) => asked,
    };
    let latency = begun.elapsed();
    let (status, body) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => return Err(Failure::Unwell(format!("{address} does not answer: {why}"))),
        Err(_) => return Err(Failure::Unwell(format!("{address} does not answer within {PATIENCE:?}"))),
    };
    if status != 200 {
        return Err(Failure::Unwell(format!("{address} says {status}{}", reason(&body))));
    }
    let line = if is_json {
        json::ready(&address.to_string(), latency)
    } else {
        format!("{address} is ready, after {:.0} ms", latency.as_secs_f64() * 1e3)
    };
    Ok(Printer::new().line(&line).await?)
}

/// Where to ask: `/readyz`, unless another path is told.
fn address(told: &str) -> Result<Uri, String> {
    let wrong = || "--gateway: must be an address such as http://127.0.0.1:8080".to_owned();
    let uri: Uri = told.parse().map_err(|_| wrong())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.authority().is_some_and(|at| !at.host().is_empty() && !at.as_str().contains('@'));
    if !is_http || !has_host || uri.query().is_some() {
        return Err(wrong());
    }
    if uri.path() != "/" {
        return Ok(uri);
    }
    format!("{}/readyz", told.trim_end_matches('/')).parse().map_err(|_| wrong())
}

async fn ask(transport: &HttpTransport, address: &Uri) -> Result<(u16, Bytes), String> {
    let mut request = Request::new(Bytes::new());
    request.uri_mut().clone_from(address);
    let response = transport.send(request).await.map_err(|error| chain(&error))?;
    let status = response.status().as_u16();
    let (mut body, mut read) = (response.into_body(), BytesMut::new());
    // What breaks off later has said whether it is well.
    while let Some(Ok(bytes)) = body.next().await
        && read.len() < MOST
    {
        read.extend_from_slice(&bytes);
    }
    Ok((status, read.freeze()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// What a gateway says is wrong; nothing where it says it in another shape.
fn reason(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).map(one_line);
    match (said("code"), said("message")) {
        (Some(code), Some(message)) => format!(", {code}: {message}"),
        (None, Some(only)) | (Some(only), None) => format!(": {only}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_is_asked_whether_it_is_ready() {
        for (told, asked) in [
            (USUAL, "http://127.0.0.1:8080/readyz"),
            ("http://localhost/", "http://localhost/readyz"),
            ("https://gw.example:8443/healthz", "https://gw.example:8443/healthz"),
        ] {
            assert_eq!(address(told).unwrap().to_string(), asked);
        }
        for wrong in ["", "127.0.0.1:8080", "/readyz", "ftp://host", "http://key@host", "http://host/?key=x"]
        {
            assert!(address(wrong).unwrap_err().starts_with("--gateway: "), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line() {
        let told = br#"{"error":{"code":"draining","message":"the gateway\nis stopping"}}"#;
        assert!(!reason(told).contains('\n') && reason(told).starts_with(", draining: the gateway"));
        assert_eq!(reason(b"<html>"), "");
    }
}
