//! A script that Redis runs as one step.

use redis::Cmd;

/// A script, known to the server by its digest once it has seen it.
#[derive(Debug)]
pub(super) struct Script {
    code: &'static str,
    digest: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Self {
        Self { code, digest: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call about so many keys; those and the arguments are added by the caller.
    pub(super) fn call(&self, keys: usize) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.digest).arg(keys);
        command
    }

    /// Shows it to the server.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code);
        command
    }
}
