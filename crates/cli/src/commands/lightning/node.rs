//! What the commands do with the node.

use super::{InitArgs, InvoiceArgs, LightningCommand, OpenArgs, PayArgs, file::LightningFile};
use crate::{
    exit::{Exit, Failure},
    home::private_folder,
    output::{Output, facts, table},
    text,
};
use ::node::http::asked_to_end;
use market::units::Msat;
use pay::{
    InvoiceRequest, InvoiceState, LightningNode, Network, PayError, PayRequest, PaymentState,
    ldk::{FolderError, LdkNode, Movement, OpenError, OperatorError, Peer, Seed},
    secret::{SecretError, SecretRef},
};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// How often the node is asked how far something is.
const POLL: Duration = Duration::from_millis(200);
/// How long a payment is waited for; some are held by the payee for much longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(command: &LightningCommand, dir: PathBuf, output: &Output) -> Result<(), Failure> {
    match command {
        LightningCommand::Init(args) => return init(args, dir, output),
        LightningCommand::Words { yes } => return words(*yes, dir, output),
        LightningCommand::Run
        | LightningCommand::Info
        | LightningCommand::Address
        | LightningCommand::Balance
        | LightningCommand::Peers
        | LightningCommand::Connect { .. }
        | LightningCommand::Open(_)
        | LightningCommand::Close { .. }
        | LightningCommand::Channels
        | LightningCommand::Invoice(_)
        | LightningCommand::Pay(_)
        | LightningCommand::History => {}
    }
    let node = open(dir, output).await?;
    let done = with_node(command, &node, output).await;
    let stopped = node.stop().await;
    done?;
    stopped.map_err(failed)
}

async fn with_node(command: &LightningCommand, node: &LdkNode, output: &Output) -> Result<(), Failure> {
    match command {
        LightningCommand::Init(_) | LightningCommand::Words { .. } => Ok(()),
        LightningCommand::Run => {
            info(node, output).await?;
            output.note("online; Ctrl-C stops it");
            asked_to_end().await;
            Ok(())
        }
        LightningCommand::Info => info(node, output).await,
        LightningCommand::Address => {
            let address = node.address().await.map_err(failed)?;
            output.result(&json!({ "address": address }), || address.clone())
        }
        LightningCommand::Balance => balance(node, output).await,
        LightningCommand::Peers => {
            let peers = node.peers().await.map_err(failed)?;
            output.result(&peers, || {
                let word = |is_there| if is_there { "connected" } else { "away" };
                table(
                    ["PEER", "STATE"],
                    peers.iter().map(|p| vec![p.peer.clone(), word(p.is_connected).into()]),
                )
            })
        }
        LightningCommand::Connect { peer } => {
            node.connect(parse(peer)?).await.map_err(failed)?;
            output.result(&json!({ "connected": peer }), || format!("connected to {peer}"))
        }
        LightningCommand::Open(args) => open_channel(args, node, output).await,
        LightningCommand::Close { channel, force } => {
            node.close(channel.clone(), *force).await.map_err(failed)?;
            output.result(&json!({ "closing": channel, "force": force }), || {
                "closing; `grist lightning balance` shows when the chain has released the money".into()
            })
        }
        LightningCommand::Channels => channels(node, output).await,
        LightningCommand::Invoice(args) => invoice(args, node, output).await,
        LightningCommand::Pay(args) => pay(args, node, output).await,
        LightningCommand::History => history(node, output).await,
    }
}

/// Starts the node in a folder.
pub(crate) async fn open(dir: PathBuf, output: &Output) -> Result<LdkNode, Failure> {
    let config = LightningFile::read(&dir)?.config(dir);
    if config.network == Network::Bitcoin {
        output.warn(
            "this node holds real bitcoin. Never run an old copy of its folder, and put in no more than you can lose",
        );
    }
    output.note("the Lightning node starts and catches up with the chain…");
    LdkNode::open(config).await.map_err(not_started)
}

