//! A node in a process of its own, so that it can be killed. It takes one JSON command a line and answers each with one.

use super::chain::PATIENCE;
use market::{id::PaymentHash, units::Msat};
use pay::{
    InvoiceRequest, InvoiceState, LightningNode, Network, NodeBalance, PayRequest, PaymentState, Preimage,
    ldk::{ChainSource, LdkConfig, LdkNode},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
};

const STRINGS: &str = "GRIST_PUPPET";
/// What answers begin with; the test harness prints on the same stream.
const MARK: &str = "puppet: ";

/// What a puppet is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Strings {
    pub(crate) dir: PathBuf,
    pub(crate) chain: ChainSource,
    pub(crate) port: u16,
    pub(crate) peers: Vec<String>,
}

/// What a puppet does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Id,
    Address,
    Sync,
    Open { peer: String, value_sat: u64, push: Msat, is_announced: bool },
    Usable,
    Channels,
    Balance,
    OnChain,
    SpendableOnChain,
    Invoice { amount: Msat },
    Hold { hash: PaymentHash, hold_ms: u64, amount: Msat },
    Pay { bolt11: String, amount: Msat, max_fee: Msat },
    Payment { hash: PaymentHash },
    InvoiceState { hash: PaymentHash },
    Settle { preimage: Preimage },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Text(String),
    Count(u64),
    Balance(NodeBalance),
    Payment(Option<PaymentState>),
    Invoice(Option<InvoiceState>),
    Failed(String),
}

/// A node in another process.
pub(crate) struct Puppet {
    pub(crate) strings: Strings,
    process: Child,
    stdin: ChildStdin,
    answers: mpsc::Receiver<Answer>,
}

impl Puppet {
    pub(crate) fn start(strings: Strings) -> Puppet {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "puppet::is_pulled", "--nocapture", "--test-threads=1"])
            .env(STRINGS, serde_json::to_string(&strings).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, answers) = mpsc::channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((_, json)) = line.split_once(MARK) {
                    let _ = sender.send(serde_json::from_str(json).unwrap());
                }
            }
        });
        let stdin = process.stdin.take().unwrap();
        let puppet = Puppet { strings, process, stdin, answers };
        assert!(matches!(puppet.next(), Answer::Done), "the puppet starts");
        puppet
    }

    fn next(&self) -> Answer {
        self.answers.recv_timeout(PATIENCE).expect("the puppet answers")
    }

    pub(crate) fn say(&mut self, order: &Order) {
        writeln!(self.stdin, "{}", serde_json::to_string(order).unwrap()).unwrap();
    }

    pub(crate) fn ask(&mut self, order: &Order) -> Answer {
        self.say(order);
        self.next()
    }

    pub(crate) fn text(&mut self, order: &Order) -> String {
        match self.ask(order) {
            Answer::Text(text) => text,
            other => panic!("{order:?}: {other:?}"),
        }
    }

    pub(crate) fn count(&mut self, order: &Order) -> u64 {
        match self.ask(order) {
            Answer::Count(count) => count,
            other => panic!("{order:?}: {other:?}"),
        }
    }

    pub(crate) fn payment(&mut self, hash: PaymentHash) -> Option<PaymentState> {
        match self.ask(&Order::Payment { hash }) {
            Answer::Payment(state) => state,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn invoice(&mut self, hash: PaymentHash) -> Option<InvoiceState> {
        match self.ask(&Order::InvoiceState { hash }) {
            Answer::Invoice(state) => state,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn balance(&mut self) -> NodeBalance {
        match self.ask(&Order::Balance) {
            Answer::Balance(balance) => balance,
            other => panic!("{other:?}"),
        }
    }

    /// SIGKILL: nothing is finished, nothing is said.
    pub(crate) fn kill(mut self) -> Strings {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.strings.clone()
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other process; as a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn is_pulled() {
    let Ok(strings) = std::env::var(STRINGS) else { return };
    let strings: Strings = serde_json::from_str(&strings).unwrap();
    let mut config = LdkConfig::new(strings.dir, Network::Regtest, strings.chain);
    config.listen = vec![([127, 0, 0, 1], strings.port).into()];
    config.peers = strings.peers.iter().map(|peer| peer.parse().unwrap()).collect();
    let node = LdkNode::open(config).await.unwrap();
    answer(&Answer::Done);
    let (sender, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(serde_json::from_str::<Order>(&line).unwrap());
        }
    });
    while let Some(order) = orders.recv().await {
        answer(&carry_out(&node, order).await.unwrap_or_else(|error| Answer::Failed(error.to_string())));
    }
}

fn answer(answer: &Answer) {
    println!("{MARK}{}", serde_json::to_string(answer).unwrap());
}

async fn carry_out(node: &LdkNode, order: Order) -> Result<Answer, Box<dyn std::error::Error>> {
    let request = |amount| InvoiceRequest { amount, description: "puppet".into(), expires_in_ms: 600_000 };
    Ok(match order {
        Order::Id => Answer::Text(node.info().await?.id),
        Order::Address => Answer::Text(node.address().await?),
        Order::Sync => {
            node.sync().await?;
            Answer::Done
        }
        Order::Open { peer, value_sat, push, is_announced } => {
            node.open_channel(peer.parse()?, value_sat, push, is_announced).await?;
            Answer::Done
        }
        Order::Usable => {
            let channels = node.channels().await?;
            Answer::Count(channels.iter().filter(|channel| channel.is_usable).count() as u64)
        }
        Order::Channels => Answer::Count(node.channels().await?.len() as u64),
        Order::Balance => Answer::Balance(node.balance().await?),
        Order::OnChain => Answer::Count(node.wallet().await?.on_chain_total_sat),
        Order::SpendableOnChain => Answer::Count(node.wallet().await?.on_chain_sat),
        Order::Invoice { amount } => Answer::Text(node.create_invoice(request(amount)).await?.bolt11),
        Order::Hold { hash, hold_ms, amount } => {
            Answer::Text(node.create_hold_invoice(hash, hold_ms, request(amount)).await?.bolt11)
        }
        Order::Pay { bolt11, amount, max_fee } => {
            Answer::Payment(Some(node.pay(PayRequest { bolt11, amount, max_fee }).await?))
        }
        Order::Payment { hash } => Answer::Payment(node.payment(hash).await?),
        Order::InvoiceState { hash } => Answer::Invoice(node.invoice(hash).await?),
        Order::Settle { preimage } => {
            node.settle(preimage).await?;
            Answer::Done
        }
    })
}
