//! What the words of an error mean: the tables.
//!
//! From the vendors' documents and the sources of their clients and servers, read 2026-11-21. Words are compared in
//! this order: codes and types first, text last, as vendors reword their texts.

use infer_core::{ErrorBody, ErrorKind};

/// Everything in an error that its kind can be told from.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// OpenRouter's `metadata.error_type`.
    pub(super) stable_type: Option<String>,
    /// Azure's `innererror.code`.
    pub(super) inner_code: Option<String>,
    /// A moderation gave its reasons.
    pub(super) is_moderated: bool,
    words: Vec<String>,
    text: String,
}

/// Codes and types that say more than the status they come with.
const CERTAIN: [(&str, ErrorKind); 31] = [
    ("context_length_exceeded", ErrorKind::ContextLengthExceeded),
    ("exceed_context_size_error", ErrorKind::ContextLengthExceeded),
    ("max_tokens_exceeded", ErrorKind::ContextLengthExceeded),
    ("token_limit_exceeded", ErrorKind::ContextLengthExceeded),
    ("content_filter", ErrorKind::ContentFiltered),
    ("responsibleaipolicyviolation", ErrorKind::ContentFiltered),
    ("content_policy_violation", ErrorKind::ContentFiltered),
    ("moderation_blocked", ErrorKind::ContentFiltered),
    ("cyber_policy", ErrorKind::ContentFiltered),
    ("bio_policy", ErrorKind::ContentFiltered),
    ("model_not_found", ErrorKind::ModelNotFound),
    ("deploymentnotfound", ErrorKind::ModelNotFound),
    ("invalid_api_key", ErrorKind::Unauthenticated),
    ("permissiondenied", ErrorKind::PermissionDenied),
    ("insufficient_permissions", ErrorKind::PermissionDenied),
    ("unsupported_country_region_territory", ErrorKind::PermissionDenied),
    ("insufficient_quota", ErrorKind::QuotaExhausted),
    ("credit_balance_exhausted", ErrorKind::QuotaExhausted),
    ("organization_spend_limit_exceeded", ErrorKind::QuotaExhausted),
    ("project_spend_limit_exceeded", ErrorKind::QuotaExhausted),
    ("organization_usage_limit_exceeded", ErrorKind::QuotaExhausted),
    ("billing_not_active", ErrorKind::QuotaExhausted),
    ("payment_required", ErrorKind::QuotaExhausted),
    ("server_is_overloaded", ErrorKind::Overloaded),
    ("overloaded_error", ErrorKind::Overloaded),
    ("provider_overloaded", ErrorKind::Overloaded),
    ("capacity_exceeded", ErrorKind::Overloaded),
    ("unavailable_error", ErrorKind::Overloaded),
    ("payload_too_large", ErrorKind::RequestTooLarge),
    // What a gateway of ours says of itself.
    ("stream_interrupted", ErrorKind::StreamInterrupted),
    ("budget_exhausted", ErrorKind::QuotaExhausted),
];

/// Codes and types that come with a status which says the same, or more.
const LIKELY: [(&str, ErrorKind); 34] = [
    ("rate_limit_exceeded", ErrorKind::RateLimited),
    ("rate_limit_error", ErrorKind::RateLimited),
    ("ratelimitreached", ErrorKind::RateLimited),
    ("slow_down", ErrorKind::RateLimited),
    ("token_quota_reached", ErrorKind::RateLimited),
    ("dynamic_request_limited", ErrorKind::RateLimited),
    ("dynamic_token_limited", ErrorKind::RateLimited),
    ("requests", ErrorKind::RateLimited),
    ("tokens", ErrorKind::RateLimited),
    ("service_unavailable_error", ErrorKind::Overloaded),
    ("authentication_error", ErrorKind::Unauthenticated),
    ("authentication", ErrorKind::Unauthenticated),
    ("unauthorized", ErrorKind::Unauthenticated),
    ("permission_error", ErrorKind::PermissionDenied),
    ("permission_denied", ErrorKind::PermissionDenied),
    ("not_found_error", ErrorKind::ModelNotFound),
    ("notfounderror", ErrorKind::ModelNotFound),
    ("not_found", ErrorKind::ModelNotFound),
    ("refusal", ErrorKind::ContentFiltered),
    ("invalid_request", ErrorKind::InvalidRequest),
    ("invalid_prompt", ErrorKind::InvalidRequest),
    ("string_too_long", ErrorKind::InvalidRequest),
    ("precondition_failed", ErrorKind::InvalidRequest),
    ("unprocessable", ErrorKind::InvalidRequest),
    ("badrequesterror", ErrorKind::InvalidRequest),
    ("server_error", ErrorKind::Upstream),
    ("server", ErrorKind::Upstream),
    ("timeout", ErrorKind::Upstream),
    ("provider_unavailable", ErrorKind::Upstream),
    ("internal_server_error", ErrorKind::Upstream),
    ("internalservererror", ErrorKind::Upstream),
    ("api_error", ErrorKind::Upstream),
    ("invalid_request_error", ErrorKind::InvalidRequest),
    ("bad request", ErrorKind::InvalidRequest),
];