fn init(args: &InitArgs, dir: PathBuf, output: &Output) -> Result<(), Failure> {
    let file = LightningFile::of(args, &dir)?;
    if file.network == Network::Bitcoin && !file.allow_real_money {
        return Err(Failure::of(Exit::Usage, FolderError::RealMoney)
            .advise("read docs/lightning.md, then --real-money"));
    }
    let key = |error| Failure::of(Exit::Key, error);
    let seed = match &args.words {
        Some(reference) => {
            let words = reference.parse::<SecretRef>().and_then(|reference| reference.read());
            let words = words.map_err(|error: SecretError| Failure::of(Exit::Key, error))?;
            Seed::from_words(&words).map_err(key)?
        }
        None => Seed::generate().map_err(key)?,
    };
    private_folder(&dir).map_err(|error| Failure::of(Exit::BadInput, error).during(dir.display()))?;
    seed.create(&file.seed, file.passphrase.as_ref()).map_err(key)?;
    file.create(&dir)?;
    let json = json!({
        "dir": dir,
        "network": file.network,
        "seed": file.seed,
        "is_encrypted": file.passphrase.is_some(),
        "mirror": file.mirror,
    });
    if file.mirror.is_none() {
        output.warn("without --mirror, losing this disk costs the channels: the words alone bring back what is on chain");
    }
    if file.passphrase.is_none() {
        output.warn("the seed is not encrypted: whoever reads the file has the money");
    }
    output.result(&json, || {
        format!(
            "a node on {} in {}\n  its words: grist lightning words   (write them on paper)\n  money in:  grist lightning address",
            file.network,
            dir.display()
        )
    })
}

fn words(yes: bool, dir: PathBuf, output: &Output) -> Result<(), Failure> {
    let file = LightningFile::read(&dir)?;
    if !yes && !output.confirm("Whoever reads these words has the money. Is nobody looking?")? {
        return Err(Failure::new(Exit::Usage, "not shown: answer `y`, or give --yes"));
    }
    let seed = Seed::read(&file.seed, file.passphrase.as_ref()).map_err(|e| Failure::of(Exit::Key, e))?;
    let words = seed.words();
    output.result(&json!({ "words": words.as_str() }), || words.to_string())
}

async fn info(node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let info = node.info().await.map_err(|error| failed(error.into()))?;
    let (height, reachable) = (node.height(), node.reachable_at());
    let json = json!({ "node": info, "height": height, "reachable_at": reachable });
    output.result(&json, || {
        facts([
            ("node", info.to_string()),
            ("sees block", height.to_string()),
            (
                "reachable at",
                if reachable.is_empty() { "nowhere: it only dials".into() } else { reachable.join(" ") },
            ),
        ])
    })
}

async fn balance(node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let money = node.wallet().await.map_err(failed)?;
    output.result(&money, || {
        facts([
            ("can be sent", money.lightning.spendable.to_string()),
            ("on its way", money.lightning.in_flight.to_string()),
            ("on chain", format!("{} sat, of {} sat", money.on_chain_sat, money.on_chain_total_sat)),
            ("in channels that close", format!("{} sat", money.closing_sat)),
        ])
    })
}

async fn channels(node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let channels = node.channels().await.map_err(failed)?;
    output.result(&channels, || {
        let rows = channels.iter().map(|channel| {
            let state = match (channel.is_usable, channel.is_ready) {
                (true, _) => "usable".to_owned(),
                (false, true) => "peer is away".to_owned(),
                (false, false) => format!(
                    "waits for blocks ({} of {})",
                    channel.confirmations.unwrap_or(0),
                    channel
                        .confirmations_required
                        .map_or_else(|| "?".to_owned(), |needed| needed.to_string())
                ),
            };
            let money = [channel.outbound_msat, channel.outbound_at_once_msat, channel.inbound_msat]
                .map(|amount| Msat(amount).to_string());
            let row = [channel.id.clone(), channel.value_sat.to_string()].into_iter();
            row.chain(money).chain([state]).collect()
        });
        table(["CHANNEL", "SAT", "CAN SEND", "AT ONCE", "CAN RECEIVE", "STATE"], rows)
    })
}

