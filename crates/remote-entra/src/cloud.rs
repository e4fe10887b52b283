//! Which cloud a token comes from, and what it is for.

use std::net::IpAddr;

use infer_core::InferenceError;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The scope of Foundry's v1 routes in the public cloud.
///
/// Microsoft's documents of the v1 routes ask for it (read 2026-11-21); the cloud's usual scope is for everything else.
pub const FOUNDRY_SCOPE: &str = "https://ai.azure.com/.default";

/// What every scope of an application ends in: it is granted what an administrator allowed, and asks for no part of it.
const DEFAULT: &str = "/.default";

/// A cloud with tenants of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cloud {
    /// The one that everybody has.
    #[default]
    Public,
    /// That of the government of the United States.
    UsGovernment,
    /// China, operated by 21Vianet.
    China,
}

impl Cloud {
    /// Where its applications log in.
    ///
    /// As Microsoft's own client libraries have it (azure-identity 1.27.0, read 2026-11-21).
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com/",
            Self::UsGovernment => "https://login.microsoftonline.us/",
            Self::China => "https://login.chinacloudapi.cn/",
        }
    }

    /// The scope that its model deployments want.
    ///
    /// That of the public cloud is documented (read 2026-11-21); the others follow from the names of their hosts, so a
    /// deployment that refuses them is given [another](Audience::with_scope).
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Public => "https://cognitiveservices.azure.com/.default",
            Self::UsGovernment => "https://cognitiveservices.azure.us/.default",
            Self::China => "https://cognitiveservices.azure.cn/.default",
        }
    }

    /// The scope that the v1 routes to its models want: [`FOUNDRY_SCOPE`] in the public cloud, elsewhere the usual one.
    pub const fn v1_scope(self) -> &'static str {
        match self {
            Self::Public => FOUNDRY_SCOPE,
            Self::UsGovernment | Self::China => self.scope(),
        }
    }
}

/// Where a token comes from and what it is for: a [`Cloud`], or one with another login host or another scope.
///
/// ```
/// use remote_entra::{Audience, Cloud, FOUNDRY_SCOPE};
///
/// let foundry = Audience::from(Cloud::Public).with_scope(FOUNDRY_SCOPE)?;
/// assert_eq!(foundry.resource(), "https://ai.azure.com");
/// assert!(Audience::from(Cloud::Public).with_authority("http://login.example").is_err());
/// # Ok::<(), infer_core::InferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    cloud: Cloud,
    authority: Option<Url>,
    scope: String,
}

impl From<Cloud> for Audience {
    fn from(cloud: Cloud) -> Self {
        Self { cloud, authority: None, scope: cloud.scope().to_owned() }
    }
}

impl Audience {
    /// Logs in at `authority`, whatever the cloud and the environment say.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when it is anything but `https://HOST`; `http` is for this machine only.
    pub fn with_authority(mut self, authority: &str) -> Result<Self, InferenceError> {
        self.authority = Some(checked_authority("authority", authority)?);
        Ok(self)
    }

    /// Asks for `scope`, such as [`FOUNDRY_SCOPE`].
    ///
    /// # Errors
    /// [`InferenceError::Config`] when it does not end in `/.default` or is not made of what an address may hold.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Result<Self, InferenceError> {
        let scope = scope.into();
        let begins = scope.starts_with(|first: char| first.is_ascii_alphanumeric());
        let fits = scope.bytes().all(|byte| byte.is_ascii_graphic()) && scope.len() <= 1024;
        if !begins || !fits || scope.strip_suffix(DEFAULT).is_none_or(str::is_empty) {
            let shown = scope.escape_default().take(200).collect::<String>();
            return Err(InferenceError::config(format!(
                "scope: must be an address that ends in {DEFAULT}, such as {}, got {shown}",
                self.cloud.scope()
            )));
        }
        self.scope = scope;
        Ok(self)
    }

    /// The scope, as the login hosts and the Azure CLI want it.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The resource, as the services of managed identities want it: the scope without `/.default`.
    pub fn resource(&self) -> &str {
        self.scope.strip_suffix(DEFAULT).unwrap_or(&self.scope)
    }

    /// The login host: the one that was set, else that of `AZURE_AUTHORITY_HOST`, else the cloud's.
    pub(crate) fn authority(&self, of_environment: Option<&str>) -> Result<Url, InferenceError> {
        match (&self.authority, of_environment) {
            (Some(set), _) => Ok(set.clone()),
            (None, Some(text)) => checked_authority("environment variable AZURE_AUTHORITY_HOST", text),
            (None, None) => checked_authority("authority", self.cloud.authority()),
        }
    }
}

