//! `docs/errors.md` is printed from the table in `policy.rs` and must not lag behind it.

#![expect(clippy::panic, reason = "a test")]

use std::fmt::Write as _;

use infer_core::{BreakerEffect, ErrorKind, Retryability};

const HEAD: &str = "\
# Errors

Every error of a call is one `InferenceError` of one kind. What follows from a kind stands in this table and nowhere else:
retry, breaker, router and gateway read it. The table holds while no output has been handed over; after the first piece of
output nothing is repeated and nothing is sent elsewhere.

This file is printed from `crates/infer-core/src/policy.rs` by `cargo xtask tidy --bless`.

| kind | class | same upstream again | breaker | other upstream | passes by itself | gateway |
|---|---|---|---|---|---|---|
";

const TAIL: &str = "
Some errors know more than their kind. An `upstream` error with a status such as 501 is not repeated; a `transport` error
over a certificate or a redirect never is; a `timeout` while connecting is repeated like any failure, since nothing was
sent; a `decode` error over a web page or a size limit does not pass by itself.

`infer chat --json` prints class and kind by these names. `retryable` there is the column *passes by itself*, after the
details above.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for kind in ErrorKind::ALL {
        let policy = kind.policy();
        let again = match policy.retry {
            Retryability::Never => "never",
            Retryability::AfterRefresh => "once, with a fresh credential",
            Retryability::AfterHint => "after the wait it asks for",
            Retryability::Backoff => "after a growing wait",
            Retryability::BackoffIfAllowed => "after a growing wait, if allowed",
            _ => panic!("a word is missing for {:?}", policy.retry),
        };
        let breaker = match policy.breaker {
            BreakerEffect::Success => "success",
            BreakerEffect::Neutral => "neutral",
            BreakerEffect::Failure => "failure",
            _ => panic!("a word is missing for {:?}", policy.breaker),
        };
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "| `{}` | {} | {again} | {breaker} | {} | {} | {} |",
            kind.name(),
            policy.class.name(),
            yes(policy.fails_over),
            yes(policy.transient),
            policy.gateway_status,
        );
    }
    page + TAIL
}

#[test]
fn the_printed_table_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, page()).unwrap();
    }
    let printed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(printed == page(), "docs/errors.md is stale: run `cargo xtask tidy --bless`");
}
