//! A picture as text: boxes, lines and words that read well on a light screen and on a dark one.
//!
//! Coordinates are whole numbers, so that the same picture is the same text on every machine.

use std::fmt::Write as _;

/// Colours and letters. A picture stands on a card of its own, since the page around it may have any colour.
const STYLE: &str = "\
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; fill: #1f2328 }
  .card { fill: #ffffff; stroke: #d1d9e0 }
  .box { fill: #f6f8fa; stroke: #8c959f }
  .end { fill: #ddf4ff; stroke: #0969da }
  .band { fill: none; stroke: #8c959f; stroke-dasharray: 5 4 }
  .floor { fill: #f6f8fa; stroke: none }
  .title { font-weight: 600; font-size: 14px }
  .note, .label { fill: #59636e }
  .label { font-size: 12px }
  .mark { fill: #bc4c00; font-weight: 600 }
  .line { fill: none; stroke: #59636e; stroke-width: 1.5 }
  .faint { fill: none; stroke: #8c959f; stroke-width: 1.2 }
  .again { fill: none; stroke: #0969da; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .commit { stroke: #bc4c00; stroke-width: 2.5 }
  .tip { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .card { fill: #0d1117; stroke: #3d444d }
    .box { fill: #212830; stroke: #656c76 }
    .end { fill: #121d2f; stroke: #4493f8 }
    .band { stroke: #656c76 }
    .floor { fill: #151b23 }
    .note, .label { fill: #9198a1 }
    .mark { fill: #f0883e }
    .line { stroke: #9198a1 }
    .faint { stroke: #656c76 }
    .again { stroke: #4493f8 }
    .commit { stroke: #f0883e }
    .tip { fill: #9198a1 }
  }
";

/// Where something stands: its upper left corner and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Area {
    pub(super) const fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self { x, y, width, height }
    }

    #[cfg(test)]
    pub(super) const fn right(self) -> i32 {
        self.x + self.width
    }

    pub(super) const fn bottom(self) -> i32 {
        self.y + self.height
    }

    /// The middle of its width.
    pub(super) const fn middle(self) -> i32 {
        self.x + self.width / 2
    }

    /// Whether the two share a point.
    #[cfg(test)]
    pub(super) const fn meets(self, other: Self) -> bool {
        self.x <= other.right()
            && other.x <= self.right()
            && self.y <= other.bottom()
            && other.y <= self.bottom()
    }
}

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Drawing {
    width: i32,
    height: i32,
    title: &'static str,
    description: String,
    body: String,
    /// Every box drawn, for those who ask whether they overlap.
    boxes: Vec<Area>,
}

impl Drawing {
    /// An empty picture. Title and description are read aloud to those who do not see it.
    pub(super) fn new(width: i32, height: i32, title: &'static str, description: String) -> Self {
        Self { width, height, title, description, body: String::new(), boxes: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn boxes(&self) -> &[Area] {
        &self.boxes
    }

    /// A shape behind others: a band or a floor.
    pub(super) fn shape(&mut self, area: Area, class: &str) {
        let Area { x, y, width, height } = area;
        _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>"
        );
    }

    /// A box with a title in the middle and, below it, a line that explains it; without one where `note` is empty.
    pub(super) fn panel(&mut self, area: Area, class: &str, title: &str, note: &str) {
        self.boxes.push(area);
        self.shape(area, class);
        let middle = area.y + area.height / 2;
        let first = if note.is_empty() { middle + 5 } else { middle - 4 };
        self.words(area.middle(), first, "title", "middle", title);
        if !note.is_empty() {
            self.words(area.middle(), middle + 15, "note", "middle", note);
        }
    }

    /// A line of text whose `anchor` (`start`, `middle`, `end`) stands at a point of its base line.
    pub(super) fn words(&mut self, x: i32, y: i32, class: &str, anchor: &str, text: &str) {
        _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        );
    }

    /// A line of text that runs upwards through a point.
    pub(super) fn upright(&mut self, x: i32, y: i32, class: &str, text: &str) {
        _ = writeln!(
            self.body,
            "<text class=\"{class}\" transform=\"translate({x} {y}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(text)
        );
    }

    /// A path through `points`, straight from one to the next; with a tip at its end for classes other than `commit`.
    pub(super) fn line(&mut self, points: &[(i32, i32)], class: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x} {y}")).collect();
        let tip = if class == "commit" { "" } else { " marker-end=\"url(#tip)\"" };
        _ = writeln!(self.body, "<path class=\"{class}\" d=\"M{}\"{tip}/>", path.join(" L"));
    }

    /// A curve through `points`, which leaves and reaches each of them upright.
    pub(super) fn curve(&mut self, points: &[(i32, i32)], class: &str) {
        let Some((start, rest)) = points.split_first() else { return };
        let mut path = format!("M{} {}", start.0, start.1);
        let mut from = *start;
        for to in rest {
            let half = i32::midpoint(from.1, to.1);
            _ = write!(path, " C{} {half},{} {half},{} {}", from.0, to.0, to.0, to.1);
            from = *to;
        }
        _ = writeln!(self.body, "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#tip)\"/>");
    }

    /// The whole file.
    pub(super) fn finish(&self) -> String {
        let Self { width, height, title, description, body, .. } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">\n\
             <!-- Drawn by cargo xtask docs; do not edit. -->\n\
             <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n<style>\n{STYLE}</style>\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto-start-reverse\"><path class=\"tip\" d=\"M0 0 L8 4 L0 8 z\"/></marker></defs>\n\
             <rect class=\"card\" x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" rx=\"12\"/>\n{body}</svg>\n",
            escaped(title),
            escaped(description),
            width - 2,
            height - 2,
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// About how wide a line of text is, in the letters of notes.
#[cfg(test)]
pub(super) fn width_of(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX).saturating_mul(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_break_out_of_the_picture() {
        let mut drawing = Drawing::new(10, 10, "a < b", "c & d".to_owned());
        drawing.words(1, 1, "note", "start", "</text><script>");
        let text = drawing.finish();
        assert!(text.contains("<title id=\"title\">a &lt; b</title>"), "{text}");
        assert!(text.contains(">&lt;/text&gt;&lt;script&gt;</text>"), "{text}");
    }

    /// As XML wants it, or browsers show nothing of the picture.
    #[test]
    fn no_comment_has_two_hyphens_in_it() {
        let text = Drawing::new(10, 10, "", String::new()).finish();
        let comments: Vec<&str> =
            text.split("<!--").skip(1).filter_map(|rest| rest.split("-->").next()).collect();
        assert_eq!(comments.len(), 1);
        assert!(comments.iter().all(|comment| !comment.contains("--")), "{comments:?}");
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let mut drawing = Drawing::new(10, 10, "", String::new());
        drawing.curve(&[(1, 2), (3, 10), (5, 20)], "line");
        assert!(
            drawing.finish().contains("d=\"M1 2 C1 6,3 6,3 10 C3 15,5 15,5 20\""),
            "{}",
            drawing.finish()
        );
    }
}
