//! Connections that wait for their next request.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::uri::Authority;
use tokio::time::{Instant, sleep};

use crate::transport::IDLE;

use super::line::Line;

/// How many wait at most; further ones are closed.
const ROOM: usize = 1024;

/// Idle connections, the last used on top.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    lines: Vec<Line>,
    /// Whether a task looks after those that nobody takes.
    is_swept: bool,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A connection to `authority` that the other side has not closed, as far as can be known.
    pub(super) fn take(&self, authority: &Authority) -> Option<Line> {
        loop {
            let line = {
                let mut idle = self.idle();
                let at = idle.lines.iter().rposition(|line| line.authority == *authority)?;
                idle.lines.remove(at)
            };
            if is_usable(&line) {
                return Some(line);
            }
        }
    }

    /// Keeps `line` for a while.
    pub(super) fn put(self: &Arc<Self>, mut line: Line) {
        line.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.lines.len() >= ROOM {
            return;
        }
        idle.lines.push(line);
        if !mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection that waited can take a request.
fn is_usable(line: &Line) -> bool {
    line.idle_since.elapsed() < IDLE && line.is_free()
}

/// Closes what waited too long or was closed by the other side, until nothing waits.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE / 5).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle();
        idle.lines.retain(is_usable);
        if idle.lines.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}
