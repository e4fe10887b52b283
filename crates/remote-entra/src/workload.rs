//! A workload that proves itself by a token of its own platform, such as a Kubernetes service account.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use infer_core::InferenceError;
use remote_core::session::{Credential, CredentialSource};
use zeroize::Zeroizing;

use crate::jwt;
use crate::login::Login;
use crate::names;

/// The largest token file. 64 KiB: tokens have a few.
const FILE_LIMIT: u64 = 64 << 10;

/// Where the names of this way to a token are in the environment.
pub(crate) const TENANT: &str = "AZURE_TENANT_ID";
pub(crate) const CLIENT: &str = "AZURE_CLIENT_ID";
pub(crate) const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Trades the platform's token for one of Entra. The file is read anew for every token, since the platform replaces it.
#[derive(Debug)]
pub(crate) struct WorkloadIdentity {
    login: Login,
    client_id: String,
    file: PathBuf,
}

impl WorkloadIdentity {
    pub(crate) fn new(login: Login, client_id: &str, file: PathBuf) -> Result<Self, InferenceError> {
        Ok(Self { login, client_id: names::id("client_id", client_id)?, file })
    }
}

#[async_trait]
impl CredentialSource for WorkloadIdentity {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let (file, now) = (self.file.clone(), self.login.now);
        let read = tokio::task::spawn_blocking(move || assertion(&file, now()));
        let assertion = read
            .await
            .map_err(|_| InferenceError::config("reading the federated token was interrupted"))??;
        let proof = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &assertion)];
        let parts = assertion.split('.').filter(|part| part.len() >= 16);
        let secrets: Vec<&str> = std::iter::once(assertion.as_str()).chain(parts).collect();
        self.login.token(&self.client_id, &proof, &secrets).await
    }
}

/// The token in `path`, unless it is none or has ended.
fn assertion(path: &Path, now: SystemTime) -> Result<Zeroizing<String>, InferenceError> {
    let fault =
        |what: &str| InferenceError::config(format!("federated token file {}: {what}", path.display()));
    // Opening a pipe would wait for somebody to write into it.
    if std::fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        return Err(fault("is not a file"));
    }
    // Never grows, so no copy is left behind unwiped.
    let mut kept = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_LIMIT + 2).unwrap_or_default()));
    std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut kept)).map_err(
        |error| fault(&format!("cannot be read: {error}: is the service account's token mounted?")),
    )?;
    if kept.len() as u64 > FILE_LIMIT {
        return Err(fault(&format!("is larger than {FILE_LIMIT} bytes: is it the right file?")));
    }
    let text = str::from_utf8(&kept).map_err(|_| fault("is not a token: is it the right file?"))?.trim();
    if text.is_empty() {
        return Err(fault("is empty: the platform has not written a token yet"));
    }
    let end = jwt::expiry(text).map_err(|_| fault("is not a token: is it the right file?"))?;
    if let Some(end) = end
        && let Ok(late) = now.duration_since(UNIX_EPOCH + Duration::from_secs(end.min(u64::from(u32::MAX))))
    {
        return Err(fault(&format!(
            "its token expired {} ago, so nothing was sent: check that the platform still replaces it, and this \
             machine's clock",
            humantime::format_duration(Duration::from_secs(late.as_secs()))
        )));
    }
    Ok(Zeroizing::new(text.to_owned()))
}
