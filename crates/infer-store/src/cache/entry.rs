//! A kept answer, and how it is written: a version, JSON of what was understood, and the body as received.

use std::time::SystemTime;

use bytes::Bytes;
use infer_core::{
    Audio, Choice, Completion, CostEstimate, ExecuteBatch, FilterFinding, Filters, FinishKind, FinishReason,
    Logprobs, RawJson, Served, TokenLogprob, ToolCall, ToolKind, Usage, Usd, Wire, WireFormat,
};
use serde::{Deserialize, Serialize};

use super::config::CacheConfig;
use crate::clock::{micros, moment};
use crate::codec::{Reader, put_number};

const VERSION: u8 = 3;

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The answer; its cost is that of another call, namely nothing.
    pub(crate) completion: Completion,
    /// What it had cost.
    pub(crate) saved: Option<Usd>,
    pub(crate) expires: SystemTime,
}

impl Entry {
    pub(crate) fn new(mut completion: Completion, expires: SystemTime) -> Self {
        let saved = completion.cost.as_ref().map(CostEstimate::total);
        completion.cost = Some(CostEstimate::default());
        // To the microsecond, so that an entry is the same wherever it comes back from.
        Self { completion, saved, expires: moment(micros(expires)) }
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        let choice = |choice: &Choice| {
            let blocks: usize = choice.reasoning_blocks.iter().map(|block| block.get().len()).sum();
            let calls: usize =
                choice.tool_calls.iter().map(|call| call.arguments.len() + call.name.len() + 64).sum();
            let logprobs = choice.logprobs.as_ref().map_or(0, |logprobs| {
                let tokens = logprobs.content.iter().chain(&logprobs.refusal);
                tokens.map(|token| 96 * (1 + token.top_logprobs.len())).sum()
            });
            256 + choice.text.len()
                + choice.reasoning.len()
                + choice.refusal.len()
                + blocks
                + calls
                + logprobs
        };
        let wire = self.completion.wire.as_ref().map_or(0, |wire| wire.bytes().len());
        256 + wire + self.completion.choices.iter().map(choice).sum::<usize>()
    }

    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(&Written::of(self)).ok()?;
        let wire = self.completion.wire.as_ref().map(|wire| &wire.bytes()[..]).unwrap_or_default();
        let mut out = Vec::with_capacity(json.len() + wire.len() + 16);
        out.push(VERSION);
        put_number(&mut out, json.len() as u64);
        out.extend_from_slice(&json);
        out.extend_from_slice(wire);
        Some(out)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return None;
        }
        let length = reader.number()?.try_into().ok()?;
        let written: Written = serde_json::from_slice(reader.bytes(length)?).ok()?;
        written.read(reader)
    }
}

/// Whether an answer may be given again: whole, the model's own, and not an action unless the operator says so.
///
/// Cut, filtered and refused answers are not kept, since asking again may do better; nor is sound, whose name at the
/// upstream expires.
pub(crate) fn is_keepable(completion: &Completion, choices: u32, config: &CacheConfig) -> bool {
    let is_whole = |choice: &Choice| {
        let done = match choice.finish.as_ref().map(FinishReason::kind) {
            Some(FinishKind::Stop) => choice.tool_calls.is_empty() || config.tool_calls,
            Some(FinishKind::ToolCalls) => config.tool_calls,
            _ => false,
        };
        let says_something = !choice.text.is_empty() || !choice.tool_calls.is_empty();
        done && says_something
            && choice.refusal.is_empty()
            && choice.audio.is_none()
            && choice.filters.filtered().next().is_none()
    };
    completion.choices.len() == choices as usize && completion.choices.iter().all(is_whole)
}

/// Whether equal calls may be answered equally.
pub(crate) fn is_deterministic(batch: &ExecuteBatch) -> bool {
    batch.sampling.temperature == Some(0.0) || batch.sampling.seed.is_some()
}

