//! Where a resource is, and by which version it is asked (Microsoft's documents, read 2026-11-21).

use crate::config::{AzureCloud, AzureConfig};

/// The address of the resource without `/openai` and what follows.
pub(crate) fn root(config: &AzureConfig) -> Result<String, String> {
    let domain = match config.cloud {
        AzureCloud::Public => "openai.azure.com",
        AzureCloud::UsGovernment => "openai.azure.us",
        AzureCloud::China => "openai.azure.cn",
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let endpoint = config.endpoint.trim().trim_end_matches('/');
    match config.resource.as_str() {
        name if name.is_empty() == endpoint.is_empty() => Err(format!(
            "resource {name:?}: set this or endpoint, one of the two: the resource's name or its whole address"
        )),
        "" => {
            let root = endpoint.strip_suffix("/openai/v1").or_else(|| endpoint.strip_suffix("/openai"));
            Ok(root.unwrap_or(endpoint).to_owned())
        }
        name if (2..=64).contains(&name.len()) && name.bytes().all(is_part) => {
            Ok(format!("https://{name}.{domain}"))
        }
        name => Err(format!(
            "resource {name:?}: must be 2 to 64 letters, digits and hyphens, what its address has before \
             .{domain}: a whole address goes into endpoint"
        )),
    }
}

/// The dated version; `None` for the v1 routes. Any date is taken, as there are newer ones than are known here: one that
/// the service does not know, or no more, is answered with 404.
pub(crate) fn version(config: &AzureConfig) -> Result<Option<&str>, String> {
    let version = config.api_version.as_str();
    let date = version.strip_suffix("-preview").unwrap_or(version);
    match date.replace(|digit: char| digit.is_ascii_digit(), "0").as_str() {
        _ if matches!(version, "" | "v1") => Ok(None),
        "0000-00-00" => Ok(Some(version)),
        _ => Err(format!(
            "api_version {version:?}: write a date, such as 2024-02-01, 2024-06-01, 2024-10-21 or \
             2025-04-01-preview, or v1 for the routes without one"
        )),
    }
}
