//! `infer serve`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use infer_gateway::{AccessLog, Gateway, GatewayConfig, Metrics};
use infer_store::Clock;
use infer_store::keys::{KeyBook, KeysConfig};
use inference::config::{Format, Source};
use inference::remote::meter::{Fanout, MetricsSink};
use inference::{Inference, InferenceBuilder};
use upstream_sim::Sim;

use crate::args::ServeArgs;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::upstream::{Given, variable};

/// Fast enough not to wait for, slow enough to see words arrive.
const WORD_DELAY: Duration = Duration::from_millis(25);

/// Whom the gateway asks.
enum Behind {
    File(PathBuf),
    OpenAi,
    Simulator(Sim),
}

/// Serves until it is stopped.
pub(crate) async fn run(args: &ServeArgs, given: &Given, signals: &mut Signals) -> Result<(), Failure> {
    let behind = behind(args).await?;
    let mut builder =
        infer_gateway::sections().into_iter().fold(Inference::builder(), InferenceBuilder::with_section);
    let metrics = Metrics::new();
    let sinks: Vec<Arc<dyn MetricsSink>> = vec![metrics.clone(), given.sink()];
    builder = builder.with_sink(Arc::new(Fanout(sinks)));
    builder = match &behind {
        Behind::File(path) => builder.with_file(path),
        Behind::OpenAi => builder.with_source(source("openai", "api_key: ${OPENAI_API_KEY}")),
        Behind::Simulator(sim) => {
            builder.with_source(source("simulator", &format!("type: openai, base_url: {:?}", sim.base_url())))
        }
    };
    if let Some(data) = &args.data {
        builder = builder.with_data(data);
    }
    let inference = builder.build().await.map_err(Failure::call)?;
    let in_force = inference.config();
    let (settings, keys) = infer_gateway::settings(&in_force);
    let mut settings = GatewayConfig::clone(&settings);
    if let Some(listen) = args.listen {
        settings.listen = listen;
    }
    settings.insecure |= args.insecure;
    let data = args.data.clone().or_else(|| in_force.data.clone());
    let book = match inference.redis() {
        Some(redis) => {
            if let Some(data) = data.filter(|data| data.join("keys.json").exists()) {
                let shown = data.display();
                crate::terminal::note(&format!(
                    "the keys in {shown} are not in force: keys are in Redis, as the configuration says"
                ));
            }
            KeyBook::with_redis(redis, &keys, Clock::system()).await.map_err(Failure::Keys)?
        }
        None => signals.blocking(move || stored(data, &keys)).await?,
    };
    let _keys = if book.is_stored() {
        Some(book.watch().map_err(|error| Failure::usage(error.to_string()))?)
    } else {
        None
    };
    let watching = match &behind {
        Behind::File(_) => Some(inference.watch().map_err(Failure::call)?),
        _ => None,
    };
    let mut gateway = Gateway::builder(inference, settings)
        .with_keys(book)
        .with_metrics(metrics)
        .with_observer(Arc::new(AccessLog));
    if matches!(behind, Behind::Simulator(_)) {
        gateway = gateway.with_simulator();
    }
    let gateway = gateway.bind().await.map_err(Failure::call)?;
    banner(&gateway, &behind)?;
    let served = gateway.serve(async {
        signals.stop().await;
    });
    served.await.map_err(Failure::from)?;
    drop(watching);
    Ok(())
}

/// The keys of the configuration, and those in the data directory where there is one.
fn stored(data: Option<PathBuf>, keys: &KeysConfig) -> Result<KeyBook, Failure> {
    let book = match data {
        Some(data) => KeyBook::open(data, keys, Clock::system()),
        None => KeyBook::fixed(keys, Clock::system()),
    };
    book.map_err(|error| Failure::usage(error.to_string()))
}

/// The file named, that of the environment, or that of this directory.
pub(crate) fn file(args: &ServeArgs) -> Result<Option<PathBuf>, Failure> {
    if let Some(file) = &args.config {
        return Ok(Some(file.clone()));
    }
    let named = variable("INFER_CONFIG")?.map(PathBuf::from);
    Ok(named.or_else(|| Path::new("llm.yaml").exists().then(|| "llm.yaml".into())))
}

/// A file; else OpenAI by its key; else the simulator.
async fn behind(args: &ServeArgs) -> Result<Behind, Failure> {
    if let Some(file) = file(args)? {
        return Ok(Behind::File(file));
    }
    if variable("OPENAI_API_KEY")?.is_some() {
        return Ok(Behind::OpenAi);
    }
    let sim = Sim::builder().chunk_delay(WORD_DELAY).start().await;
    let sim = sim.map_err(|error| Failure::usage(format!("the built-in simulator cannot start: {error}")))?;
    Ok(Behind::Simulator(sim))
}

/// One provider for every model.
fn source(name: &str, settings: &str) -> Source {
    let text = format!(
        "providers: {{ {name}: {{ {settings} }} }}\nroutes: {{ \"*\": {{ targets: [{{ provider: {name} }}] }} }}\n"
    );
    Source::text(text, Format::Yaml)
}

/// The address alone on standard output, for programs; the rest for people.
fn banner(gateway: &Gateway, behind: &Behind) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{gateway}").and_then(|()| stdout.flush()).map_err(Failure::from)?;
    let address: SocketAddr = gateway.address();
    let note = crate::terminal::note;
    match behind {
        Behind::File(path) => note(&format!("serving what {} describes", path.display())),
        Behind::OpenAi => note("serving OpenAI with OPENAI_API_KEY; there is no llm.yaml"),
        Behind::Simulator(_) => note(
            "SIMULATOR: no llm.yaml and no OPENAI_API_KEY, so answers come from the built-in simulator and not from a model",
        ),
    }
    if gateway.asks_for_keys() {
        note("callers need a key");
    } else if address.ip().is_loopback() {
        note("there are no keys: everybody on this machine may call it, and nobody else can");
    } else {
        note("INSECURE: there are no keys, and everybody who reaches this address may spend your money");
    }
    note(&format!(
        "try: curl -N {gateway}/v1/chat/completions -H 'content-type: application/json' \
         -d '{{\"model\":\"gpt-4o-mini\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
    ));
    Ok(())
}
