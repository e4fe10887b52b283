//! Any answer on any connection, both of them scripts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use proptest::prelude::*;

use super::*;

/// What a body does when it is asked; waits for ever once it has done all.
#[derive(Clone, Debug)]
enum Said {
    Nothing,
    Data(Vec<u8>),
    Trailers,
    Failure,
    End,
}

struct Script {
    says: VecDeque<Said>,
    /// Whether it says that it is at its end before it is asked.
    knows_its_end: bool,
    _alive: Arc<()>,
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.says.pop_front() {
            None | Some(Said::Nothing) => Poll::Pending,
            Some(Said::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(Said::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Said::Failure) => Poll::Ready(Some(Err(io::Error::other("broken")))),
            Some(Said::End) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && matches!(self.says.front(), Some(Said::End))
    }
}

/// A client: what it sends, and what it takes of what it is sent.
#[derive(Debug, Default)]
struct Client {
    /// Pieces, an empty one being its end; none where nothing has come yet.
    sends: VecDeque<Option<Vec<u8>>>,
    /// How much at a time, none being nothing; all once it has taken so often.
    takes: VecDeque<Option<usize>>,
    /// Whether what it took is passed on only when it is asked again.
    flushes_late: bool,
    is_flushed: bool,
    took: Vec<u8>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(Some(mut piece)) = self.sends.pop_front() else { return Poll::Pending };
        let rest = piece.split_off(piece.len().min(to.remaining()));
        to.put_slice(&piece);
        if !rest.is_empty() {
            self.sends.push_front(Some(rest));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let takes = match self.takes.pop_front() {
            None => data.len(),
            Some(None) => return Poll::Pending,
            Some(Some(takes)) => takes.min(data.len()),
        };
        self.took.extend_from_slice(&data[..takes]);
        self.is_flushed = false;
        Poll::Ready(Ok(takes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_late = self.flushes_late && !self.is_flushed;
        self.is_flushed = true;
        if is_late { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        panic!("not asked for by an answer")
    }
}

/// An answer that does this, and what is dropped with its body.
fn answer(says: &[Said], knows_its_end: bool) -> (Streamed, Arc<()>) {
    let alive = Arc::new(());
    let script = Script { says: says.iter().cloned().collect(), knows_its_end, _alive: Arc::clone(&alive) };
    (Streamed::new(Response::new(Body::new(script)), Then::GoesOn, SystemTime::UNIX_EPOCH), alive)
}

/// Polls to the end, or until nothing can come any more; holds it to its promises on the way.
fn run(mut streamed: Streamed, client: &mut Client, ahead: &mut Vec<u8>) -> Poll<io::Result<()>> {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..2_000 {
        let ended = streamed.poll(client, ahead, &mut cx);
        if ended.is_ready() {
            return ended;
        }
        assert!(streamed.is_held || streamed.out.capacity() == 0, "a silent answer holds memory");
        assert!(streamed.out.len() < ENOUGH + LARGEST + 64, "more is collected than is written");
    }
    Poll::Pending
}

/// The data of a body in chunks, and whether it came to its end; nothing may come after that.
fn decoded(took: &[u8]) -> (Vec<u8>, bool) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let line = |bytes: &[u8]| bytes.windows(2).position(|two| two == b"\r\n").unwrap();
    let mut rest = &took[took.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4..];
    let mut data = Vec::new();
    while !rest.is_empty() {
        let size = usize::from_str_radix(&text(&rest[..line(rest)]), 16).unwrap();
        let chunk = &rest[line(rest) + 2..];
        assert_eq!(&chunk[size..size + 2], b"\r\n");
        data.extend_from_slice(&chunk[..size]);
        rest = &chunk[size + 2..];
        if size == 0 {
            assert_eq!(rest, b"", "something comes after the last chunk");
            return (data, true);
        }
    }
    (data, false)
}

const LARGEST: usize = 3_000;

fn said() -> impl Strategy<Value = Vec<Said>> {
    let data = |size| prop::collection::vec(any::<u8>(), size).prop_map(Said::Data);
    let one = prop_oneof![
        2 => Just(Said::Nothing),
        1 => Just(Said::Data(Vec::new())),
        1 => Just(Said::Trailers),
        4 => data(1..40),
        2 => data(1..LARGEST),
    ];
    prop::collection::vec(one, 0..24)
}

fn data(says: &[Said]) -> Vec<u8> {
    let data =
        says.iter().filter_map(|said| if let Said::Data(data) = said { Some(&data[..]) } else { None });
    data.collect::<Vec<_>>().concat()
}

prop_compose! {
    fn client()(
        sends in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 1..600)), 0..12),
        takes in prop::collection::vec(prop::option::of(1..700_usize), 0..60),
        flushes_late in any::<bool>(),
    ) -> Client {
        Client { sends: sends.into(), takes: takes.into(), flushes_late, ..Client::default() }
    }
}

