//! What a content filter found.

/// What content filters found in a request and in an answer, by category. Empty where there is none, or it said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filters {
    /// In the request.
    pub prompt: Vec<FilterFinding>,
    /// In the answer; of a stream, the last word on each category.
    pub answer: Vec<FilterFinding>,
}

/// What a content filter found in one category.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterFinding {
    /// The category: `hate`, `jailbreak`, `protected_material_text`.
    pub category: String,
    /// Whether something was held back for it.
    pub filtered: bool,
    /// How bad it is: `safe`, `low`, `medium` or `high`.
    pub severity: Option<String>,
    /// Whether it was found at all, for categories that have no severity.
    pub detected: Option<bool>,
}

impl FilterFinding {
    /// A category in which something was held back or not.
    pub fn new(category: impl Into<String>, filtered: bool) -> Self {
        Self { category: category.into(), filtered, severity: None, detected: None }
    }
}

impl Filters {
    /// Takes over later findings: a category found again replaces what was known of it.
    pub fn learn(&mut self, later: &Self) {
        update(&mut self.prompt, &later.prompt);
        update(&mut self.answer, &later.answer);
    }

    /// The categories in which something was held back, first of the request, then of the answer.
    pub fn filtered(&self) -> impl Iterator<Item = &str> {
        let all = self.prompt.iter().chain(&self.answer);
        all.filter(|finding| finding.filtered).map(|finding| finding.category.as_str())
    }

    /// Whether no filter said anything.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.answer.is_empty()
    }
}

fn update(known: &mut Vec<FilterFinding>, later: &[FilterFinding]) {
    for finding in later {
        match known.iter_mut().find(|other| other.category == finding.category) {
            Some(other) => other.clone_from(finding),
            None => known.push(finding.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_a_category_stands_and_the_others_stay() {
        let mut known = Filters::default();
        known.answer = vec![FilterFinding::new("hate", false), FilterFinding::new("violence", false)];
        let mut later = Filters::default();
        later.answer = vec![FilterFinding::new("hate", true)];
        later.prompt = vec![FilterFinding::new("jailbreak", true)];
        known.learn(&later);
        assert_eq!(known.filtered().collect::<Vec<_>>(), ["jailbreak", "hate"]);
        assert_eq!(known.answer.len(), 2);
    }
}
