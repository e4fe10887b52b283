//! The login of a developer, lent by the Azure CLI.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::try_join;
use infer_core::InferenceError;
use remote_core::session::{Credential, CredentialSource};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::answer::{self, Unusable};
use crate::cloud::Audience;
use crate::exchange::Miss;
use crate::refusal::in_one_line;
use crate::surroundings::Surroundings;

/// What the CLI is called.
const PROGRAM: &str = if cfg!(windows) { "az.cmd" } else { "az" };

/// How long it may take. 30 s: it starts an interpreter and may log in anew.
const LIMIT: Duration = Duration::from_secs(30);

/// What is kept of each output. 64 KiB: tokens have a few.
const OUTPUT_LIMIT: u64 = 64 << 10;

/// Runs `az account get-access-token`, without a shell and with an empty input.
///
/// Dropping a fetch kills it; programs that it started itself are not killed.
#[derive(Debug)]
pub(crate) struct AzureCli {
    program: PathBuf,
    args: Vec<String>,
    limit: Duration,
    now: fn() -> SystemTime,
}

impl AzureCli {
    /// `tenant` was checked by [`crate::names::tenant`].
    pub(crate) fn new(
        audience: &Audience,
        tenant: Option<String>,
        program: Option<PathBuf>,
        around: &Surroundings,
    ) -> Self {
        let fixed = ["account", "get-access-token", "--output", "json", "--scope", audience.scope()];
        let mut args: Vec<String> = fixed.map(str::to_owned).into();
        args.extend(tenant.into_iter().flat_map(|tenant| ["--tenant".to_owned(), tenant]));
        Self { program: program.unwrap_or_else(|| PROGRAM.into()), args, limit: LIMIT, now: around.now }
    }

    /// The token; [`Miss::Absent`] when the CLI is not installed or nobody is logged in.
    pub(crate) async fn token(&self) -> Result<Credential, Miss> {
        let fault =
            |what: String| InferenceError::config(format!("azure cli {}: {what}", self.program.display()));
        let ended = match timeout(self.limit, self.run()).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                let what = "not found: install the Azure CLI, or say where it is with program";
                return Err(Miss::Absent(fault(what.to_owned())));
            }
            Ok(Err(error)) => return Err(Miss::Failed(fault(format!("cannot be run: {error}")))),
            Err(_) => {
                let what = format!("did not finish within {:?}: run it by hand to see why", self.limit);
                return Err(Miss::Failed(fault(what)));
            }
        };
        if !ended.status.success() {
            let errors = String::from_utf8_lossy(&ended.errors);
            let said = in_one_line(&errors, &[], 512);
            return Err(if errors.contains("az login") {
                Miss::Absent(fault(format!("not logged in: run az login: {said}")))
            } else {
                Miss::Failed(fault(format!("{}: {said}", ended.status)))
            });
        }
        if ended.output.len() as u64 > OUTPUT_LIMIT {
            return Err(Miss::Failed(fault(format!("printed more than {OUTPUT_LIMIT} bytes"))));
        }
        answer::of_cli(&ended.output, (self.now)()).map_err(|unusable| {
            Miss::Failed(fault(match unusable {
                Unusable::Unreadable(_, what) => format!("its output: {what}"),
                Unusable::Expired(what) => what,
            }))
        })
    }

    async fn run(&self) -> io::Result<Ended> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env("TZ", "UTC0") // older versions tell the end of a token in local time alone
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let (output, errors) = try_join(kept(output), kept(errors)).await?;
        Ok(Ended { status: child.wait().await?, output, errors })
    }
}

struct Ended {
    status: ExitStatus,
    output: Zeroizing<Vec<u8>>,
    errors: Zeroizing<Vec<u8>>,
}

/// What comes out of `pipe`, up to a byte more than is wanted. A program that says more finds the pipe closed.
async fn kept(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Zeroizing<Vec<u8>>> {
    // Never grows, so no copy of a token is left behind unwiped.
    let room = usize::try_from(OUTPUT_LIMIT + 2).unwrap_or_default();
    let mut kept = Zeroizing::new(Vec::with_capacity(room));
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT_LIMIT + 1).read_to_end(&mut kept).await?;
    }
    Ok(kept)
}

#[async_trait]
impl CredentialSource for AzureCli {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        self.token().await.map_err(Miss::into_error)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::sync::Arc;

    use infer_core::ErrorKind;
    use remote_testkit::ScriptedTransport;

    use super::*;
    use crate::Cloud;

    fn cli(program: &str, args: &[&str]) -> AzureCli {
        let nowhere = || Arc::new(ScriptedTransport::new([]));
        let around = Surroundings::new(nowhere(), nowhere());
        let mut cli = AzureCli::new(&Cloud::Public.into(), None, Some(program.into()), &around);
        cli.args = args.iter().map(|&arg| arg.to_owned()).collect();
        cli
    }

    async fn failure(cli: AzureCli) -> String {
        let error = cli.fetch().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret"), "{text}");
        text
    }

    #[tokio::test]
    async fn a_cli_that_takes_too_long_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let mut slow = cli("sh", &["-c", "echo $$ > \"$0\"; exec sleep 1000", pid.to_str().unwrap()]);
        slow.limit = Duration::from_millis(500);
        let text = failure(slow).await;
        assert!(text.contains("did not finish within 500ms"), "{text}");
        let pid = std::fs::read_to_string(&pid).unwrap();
        let is_gone = async {
            while is_running(pid.trim()).await {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), is_gone).await.unwrap();
    }

    async fn is_running(pid: &str) -> bool {
        Command::new("kill").args(["-0", pid]).output().await.unwrap().status.success()
    }

    #[tokio::test]
    async fn a_cli_that_fails_is_quoted_from_its_errors_and_never_from_its_output() {
        for (script, expect) in [
            (
                "echo secret; echo 'Please run az login to setup account.' >&2; exit 1",
                "not logged in: run az login",
            ),
            ("echo secret; echo no subscription >&2; exit 3", "exit status: 3: no subscription"),
            ("echo secret; exit 0", "its output: line 1 column 1"),
            ("echo got eyJzZWNyZXQiOjF9.eyJzZWNyZXQi.c2VjcmV0 >&2; exit 1", "got [redacted]"),
            ("head -c 300000 /dev/zero; exit 0", "65536 bytes"),
        ] {
            let text = failure(cli("sh", &["-c", script])).await;
            assert!(text.contains(expect) || script.starts_with("head") && text.contains("signal"), "{text}");
        }
        let text = failure(cli("/no/such/az", &[])).await;
        assert!(text.contains("install the Azure CLI"), "{text}");
    }
}
