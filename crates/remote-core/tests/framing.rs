//! Framing against two other readers, at every split.

#![expect(clippy::unwrap_used, reason = "a test")]

use bytes::Bytes;
use eventsource_stream::Eventsource as _;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use proptest::prelude::*;
use remote_core::sse::{FrameError, Framer};

type Events = Vec<(String, String)>;

fn ours(bytes: &[u8], cuts: &[usize]) -> Result<Events, FrameError> {
    let mut framer = Framer::new(1 << 20);
    let mut events = Vec::new();
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut before = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        framer.push(rest.split_to(cut - before));
        before = cut;
        while let Some(event) = framer.next_event()? {
            events.push((event.name, String::from_utf8(event.data.to_vec()).unwrap()));
        }
    }
    // Events without data are told to the decoder, which ignores them; other readers leave some of them out.
    events.retain(|(_, data)| !data.is_empty());
    Ok(events)
}

/// eventsource-stream, fed as it likes it: whole, in LF, and not with a mark first.
fn crate_of_the_slow_path(text: &str) -> Events {
    let polite = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let events = stream::iter([Ok::<_, std::convert::Infallible>(format!("\n{polite}"))]).eventsource();
    let name = |name: String| if name == "message" { String::new() } else { name };
    let events: Vec<_> = events.map(|event| event.unwrap()).collect().now_or_never().unwrap();
    events
        .into_iter()
        .map(|event| (name(event.event), event.data))
        .filter(|(_, data)| !data.is_empty())
        .collect()
}

/// sse-stream, which shares no code with the other two.
fn second_oracle(text: &str) -> Events {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let body = stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let events: Vec<_> = sse_stream::SseStream::from_bytes_stream(body)
        .map(|event| event.unwrap())
        .collect()
        .now_or_never()
        .unwrap();
    let name = |name: Option<String>| name.filter(|name| name != "message").unwrap_or_default();
    events
        .into_iter()
        .filter_map(|event| Some((name(event.event), event.data?)))
        .filter(|(_, data)| !data.is_empty())
        .collect()
}

/// Lines a stream is made of, the strange ones too.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "data: ?[ -~]{0,12}",
        2 => "data: ?\\{[^\r\n\u{0}]{0,10}\\}",
        2 => Just(String::new()),
        1 => ": ?[a-z ]{0,8}",
        1 => "event: ?[a-z]{1,6}",
        1 => "(id|retry): ?[0-9]{0,3}",
        1 => "data",
        // A mark that is not the stream's first is a part of its line.
        1 => "\u{feff}(data|event): ?[a-z]{0,4}",
        1 => "[a-z]{0,6}(: ?[a-z]{0,4})?",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\r"]);
    (any::<bool>(), prop::collection::vec((line(), end), 0..24)).prop_map(|(mark, lines)| {
        let mark = if mark { "\u{feff}" } else { "" };
        lines.iter().fold(mark.to_owned(), |text, (line, end)| text + line + end)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// All three readers agree.
    #[test]
    fn three_readers_agree(text in text()) {
        let found = ours(text.as_bytes(), &[]).unwrap();
        prop_assert_eq!(&found, &crate_of_the_slow_path(&text));
        prop_assert_eq!(&found, &second_oracle(&text));
    }

    /// How the bytes are cut on the way does not matter.
    #[test]
    fn cuts_do_not_matter(text in text(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(ours(text.as_bytes(), &cuts), ours(text.as_bytes(), &[]));
    }

    /// Whatever a stranger sends, cut anywhere, gives events or an error, and the same ones.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..200), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(bytes.len() + 1);
        prop_assert_eq!(ours(&bytes, &[cut]), ours(&bytes, &[]));
    }
}

/// One event of 4 MiB in small reads, and 20,000 small ones in one read: the two inputs on which a naive reader takes
/// seconds. Counted in steps, not in time: the framer must look at every byte about once.
#[test]
fn large_inputs_are_read_in_one_pass() {
    let mut framer = Framer::new(8 << 20);
    let data = "x".repeat(4 << 20);
    let event = Bytes::from(format!("data: {data}\n\n"));
    let mut found = 0;
    for start in (0..event.len()).step_by(1400) {
        framer.push(event.slice(start..event.len().min(start + 1400)));
        while let Some(event) = framer.next_event().unwrap() {
            assert_eq!(event.data.len(), data.len());
            found += 1;
        }
    }
    framer.push(Bytes::from("data: {}\n\n".repeat(20_000)));
    while framer.next_event().unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, 20_001);
}
