//! An answer whole, and JSON read out of a model's text.

use futures_util::StreamExt;
use infer_core::{Completion, ExecuteBatch, InferenceError, ModelRunner, Origin};
use serde::de::DeserializeOwned;

/// Runs `batch` and folds its answer into `whole`. When a stream breaks, what had arrived is in there.
pub(crate) async fn collect(
    runner: &dyn ModelRunner,
    batch: ExecuteBatch,
    whole: &mut Completion,
) -> Result<(), InferenceError> {
    let is_streaming = batch.is_streaming();
    let run = runner.execute(batch).await?;
    if !is_streaming {
        *whole = run.collect().await?;
        return Ok(());
    }
    let mut pieces = run.into_stream();
    while let Some(piece) = pieces.next().await {
        whole.push(piece?);
    }
    Ok(())
}

/// Text that is not the JSON it should be.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// Where in the value: `items[2].price`, or `.` for the whole. At most 512 bytes, one line.
    pub(crate) path: String,
    /// The text around that place, at most 512 bytes, one line.
    pub(crate) excerpt: String,
    pub(crate) error: serde_json::Error,
}

/// Reads all of `text` as a `T`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Misfit> {
    let mut json = serde_json::Deserializer::from_str(text);
    let (path, error) = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(error) => (".".to_owned(), error),
        },
        Err(error) => (error.path().to_string(), error.into_inner()),
    };
    let excerpt = around(text, error.line(), error.column());
    Err(Misfit { path: one_line(&Origin::excerpt(&path)), excerpt, error })
}

/// Up to 512 bytes of `text` around a place that is counted from 1, in lines and in bytes of the line.
fn around(text: &str, line: usize, column: usize) -> String {
    const BEFORE: usize = 200;
    let line_start = match line.checked_sub(2) {
        None => 0,
        Some(breaks) => text.match_indices('\n').nth(breaks).map_or(0, |(at, _)| at + 1),
    };
    let start = text.floor_char_boundary((line_start + column).min(text.len()).saturating_sub(BEFORE));
    one_line(&Origin::excerpt(text.get(start..).unwrap_or_default()))
}

/// `text` with nothing in it that breaks a line or that a terminal would obey.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_shows_its_place_in_the_middle_of_a_long_text() {
        let text = format!("[{}\n \"é\",\n 7]", "1,".repeat(2_000));
        let misfit = parse::<Vec<u8>>(&text).unwrap_err();
        assert_eq!(misfit.path, "[2000]");
        assert!(misfit.excerpt.contains('é') && misfit.excerpt.len() <= 512, "{misfit:?}");
        assert!(!misfit.excerpt.contains('\n'), "{misfit:?}");
    }

    #[test]
    fn text_after_the_value_is_a_misfit() {
        assert!(parse::<u8>("1 ").is_ok());
        assert!(parse::<u8>("1 2").is_err());
        assert!(parse::<u8>("").is_err());
    }
}
