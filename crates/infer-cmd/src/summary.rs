//! The closing line: who answered, how much it was, what it cost and how fast it came.

use infer_core::Completion;

use crate::answer::Received;

/// One line. A simulator's answer is priced as the model's would be, and says that nothing was charged.
pub(crate) fn line(received: &Received, model: &str, is_simulated: bool, is_streamed: bool) -> String {
    let answer = &received.whole;
    let mut parts = vec![answer.served.model.as_deref().unwrap_or(model).to_owned()];
    parts.extend(tokens(answer));
    parts.push(match (answer.cost, is_simulated) {
        (Some(cost), false) => cost.total().to_string(),
        (Some(cost), true) => format!("nothing charged (list price {})", cost.total()),
        (None, false) => "unpriced".to_owned(),
        (None, true) => "nothing charged".to_owned(),
    });
    if let Some(first) = received.first_after() {
        let what = if is_streamed { "first token" } else { "answer" };
        parts.push(format!("{what} after {:.2}s", first.as_secs_f64()));
    }
    parts.extend(speed(received).map(|speed| format!("{speed:.0} tokens/s")));
    parts.join(" · ")
}

fn tokens(answer: &Completion) -> Vec<String> {
    let Some(usage) = answer.usage else { return vec!["tokens not reported".to_owned()] };
    let with = |count: u64, direction: &str, part: u64, name: &str| match part {
        0 => format!("{count} {direction}"),
        part => format!("{count} {direction} ({part} {name})"),
    };
    vec![
        with(usage.input_tokens, "in", usage.cached_input_tokens, "cached"),
        with(usage.billed_output_tokens(), "out", usage.reasoning_tokens, "reasoning"),
    ]
}

/// Output tokens a second, once the first had come; over the whole call for an answer in one piece.
fn speed(received: &Received) -> Option<f64> {
    let tokens = received.whole.usage?.billed_output_tokens();
    let writing = received.took().saturating_sub(received.first_after().unwrap_or_default());
    // An answer in one piece has no time of its own between the first token and the last.
    let time = if writing.as_millis() < 5 { received.took() } else { writing };
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use infer_core::{Rates, Usage, from_rates};

    use super::*;

    fn answer() -> Received {
        let mut received = Received::start();
        let mut usage = Usage::new(12, 45);
        usage.cached_input_tokens = 3;
        received.whole.usage = Some(usage);
        received.whole.cost = Some(from_rates(&Rates::new(0.15, 0.6), &usage));
        received
    }

    #[test]
    fn tokens_and_cost_are_told() {
        assert_eq!(line(&answer(), "m", false, true), "m · 12 in (3 cached) · 45 out · $0.0000288");
    }

    #[test]
    fn a_model_without_a_price_is_unpriced_and_never_free() {
        let mut received = answer();
        received.whole.cost = None;
        assert!(line(&received, "m", false, true).contains("unpriced"));
        received.whole.usage = None;
        assert!(line(&received, "m", false, true).contains("tokens not reported"));
    }

    #[test]
    fn the_simulator_says_that_nothing_was_charged() {
        assert!(line(&answer(), "m", true, true).contains("nothing charged (list price $0.0000288)"));
    }
}
