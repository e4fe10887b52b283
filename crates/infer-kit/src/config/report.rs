//! Puts the faults that checks of settings find to the places of the values they name.

use infer_core::InferenceError;

use super::fault::Fault;
use super::tree::{Node, join};
use super::trouble::{one_line, scrub, scrub_filled};

/// Reports `error` about what was read from `node` at `path`. A configuration error is a list of faults.
pub(crate) fn report(error: &InferenceError, node: &Node, path: &str, faults: &mut Vec<Fault>) {
    match error {
        InferenceError::Config { what } => {
            for piece in pieces(what) {
                report_one(piece, node, path, faults);
            }
        }
        _ => faults.push(Fault::new(&node.place, path, one_line(&error.to_string()))),
    }
}

/// Reports one fault that begins with the path of what it is about, seen from `node`.
pub(crate) fn report_one(fault: &str, node: &Node, path: &str, faults: &mut Vec<Fault>) {
    let (below, message) = split(fault, node);
    let below = &below.replace('"', "");
    let mut found = node.nearest(below);
    if below == "endpoint" && !found.is_there && node.entry("base_url").is_some() {
        found = node.nearest("base_url");
    }
    let wrong = found.node;
    // What was wrong already stands there as its default, and faults that follow from it are none.
    if wrong.is_spoiled() {
        return;
    }
    let mut message = one_line(message);
    if found.is_there && wrong.is_filled {
        message.truncate(message.find(", got ").unwrap_or(message.len()));
        scrub(&mut message, wrong);
    }
    scrub_filled(&mut message, wrong);
    let whole = match &wrong.written_as {
        Some(written) if found.is_there => written.to_string(),
        _ if found.path.is_empty() => path.to_owned(),
        _ => join(path, &found.path),
    };
    faults.push(Fault::new(&wrong.place, whole, message));
}

/// The path that a fault begins with, and what it says. Names in paths can hold anything, so the tree is asked first.
fn split<'f>(fault: &'f str, node: &Node) -> (&'f str, &'f str) {
    if fault.starts_with(BASE_URL) {
        return ("endpoint", fault);
    }
    let cut = |at: usize| Some((fault.get(..at)?, fault.get(at + 2..)?));
    let exact = fault.match_indices(": ").take(8).filter_map(|(at, _)| cut(at));
    let exact = exact.filter(|(path, _)| !path.is_empty()).find(|(path, _)| node.nearest(path).is_there);
    exact.or_else(|| cut(head(fault)?)).unwrap_or(("", fault))
}

/// How the fault of a base URL begins, which has no path.
const BASE_URL: &str = "base URL ";

/// The faults in a list that is parted by `; `, as `validate()` of all settings writes it. A part that begins with no
/// path belongs to the one before.
fn pieces(what: &str) -> Vec<&str> {
    let mut starts = vec![0];
    starts.extend(what.match_indices("; ").map(|(at, _)| at + 2).filter(|at| {
        let rest = what.get(*at..).unwrap_or_default();
        head(rest).is_some() || rest.starts_with(BASE_URL)
    }));
    let ends = starts.iter().skip(1).map(|start| start - 2).chain([what.len()]);
    starts.iter().copied().zip(ends).filter_map(|(start, end)| what.get(start..end)).collect()
}

/// Where the path ends that `text` begins with.
fn head(text: &str) -> Option<usize> {
    let is_path = |path: &str| {
        path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/*[]".contains(&byte))
            && path.starts_with(|c: char| c.is_ascii_lowercase())
    };
    // A header's name may hold anything.
    if let Some(at) = text.find("headers.\"").filter(|at| *at == 0 || text.get(..*at).is_some_and(is_path)) {
        return Some(at + text.get(at..)?.find("\": ")? + 1);
    }
    let at = text.find(": ")?;
    is_path(text.get(..at)?).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_check_are_told_apart_although_they_share_their_separator() {
        let what = "retry.attempts: must be at least 1, got 0; leave it out for no limit; timeouts.total: must be above \
                    0s; base URL \"x\": must begin with http; headers.\"a b\": no header; price_overrides.gpt-4.1: bad";
        assert_eq!(
            pieces(what),
            [
                "retry.attempts: must be at least 1, got 0; leave it out for no limit",
                "timeouts.total: must be above 0s",
                "base URL \"x\": must begin with http",
                "headers.\"a b\": no header",
                "price_overrides.gpt-4.1: bad",
            ]
        );
    }
}
