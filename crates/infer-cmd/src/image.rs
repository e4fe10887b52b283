//! Pictures from files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use infer_core::Part;

use crate::failure::Failure;

/// What OpenAI takes for one picture (its vision guide, read 2026-11-21).
const MAX_BYTES: u64 = 20 << 20;

/// Reads a picture to send along.
pub(crate) fn read(path: &Path) -> Result<Part, Failure> {
    let fault = |what: &str| Failure::usage(format!("--image {}: {what}", path.display()));
    let bytes = read_capped(path).map_err(|error| fault(&format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fault("is larger than 20 MiB: scale it down"));
    }
    let kind = media_type(&bytes).ok_or_else(|| fault("is not a PNG, JPEG, WebP or GIF file"))?;
    Ok(Part::image_base64(kind, BASE64_STANDARD.encode(bytes)))
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the file is, by its first bytes; its name says nothing.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some("image/gif")
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_known_by_its_bytes() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\n\0"), Some("image/png"));
        assert_eq!(media_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(media_type(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(media_type(b"GIF89a"), Some("image/gif"));
        for other in [&b"RIFF\x10\0\0\0WAVE"[..], b"%PDF-1.7", b"", b"RIFF"] {
            assert_eq!(media_type(other), None);
        }
    }
}