/// Texts of servers that have no code for it.
const TEXTS: [(&str, ErrorKind); 13] = [
    ("request too large", ErrorKind::RequestTooLarge),
    ("incorrect api key", ErrorKind::Unauthenticated),
    ("content management policy", ErrorKind::ContentFiltered),
    ("rejected as a result of our safety system", ErrorKind::ContentFiltered),
    ("unexpected endpoint or method", ErrorKind::ModelNotFound),
    ("you exceeded your current quota", ErrorKind::QuotaExhausted),
    ("maximum context length", ErrorKind::ContextLengthExceeded),
    ("exceeds the available context size", ErrorKind::ContextLengthExceeded),
    ("context window", ErrorKind::ContextLengthExceeded),
    ("exceed context limit", ErrorKind::ContextLengthExceeded),
    ("is longer than the model's context length", ErrorKind::ContextLengthExceeded),
    ("input tokens exceed the configured limit", ErrorKind::ContextLengthExceeded),
    ("maximum input length is", ErrorKind::ContextLengthExceeded),
];

impl Signs {
    /// Takes note of what the error says of itself.
    pub(super) fn look_at(&mut self, error: &ErrorBody) {
        let words = [&self.stable_type, &error.code, &self.inner_code, &error.error_type];
        self.words = words.into_iter().flatten().map(|word| word.to_lowercase()).collect();
        let message = error.message.as_deref().unwrap_or_default();
        self.text = message.chars().take(2048).flat_map(char::to_lowercase).collect();
    }

    /// A kind that holds whatever the status is.
    pub(super) fn certain(&self) -> Option<ErrorKind> {
        if self.is_moderated || self.is_usage_policy() {
            return Some(ErrorKind::ContentFiltered);
        }
        self.by_word(&CERTAIN).or_else(|| self.by_text())
    }

    /// A kind where there is no status to go by.
    pub(super) fn likely(&self) -> Option<ErrorKind> {
        self.by_word(&LIKELY)
    }

    fn by_word(&self, table: &[(&str, ErrorKind)]) -> Option<ErrorKind> {
        let kind = |word: &String| table.iter().find(|(known, _)| known == word).map(|(_, kind)| *kind);
        self.words.iter().find_map(kind)
    }

    fn by_text(&self) -> Option<ErrorKind> {
        let known = TEXTS.iter().find(|(mark, _)| self.text.contains(mark)).map(|(_, kind)| *kind);
        // Cerebras: "Current length is X while limit is Y".
        let is_cerebras = self.text.contains("current length is") && self.text.contains("while limit is");
        known.or(is_cerebras.then_some(ErrorKind::ContextLengthExceeded))
    }

    /// OpenAI's `invalid_prompt` is a refusal only with these words.
    fn is_usage_policy(&self) -> bool {
        self.words.iter().any(|word| word == "invalid_prompt")
            && (self.text.contains("usage policy") || self.text.contains("flagged"))
    }
}

/// MiniMax's numbers (its documents, read 2026-11-21).
pub(super) fn of_minimax(code: u64) -> ErrorKind {
    match code {
        1002 | 1039 | 1041 | 2045 => ErrorKind::RateLimited,
        1004 | 2049 => ErrorKind::Unauthenticated,
        1008 | 2056 => ErrorKind::QuotaExhausted,
        1026 | 1027 => ErrorKind::ContentFiltered,
        1042 | 2013 => ErrorKind::InvalidRequest,
        _ => ErrorKind::Upstream,
    }
}

/// OAuth's words (RFC 6749, section 5.2): whatever was wrong, no credential came of it.
pub(super) fn of_oauth(error: &str) -> Option<ErrorKind> {
    let refused = [
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
        "access_denied",
    ];
    refused.contains(&error).then_some(ErrorKind::Unauthenticated)
}
