//! `/admin/drills`: failures on purpose.

use std::time::Duration;

use axum::extract::Request;
use infer_core::duration;
use inference::{Drill, DrillFault, DrillReport};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::{Answer, bad, read};
use super::health::no_provider;
use super::models::to_json;
use crate::denial::Failure;
use crate::state::State;

/// What is to happen to calls of a provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    fault: Fault,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default, with = "duration::optional")]
    retry_after: Option<Duration>,
    #[serde(default)]
    pieces: Option<u64>,
    #[serde(default)]
    share: Option<f64>,
    #[serde(default, with = "duration::optional")]
    delay: Option<Duration>,
    #[serde(default, rename = "for", with = "duration::optional")]
    time: Option<Duration>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    Refuse,
    Timeout,
    Cut,
}

impl Wanted {
    fn drill(self) -> Result<Drill, Failure> {
        let stray = match self.fault {
            Fault::Refuse => self.pieces.map(|_| "pieces"),
            Fault::Timeout | Fault::Cut if self.status.is_some() => Some("status"),
            Fault::Timeout | Fault::Cut if self.retry_after.is_some() => Some("retry_after"),
            Fault::Timeout => self.pieces.map(|_| "pieces"),
            Fault::Cut => None,
        };
        if let Some(stray) = stray {
            return Err(bad(format!("{stray}: does not belong to this fault")).about(stray).into());
        }
        let mut drill = Drill::new(match self.fault {
            Fault::Refuse => {
                let status = self.status.unwrap_or(503);
                DrillFault::Refuse { status, retry_after: self.retry_after }
            }
            Fault::Timeout => DrillFault::Timeout,
            Fault::Cut => DrillFault::Cut { pieces: self.pieces.unwrap_or(1) },
        });
        drill.share = self.share.unwrap_or(drill.share);
        drill.delay = self.delay.unwrap_or(drill.delay);
        drill.time = self.time.unwrap_or(drill.time);
        drill.validate().map_err(|error| bad(error.to_string()))?;
        Ok(drill)
    }
}

/// Drills that are on, or the one of `name`.
pub(super) fn list(state: &State, name: Option<&str>) -> Vec<Value> {
    let on = state.inference.drills();
    on.iter().filter(|report| name.is_none_or(|name| name == report.provider)).map(shown).collect()
}

fn shown(report: &DrillReport) -> Value {
    let drill = &report.drill;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut shown = json!({
        "provider": report.provider,
        "fault": drill.fault.name(),
        "share": drill.share,
        "delay_ms": millis(drill.delay),
        "left_ms": millis(report.left),
    });
    if let Value::Object(members) = &mut shown {
        match drill.fault {
            DrillFault::Refuse { status, retry_after } => {
                members.insert("status".to_owned(), status.into());
                members.insert("retry_after_ms".to_owned(), json!(retry_after.map(millis)));
            }
            DrillFault::Cut { pieces } => {
                members.insert("pieces".to_owned(), pieces.into());
            }
            _ => {}
        }
    }
    shown
}

/// The drill of one provider; `null` when there is none.
pub(super) fn one(state: &State, provider: &str) -> Answer {
    if state.inference.provider(provider).is_none() {
        return Err(no_provider(state, provider));
    }
    Ok(to_json(&json!({ "drill": list(state, Some(provider)).pop() })))
}

/// Makes calls fail.
pub(super) async fn begin(state: &State, provider: &str, request: Request) -> Answer {
    let drill = read::<Wanted>(state, request).await?.drill()?;
    state.inference.drill(provider, Some(drill)).map_err(|_| no_provider(state, provider))?;
    one(state, provider)
}

/// Makes them fail no longer.
pub(super) fn end(state: &State, provider: &str) -> Answer {
    state.inference.drill(provider, None).map_err(|_| no_provider(state, provider))?;
    one(state, provider)
}