fn checked_authority(place: &str, text: &str) -> Result<Url, InferenceError> {
    let fault = |what: &str| {
        let example = Cloud::Public.authority();
        Err(InferenceError::config(format!("{place}: {what}: it is the login host alone, such as {example}")))
    };
    // What was given is not shown: a secret in the wrong variable is a common slip.
    let Ok(url) = Url::parse(text.trim()) else { return fault("is not an address") };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    match url.scheme() {
        _ if !plain => fault("holds more than a host"),
        "https" => Ok(url),
        "http" if ip(&url).is_some_and(|ip| ip.is_loopback()) => Ok(url),
        _ => fault("must begin with https://, since secrets are sent there"),
    }
}

/// The address in `url`, when it names one or this machine.
pub(crate) fn ip(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain("localhost") => Some(std::net::Ipv4Addr::LOCALHOST.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_login_host_its_scope_and_its_resource() {
        for (cloud, authority, scope, resource) in [
            (
                Cloud::Public,
                "https://login.microsoftonline.com/",
                "https://cognitiveservices.azure.com/.default",
                "https://cognitiveservices.azure.com",
            ),
            (
                Cloud::UsGovernment,
                "https://login.microsoftonline.us/",
                "https://cognitiveservices.azure.us/.default",
                "https://cognitiveservices.azure.us",
            ),
            (
                Cloud::China,
                "https://login.chinacloudapi.cn/",
                "https://cognitiveservices.azure.cn/.default",
                "https://cognitiveservices.azure.cn",
            ),
        ] {
            let audience = Audience::from(cloud);
            assert_eq!(audience.authority(None).unwrap().as_str(), authority);
            assert_eq!((audience.scope(), audience.resource()), (scope, resource));
        }
    }

    #[test]
    fn only_the_public_cloud_has_another_scope_for_its_v1_routes() {
        assert_eq!(Cloud::Public.v1_scope(), FOUNDRY_SCOPE);
        for cloud in [Cloud::UsGovernment, Cloud::China] {
            assert_eq!(cloud.v1_scope(), cloud.scope());
        }
    }

    #[test]
    fn what_was_set_wins_over_the_environment_and_that_over_the_cloud() {
        let china = Audience::from(Cloud::China);
        let host = |audience: &Audience, env| audience.authority(env).unwrap().to_string();
        assert_eq!(host(&china, Some("https://login.env.test")), "https://login.env.test/");
        let set = china.with_authority("https://login.set.test/").unwrap();
        assert_eq!(host(&set, Some("https://login.env.test")), "https://login.set.test/");
    }

    #[test]
    fn a_login_host_that_is_not_https_or_more_than_a_host_is_refused_without_being_shown() {
        for bad in [
            "",
            "login.secret.test",
            "http://login.secret.test",
            "ftp://login.secret.test",
            "https://user:secret@login.test",
            "https://login.test/secret",
            "https://login.test/?secret",
            "https://login.test/#secret",
            "http://10.0.0.1/",
        ] {
            let error = Audience::from(Cloud::Public).with_authority(bad).unwrap_err().to_string();
            assert!(error.starts_with("authority: ") && !error.contains("secret."), "{bad}: {error}");
            let error = Audience::from(Cloud::Public).authority(Some(bad)).unwrap_err().to_string();
            assert!(error.contains("AZURE_AUTHORITY_HOST"), "{bad}: {error}");
        }
        for good in
            ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:1/", "https://login.test"]
        {
            Audience::from(Cloud::Public).with_authority(good).unwrap();
        }
    }

    #[test]
    fn a_scope_that_is_no_scope_of_an_application_is_refused() {
        for bad in
            ["", "/.default", "https://ai.azure.com", "https://a b/.default", "-x/.default", "a\n/.default"]
        {
            let error = Audience::from(Cloud::Public).with_scope(bad).unwrap_err().to_string();
            assert!(error.starts_with("scope: ") && !error.contains('\n'), "{error}");
        }
        let own = Audience::from(Cloud::Public).with_scope("api://gateway/.default").unwrap();
        assert_eq!(own.resource(), "api://gateway");
    }

    #[test]
    fn clouds_are_named_in_snake_case() {
        assert_eq!(serde_json::from_str::<Cloud>("\"us_government\"").unwrap(), Cloud::UsGovernment);
        assert!(serde_json::from_str::<Cloud>("\"germany\"").is_err());
    }
}
