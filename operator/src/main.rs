//! `obelysk-operator`.

use clap::Parser;
use obelysk_cpu as _;
use obelysk_operator::settings::Settings;
use tracing_subscriber::EnvFilter;

/// Below this level the client prints whole answers of the API server that it cannot read: everybody's prompts.
const QUIET_CLIENT: &str = "kube_client=error";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = filter.add_directive(QUIET_CLIENT.parse()?);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if settings.log_json {
        log.json().init()
    } else {
        log.init()
    }
    obelysk_operator::app::run(settings).await
}
