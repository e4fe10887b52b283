//! The finer kinds of what can go wrong, and the words for them.

/// What ran out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// Connecting, TLS included.
    Connect,
    /// Waiting for the head of the response.
    Head,
    /// Waiting for the first piece of output.
    FirstContent,
    /// Waiting for more bytes.
    IdleBytes,
    /// Waiting for more output while only keep-alives came.
    IdleContent,
}

impl TimeoutPhase {
    /// The configuration key that sets the limit.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Head => "head",
            Self::FirstContent => "first_content",
            Self::IdleBytes => "idle_bytes",
            Self::IdleContent => "idle_content",
        }
    }

    pub(crate) const fn missing(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Head => "no response head",
            Self::FirstContent => "no output",
            Self::IdleBytes => "no bytes",
            Self::IdleContent => "no further output, only keep-alives,",
        }
    }
}

/// How the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// The host name is unknown.
    Dns,
    /// Nobody listens there.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The server's certificate is not trusted.
    Certificate,
    /// The connection closed before the head of the response.
    Closed,
    /// The response is no HTTP.
    Protocol,
    /// The response points elsewhere; following it would carry the key to another host.
    Redirect,
}

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeKind {
    /// Not the JSON it should be.
    Json,
    /// Not UTF-8.
    Utf8,
    /// Neither JSON nor an event stream: a web page, most often from a wrong address.
    ContentType,
    /// A success without an answer in it.
    Empty,
    /// One event is larger than the limit.
    EventTooLarge,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// A count in the answer is beyond what any model does.
    Excess,
}

impl TransportKind {
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Dns => "host name not found",
            Self::Connect => "cannot connect",
            Self::Tls => "TLS handshake failed",
            Self::Certificate => "certificate not trusted",
            Self::Closed => "connection closed before an answer",
            Self::Protocol => "the answer is not HTTP",
            Self::Redirect => "redirect refused",
        }
    }

    pub(crate) const fn cure(self) -> &'static str {
        match self {
            Self::Dns => "check the host in the base URL",
            Self::Connect => "is a server running there?",
            Self::Tls | Self::Protocol => "is it http or https, and the right port?",
            Self::Certificate => "is the base URL right, and the certificate valid?",
            Self::Closed => "",
            Self::Redirect => {
                "set the base URL to the final address: following a redirect could carry the key to another host"
            }
        }
    }
}

impl DecodeKind {
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Json => "answer is not the JSON expected",
            Self::Utf8 => "answer is not UTF-8",
            Self::ContentType => "answer is not from a model API",
            Self::Empty => "answer is empty",
            Self::EventTooLarge => "event too large",
            Self::BodyTooLarge => "body too large",
            Self::Excess => "answer is beyond a limit",
        }
    }

    pub(crate) const fn cure(self) -> &'static str {
        match self {
            Self::ContentType => "check the base URL: most end in /v1",
            Self::EventTooLarge => "raise limits.max_event_bytes if this is right",
            Self::BodyTooLarge => "raise limits.max_body_bytes if this is right",
            Self::Json | Self::Utf8 | Self::Empty | Self::Excess => "",
        }
    }
}
