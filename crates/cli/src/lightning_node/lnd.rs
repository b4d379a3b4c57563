//! How an LND is spoken to: `--lightning lnd:ADDRESS` and the options that go with it.

use crate::{
    exit::{Exit, Failure},
    output::Output,
};
use clap::Args;
use pay::{
    LightningNode,
    lnd::{FolderError, LndAddress, LndConfig, LndNode, OpenError},
    secret::SecretRef,
};
use std::path::PathBuf;

/// What an LND asks for, and what the operator has to say.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "LND")]
pub(crate) struct LndArgs {
    /// The macaroon for --lightning lnd:ADDRESS: a file that only you can read, or env:NAME with it in hex
    #[arg(long, value_name = "FILE|env:NAME", env = "GRIST_LND_MACAROON", hide_env_values = true)]
    pub(crate) lnd_macaroon: Option<SecretRef>,
    /// The certificate of that LND, its tls.cert; no other is accepted
    #[arg(long, value_name = "FILE|env:NAME", env = "GRIST_LND_CERT", hide_env_values = true)]
    pub(crate) lnd_cert: Option<SecretRef>,
    /// Needed when that LND is on bitcoin's main network: you have read docs/lightning.md and can afford to lose what it has
    #[arg(long)]
    pub(crate) lnd_real_money: bool,
}

/// Opens the way to an LND, with what is remembered beside it in a folder.
pub(crate) async fn open(
    address: &LndAddress,
    args: &LndArgs,
    dir: PathBuf,
    output: &Output,
) -> Result<LndNode, Failure> {
    let needed = |option: &Option<SecretRef>, name: &str, what: &str| {
        option.clone().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("--lightning lnd:{address} needs --{name}: {what}"))
        })
    };
    let config = LndConfig {
        address: address.clone(),
        macaroon: needed(&args.lnd_macaroon, "lnd-macaroon", "docs/lightning.md says how to bake one")?,
        certificate: needed(&args.lnd_cert, "lnd-cert", "LND's tls.cert")?,
        dir,
        allow_real_money: args.lnd_real_money,
    };
    let node = LndNode::open(&config).await.map_err(not_opened)?;
    let info = node.info().await.map_err(|error| Failure::of(Exit::Unreachable, error))?;
    if !info.play_money {
        output.warn("this LND holds real bitcoin: whoever has the macaroon can spend it");
    }
    output.note(&format!("LND at {address}: {info}"));
    Ok(node)
}

fn not_opened(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::Secret(_)
        | OpenError::NoMacaroon(_)
        | OpenError::NoCertificate(_)
        | OpenError::Denied(_) => Exit::Key,
        OpenError::OtherCertificate { .. } | OpenError::Unreachable { .. } | OpenError::NotLnd(_) => {
            Exit::Unreachable
        }
        OpenError::Folder(FolderError::RealMoney) => {
            return Failure::of(Exit::Usage, error).advise("read docs/lightning.md, then --lnd-real-money");
        }
        OpenError::NoSuchNetwork(_) | OpenError::Folder(_) => Exit::BadInput,
        OpenError::Tls(_) | OpenError::Records(_) => Exit::Unexpected,
    };
    Failure::of(exit, error)
}
