//! `obelysk-stand-in-hub ROOT`: serve a folder of model repositories.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use obelysk_cpu as _;
use obelysk_stand_in_hub::{Options, serve};

/// Serve a folder ORGANISATION/NAME/files as a hub of models, for tests and for places without internet.
#[derive(Parser)]
#[command(name = "obelysk-stand-in-hub", version)]
struct Arguments {
    /// Folder of organisations
    root: PathBuf,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Address that large files are redirected to: this server under another name
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A repository that asks for a token
    #[arg(long, value_name = "REPO=TOKEN", value_parser = pair)]
    gated: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (repository, token) = text.split_once('=').ok_or("write it as organisation/name=token")?;
    Ok((repository.to_owned(), token.to_owned()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { root, listen, store, gated } = Arguments::parse();
    serve(&Options { root, listen, store, gated }).await
}