fn with(mut says: Vec<Said>, last: Said) -> Vec<Said> {
    says.push(last);
    says
}

proptest! {
    #[test]
    fn any_answer_comes_whole_to_any_client_with_one_end_and_what_the_client_sent_is_kept(
        says in said(),
        knows_its_end: bool,
        mut client in client(),
        before in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let sends = client.sends.clone();
        let mut ahead = before.clone();
        let (streamed, alive) = answer(&with(says.clone(), Said::End), knows_its_end);
        prop_assert!(matches!(run(streamed, &mut client, &mut ahead), Poll::Ready(Ok(()))));
        prop_assert_eq!(decoded(&client.took), (data(&says), true));
        prop_assert_eq!(Arc::strong_count(&alive), 1);
        let sent = sends.into_iter().flatten().flatten();
        let kept = ahead.into_iter().chain(client.sends.into_iter().flatten().flatten());
        prop_assert_eq!(kept.collect::<Vec<_>>(), before.into_iter().chain(sent).collect::<Vec<_>>());
    }

    #[test]
    fn an_answer_that_breaks_off_has_no_last_chunk_however_it_is_taken(
        says in said(),
        mut client in client(),
    ) {
        let (streamed, alive) = answer(&with(says.clone(), Said::Failure), false);
        let Poll::Ready(Err(error)) = run(streamed, &mut client, &mut Vec::new()) else {
            return Err(TestCaseError::fail("no error"));
        };
        prop_assert_eq!(error.to_string(), "broken");
        prop_assert_eq!(decoded(&client.took), (data(&says), false));
        prop_assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn a_client_that_leaves_ends_an_answer_in_whatever_it_is_and_the_body_is_dropped(
        says in said(),
        mut client in client(),
        takes_nothing: bool,
    ) {
        if takes_nothing {
            client.takes.extend(std::iter::repeat_n(None, 2_000));
        }
        client.sends.push_back(Some(Vec::new()));
        let (streamed, alive) = answer(&says, false);
        let Poll::Ready(Err(error)) = run(streamed, &mut client, &mut Vec::new()) else {
            return Err(TestCaseError::fail("still served"));
        };
        prop_assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        prop_assert_eq!(Arc::strong_count(&alive), 1);
    }
}

#[test]
fn what_is_there_at_once_goes_out_in_one_write_with_the_head() {
    let (streamed, _alive) =
        answer(&[Said::Data(b"one".to_vec()), Said::Data(b"two".to_vec()), Said::End], true);
    let mut client = Client { takes: [Some(usize::MAX)].into(), ..Client::default() };
    client.takes.extend(std::iter::repeat_n(None, 2_000));
    assert!(matches!(run(streamed, &mut client, &mut Vec::new()), Poll::Ready(Ok(()))));
    assert_eq!(
        String::from_utf8(client.took).unwrap(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n\
         3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    );
}

#[test]
fn a_head_has_the_answers_own_headers_and_its_own_date_and_tells_of_the_connections_end() {
    let answer =
        Response::builder().status(299).header("vary", "a").header("vary", "b").header("date", "then");
    let mut out = Vec::new();
    let day = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
    head(&mut out, &answer.body(Body::empty()).unwrap(), Then::Closes, day);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 299 \r\nvary: a\r\nvary: b\r\ndate: then\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn no_more_is_asked_of_a_body_while_the_client_takes_nothing() {
    let says = vec![Said::Data(vec![b'x'; LARGEST]); 100];
    let (mut streamed, alive) = answer(&says, false);
    let mut client = Client { takes: [None; 100].into(), ..Client::default() };
    let mut cx = Context::from_waker(Waker::noop());
    let mut collected = Vec::new();
    for _ in 0..100 {
        assert!(streamed.poll(&mut client, &mut Vec::new(), &mut cx).is_pending());
        collected.push(streamed.out.len());
    }
    assert!(collected.iter().all(|len| (ENOUGH..ENOUGH + LARGEST + 64).contains(len)), "{collected:?}");
    assert_eq!(collected.first(), collected.last());
    drop(streamed);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn of_requests_that_follow_only_so_much_is_read_until_the_answer_is_over() {
    let (mut streamed, _alive) = answer(&[], false);
    let mut client = Client { sends: vec![Some(vec![b'x'; 700]); 20].into(), ..Client::default() };
    let mut ahead = vec![b'y'; 3];
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..30 {
        assert!(streamed.poll(&mut client, &mut ahead, &mut cx).is_pending());
    }
    assert_eq!(ahead.len(), MOST_AHEAD);
    assert_eq!(client.sends.into_iter().flatten().flatten().count(), 20 * 700 + 3 - MOST_AHEAD);
}
