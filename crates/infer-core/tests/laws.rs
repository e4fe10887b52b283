//! Laws of the trait layer, over generated values.

#![expect(clippy::unwrap_used, reason = "a test")]

use infer_core::{
    Audio, Choice, Completion, CostEstimate, ErrorKind, FilterFinding, FinishKind, FinishReason,
    InferenceError, Logprobs, Origin, Price, PriceTable, Rates, RawJson, Served, TokenChunk, TokenLogprob,
    ToolCall, ToolKind, Usage, Usd, from_rates,
};
use proptest::prelude::*;

/// Rates as price pages print them: up to six decimals.
fn rate() -> impl Strategy<Value = (f64, u128)> {
    (0_u32..200_000_000).prop_map(|millionths| {
        let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
        (text.parse().unwrap(), u128::from(millionths))
    })
}

/// A usage whose details fit into its input, as every upstream means it.
fn usage() -> impl Strategy<Value = Usage> {
    let input = (0_u64..1 << 40, 0_u64..1 << 40, 0_u64..1 << 40, 0_u64..1 << 40);
    (input, 0_u64..1 << 40, 0_u64..1 << 20).prop_map(|((fresh, cached, written, long), output, uncounted)| {
        let mut usage = Usage::new(fresh + cached + written + long, output);
        usage.cached_input_tokens = cached;
        usage.cache_write_tokens = written + long;
        usage.long_cache_write_tokens = long;
        usage.uncounted_output_tokens = uncounted;
        usage
    })
}

fn rates() -> impl Strategy<Value = Rates> {
    let caches = [proptest::option::of(rate()), proptest::option::of(rate()), proptest::option::of(rate())];
    (rate(), rate(), caches).prop_map(|((input, _), (output, _), [cached, written, long])| {
        let mut rates = Rates::new(input, output);
        rates.cached_input_per_mtok_usd = cached.map(|(rate, _)| rate);
        rates.cache_write_per_mtok_usd = written.map(|(rate, _)| rate);
        rates.long_cache_write_per_mtok_usd = long.map(|(rate, _)| rate);
        rates
    })
}

proptest! {
    /// Two calls cost what one call with their summed usage costs, to the pico-dollar.
    #[test]
    fn cost_is_additive(rates in rates(), a in usage(), b in usage()) {
        let apart = from_rates(&rates, &a).saturating_add(from_rates(&rates, &b));
        prop_assert_eq!(from_rates(&rates, &a.saturating_add(b)), apart);
    }

    /// More tokens never cost less.
    #[test]
    fn cost_is_monotone(rates in rates(), a in usage(), more in 0_u64..1 << 30) {
        let mut b = a;
        b.output_tokens += more;
        prop_assert!(from_rates(&rates, &b).total() >= from_rates(&rates, &a).total());
        let mut c = a;
        c.input_tokens += more;
        prop_assert!(from_rates(&rates, &c).total() >= from_rates(&rates, &a).total());
        // Longer keeping never costs less, and no more of it counts than was written.
        let mut d = a;
        d.long_cache_write_tokens += more;
        prop_assert!(from_rates(&rates, &d).total() >= from_rates(&rates, &a).total());
        d.long_cache_write_tokens = u64::MAX;
        let mut all = a;
        all.long_cache_write_tokens = a.cache_write_tokens;
        prop_assert_eq!(from_rates(&rates, &d), from_rates(&rates, &all));
    }

    /// The result is what decimal arithmetic gives: a millionth of a dollar per million tokens is a pico-dollar a token.
    #[test]
    fn cost_is_exact((rate, millionths) in rate(), tokens in 0_u64..1 << 50) {
        let cost = from_rates(&Rates::new(rate, 0.0), &Usage::new(tokens, 0));
        prop_assert_eq!(cost.total(), Usd::from_picos(u128::from(tokens) * millionths));
        let rates = Rates { long_cache_write_per_mtok_usd: Some(rate), ..Rates::default() };
        let mut usage = Usage::new(tokens, 0);
        (usage.cache_write_tokens, usage.long_cache_write_tokens) = (tokens, tokens);
        prop_assert_eq!(from_rates(&rates, &usage).cache_write, cost.total());
    }

    /// An amount prints every digit it has.
    #[test]
    fn amounts_print_exactly(picos in any::<u64>()) {
        let text = Usd::from_picos(u128::from(picos)).to_string();
        let (whole, part) = text[1..].split_once('.').unwrap_or((&text[1..], ""));
        let digits = format!("{whole}{part:0<12}");
        prop_assert_eq!(digits.parse::<u64>().unwrap(), picos);
    }

    /// A price table is read or refused with a line number, whatever is in it.
    #[test]
    fn any_text_is_read_or_refused(text in "[#a-z0-9.\\-\t\n: ]{0,200}|\\PC{0,100}") {
        if let Err(error) = PriceTable::parse(&text) {
            prop_assert!(error.line >= 1);
        }
    }

    /// Whatever the tier and size, some published rate applies.
    #[test]
    fn every_call_of_a_priced_model_is_priced(rates in rates(), usage in usage(), tier in proptest::option::of("[a-z]{0,8}")) {
        let cost = Price::flat(rates).cost(&usage, tier.as_deref());
        prop_assert_eq!(cost, from_rates(&rates, &usage));
    }

    /// Replaying an answer and folding the pieces gives the answer back.
    #[test]
    fn replay_and_fold_is_the_identity(whole in completion()) {
        let mut folded = Completion::default();
        for chunk in whole.clone().into_chunks() {
            folded.push(chunk);
        }
        prop_assert_eq!(folded, whole);
    }

    /// How text is cut into pieces does not matter to the fold.
    #[test]
    fn the_fold_does_not_depend_on_the_cuts(text in "\\PC{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| places[cut.index(places.len())]).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut folded = Completion::default();
        for pair in cuts.windows(2) {
            folded.push(TokenChunk::text(0, &text[pair[0]..pair[1]]));
        }
        prop_assert_eq!(folded.text(), text);
    }

    /// The line is one line without control characters, whatever the upstream says, and ends within bounds.
    #[test]
    fn an_error_is_one_harmless_line(message in any::<String>(), code in any::<String>(), kind in 0..ErrorKind::ALL.len()) {
        let mut at = Origin::default();
        at.message = Some(Origin::excerpt(&message));
        at.code = Some(Origin::excerpt(&code));
        let line = InferenceError::reported(ErrorKind::ALL[kind], Box::new(at), None).to_string();
        prop_assert!(!line.contains(char::is_control));
        prop_assert!(line.len() < 3000);
    }
}

