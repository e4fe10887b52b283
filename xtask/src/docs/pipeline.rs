//! The picture of one call: down to the upstream on the left, back to the caller on the right.

use super::svg::{Area, Drawing};

const LEFT: i32 = 28;
const COLUMN: i32 = 320;
const RIGHT: i32 = 432;
const BOX: i32 = 50;
const STEP: i32 = 72;
const TOP: i32 = 112;
const WIDTH: i32 = 780;

/// What happens on the way there, in order: a title and what it is for. The last [`ATTEMPT`] of them happen again with
/// every attempt.
const THERE: [(&str, &str); 8] = [
    ("Ledger: a place for its row", "before anything is spent"),
    ("Cache", "an equal call is answered here, free"),
    ("Router", "a route chooses among its targets"),
    ("Budget", "reserves now, is settled by what was used"),
    ("Breaker", "is this upstream well enough to ask?"),
    ("Limits", "requests, tokens, calls: waits its turn"),
    ("Session", "the key, read as late as possible"),
    ("Transport", "one request; redirects are refused"),
];

const ATTEMPT: usize = 4;

/// What happens on the way back, from the upstream upwards, each at the height of a step on the way there.
const BACK: [(usize, &str, &str); 5] = [
    (7, "Status", "a refusal becomes one error of one kind"),
    (6, "Framing", "bytes become events, each with a limit"),
    (5, "Codec", "events become pieces of an answer"),
    (3, "Stream", "piece by piece; exactly one honest end"),
    (2, "Meter", "tokens, cost, times and how it ended"),
];

/// The step on the way there at whose height the commit point stands.
const COMMIT: usize = 4;

/// Draws it.
pub(super) fn drawing() -> Drawing {
    let height = TOP + STEP * 8 + 84;
    let mut picture = Drawing::new(WIDTH, height, "The path of one call", description());
    let caller = Area::new(LEFT, 24, RIGHT + COLUMN - LEFT, 44);
    let upstream = Area::new(LEFT, TOP + STEP * 8 + 16, RIGHT + COLUMN - LEFT, 44);
    let band = Area::new(LEFT - 8, row(THERE.len() - ATTEMPT) - 28, COLUMN + 16, STEP * 4 + 14);
    picture.shape(band, "band");
    picture.words(LEFT, band.y + 18, "label", "start", "each attempt");
    picture.panel(caller, "end", "Caller", "");
    picture.panel(upstream, "end", "Upstream", "");
    way_there(&mut picture, caller, upstream);
    way_back(&mut picture, caller, upstream);
    ways_round(&mut picture);
    commit_point(&mut picture);
    picture
}

fn row(step: usize) -> i32 {
    let step = i32::try_from(step).unwrap_or_default();
    // Room for the caption of the band.
    TOP + STEP * step + if step >= 4 { 16 } else { -6 }
}

fn left(step: usize) -> Area {
    Area::new(LEFT, row(step), COLUMN, BOX)
}

fn right(step: usize) -> Area {
    Area::new(RIGHT, row(step), COLUMN, BOX)
}

fn way_there(picture: &mut Drawing, caller: Area, upstream: Area) {
    let mut from = caller.bottom();
    let x = left(0).middle();
    for (step, (title, note)) in THERE.iter().enumerate() {
        let area = left(step);
        picture.line(&[(x, from), (x, area.y)], "line");
        picture.panel(area, "box", title, note);
        from = area.bottom();
    }
    picture.line(&[(x, from), (x, upstream.y)], "line");
}

fn way_back(picture: &mut Drawing, caller: Area, upstream: Area) {
    let mut from = upstream.y;
    let x = right(0).middle();
    for (step, title, note) in BACK {
        let area = right(step);
        picture.line(&[(x, from), (x, area.bottom())], "line");
        picture.panel(area, "box", title, note);
        from = area.y;
    }
    picture.line(&[(x, from), (x, caller.bottom())], "line");
}

/// Between the columns: what becomes of an error before the commit point, and where rows and answers are kept.
fn ways_round(picture: &mut Drawing) {
    let edge = LEFT + COLUMN;
    let status = right(7);
    let middle = |area: Area| area.y + area.height / 2;
    let (retry, other) = (edge + 34, edge + 58);
    let mut round = |lane: i32, from: i32, step: usize, to: i32| {
        let (from, to) = (middle(status) + from, middle(left(step)) + to);
        picture.line(&[(RIGHT, from), (lane, from), (lane, to), (edge, to)], "again");
    };
    round(retry, 10, 4, 0);
    round(other, -10, 2, 12);
    let caption = middle(left(6)) - 36;
    picture.upright(retry - 6, caption, "label", "try again, after a wait");
    picture.upright(other + 15, caption, "label", "ask another target");
    let (meter, ledger) = (middle(right(2)) - 12, middle(left(0)));
    picture.line(&[(RIGHT, meter), (retry, meter), (retry, ledger), (edge, ledger)], "line");
    picture.upright(retry + 15, i32::midpoint(meter, ledger), "label", "its row");
}

fn commit_point(picture: &mut Drawing) {
    let y = row(COMMIT) + BOX / 2;
    picture.line(&[(RIGHT - 8, y), (RIGHT + COLUMN + 8, y)], "commit");
    let beside = right(0).middle() + 14;
    picture.words(RIGHT, y - 10, "mark", "start", "Commit point");
    picture.words(RIGHT, y + 20, "label", "start", "the first content");
    picture.words(beside, y - 10, "label", "start", "after it: never repeated");
    picture.words(beside, y + 20, "label", "start", "before it: no trace left");
}

fn description() -> String {
    let titles = |titles: Vec<&str>| titles.join(", ");
    format!(
        "From the caller down to the upstream: {}. The last {ATTEMPT} happen with every attempt. From the upstream back to the \
         caller: {}. The commit point is the first content and stands between the codec and the stream: before it a call \
         may be tried again or sent to another target, after it never.",
        titles(THERE.iter().map(|(title, _)| *title).collect()),
        titles(BACK.iter().map(|(_, title, _)| *title).collect()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::svg::width_of;
    use super::*;

    #[test]
    fn boxes_stand_apart_and_their_words_fit() {
        let picture = drawing();
        let boxes = picture.boxes();
        assert_eq!(boxes.len(), THERE.len() + BACK.len() + 2);
        for (place, one) in boxes.iter().enumerate() {
            assert!(
                boxes.iter().skip(place + 1).all(|other| !one.meets(*other)),
                "{one:?} lies over another box"
            );
        }
        for note in THERE.iter().map(|(_, note)| note).chain(BACK.iter().map(|(_, _, note)| note)) {
            assert!(width_of(note) < COLUMN, "{note} is too long");
        }
    }

    #[test]
    fn the_commit_point_stands_between_the_codec_and_the_stream() {
        let line = row(COMMIT) + BOX / 2;
        assert!(BACK.iter().filter(|(_, title, _)| *title == "Codec").all(|(step, ..)| row(*step) > line));
        assert!(
            BACK.iter()
                .filter(|(_, title, _)| *title == "Stream")
                .all(|(step, ..)| right(*step).bottom() < line)
        );
    }
}
