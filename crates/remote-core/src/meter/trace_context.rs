//! Of which trace a request is a part, as its headers tell the upstream.

use http::{HeaderMap, HeaderValue};

/// As W3C has it: the names of headers, and the longest state that everybody has to take (Trace Context, level 1, read
/// 2026-11-21).
const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";
const LONGEST_STATE: usize = 512;

/// The place of a request in a trace, by W3C's Trace Context. It is well-formed by the way it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// The span `span` of the trace `trace`, and whether it is kept; `None` when either is all zeros, which names nothing.
    pub fn new(trace: [u8; 16], span: [u8; 8], is_sampled: bool) -> Option<Self> {
        let (trace, span) = (u128::from_be_bytes(trace), u64::from_be_bytes(span));
        if trace == 0 || span == 0 {
            return None;
        }
        let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(is_sampled));
        Some(Self { parent: HeaderValue::try_from(text).ok()?, state: None })
    }

    /// The same with what others have to say of the trace, as `tracestate` has it. One that is empty, has other than visible
    /// characters and spaces, or is longer than 512 bytes, is left out.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        let is_fine = (1..=LONGEST_STATE).contains(&state.len())
            && state.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        self.state = if is_fine { HeaderValue::from_str(state).ok() } else { None };
        self
    }

    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.insert(PARENT, self.parent);
        if let Some(state) = self.state {
            headers.insert(STATE, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(context: TraceContext) -> HeaderMap {
        let mut headers = HeaderMap::new();
        context.write(&mut headers);
        headers
    }

    #[test]
    fn a_context_is_written_as_the_recommendation_has_it() {
        let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
        let span = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
        let headers = written(TraceContext::new(trace, span, true).unwrap().with_state("rojo=1,congo=t61"));
        assert_eq!(headers[PARENT], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(headers[STATE], "rojo=1,congo=t61");
        let unsampled = written(TraceContext::new(trace, span, false).unwrap());
        assert!(unsampled[PARENT].as_bytes().ends_with(b"-00") && !unsampled.contains_key(STATE));
    }

    #[test]
    fn what_names_nothing_is_no_context() {
        assert_eq!(TraceContext::new([0; 16], [1; 8], true), None);
        assert_eq!(TraceContext::new([1; 16], [0; 8], true), None);
    }

    proptest! {
        // Whatever the state is, at most 512 visible characters and spaces leave.
        #[test]
        fn a_state_that_is_not_well_formed_stays_here(state in "(?s).{0,600}") {
            let headers = written(TraceContext::new([1; 16], [1; 8], true).unwrap().with_state(&state));
            if let Some(sent) = headers.get(STATE) {
                prop_assert_eq!(sent.as_bytes(), state.as_bytes());
                prop_assert!(sent.len() <= 512 && sent.to_str().is_ok());
            } else {
                prop_assert!(state.is_empty() || state.len() > 512 || !state.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }
    }
}