/// Findings of one filter: a category comes once.
fn findings() -> impl Strategy<Value = Vec<FilterFinding>> {
    let finding = (any::<bool>(), proptest::option::of("[a-z]{1,6}"), proptest::option::of(any::<bool>()));
    prop::collection::btree_map("[a-z_]{1,8}", finding, 0..4).prop_map(|found| {
        let finding = |(category, (filtered, severity, detected))| {
            let mut finding = FilterFinding::new(category, filtered);
            (finding.severity, finding.detected) = (severity, detected);
            finding
        };
        found.into_iter().map(finding).collect()
    })
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

prop_compose! {
    fn choice(index: u32)(
        text in text(),
        reasoning in text(),
        calls in prop::collection::vec((proptest::option::of("[a-z]{1,8}"), "[a-z]{1,8}", text(), any::<bool>()), 0..3),
        audio in proptest::option::of((text(), text())),
        logprob in proptest::option::of(-50.0..0.0),
        kind in prop::sample::select(vec![FinishKind::Stop, FinishKind::Length, FinishKind::Other]),
        word in "[a-z]{1,6}",
        filters in (findings(), findings()),
    ) -> Choice {
        let mut choice = Choice::new(index);
        choice.text = text;
        choice.reasoning_blocks = vec![RawJson::from(serde_json::json!({"thought": reasoning}))];
        choice.reasoning = reasoning;
        choice.tool_calls = calls.into_iter().map(|(id, name, arguments, custom)| {
            let mut call = ToolCall::default();
            (call.id, call.name, call.arguments) = (id, name, arguments);
            call.kind = if custom { ToolKind::Custom } else { ToolKind::Function };
            call
        }).collect();
        choice.audio = audio.map(|(data, transcript)| {
            let mut audio = Audio::default();
            (audio.data, audio.transcript) = (data, transcript);
            audio
        });
        choice.logprobs = logprob.map(|logprob| {
            let mut token = TokenLogprob::default();
            token.logprob = logprob;
            let mut all = Logprobs::default();
            all.content.push(token);
            all
        });
        (choice.filters.prompt, choice.filters.answer) = filters;
        choice.finish = Some(FinishReason::new(kind, &word));
        choice
    }
}

fn completion() -> impl Strategy<Value = Completion> {
    let choices = (0_u32..4).prop_flat_map(|n| (0..n).map(choice).collect::<Vec<_>>());
    (choices, proptest::option::of(usage()), proptest::option::of("[a-z-]{1,8}")).prop_map(
        |(choices, usage, model)| {
            let mut whole = Completion::default();
            whole.choices = choices;
            whole.usage = usage;
            whole.cost = usage.map(|_| CostEstimate::default());
            whole.served = Served::default();
            whole.served.model = model;
            whole
        },
    )
}