#[derive(Serialize, Deserialize)]
struct Written {
    expires_micros: u64,
    saved_picos: Option<String>,
    choices: Vec<WrittenChoice>,
    usage: Option<WrittenUsage>,
    served: WrittenServed,
    /// The format of the bytes that follow.
    wire: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenChoice {
    index: u32,
    text: String,
    reasoning: String,
    reasoning_blocks: Vec<RawJson>,
    refusal: String,
    tool_calls: Vec<(Option<String>, String, String, bool)>,
    audio: Option<(Option<String>, String, String, Option<u64>)>,
    logprobs: Option<(Vec<WrittenLogprob>, Vec<WrittenLogprob>)>,
    filters: [Vec<WrittenFinding>; 2],
    finish: Option<(String, String)>,
}

/// The logarithm is kept as its bits: decimal digits would not always read back the same.
#[derive(Serialize, Deserialize)]
struct WrittenLogprob(String, u64, Option<Vec<u8>>, Vec<WrittenLogprob>);

impl WrittenLogprob {
    fn of(token: &TokenLogprob) -> Self {
        let top = token.top_logprobs.iter().map(Self::of).collect();
        Self(token.token.clone(), token.logprob.to_bits(), token.bytes.clone(), top)
    }

    fn read(self) -> TokenLogprob {
        let mut token = TokenLogprob::default();
        (token.token, token.logprob, token.bytes) = (self.0, f64::from_bits(self.1), self.2);
        token.top_logprobs = self.3.into_iter().map(Self::read).collect();
        token
    }
}

type WrittenFinding = (String, bool, Option<String>, Option<bool>);
type WrittenUsage = (Vec<u64>, Option<String>);
type WrittenServed = (Option<String>, Option<String>, Option<String>, Option<String>, Option<u64>);

impl Written {
    fn of(entry: &Entry) -> Self {
        let completion = &entry.completion;
        let served = &completion.served;
        Self {
            expires_micros: micros(entry.expires),
            saved_picos: entry.saved.map(picos),
            choices: completion.choices.iter().map(WrittenChoice::of).collect(),
            usage: completion.usage.as_ref().map(write_usage),
            served: (
                served.id.clone(),
                served.model.clone(),
                served.fingerprint.clone(),
                served.service_tier.clone(),
                served.created,
            ),
            wire: completion.wire.as_ref().map(|wire| wire.format().0.to_owned()),
        }
    }

    fn read(self, rest: Reader<'_>) -> Option<Entry> {
        let mut completion = Completion::default();
        completion.choices = self.choices.into_iter().map(WrittenChoice::read).collect::<Option<_>>()?;
        completion.usage = match self.usage {
            Some(usage) => Some(read_usage(usage)?),
            None => None,
        };
        completion.cost = Some(CostEstimate::default());
        let mut served = Served::default();
        (served.id, served.model, served.fingerprint, served.service_tier, served.created) = self.served;
        completion.served = served;
        let format = self.wire.as_deref().and_then(WireFormat::known);
        completion.wire = format.map(|format| Wire::new(format, Bytes::copy_from_slice(rest.rest())));
        let saved = self.saved_picos.and_then(|picos| picos.parse().ok()).map(Usd::from_picos);
        Some(Entry { completion, saved, expires: moment(self.expires_micros) })
    }
}

fn picos(usd: Usd) -> String {
    usd.picos().to_string()
}

impl WrittenChoice {
    fn of(choice: &Choice) -> Self {
        let findings = |findings: &[FilterFinding]| {
            let written =
                |f: &FilterFinding| (f.category.clone(), f.filtered, f.severity.clone(), f.detected);
            findings.iter().map(written).collect()
        };
        let call = |call: &ToolCall| {
            (call.id.clone(), call.name.clone(), call.arguments.clone(), call.kind == ToolKind::Custom)
        };
        let audio = |audio: &Audio| {
            (audio.id.clone(), audio.data.clone(), audio.transcript.clone(), audio.expires_at)
        };
        Self {
            index: choice.index,
            text: choice.text.clone(),
            reasoning: choice.reasoning.clone(),
            reasoning_blocks: choice.reasoning_blocks.clone(),
            refusal: choice.refusal.clone(),
            tool_calls: choice.tool_calls.iter().map(call).collect(),
            audio: choice.audio.as_ref().map(audio),
            logprobs: choice.logprobs.as_ref().map(|logprobs| {
                let tokens = |tokens: &[TokenLogprob]| tokens.iter().map(WrittenLogprob::of).collect();
                (tokens(&logprobs.content), tokens(&logprobs.refusal))
            }),
            filters: [findings(&choice.filters.prompt), findings(&choice.filters.answer)],
            finish: choice.finish.as_ref().map(|f| (f.kind().as_str().to_owned(), f.as_str().to_owned())),
        }
    }

