//! Pictures and documents as this format wants them: base64 with its media type, an address, or an id.
//!
//! After the image, PDF and file pages of Anthropic's documents, read 2026-11-21.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use infer_core::{FileSource, InferenceError, MediaSource};
use serde::Serialize;

use crate::refusal::refused;

const PDF: &str = "application/pdf";
/// How every PDF begins, in base64.
const PDF_START: &str = "JVBERi";

/// The member `source` of a picture or document.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    File { file_id: &'a str },
    Text { media_type: &'static str, data: Cow<'a, str> },
}

/// A document, or the picture it turned out to be.
#[derive(Debug)]
pub(crate) enum File<'a> {
    Document(Source<'a>, Option<&'a str>),
    Image(Source<'a>),
}

/// A picture. `at` names it in errors.
pub(crate) fn image<'a>(source: &'a MediaSource, at: &str) -> Result<Source<'a>, InferenceError> {
    match source {
        MediaSource::Base64 { media_type, data } => Ok(Source::Base64 { media_type, data }),
        MediaSource::Url(url) => Ok(match inline(url, at)? {
            Some((media_type, data)) => Source::Base64 { media_type, data },
            None => Source::Url { url },
        }),
        _ => Err(refused(at, "a picture must be base64 or a URL")),
    }
}

/// A document. Text is sent as text, a picture as a picture; of anything else only PDF is known.
pub(crate) fn file<'a>(source: &'a FileSource, at: &str) -> Result<File<'a>, InferenceError> {
    let (filename, data) = match source {
        FileSource::Id(id) => return Ok(File::Document(Source::File { file_id: id }, None)),
        FileSource::Data { filename, data } => (filename.as_deref(), data.as_str()),
        _ => return Err(refused(at, "a file must be sent along or have an id")),
    };
    let (media_type, data) = match inline(data, at)? {
        Some(parts) => parts,
        None if data.starts_with(PDF_START) => (PDF, data),
        None => (by_name(filename).unwrap_or_default(), data),
    };
    if media_type == PDF {
        return Ok(File::Document(Source::Base64 { media_type, data }, filename));
    }
    if media_type.starts_with("image/") {
        return Ok(File::Image(Source::Base64 { media_type, data }));
    }
    if media_type.starts_with("text/") {
        let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| refused(at, "a text file must be base64 of UTF-8"))?;
        let source = Source::Text { media_type: "text/plain", data: Cow::Owned(text) };
        return Ok(File::Document(source, filename));
    }
    let got = if media_type.is_empty() { "data without a media type" } else { media_type };
    Err(refused(at, &format!("this upstream takes PDF, text and pictures, got {got}")))
}

/// The media type and base64 of a data URL; `None` for another URL, or none.
fn inline<'a>(url: &'a str, at: &str) -> Result<Option<(&'a str, &'a str)>, InferenceError> {
    let is_inline = url.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("data:"));
    if !is_inline {
        return Ok(None);
    }
    let parts = url.get(5..).and_then(|rest| rest.split_once(";base64,"));
    // Parameters, such as a character set, say nothing here.
    let parts = parts.map(|(kind, data)| (kind.split(';').next().unwrap_or_default(), data));
    match parts.filter(|(media_type, _)| !media_type.is_empty()) {
        Some(parts) => Ok(Some(parts)),
        None => Err(refused(at, "a data URL must be base64 and say its media type")),
    }
}

fn by_name(filename: Option<&str>) -> Option<&'static str> {
    let (_, extension) = filename?.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => Some(PDF),
        "txt" | "md" | "csv" => Some("text/plain"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_json(filename: Option<&str>, data: &str) -> Result<String, InferenceError> {
        let source = FileSource::Data { filename: filename.map(str::to_owned), data: data.to_owned() };
        let json = |source: &Source<'_>| serde_json::to_string(source).unwrap();
        Ok(match file(&source, "messages[0].content[0]")? {
            File::Document(source, title) => format!("document {title:?} {}", json(&source)),
            File::Image(source) => format!("image {}", json(&source)),
        })
    }

    #[test]
    fn a_picture_goes_by_what_its_address_is() {
        let json = |url: &str| {
            let source = MediaSource::Url(url.to_owned());
            image(&source, "x").map(|source| serde_json::to_string(&source).unwrap())
        };
        let inline = r#"{"type":"base64","media_type":"image/png","data":"aGk="}"#;
        assert_eq!(json("data:image/png;base64,aGk=").unwrap(), inline);
        assert_eq!(json("DATA:image/png;charset=x;base64,aGk=").unwrap(), inline);
        assert_eq!(json("https://x/cat.png").unwrap(), r#"{"type":"url","url":"https://x/cat.png"}"#);
        for odd in ["data:image/png,raw", "data:;base64,aGk="] {
            assert_eq!(json(odd).unwrap_err().origin().unwrap().param.as_deref(), Some("x"));
        }
        assert!(json("é").is_ok());
    }

    #[test]
    fn a_file_goes_by_its_media_type_its_beginning_or_its_name() {
        let pdf =
            r#"document Some("a.bin") {"type":"base64","media_type":"application/pdf","data":"JVBERi0x"}"#;
        assert_eq!(file_json(Some("a.bin"), "JVBERi0x").unwrap(), pdf);
        assert_eq!(file_json(Some("a.bin"), "data:application/pdf;base64,JVBERi0x").unwrap(), pdf);
        assert!(file_json(Some("A.PDF"), "AAAA").unwrap().contains("application/pdf"));
        let text = r#"document None {"type":"text","media_type":"text/plain","data":"hi"}"#;
        assert_eq!(file_json(None, "data:text/csv;base64,aGk=").unwrap(), text);
        assert!(file_json(Some("a.md"), "aGk=").unwrap().contains(r#""data":"hi""#));
        assert!(file_json(None, "data:image/gif;base64,R0lG").unwrap().starts_with("image "));
    }

    #[test]
    fn a_file_of_another_kind_is_refused_with_its_kind() {
        let error = file_json(None, "data:audio/wav;base64,AAAA").unwrap_err();
        assert!(error.to_string().contains("audio/wav"), "{error}");
        for (name, data) in [(Some("a.txt"), "!"), (Some("a.txt"), "/w=="), (None, "AAAA"), (None, "data:,x")]
        {
            assert!(file_json(name, data).is_err(), "{data}");
        }
    }
}
