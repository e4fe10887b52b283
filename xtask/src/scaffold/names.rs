//! The name of a provider, in the four spellings that code, crates and variables want.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, bail};

/// Long enough for every vendor, short enough for a line of code.
const MAX: usize = 32;
/// What templates call the vendor.
const VENDOR: &str = "acme";
/// What templates call today.
const TODAY: &str = "2000-01-01";

/// A name such as `my-cloud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = if text.is_empty() {
            "is empty"
        } else if text.len() > MAX {
            "is longer than 32 characters"
        } else if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            "does not begin with a letter from a to z"
        } else if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            "holds something else than a to z, digits and hyphens"
        } else if text.ends_with('-') || text.contains("--") {
            "has a hyphen that joins nothing"
        } else {
            return Ok(Self(text.to_owned()));
        };
        bail!("the name {text:?} {fault}: write it like `mistral` or `my-cloud`")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// `MyCloud`.
    pub(super) fn pascal(&self) -> String {
        let words = self.0.split('-').map(|word| {
            let (first, rest) = word.split_at(1); // one byte: every letter is ASCII
            first.to_ascii_uppercase() + rest
        });
        words.collect()
    }

    /// `my_cloud`.
    pub(super) fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `template` with this name in place of the vendor's, and `today` in place of the day it was read.
    ///
    /// Crates joined by `_` get the snake spelling, so `runtime-acme` and `runtime_acme` both stay one crate.
    pub(super) fn write_into(&self, template: &str, today: &str) -> String {
        let marks = [
            (format!("_{VENDOR}"), format!("_{}", self.snake())),
            (VENDOR.to_owned(), self.0.clone()),
            ("Acme".to_owned(), self.pascal()),
            (VENDOR.to_ascii_uppercase(), self.snake().to_ascii_uppercase()),
            (TODAY.to_owned(), today.to_owned()),
        ];
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        // In one pass: a name may hold the vendor's.
        while let Some(next) = rest.chars().next() {
            let found = marks.iter().find_map(|(mark, own)| Some((rest.strip_prefix(mark.as_str())?, own)));
            if let Some((after, own)) = found {
                text.push_str(own);
                rest = after;
            } else {
                text.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused_with_the_name_and_the_way_out() {
        let long = "x".repeat(MAX + 1);
        for bad in
            ["", "9lives", "-x", "My-Cloud", "my_cloud", "my cloud", "x-", "a--b", "müll", "../x", &long]
        {
            let error = bad.parse::<Name>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("{bad:?}")) && error.contains("write it like `mistral`"),
                "{error}"
            );
        }
        for good in ["x", "mistral", "my-cloud", "x9", "acme", "a-1"] {
            assert_eq!(name(good).to_string(), good);
        }
    }

    #[test]
    fn every_spelling_of_the_vendor_is_replaced_by_that_of_the_name() {
        let template = "runtime-acme runtime_acme AcmeConfig ACME_KEY \"acme\" read 2000-01-01";
        let expect =
            "runtime-my-cloud runtime_my_cloud MyCloudConfig MY_CLOUD_KEY \"my-cloud\" read 2026-11-21";
        assert_eq!(name("my-cloud").write_into(template, "2026-11-21"), expect);
    }

    #[test]
    fn a_name_that_holds_the_vendors_is_written_once() {
        let written = name("acme-two").write_into("runtime_acme Acme acme", "2026-11-21");
        assert_eq!(written, "runtime_acme_two AcmeTwo acme-two");
    }
}
