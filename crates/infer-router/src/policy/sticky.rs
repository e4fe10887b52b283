//! The same target for calls that belong together, so that they meet the prompt cache they filled.
//!
//! Rendezvous hashing: every target scores a key by itself and the highest score wins, so a target that comes or goes moves
//! only the keys it wins or had. The hash is written out here, so that all processes of all releases agree.

use infer_core::{Content, ExecuteBatch, Message, Messages, Role};
use serde::Deserialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};

/// How much of a conversation's beginning counts.
const MOST_BYTES: usize = 16 * 1024;

/// The place in `targets`, which are (seed, weight), with the highest score for `key`.
pub(crate) fn rendezvous(targets: impl Iterator<Item = (u64, f64)>, key: u64) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for (index, (seed, weight)) in targets.enumerate() {
        // Above 0 and below 1; the logarithm makes the shares those of the weights.
        let even = ((mix(key ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let score = weight / -even.ln();
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, index));
        }
    }
    best.map(|(_, index)| index)
}

/// What `batch` sticks by: its sticky key, its user, or the beginning of the conversation up to the first thing the user
/// said, which stays the same while the conversation grows.
pub(crate) fn key_of(batch: &ExecuteBatch) -> u64 {
    if let Some(key) = batch.routing.sticky_key.as_deref().or(batch.user.as_deref()) {
        return key_of_text(key);
    }
    match &batch.messages {
        Messages::Typed(messages) => beginning(messages),
        Messages::Raw(raw) => raw_beginning(raw.json()),
        _ => 0,
    }
}

/// What a key of one's own, or a user, is as a number.
pub(crate) fn key_of_text(text: &str) -> u64 {
    hash(text.as_bytes(), 0)
}

/// The seed of a target.
pub(crate) fn seed(provider: &str, model: &str) -> u64 {
    hash(model.as_bytes(), hash(provider.as_bytes(), 1))
}

fn beginning(messages: &[Message]) -> u64 {
    let mut key = 0;
    let mut left = MOST_BYTES;
    for message in messages {
        let text = match &message.content {
            Content::Text(text) => std::borrow::Cow::Borrowed(text.as_str()),
            other => std::borrow::Cow::Owned(other.text()),
        };
        let part = text.as_bytes().get(..left.min(text.len())).unwrap_or_default();
        left -= part.len();
        key = hash(part, key);
        if message.role == Role::User || left == 0 {
            break;
        }
    }
    key
}

/// The same for messages as received, without reading further than the first one of a user.
fn raw_beginning(json: &[u8]) -> u64 {
    let mut beginning = Beginning { key: 0, left: MOST_BYTES };
    let mut reader = serde_json::Deserializer::from_slice(json);
    // It stops in the middle, which the reader calls an error; what was read by then is what counts.
    let _stopped = reader.deserialize_seq(&mut beginning);
    beginning.key
}

struct Beginning {
    key: u64,
    left: usize,
}

#[derive(Deserialize)]
struct Speaker<'a> {
    #[serde(borrow, default)]
    role: std::borrow::Cow<'a, str>,
}

impl<'de> Visitor<'de> for &mut Beginning {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<(), A::Error> {
        while let Some(message) = messages.next_element::<&serde_json::value::RawValue>()? {
            let bytes = message.get().as_bytes();
            let part = bytes.get(..self.left.min(bytes.len())).unwrap_or_default();
            self.left -= part.len();
            self.key = hash(part, self.key);
            let speaker = serde_json::from_str::<Speaker<'_>>(message.get());
            if self.left == 0 || speaker.is_ok_and(|speaker| speaker.role == "user") {
                break;
            }
        }
        Ok(())
    }
}

/// Eight bytes a step; good enough to tell keys apart, and not meant to withstand anyone.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = mix(seed ^ bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0_u8; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        state = mix(state ^ u64::from_le_bytes(word));
    }
    state
}

/// The last step of splitmix64: every bit of the input changes about half of the bits.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use infer_core::{Routing, WireFormat};
    use proptest::prelude::*;

    use super::*;

    fn targets(count: usize) -> Vec<(u64, f64)> {
        (0..count).map(|nth| (seed("provider", &nth.to_string()), 1.0)).collect()
    }

    fn raw(json: &str) -> ExecuteBatch {
        let json = Bytes::copy_from_slice(json.as_bytes());
        ExecuteBatch::new("m", Messages::raw(WireFormat::CHAT_COMPLETIONS, json, |_| Ok(Vec::new())))
    }

    #[test]
    fn a_conversation_keeps_its_key_while_it_grows() {
        let first = [Message::system("be brief"), Message::user("hello")];
        let later = [first[0].clone(), first[1].clone(), Message::assistant("hi"), Message::user("more")];
        let other = [first[0].clone(), Message::user("goodbye")];
        let key = |messages: &[Message]| key_of(&ExecuteBatch::new("m", messages.to_vec()));
        assert_eq!(key(&first), key(&later));
        assert_ne!(key(&first), key(&other));
        let (system, user) =
            (r#"{"role":"system","content":"be brief"}"#, r#"{"role":"user","content":"hello"}"#);
        let first = raw(&format!("[{system},{user}]"));
        let later = raw(&format!("[{system},{user},{{\"role\":\"assistant\",\"content\":\"hi\"}}]"));
        assert_eq!(key_of(&first), key_of(&later));
        assert_ne!(key_of(&first), key_of(&raw(&format!("[{user}]"))));
        assert_eq!(key_of(&raw("not json")), key_of(&raw("[")));
    }

    #[test]
    fn a_key_of_ones_own_comes_before_the_user_and_the_user_before_the_words() {
        let batch = ExecuteBatch::new("m", "hello").with_user("ann");
        let other = ExecuteBatch::new("m", "goodbye").with_user("ann");
        assert_eq!(key_of(&batch), key_of(&other));
        let keyed = other.clone().with_routing(Routing::default().with_sticky_key("session-1"));
        assert_ne!(key_of(&keyed), key_of(&other));
    }

    /// Another release would send every conversation to a cold cache if these numbers changed.
    #[test]
    fn the_hash_is_the_same_in_every_release() {
        // The first number of splitmix64 from seed 0.
        assert_eq!(hash(b"", 0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(seed("openai", "gpt-4o"), 0xac59_e651_c2bc_92d7);
    }
    #[test]
    fn shares_follow_the_weights() {
        let uneven = [(seed("a", "m"), 3.0), (seed("b", "m"), 1.0)];
        let wins =
            (0..100_000_u64).filter(|key| rendezvous(uneven.into_iter(), mix(*key)) == Some(0)).count();
        assert!((74_000..76_000).contains(&wins), "{wins}");
    }

    proptest! {
        /// A target that goes moves its own keys and no other.
        #[test]
        fn a_target_that_goes_moves_only_its_own_keys(count in 2_usize..30, gone in 0_usize..30, key: u64) {
            let all = targets(count);
            let gone = gone % count;
            let before = rendezvous(all.iter().copied(), key).unwrap();
            let mut fewer = all.clone();
            fewer.remove(gone);
            let after = rendezvous(fewer.iter().copied(), key).unwrap();
            if before != gone {
                prop_assert_eq!(fewer[after], all[before]);
            }
        }

        /// Any text can be a list of messages for all a stranger cares.
        #[test]
        fn any_text_has_a_key(text in ".{0,200}") {
            key_of(&raw(&text));
        }
    }
}
