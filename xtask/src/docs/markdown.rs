//! What matters of a page for those who link to it: its headings, and where its own links lead.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A page as far as links go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// What can stand after `#` in a link to it.
    pub(super) anchors: BTreeSet<String>,
    /// Its links and pictures, in order.
    pub(super) links: Vec<Link>,
}

/// A link or a picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) target: String,
    /// Counted from 0.
    pub(super) line: usize,
    /// Where it stands in the text, its words included.
    pub(super) span: Range<usize>,
}

/// Reads a page. Code is not looked into.
pub(super) fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut heading: Option<String> = None;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let breaks: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    for (event, span) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor_of(&heading.take().unwrap_or_default());
                let before = seen.entry(anchor.clone()).and_modify(|count| *count += 1).or_default();
                page.anchors.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                let line = breaks.partition_point(|at| *at < span.start);
                page.links.push(Link { target: dest_url.into_string(), line, span });
            }
            _ => {}
        }
    }
    page
}

/// The anchor of a heading, as both GitHub and mdBook make it.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_become_anchors_and_the_second_of_a_name_gets_a_number() {
        let page =
            read("# Who `may` look?\n\n## Keys & budgets\n\n## Keys & budgets\n\n```\n# no heading\n```\n");
        let anchors: Vec<&str> = page.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["keys--budgets", "keys--budgets-1", "who-may-look"]);
    }

    #[test]
    fn links_and_pictures_are_found_with_their_line_and_code_is_not_looked_into() {
        let page = read("a\n[b](c.md#d) ![e](f.png)\n`[g](h)`\n\n[i]\n\n[i]: j.md\n");
        let found: Vec<(&str, usize)> =
            page.links.iter().map(|link| (link.target.as_str(), link.line)).collect();
        assert_eq!(found, [("c.md#d", 1), ("f.png", 1), ("j.md", 4)]);
    }
}
