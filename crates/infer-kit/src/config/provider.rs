//! One provider's entry.

use std::sync::Arc;

use super::fault::Fault;
use super::kind::{FEATURES, Kinds, Settings};
use super::known::nearest;
use super::preset;
use super::report::report;
use super::shorthand::{lengthen, number};
use super::tree::{Node, Value, join};

/// What every kind of provider understands here, beside its own settings.
pub(crate) const OWN_KEYS: [&str; 7] =
    ["type", "priority", "weight", "model", "timeout", "max_retries", "rate_limit"];

/// A provider as the configuration describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderEntry {
    /// The kind of provider: `openai`.
    pub kind: String,
    /// Where it stands among providers that can serve the same model: those with the lowest number are asked first. 1.
    pub priority: u32,
    /// Its share of the calls among those of the same priority, above 0. 1.
    pub weight: f64,
    /// The model that calls get which name none. None: such calls are refused.
    pub model: Option<String>,
    pub(crate) settings: Arc<dyn Settings>,
    /// Changes when anything changes that its runner is made of, secrets included.
    pub(crate) fingerprint: blake3::Hash,
}

/// Reads the entry called `name` at `path`; `None` when no runner could be made of it.
pub(crate) fn read(
    node: &mut Node,
    name: &str,
    path: &str,
    kinds: &Kinds,
    faults: &mut Vec<Fault>,
) -> Option<ProviderEntry> {
    match node.value {
        Value::Table(_) => {}
        Value::Null => node.value = Value::Table(Vec::new()),
        Value::Broken => return None,
        _ => {
            faults.push(Fault::new(&node.place, path, "must be a table of settings"));
            return None;
        }
    }
    let (kind, preset) = kind(node, name, path, kinds, faults);
    let priority = whole(node, "priority", path, faults);
    let weight = share(node, path, faults);
    let model = text(node, "model", path, faults);
    lengthen(node, path, faults);
    let kind = kinds.of(&kind?)?;
    preset::fill(node, kind.presets(), preset.as_deref(), path, faults);
    let fingerprint = fingerprint(kind.name(), node);
    let settings = kind.read(node, path, &OWN_KEYS, faults)?;
    if let Err(error) = settings.check(name) {
        report(&error, node, path, faults);
    }
    Some(ProviderEntry {
        kind: kind.name().to_owned(),
        priority: priority.unwrap_or(1),
        weight: weight.unwrap_or(1.0),
        model,
        settings,
        fingerprint,
    })
}

/// The kind and the preset that `type` names, else those that the entry's `preset` or its own name stand for.
fn kind(
    node: &mut Node,
    name: &str,
    path: &str,
    kinds: &Kinds,
    faults: &mut Vec<Fault>,
) -> (Option<String>, Option<String>) {
    let known = || kinds.iter().map(super::kind::Kind::name).collect::<Vec<_>>();
    let named = || known().into_iter().chain(kinds.presets());
    let find = |name: &str| match (kinds.of(name), kinds.with_preset(name)) {
        (Some(kind), _) => Some((Some(kind.name().to_owned()), None)),
        (None, Some((kind, preset))) => Some((Some(kind.name().to_owned()), Some(preset.to_owned()))),
        (None, None) => None,
    };
    let Some(said) = node.entry("type").map(|(_, node)| node.place.clone()) else {
        let preset = node.entry("preset").and_then(|(_, node)| match &node.value {
            Value::Text(preset) => kinds.with_preset(preset).map(|(kind, _)| kind.name().to_owned()),
            _ => None,
        });
        if let Some(found) = preset.map(|kind| (Some(kind), None)).or_else(|| find(name)) {
            return found;
        }
        let near = nearest(name, named()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let message = format!("needs a type, one of {}{near}", known().join(", "));
        faults.push(Fault::new(&node.place, join(path, "type"), message));
        return (None, None);
    };
    let Some(kind) = text(node, "type", path, faults) else { return (None, None) };
    if let Some(found) = find(&kind) {
        return found;
    }
    let message = if FEATURES.contains(&kind.as_str()) {
        format!("this build has no {kind}: build with the feature {kind}")
    } else {
        let near = nearest(&kind, named()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!(
            "must be one of {}, got {:?}{near}",
            known().join(", "),
            kind.chars().take(40).collect::<String>()
        )
    };
    faults.push(Fault::new(&said, join(path, "type"), message));
    (None, None)
}

fn text(node: &mut Node, key: &str, path: &str, faults: &mut Vec<Fault>) -> Option<String> {
    let (_, node) = node.take(key)?;
    match node.value {
        Value::Text(text) if !text.trim().is_empty() => return Some(text),
        // `${VAR:-}` leaves it out.
        Value::Text(_) if node.is_filled => return None,
        Value::Broken => return None,
        _ => {}
    }
    faults.push(Fault::new(&node.place, join(path, key), "must be a text that is not empty"));
    None
}

fn whole(node: &mut Node, key: &str, path: &str, faults: &mut Vec<Fault>) -> Option<u32> {
    let (_, node) = node.take(key)?;
    let found =
        number(&node).filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number));
    if found.is_none() && !matches!(node.value, Value::Broken) {
        faults.push(Fault::new(&node.place, join(path, key), "must be a whole number, not below 0"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within bounds")]
    found.map(|number| number as u32)
}

fn share(node: &mut Node, path: &str, faults: &mut Vec<Fault>) -> Option<f64> {
    let (_, node) = node.take("weight")?;
    let found = number(&node);
    if !found.is_some_and(|weight| weight > 0.0) && !matches!(node.value, Value::Broken) {
        let got =
            found.filter(|_| !node.is_filled).map(|weight| format!(", got {weight}")).unwrap_or_default();
        let message = format!("must be a number above 0{got}: leave the provider out to send it nothing");
        faults.push(Fault::new(&node.place, join(path, "weight"), message));
    }
    found.filter(|weight| *weight > 0.0)
}

/// A digest of everything that a runner is made of.
fn fingerprint(kind: &str, node: &Node) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.as_bytes());
    hasher.update(&[0]);
    // Tables of `serde_json` are ordered by key, so the order in the file does not count.
    hasher.update(node.to_json().to_string().as_bytes());
    hasher.finalize()
}
