//! Heads: that of a request as it is sent, that of a response as it is read.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use memchr::memmem;

use super::fault::Fault;
use super::framing::Framing;

/// The most that comes before a body, 1xx responses included.
pub(super) const LONGEST: usize = 64 << 10;
/// The most header lines.
const LINES: usize = 128;

/// The length of most heads, at most.
pub(super) const USUAL: usize = 512;

/// Writes the head of `request`. How its body is delimited is said here, whatever its headers say of that.
pub(super) fn write(request: &Request<Bytes>, head: &mut Vec<u8>) {
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    put(&[request.method().as_str().as_bytes(), b" "]);
    put(&[request.uri().path_and_query().map_or("/", |path| path.as_str()).as_bytes(), b" HTTP/1.1\r\n"]);
    for (name, value) in request.headers() {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    let length = request.body().len();
    if length > 0 || matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
        put(&[b"content-length: ", length.to_string().as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n"]);
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether another request may follow on the connection.
    pub(super) keeps: bool,
}

/// Where the head at the start of `bytes` ends, blank line included; nothing new is looked for before `seen`.
pub(super) fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    // The blank line may have begun in what was seen.
    let from = seen.saturating_sub(3);
    let new = bytes.get(from..)?;
    let strict = memmem::find(new, b"\r\n\r\n").map(|at| from + at + 4);
    let loose = memmem::find(new, b"\n\n").map(|at| from + at + 2);
    strict.into_iter().chain(loose).min()
}

/// Reads the head that `bytes` is; none for a 1xx, after which another one follows.
///
/// # Errors
/// What is no head of HTTP/1, or says two things of its body's length.
pub(super) fn read(bytes: &[u8], method: &Method) -> Result<Option<Head>, Fault> {
    // The values are parts of this one copy, so that they hold nothing larger in memory.
    let bytes = Bytes::copy_from_slice(bytes);
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut response = httparse::Response::new(&mut lines);
    let parsed = response.parse(&bytes).map_err(Fault::Head)?;
    let (httparse::Status::Complete(length), Some(code), Some(version)) =
        (parsed, response.code, response.version)
    else {
        return Err(Fault::Invalid("the head ends before its last line"));
    };
    if length != bytes.len() {
        return Err(Fault::Invalid("the head ends before its blank line"));
    }
    let status = StatusCode::from_u16(code).map_err(|_| Fault::Invalid("the status is none"))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Fault::Invalid("it switches to a protocol that was not asked for"));
    }
    if status.is_informational() {
        return Ok(None);
    }
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for line in response.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Fault::Invalid("a header line is none"));
        };
        headers.append(name, value);
    }
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let framing = Framing::of(method, status, version, &headers)?;
    let says = |word| words(&headers, CONNECTION).any(|told| told.eq_ignore_ascii_case(word));
    let lasts = if version == Version::HTTP_10 { says(b"keep-alive") } else { !says(b"close") };
    Ok(Some(Head { status, headers, framing, keeps: lasts && framing != Framing::Close }))
}

/// The members of all lists under `name`, without the space around them.
pub(super) fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: &Request<Bytes>) -> Vec<u8> {
        let mut head = Vec::new();
        write(request, &mut head);
        head
    }

    fn response(head: &str) -> Result<Option<Head>, Fault> {
        read(head.as_bytes(), &Method::POST)
    }

    #[test]
    fn a_request_says_its_length_once_and_as_it_is() {
        let request = Request::post("/v1/chat?k=v")
            .header("content-length", "999")
            .header("transfer-encoding", "chunked");
        let request = request.header("x-a", "b").body(Bytes::from_static(b"{}")).unwrap();
        let head = String::from_utf8(written(&request)).unwrap();
        assert_eq!(head, "POST /v1/chat?k=v HTTP/1.1\r\nx-a: b\r\ncontent-length: 2\r\n\r\n");
        let empty = |method: &str| {
            let request = Request::builder().method(method).uri("/").body(Bytes::new()).unwrap();
            written(&request).windows(7).any(|part| part == b"length:")
        };
        assert_eq!((empty("POST"), empty("GET"), empty("DELETE")), (true, false, false));
    }

    #[test]
    fn a_head_ends_at_its_blank_line_wherever_the_reads_were_cut() {
        for head in ["HTTP/1.1 200 OK\r\na: b\r\n\r\n", "HTTP/1.1 200 OK\na: b\n\n"] {
            let with_body = format!("{head}body\r\n\r\n");
            for seen in 0..head.len() {
                assert_eq!(end(&head.as_bytes()[..seen], 0), None, "{seen}");
                assert_eq!(end(with_body.as_bytes(), seen), Some(head.len()), "{seen}");
            }
        }
    }

    #[test]
    fn heads_say_how_the_body_ends_and_whether_the_connection_goes_on() {
        for (lines, method, framing, keeps) in [
            ("1.1 200 OK\r\ncontent-length: 5", "POST", Framing::Length(5), true),
            ("1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5", "POST", Framing::Length(5), true),
            ("1.1 200 OK\r\ncontent-length: 5\r\nconnection: Close", "POST", Framing::Length(5), false),
            ("1.1 200 OK\r\ncontent-length: 5\r\nconnection: x, close", "POST", Framing::Length(5), false),
            ("1.0 200 OK\r\ncontent-length: 5", "POST", Framing::Length(5), false),
            ("1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive", "POST", Framing::Length(5), true),
            ("1.1 200 OK\r\ntransfer-encoding: Chunked", "POST", Framing::CHUNKED, true),
            (
                "1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\ncontent-length: 5",
                "POST",
                Framing::CHUNKED,
                true,
            ),
            ("1.1 200 OK\r\ntransfer-encoding: chunked, gzip", "POST", Framing::Close, false),
            ("1.1 200 OK", "POST", Framing::Close, false),
            ("1.1 204 No Content", "POST", Framing::Length(0), true),
            ("1.1 304 Not Modified\r\ncontent-length: 5", "GET", Framing::Length(0), true),
            ("1.1 200 OK\r\ncontent-length: 5", "HEAD", Framing::Length(0), true),
        ] {
            let head = format!("HTTP/{lines}\r\n\r\n");
            let head = read(head.as_bytes(), &method.parse().unwrap()).unwrap().unwrap();
            assert_eq!((head.framing, head.keeps), (framing, keeps), "{lines}");
        }
    }

    #[test]
    fn what_is_no_head_or_contradicts_itself_is_refused() {
        for head in [
            "SSH-2.0-nonsense\r\n\r\n",
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
        ] {
            assert!(response(head).is_err(), "{head}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(LINES + 1));
        assert!(response(&many).is_err());
        assert!(response("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n").unwrap().is_none());
    }
}