    fn read(self) -> Option<Choice> {
        let findings = |written: Vec<WrittenFinding>| {
            let read = |(category, filtered, severity, detected): WrittenFinding| {
                let mut finding = FilterFinding::new(category, filtered);
                (finding.severity, finding.detected) = (severity, detected);
                finding
            };
            written.into_iter().map(read).collect()
        };
        let call = |(id, name, arguments, custom): (Option<String>, String, String, bool)| {
            let mut call = ToolCall::default();
            (call.id, call.name, call.arguments) = (id, name, arguments);
            call.kind = if custom { ToolKind::Custom } else { ToolKind::Function };
            call
        };
        let mut choice = Choice::new(self.index);
        choice.text = self.text;
        choice.reasoning = self.reasoning;
        choice.reasoning_blocks = self.reasoning_blocks;
        choice.refusal = self.refusal;
        choice.tool_calls = self.tool_calls.into_iter().map(call).collect();
        choice.audio = self.audio.map(|(id, data, transcript, expires_at)| {
            let mut audio = Audio::default();
            (audio.id, audio.data, audio.transcript, audio.expires_at) = (id, data, transcript, expires_at);
            audio
        });
        choice.logprobs = self.logprobs.map(|(content, refusal)| {
            let mut logprobs = Logprobs::default();
            let tokens = |tokens: Vec<WrittenLogprob>| tokens.into_iter().map(WrittenLogprob::read).collect();
            (logprobs.content, logprobs.refusal) = (tokens(content), tokens(refusal));
            logprobs
        });
        let mut filters = Filters::default();
        let [prompt, answer] = self.filters;
        (filters.prompt, filters.answer) = (findings(prompt), findings(answer));
        choice.filters = filters;
        choice.finish = match self.finish {
            None => None,
            Some((kind, word)) => Some(FinishReason::new(finish_kind(&kind)?, &word)),
        };
        Some(choice)
    }
}

fn finish_kind(word: &str) -> Option<FinishKind> {
    let all = [
        FinishKind::Stop,
        FinishKind::Length,
        FinishKind::ToolCalls,
        FinishKind::ContentFilter,
        FinishKind::Error,
        FinishKind::Other,
    ];
    all.into_iter().find(|kind| kind.as_str() == word)
}

fn write_usage(usage: &Usage) -> WrittenUsage {
    (usage.counts().to_vec(), usage.reported_cost.map(picos))
}

/// Counts that were not known when it was written are 0; one with more is of a newer version.
fn read_usage((written, reported): WrittenUsage) -> Option<Usage> {
    let mut counts = [0; Usage::COUNTS.len()];
    counts.get_mut(..written.len())?.copy_from_slice(&written);
    let mut usage = Usage::from_counts(counts);
    usage.reported_cost = reported.and_then(|picos| picos.parse().ok()).map(Usd::from_picos);
    Some(usage)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words() -> impl Strategy<Value = String> {
        ".{0,20}"
    }

    prop_compose! {
        fn choice()(
            index: u32,
            texts in (words(), words(), words()),
            blocks in prop::collection::vec(any::<i32>(), 0..3),
            calls in prop::collection::vec((prop::option::of(words()), words(), words(), any::<bool>()), 0..3),
            audio in prop::option::of((prop::option::of(words()), words(), words(), any::<Option<u64>>())),
            logprobs in prop::option::of(prop::collection::vec((words(), -99.0_f64..0.0, any::<Option<Vec<u8>>>()), 0..3)),
            findings in prop::collection::vec((words(), any::<bool>(), prop::option::of(words()), any::<Option<bool>>()), 0..3),
            finish in prop::option::of((0_usize..6, words())),
        ) -> Choice {
            let written = WrittenChoice {
                index,
                text: texts.0,
                reasoning: texts.1,
                refusal: texts.2,
                reasoning_blocks: blocks.into_iter().map(|n| RawJson::parse(format!("{{\"a\": {n}}}")).unwrap()).collect(),
                tool_calls: calls,
                audio,
                logprobs: None,
                filters: [findings.clone(), findings],
                finish: None,
            };
            let mut choice = written.read().unwrap();
            choice.logprobs = logprobs.map(|tokens| {
                let token = |(token, logprob, bytes)| {
                    let mut probability = TokenLogprob::default();
                    (probability.token, probability.logprob, probability.bytes) = (token, logprob, bytes);
                    probability.top_logprobs = vec![probability.clone()];
                    probability
                };
                let mut logprobs = Logprobs::default();
                logprobs.content = tokens.into_iter().map(token).collect();
                logprobs
            });
            let kinds = [FinishKind::Stop, FinishKind::Length, FinishKind::ToolCalls, FinishKind::ContentFilter, FinishKind::Error, FinishKind::Other];
            choice.finish = finish.map(|(kind, word)| FinishReason::new(kinds[kind], &word));
            choice
        }
    }

    proptest! {
        /// An answer comes back as it was, its body byte for byte, and costs nothing.
        #[test]
        fn writing_loses_nothing(
            choices in prop::collection::vec(choice(), 0..3),
            counts in prop::option::of(any::<[u64; Usage::COUNTS.len()]>()),
            cost in prop::option::of(any::<u64>()),
            wire in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
            id in prop::option::of(words()),
            expires in 0_u64..1 << 50,
        ) {
            let mut completion = Completion::default();
            completion.choices = choices;
            completion.usage = counts.map(|counts| {
                let mut usage = Usage::from_counts(counts);
                usage.reported_cost = cost.map(|picos| Usd::from_picos(picos.into()));
                usage
            });
            completion.cost = cost.map(|picos| {
                let mut cost = CostEstimate::default();
                cost.output = Usd::from_picos(picos.into());
                cost
            });
            completion.served.id = id;
            completion.wire = wire.map(|wire| Wire::new(WireFormat::CHAT_COMPLETIONS, wire));
            let entry = Entry::new(completion.clone(), moment(expires));
            let back = Entry::from_bytes(&entry.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(&back, &entry);
            prop_assert_eq!(back.saved, cost.map(|picos| Usd::from_picos(picos.into())));
            prop_assert_eq!(back.completion.cost, Some(CostEstimate::default()));
            prop_assert_eq!((back.completion.choices, back.completion.wire), (completion.choices, completion.wire));
        }

        /// A damaged entry is a miss, never a panic.
        #[test]
        fn damaged_entries_are_misses(mut bytes: Vec<u8>) {
            let _ = Entry::from_bytes(&bytes);
            bytes.splice(0..0, [VERSION, 5]);
            prop_assert!(Entry::from_bytes(&bytes).is_none());
        }
    }

    #[test]
    fn an_entry_from_before_a_count_was_known_still_reads_and_one_with_more_counts_is_a_miss() {
        let of = |counts: Vec<u64>| read_usage((counts, None));
        let mut known = Usage::new(4, 6);
        known.cached_input_tokens = 1;
        assert_eq!(of(vec![4, 6, 10, 1]), Some(known));
        assert_eq!(of(vec![0; Usage::COUNTS.len() + 1]), None);
    }

    #[test]
    fn only_whole_answers_of_the_models_own_are_kept() {
        let config = CacheConfig::default();
        let answer = |change: fn(&mut Choice)| {
            let mut choice = Choice::new(0);
            choice.text = "hi".to_owned();
            choice.finish = Some(FinishKind::Stop.into());
            change(&mut choice);
            let mut completion = Completion::default();
            completion.choices.push(choice);
            completion
        };
        assert!(is_keepable(&answer(|_| ()), 1, &config));
        assert!(!is_keepable(&answer(|_| ()), 2, &config), "an answer is missing");
        assert!(!is_keepable(&Completion::default(), 1, &config));
        let not: [fn(&mut Choice); 8] = [
            |choice| choice.finish = None,
            |choice| choice.finish = Some(FinishKind::Length.into()),
            |choice| choice.finish = Some(FinishKind::ContentFilter.into()),
            |choice| choice.finish = Some(FinishKind::Error.into()),
            |choice| choice.refusal = "no".to_owned(),
            |choice| choice.audio = Some(Audio::default()),
            |choice| choice.text.clear(),
            |choice| choice.filters.answer.push(FilterFinding::new("hate", true)),
        ];
        for change in not {
            assert!(!is_keepable(&answer(change), 1, &config));
        }
        let calls = answer(|choice| {
            choice.tool_calls.push(ToolCall::function("1", "f", "{}"));
            choice.finish = Some(FinishKind::ToolCalls.into());
        });
        assert!(!is_keepable(&calls, 1, &config));
        assert!(is_keepable(&calls, 1, &CacheConfig { tool_calls: true, ..config }));
    }
}
