//! Checks of what configurations and the environment name, before anything is sent.

use infer_core::InferenceError;

/// A tenant: its id or one of its domains.
///
/// It becomes part of a path and an argument of a program, so it begins with a letter or digit and holds no more than
/// those, dots and dashes.
pub(crate) fn tenant(place: &str, text: &str) -> Result<String, InferenceError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let tenant = text.trim();
    if !tenant.starts_with(|first: char| first.is_ascii_alphanumeric()) || !tenant.bytes().all(fits) {
        return Err(fault(place, tenant, "must be a tenant's id or domain, such as contoso.onmicrosoft.com"));
    }
    if ["common", "organizations", "consumers"].contains(&tenant) {
        return Err(fault(place, tenant, "must be one tenant: an application has no token for all of them"));
    }
    Ok(tenant.to_owned())
}

/// The id of an application or an identity.
pub(crate) fn id(place: &str, text: &str) -> Result<String, InferenceError> {
    let id = text.trim();
    if id.is_empty() || id.len() > 1024 || !id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(fault(place, id, "must be an id, in one line"));
    }
    Ok(id.to_owned())
}

fn fault(place: &str, got: &str, what: &str) -> InferenceError {
    let shown: String = got.escape_default().take(80).collect();
    let shown = if shown.is_empty() { "nothing" } else { &shown };
    InferenceError::config(format!("{place}: {what}, got {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_leave_its_place_in_the_address() {
        for bad in [
            "", "a/b", "a?b", "a#b", "a%2fb", "..", ".", "-x", "a b", "a\nb", "a\\b", "a@b", "común",
            "common",
        ] {
            let error = tenant("tenant", bad).unwrap_err().to_string();
            assert!(error.starts_with("tenant: must be") && !error.contains('\n'), "{error}");
        }
        for good in ["contoso.onmicrosoft.com", "00000000-0000-4000-8000-00000000000a", " contoso.com\n"] {
            assert_eq!(tenant("tenant", good).unwrap(), good.trim());
        }
    }

    #[test]
    fn an_id_is_one_line() {
        for bad in ["", "  ", "a\nb", "a\0", "é"] {
            assert!(id("client_id", bad).unwrap_err().to_string().starts_with("client_id: must be an id"));
        }
        assert_eq!(id("resource_id", "/subscriptions/1/x y").unwrap(), "/subscriptions/1/x y");
    }
}
