//! What a gateway is checked against: two simulators, and configurations that use much of what there is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::Ground;
use super::process::{Service, address};

/// The key of the operator.
pub(super) const ADMIN_KEY: &str = "e2e-admin-0123456789abcdef";
/// A key that may do everything.
const KEY: &str = "e2e-team-0123456789abcdef";
/// A key whose budget a first call uses up.
const POOR: &str = "e2e-poor-0123456789abcdef";
/// A key that may ask for one model only.
const NARROW: &str = "e2e-narrow-0123456789abcdef";
/// A key that may make one call a minute.
const SLOW: &str = "e2e-slow-0123456789abcdef";

/// Two simulators: one that is asked for answers, and one that is asked for what goes wrong.
#[derive(Debug)]
pub(super) struct Sims {
    steady: Service,
    faulty: Service,
}

/// A gateway and what stands behind it. Dropping it stops all of them.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) gateway: Service,
    sims: Sims,
    folder: PathBuf,
}

impl Scene {
    /// Starts the simulators and a gateway with the configuration that `yaml` makes.
    pub(super) fn start(ground: &Ground, folder: &Path, yaml: impl FnOnce(&Sims) -> String) -> Result<Self> {
        let sim = |name: &str, delay: &str| {
            let mut command = Command::new(&ground.infer);
            command.args(["sim", "--port", "0", "--delay", delay]);
            Service::start(command, &folder.join(format!("{name}.log")), address)
        };
        let sims = Sims { steady: sim("steady", "1")?, faulty: sim("faulty", "5")? };
        fs::write(folder.join("llm.yaml"), yaml(&sims))?;
        let gateway = serve(ground, folder, "gateway")?;
        Ok(Self { gateway, sims, folder: folder.to_owned() })
    }

    /// Starts another gateway with the same configuration, in front of the same simulators.
    pub(super) fn another(&self, ground: &Ground) -> Result<Service> {
        serve(ground, &self.folder, "another")
    }

    /// Addresses and keys, as scripts read them.
    pub(super) fn facts(&self) -> String {
        json!({
            "gateway": self.gateway.url,
            "steady": self.sims.steady.url,
            "faulty": self.sims.faulty.url,
            "admin": ADMIN_KEY,
            "key": KEY,
            "poor": POOR,
            "narrow": NARROW,
            "slow": SLOW,
        })
        .to_string()
    }
}

fn serve(ground: &Ground, folder: &Path, name: &str) -> Result<Service> {
    let mut command = Command::new(&ground.infer);
    command.arg("serve").arg("--config").arg(folder.join("llm.yaml"));
    // Nothing of whoever runs this may change what is checked.
    command.env_clear().env("NO_PROXY", "127.0.0.1").current_dir(folder);
    Service::start(command, &folder.join(format!("{name}.log")), address)
}

/// A provider that asks once and never holds back, so that each check has its upstream to itself.
fn provider(sim: &Service, more: &str) -> String {
    format!(
        "{{ type: openai, base_url: {:?}, prices: published, retry: {{ attempts: 1 }}, \
         circuit_breaker: {{ enabled: false }}{more} }}",
        sim.url
    )
}

/// For SDKs: keys of every sort, a budget, a route for what goes wrong.
pub(super) fn sdks(sims: &Sims) -> String {
    let (steady, faulty) = (provider(&sims.steady, ""), provider(&sims.faulty, ""));
    format!(
        "providers:
  steady: {steady}
  faulty: {faulty}
routes:
  any: {{ targets: [{{ provider: steady }}] }}
  \"*\": {{ targets: [{{ provider: steady }}] }}
default_route: any
budgets:
  limits: [{{ name: poor, per: key, only: [poor], every: day, usd: 0.00001 }}]
keys:
  - {{ name: team, secret: {KEY} }}
  - {{ name: poor, secret: {POOR} }}
  - {{ name: narrow, secret: {NARROW}, routes: [gpt-4o-mini] }}
  - {{ name: slow, secret: {SLOW}, limits: {{ requests_per_minute: 1 }} }}
gateway: {{ listen: 127.0.0.1:0, admin_key: {ADMIN_KEY}, admission: {{ max_wait: 1s }} }}
"
    )
}

/// For the dashboard: names and budgets that are worth looking at. The operator's key is one for calls as well, as the
/// playground makes some.
pub(super) fn showcase(sims: &Sims) -> String {
    let (openai, local) = (provider(&sims.steady, ""), provider(&sims.faulty, ""));
    format!(
        "data: data
providers:
  openai: {openai}
  azure-eu: {openai}
  local: {local}
routes:
  fast:
    targets:
      - {{ provider: openai, model: gpt-4o-mini, weight: 0.7 }}
      - {{ provider: azure-eu, model: gpt-4o-mini, weight: 0.3 }}
  reliable:
    targets:
      - {{ provider: local, model: sim-error-503 }}
      - {{ provider: openai, model: gpt-4o, priority: 2 }}
  \"*\": {{ targets: [{{ provider: openai }}] }}
budgets:
  limits:
    - {{ name: per-key, per: key, every: day, usd: 0.08 }}
    - {{ name: all, every: month, usd: 0.5 }}
keys:
  - {{ name: search, secret: {KEY} }}
  - {{ name: support-bot, secret: {NARROW} }}
  - {{ name: nightly, secret: {SLOW} }}
  - {{ name: operator, secret: {ADMIN_KEY}, admin: true }}
gateway: {{ listen: 127.0.0.1:0, admin_key: {ADMIN_KEY} }}
"
    )
}

/// For two gateways over the Redis at `url`: a budget for each key, and a provider with a limit.
pub(super) fn shared(sims: &Sims, url: &str) -> String {
    let free = provider(&sims.steady, "");
    let limited =
        provider(&sims.faulty, ", rate_limits: { requests_per_minute: 6, requests_burst: 6, max_wait: 0s }");
    format!(
        "redis: {{ url: {url:?}, prefix: e2e }}
providers:
  free: {free}
  limited: {limited}
routes:
  limited: {{ targets: [{{ provider: limited, model: gpt-4o-mini }}] }}
  \"*\": {{ targets: [{{ provider: free }}] }}
budgets:
  limits: [{{ name: daily, per: key, only: [poor, narrow], every: day, usd: 0.0005 }}]
keys:
  - {{ name: team, secret: {KEY} }}
  - {{ name: poor, secret: {POOR} }}
  - {{ name: narrow, secret: {NARROW} }}
gateway: {{ listen: 127.0.0.1:0, admin_key: {ADMIN_KEY} }}
"
    )
}
