//! What a program tells of its work, as the file wants it. Acting on it is the program's matter.

use std::fmt;

use serde::Deserialize;

use super::fault::Fault;
use super::report::report_one;
use super::tree::Node;
use super::typed;
#[cfg(feature = "otel")]
use crate::otel::OtelConfig;

/// Logs and telemetry: `observability` in the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ObservabilityConfig {
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where traces and metrics go; nowhere when absent. `{}` sends them to a collector on this machine.
    #[cfg(feature = "otel")]
    pub otel: Option<OtelConfig>,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// The least that is worth a line; what the program does on its own when absent.
    pub level: Option<LogLevel>,
    /// How lines are written. As text.
    pub format: LogFormat,
}

/// From which level on there is a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Nothing is logged.
    Off,
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warn,
    /// What happens, one line for each call.
    Info,
    /// What happens on the way.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As a filter of `tracing` spells it: `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The section's name.
pub(crate) const NAME: &str = "observability";

/// Reads the section, which may be absent.
pub(crate) fn read(tree: &mut Node, faults: &mut Vec<Fault>) -> ObservabilityConfig {
    let Some((_, node)) = tree.entry_mut(NAME) else { return ObservabilityConfig::default() };
    #[cfg(not(feature = "otel"))]
    if let Some((key, _)) = node.take("otel").filter(|(_, node)| !is_off(node)) {
        let message = "this build has no telemetry: build with the feature otel";
        faults.push(Fault::new(&key.place, format!("{NAME}.otel"), message));
    }
    let Some(config) = typed::read::<ObservabilityConfig>(node, NAME, &[], faults) else {
        return ObservabilityConfig::default();
    };
    for fault in checked(&config) {
        report_one(&fault, node, NAME, faults);
    }
    config
}

/// Whether it is written and means nothing.
#[cfg(not(feature = "otel"))]
fn is_off(node: &Node) -> bool {
    use super::tree::Value;
    matches!(&node.value, Value::Null | Value::Broken)
        || node.is_filled && matches!(&node.value, Value::Text(text) if text.is_empty())
}

#[cfg(feature = "otel")]
fn checked(config: &ObservabilityConfig) -> Vec<String> {
    let faults = config.otel.as_ref().map(OtelConfig::faults).unwrap_or_default();
    faults.into_iter().map(|fault| format!("otel.{fault}")).collect()
}

#[cfg(not(feature = "otel"))]
fn checked(_: &ObservabilityConfig) -> Vec<String> {
    Vec::new()
}
