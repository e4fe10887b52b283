//! What content filters say beside an answer and inside an error.
//!
//! The shapes are Azure's (its documents, read 2026-11-21): an object with a member for every category.

use infer_core::FilterFinding;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Members, Text};

/// The most categories of one answer. Azure has about a dozen.
const MAX_CATEGORIES: usize = 64;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Category<'a> {
    filtered: Option<bool>,
    #[serde(borrow)]
    severity: Text<'a>,
    detected: Option<bool>,
    /// Of block lists, each with a result of its own.
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

/// The findings for one of several prompts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OfPrompt<'a> {
    #[serde(alias = "content_filter_result", borrow)]
    content_filter_results: Option<&'a RawValue>,
}

/// What is known by now, so that only news is handed out: most events repeat what the last one found.
#[derive(Debug, Default)]
pub(crate) struct KnownFindings(Vec<FilterFinding>);

impl KnownFindings {
    /// Takes note of `findings` and gives those that say something new.
    pub(crate) fn news(&mut self, findings: Vec<FilterFinding>) -> Vec<FilterFinding> {
        let is_new = |finding: &FilterFinding| {
            let is_full = self.0.len() >= MAX_CATEGORIES;
            match self.0.iter_mut().find(|known| known.category == finding.category) {
                Some(known) if known == finding => return false,
                Some(known) => known.clone_from(finding),
                None if is_full => return false,
                None => self.0.push(finding.clone()),
            }
            true
        };
        findings.into_iter().filter(is_new).collect()
    }
}

/// Reads `content_filter_results`; what has another shape is left out.
///
/// A filter that did not run has the category `error`, without severity or detection.
pub(crate) fn findings(raw: &RawValue) -> Vec<FilterFinding> {
    let members: Members<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
    members.list.into_iter().filter_map(|(name, raw)| finding(&name, raw)).take(MAX_CATEGORIES).collect()
}

/// Reads `prompt_filter_results`, a list with the findings for each prompt; a chat has one.
pub(crate) fn prompt_findings(raw: &RawValue) -> Vec<FilterFinding> {
    let prompts: Vec<OfPrompt<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    let all = prompts.iter().filter_map(|prompt| prompt.content_filter_results);
    all.flat_map(findings).take(MAX_CATEGORIES).collect()
}

fn finding(name: &str, raw: &RawValue) -> Option<FilterFinding> {
    // Azure's documents write both `self_harm` and `self-harm`.
    let category = name.replace('-', "_");
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let read: Category<'_> = serde_json::from_str(raw.get()).ok()?;
            let filtered = read.filtered.unwrap_or_else(|| read.details.is_some_and(is_any_filtered));
            let mut finding = FilterFinding::new(category, filtered);
            finding.severity = read.severity.into_string();
            finding.detected = read.detected;
            Some(finding)
        }
        // Older versions list the block lists themselves.
        Some(b'[') => Some(FilterFinding::new(category, is_any_filtered(raw))),
        _ => None,
    }
}

fn is_any_filtered(raw: &RawValue) -> bool {
    let parts: Vec<Category<'_>> = serde_json::from_str(raw.get()).unwrap_or_default();
    parts.iter().any(|part| part.filtered == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<FilterFinding> {
        findings(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_shape_of_a_category_is_read_and_no_other_is_guessed() {
        let all = read(
            r#"{"hate":{"filtered":true,"severity":"high"},"jailbreak":{"filtered":false,"detected":true},
            "self-harm":{"filtered":false,"severity":null},"custom_blocklists":{"details":[{"filtered":true,"id":"a"}]},
            "old_blocklists":[{"filtered":false},{"filtered":true}],"error":{"code":"content_filter_error"},
            "number":1,"nothing":null,"odd":{"filtered":"yes"}}"#,
        );
        let seen: Vec<_> = all
            .iter()
            .map(|found| (found.category.as_str(), found.filtered, found.severity.as_deref(), found.detected))
            .collect();
        let expect = [
            ("hate", true, Some("high"), None),
            ("jailbreak", false, None, Some(true)),
            ("self_harm", false, None, None),
            ("custom_blocklists", true, None, None),
            ("old_blocklists", true, None, None),
            ("error", false, None, None),
        ];
        assert_eq!(seen, expect);
        for odd in ["null", "[]", "5", "\"x\"", "[[1]]"] {
            assert_eq!(read(odd), [], "{odd}");
        }
    }

    #[test]
    fn only_news_is_handed_out_and_categories_are_bounded() {
        let mut known = KnownFindings::default();
        let safe = || vec![FilterFinding::new("hate", false), FilterFinding::new("violence", false)];
        assert_eq!(known.news(safe()), safe());
        assert_eq!(known.news(safe()), []);
        let worse = vec![FilterFinding::new("hate", true), FilterFinding::new("violence", false)];
        assert_eq!(known.news(worse), [FilterFinding::new("hate", true)]);
        let many: Vec<_> = (0..1000).map(|at| FilterFinding::new(at.to_string(), false)).collect();
        assert_eq!(known.news(many).len(), MAX_CATEGORIES - 2);
        let large: Vec<_> = (0..1000).map(|at| format!(r#""{at}":{{}}"#)).collect();
        assert_eq!(read(&format!("{{{}}}", large.join(","))).len(), MAX_CATEGORIES);
    }

    #[test]
    fn what_filters_say_of_the_prompt_is_read_by_either_name() {
        for name in ["content_filter_results", "content_filter_result"] {
            let json = format!(r#"[{{"prompt_index":0,"{name}":{{"hate":{{"filtered":false}}}}}},{{}}]"#);
            let found = prompt_findings(serde_json::from_str(&json).unwrap());
            assert_eq!(found, [FilterFinding::new("hate", false)]);
        }
        assert_eq!(prompt_findings(serde_json::from_str("{}").unwrap()), []);
    }
}
