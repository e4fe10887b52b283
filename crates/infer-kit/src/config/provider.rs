//! One provider's entry.

use std::sync::Arc;

use infer_core::InferenceError;

use super::fault::Fault;
use super::kind::{FEATURES, Kinds, Settings};
use super::known::nearest;
use super::shorthand::{lengthen, number};
use super::tree::{Node, Value, join};
use super::trouble::{one_line, scrub};

/// What every kind of provider understands here, beside its own settings.
pub(crate) const OWN_KEYS: [&str; 7] =
    ["type", "priority", "weight", "model", "timeout", "max_retries", "rate_limit"];

/// A provider as the configuration describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderEntry {
    /// The kind of provider: `openai`.
    pub kind: String,
    /// Where it stands among providers that can serve the same model: those with the lowest number are asked first. 0.
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
    let kind = kind(node, name, path, kinds, faults);
    let priority = whole(node, "priority", path, faults);
    let weight = share(node, path, faults);
    let model = text(node, "model", path, faults);
    lengthen(node, path, faults);
    let kind = kinds.of(&kind?)?;
    let fingerprint = fingerprint(kind.name(), node);
    let settings = kind.read(node, path, &OWN_KEYS, faults)?;
    if let Err(error) = settings.check(name) {
        report(&error, node, path, faults);
    }
    Some(ProviderEntry {
        kind: kind.name().to_owned(),
        priority: priority.unwrap_or(0),
        weight: weight.unwrap_or(1.0),
        model,
        settings,
        fingerprint,
    })
}

/// The kind: what `type` says, else the entry's name if there is such a kind.
fn kind(node: &mut Node, name: &str, path: &str, kinds: &Kinds, faults: &mut Vec<Fault>) -> Option<String> {
    let known = || kinds.iter().map(super::kind::Kind::name).collect::<Vec<_>>();
    let Some(said) = node.entry("type").map(|(_, node)| node.place.clone()) else {
        if kinds.of(name).is_some() {
            return Some(name.to_owned());
        }
        let near = nearest(name, known()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let message = format!("needs a type, one of {}{near}", known().join(", "));
        faults.push(Fault::new(&node.place, join(path, "type"), message));
        return None;
    };
    let kind = text(node, "type", path, faults)?;
    if kinds.of(&kind).is_some() {
        return Some(kind);
    }
    let message = if FEATURES.contains(&kind.as_str()) {
        format!("this build has no {kind}: build with the feature {kind}")
    } else {
        let near = nearest(&kind, known()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!(
            "must be one of {}, got {:?}{near}",
            known().join(", "),
            kind.chars().take(40).collect::<String>()
        )
    };
    faults.push(Fault::new(&said, join(path, "type"), message));
    None
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

/// Puts the faults of a check to the values that they name.
pub(crate) fn report(error: &InferenceError, node: &Node, path: &str, faults: &mut Vec<Fault>) {
    let InferenceError::Config { what } = error else {
        faults.push(Fault::new(&node.place, path, one_line(&error.to_string())));
        return;
    };
    for (below, message) in pieces(what) {
        let below = &below.replace('"', "");
        let (wrong, is_there) = node.nearest(below);
        let (wrong, is_there) = match (is_there, below.as_str()) {
            (false, "endpoint") => node.nearest("base_url"),
            _ => (wrong, is_there),
        };
        // What was wrong already stands there as its default, and faults that follow from it are none.
        if wrong.is_spoiled() {
            continue;
        }
        let mut message = one_line(message);
        if is_there && wrong.is_filled {
            message.truncate(message.find(", got ").unwrap_or(message.len()));
            scrub(&mut message, wrong);
        }
        let below = if below == "endpoint" && node.entry("base_url").is_some() { "base_url" } else { below };
        let whole = wrong.written_as.as_deref().map_or_else(|| join_all(path, below), str::to_owned);
        faults.push(Fault::new(&wrong.place, whole, message));
    }
}

fn join_all(path: &str, below: &str) -> String {
    if below.is_empty() { path.to_owned() } else { join(path, below) }
}

/// `path: message` of each fault in a list that is parted by `; `, as `validate()` of all settings writes it. A part
/// that begins with no path belongs to the one before.
fn pieces(what: &str) -> Vec<(&str, &str)> {
    let mut starts = vec![0];
    starts.extend(what.match_indices("; ").map(|(at, _)| at + 2).filter(|at| {
        let rest = what.get(*at..).unwrap_or_default();
        head(rest).is_some() || rest.starts_with("base URL ")
    }));
    let ends = starts.iter().skip(1).map(|start| start - 2).chain([what.len()]);
    let piece = |(start, end): (usize, usize)| {
        let piece = what.get(start..end)?;
        Some(match head(piece) {
            Some(at) => (piece.get(..at)?, piece.get(at + 2..)?),
            None if piece.starts_with("base URL ") => ("endpoint", piece),
            None => ("", piece),
        })
    };
    starts.iter().copied().zip(ends).filter_map(piece).collect()
}

/// Where the path ends that `text` begins with.
fn head(text: &str) -> Option<usize> {
    if text.starts_with("headers.\"") {
        return text.find("\": ").map(|at| at + 1);
    }
    let at = text.find(": ")?;
    let path = text.get(..at)?;
    let is_path = !path.is_empty()
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte))
        && path.starts_with(|c: char| c.is_ascii_lowercase());
    is_path.then_some(at)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_check_are_told_apart_although_they_share_their_separator() {
        let what = "retry.attempts: must be at least 1, got 0; leave it out for no limit; timeouts.total: must be above \
                    0s; base URL \"x\": must begin with http; headers.\"a b\": no header; price_overrides.gpt-4.1: bad";
        let pieces = pieces(what);
        let paths: Vec<_> = pieces.iter().map(|(path, _)| *path).collect();
        let expect =
            ["retry.attempts", "timeouts.total", "endpoint", "headers.\"a b\"", "price_overrides.gpt-4.1"];
        assert_eq!(paths, expect);
        assert_eq!(pieces[0].1, "must be at least 1, got 0; leave it out for no limit");
    }
}