async fn open_channel(args: &OpenArgs, node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let known: Vec<String> = ids(node).await?;
    let push = args.push.map_or(Msat::ZERO, |money| money.0);
    let value_sat = args.amount.0.0 / 1_000;
    node.open_channel(parse(&args.peer)?, value_sat, push, args.announce).await.map_err(failed)?;
    output.note("the peer is asked…");
    let mut said = String::new();
    loop {
        let channels = node.channels().await.map_err(failed)?;
        let new = channels
            .into_iter()
            .find(|channel| !known.contains(&channel.id) && channel.confirmations.is_some());
        if let Some(channel) = new {
            let needed = channel.confirmations_required.unwrap_or(6);
            let progress = format!("block {} of {needed}", channel.confirmations.unwrap_or(0).min(needed));
            if channel.is_usable || !args.wait {
                return output.result(&channel, || {
                    let state =
                        if channel.is_usable { "can be used" } else { "is funded, and waits for its blocks" };
                    format!("{} {state}", channel.id)
                });
            }
            if said != progress {
                output.note(&progress);
                said = progress;
            }
        }
        tokio::select! {
            () = asked_to_end() => return Err(Failure::new(Exit::Interrupted, "the channel opens by itself; keep the node running")),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn ids(node: &LdkNode) -> Result<Vec<String>, Failure> {
    let channels = node.channels().await.map_err(failed)?;
    Ok(channels.into_iter().map(|channel| channel.id).collect())
}

async fn invoice(args: &InvoiceArgs, node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let request = InvoiceRequest {
        amount: args.amount.0,
        description: args.description.clone(),
        expires_in_ms: args.expires_in.0,
    };
    let made = node.create_invoice(request).await.map_err(|error| Failure::of(Exit::Refused, error))?;
    if !args.wait {
        return output.result(&made, || made.bolt11.clone());
    }
    output.note(&format!("pay this over {} until {}", args.amount.0, text::time(made.expires_at)));
    output.text(&made.bolt11)?;
    loop {
        let state = node.invoice(made.payment_hash).await.map_err(|error| failed(error.into()))?;
        match state {
            Some(InvoiceState::Paid { .. }) => {
                return output.result(&json!({ "invoice": made, "state": state }), || {
                    format!("{} received", args.amount.0)
                });
            }
            Some(InvoiceState::Expired | InvoiceState::Cancelled) | None => {
                return Err(Failure::new(Exit::Money, "it was not paid in time: make a new one"));
            }
            Some(InvoiceState::Open | InvoiceState::Held { .. }) => {}
        }
        tokio::select! {
            () = asked_to_end() => return Err(Failure::new(Exit::Interrupted, "nobody can pay it while the node is offline")),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

async fn pay(args: &PayArgs, node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let bad_input = |error| Failure::of(Exit::BadInput, error);
    let read = pay::bolt11::decode(&args.invoice).map_err(|error| bad_input(PayError::from(error)))?;
    let amount = args.amount.map(|money| money.0).or(read.amount).ok_or_else(|| {
        Failure::new(Exit::BadInput, "the invoice leaves the amount open: say it with --amount")
    })?;
    let max_fee = args.max_fee.map_or_else(|| Msat((amount.0 / 100).max(5_000)), |money| money.0);
    output.note(&format!("{amount} for {:?} to {}, fees up to {max_fee}", read.description, read.payee));
    let request = PayRequest { bolt11: args.invoice.clone(), amount, max_fee };
    let mut state = node.pay(request).await.map_err(bad_input)?;
    let started = std::time::Instant::now();
    while matches!(state, PaymentState::InFlight | PaymentState::Unknown) && started.elapsed() < PATIENCE {
        tokio::time::sleep(POLL).await;
        let found = node.payment(read.payment_hash).await.map_err(|error| failed(error.into()))?;
        state = found.unwrap_or(PaymentState::Unknown);
    }
    let json = json!({ "payment_hash": read.payment_hash, "amount_msat": amount, "state": state });
    match state {
        PaymentState::Succeeded { fee, .. } => output.result(&json, || format!("{amount} sent, routing cost {fee}")),
        PaymentState::Failed { reason } => Err(Failure::new(Exit::Money, format!("{reason}: nothing was spent"))),
        PaymentState::InFlight | PaymentState::Unknown => output.result(&json, || {
            "it is still on its way. Do not pay it in another way; `grist lightning history` shows how it ended".into()
        }),
    }
}

async fn history(node: &LdkNode, output: &Output) -> Result<(), Failure> {
    let rows = node.history().await.map_err(failed)?;
    output.result(&rows, || {
        let lines = rows.iter().map(|row| {
            let way = match row.movement {
                Movement::In => "in",
                Movement::Out => "out",
            };
            let (amount, fee) = (row.amount_msat.to_string(), row.fee_msat.to_string());
            vec![text::time(row.at), way.into(), amount, fee, row.state.into(), row.payment_hash.to_string()]
        });
        table(["WHEN", "WAY", "AMOUNT", "FEE", "STATE", "PAYMENT HASH"], lines)
    })
}

fn parse(peer: &str) -> Result<Peer, Failure> {
    peer.parse().map_err(|error: pay::ldk::BadPeer| Failure::of(Exit::Usage, error))
}

fn failed(error: OperatorError) -> Failure {
    let exit = match &error {
        OperatorError::TooLittleOnChain => Exit::Money,
        OperatorError::NoPeer => Exit::Unreachable,
        OperatorError::NoChannel(_) => Exit::BadInput,
        OperatorError::Node(_) => Exit::Refused,
        OperatorError::Unavailable(_) => Exit::Unexpected,
    };
    Failure::of(exit, error)
}

fn not_started(error: OpenError) -> Failure {
    let exit = match &error {
        OpenError::Seed(_) | OpenError::Secret(_) => Exit::Key,
        OpenError::Folder(_) | OpenError::Build(_) => Exit::BadInput,
        OpenError::Mirror(_) => Exit::NotVerified,
        OpenError::Start(_) => Exit::Unreachable,
        OpenError::Records(_) => Exit::Unexpected,
    };
    Failure::of(exit, error)
}
