//! What `grist run` says and does about the way that a job is paid for.

use super::failed;
use crate::{
    exit::{Exit, Failure},
    lightning_node::{self, NodeArg, OwnNode, lnd::LndArgs},
    output::Output,
    session::{Party, Session},
    text,
};
use clap::Args;
use market::{
    funding::{Funding, SalePrice},
    rules::Rules,
    units::Msat,
};
use node::{
    buyer::{
        Buyer, JobFile, PreparedJob,
        agent::{Payable, Tried},
        job_file::{FundingTable, Prepayment, Slices},
    },
    client::ClientError,
};
use serde_json::json;
use std::time::Duration;

/// How often a top-up is looked at, and how often at most: a minute.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOKS_MAX: u32 = 300;
/// What a wallet of play money gets beyond what is missing, so that routing can be paid.
const PLAY_MONEY_SPARE_PERCENT: u64 = 5;

/// How a job is paid for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Paying")]
pub(crate) struct PayingArgs {
    /// Pay by one prepayment after another: so much each, or `15m` of the most that all slots cost
    #[arg(long, value_name = "AMOUNT|TIME", conflicts_with = "hold")]
    session: Option<Prepayment>,
    /// Pay by payments that the provider holds until the verdict: how many for each lease, and what each is
    #[arg(long, value_name = "4x100000sat")]
    hold: Option<Slices>,
    /// Pay for each result when replicas have vouched for it: the provider encrypts it and sells you the key. Fair up to its
    /// bond. Needs --lightning, a price by the task and replicas
    #[arg(long, conflicts_with_all = ["session", "hold"])]
    decrypt: bool,
    #[command(flatten)]
    pub(super) node: PayFrom,
}

/// From where.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Paying")]
pub(crate) struct PayFrom {
    /// Pay from your own Lightning node what holds, sessions and the balance need: dev, ldk:FOLDER or lnd:ADDRESS
    #[arg(long, visible_alias = "pay-from", value_name = "NODE")]
    lightning: Option<NodeArg>,
    #[command(flatten)]
    lnd: LndArgs,
}

impl PayingArgs {
    /// Puts what was said on the command line in the place of what the file says.
    pub(super) fn over(&self, file: &mut JobFile) {
        if self.session.is_some() || self.hold.is_some() || self.decrypt {
            let (session, hold, decrypt) = (self.session, self.hold, self.decrypt);
            file.funding = FundingTable { session, hold, decrypt };
        }
    }
}

impl PayFrom {
    /// Opens the node, where one was named, and closes it whatever comes of the work.
    pub(super) async fn with<T>(
        &self,
        buyer: Buyer,
        session: &Session,
        output: &Output,
        work: impl AsyncFnOnce(Buyer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(node) = &self.lightning else { return work(buyer).await };
        let own = OwnNode::open(node, &self.lnd, session, output).await?;
        let done = work(buyer.with_node(own.shared())).await;
        if done.is_ok() {
            own.until_decided(output).await;
        }
        own.close().await?;
        done
    }

    fn words(&self) -> String {
        self.lightning
            .as_ref()
            .map_or_else(|| "by hand, from any wallet".to_owned(), |node| format!("from {node}"))
    }
}

/// What the market takes of the balance when the order is placed.
pub(super) fn locked_first(job: &PreparedJob) -> Msat {
    match job.terms.funding {
        Some(Funding::Session { prepay_msat }) => prepay_msat,
        Some(Funding::Hold { .. } | Funding::Decrypt { .. }) | None => job.terms.budget_msat,
    }
}

/// Who holds how much, for how long, in which way: before anything is spent.
pub(super) fn told(job: &PreparedJob, from: &PayFrom) -> String {
    let budget = job.terms.budget_msat;
    let way = text::funding(job.terms.funding);
    match job.terms.funding {
        None => format!("\npaid by {way}: the market has {budget} of yours until the job is settled\n"),
        Some(Funding::Session { prepay_msat }) => {
            let most = Msat(prepay_msat.0 + prepay_msat.0 / 4).min(budget);
            format!(
                "\npaid by {way}: the market has at most {most} of yours at a time, and {budget} in all; it is topped up {}\n",
                from.words()
            )
        }
        Some(Funding::Hold { slice_msat, slices }) => {
            let held = Msat(slice_msat.0.saturating_mul(u64::from(slices) * u64::from(job.terms.slots)));
            format!(
                "\npaid by {way}: nobody in the middle has what is held, up to {held} at once and {} in all, paid {}. It comes back \
                 when the market has not released it, at the latest when the payments expire, within a week. The market alone \
                 releases: with a provider it could take a hold without work. The market itself has {budget} of yours, the \
                 reserve, until the job is settled\n",
                job.holds_max_msat,
                from.words()
            )
        }
        Some(Funding::Decrypt { deposit_ppm }) => {
            let price = SalePrice::new(&Rules::RECOMMENDED, &job.terms.ceiling, deposit_ppm);
            let (key, deposit) =
                price.map_or((Msat::MAX, Msat::MAX), |price| (price.invoice_msat(), price.deposit_msat));
            format!(
                "\npaid by {way}: each result comes encrypted, and you pay its provider up to {key} for the key once replicas vouch for \
                 it, {} in all, paid {}. Fair up to the provider's bond, which covers every key that it has for sale: a key that opens \
                 something else is paid back out of that. The market itself has {budget} of yours, deposits of up to {deposit} a result \
                 and what replicas cost: a deposit goes to the provider when you do not pay in ten minutes, or it takes no payment\n",
                job.holds_max_msat,
                from.words()
            )
        }
    }
}

/// Sees to it that the balance covers what is locked first: from the buyer's node where there is one.
pub(super) async fn afford(
    session: &Session,
    party: &Party,
    buyer: &Buyer,
    from: &PayFrom,
    job: &PreparedJob,
    output: &Output,
) -> Result<(), Failure> {
    let needed = locked_first(job);
    if from.lightning == Some(NodeArg::Dev) {
        stock(session, job, output).await?;
    }
    let mut said = None;
    for _ in 0..LOOKS_MAX {
        let available = session.market.account(&party.secret).await?.available_msat;
        let missing = needed.saturating_sub(available);
        if missing == Msat::ZERO {
            return Ok(());
        }
        if from.lightning.is_none() {
            return Err(too_little(session, needed, available).await?);
        }
        let whole_sats = Msat(missing.0.div_ceil(1_000).saturating_mul(1_000));
        match buyer.raise_balance(whole_sats).await.map_err(failed)? {
            Tried::OnItsWay { amount_msat } => {
                let line = format!("{amount_msat} are on their way to your balance at the market");
                if said.as_ref() != Some(&line) {
                    output.note(&line);
                    said = Some(line);
                }
            }
            Tried::NotYet { why } => {
                if said.as_ref() != Some(&why) {
                    output.warn(&why);
                    said = Some(why);
                }
            }
            Tried::Refused { why } => return Err(Failure::new(Exit::Money, why)),
            // A balance is not paid in keys.
            Tried::Bought { .. } | Tried::Disputed { .. } => {}
            Tried::ByHand { .. } => return Err(too_little(session, needed, available).await?),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let why = said.unwrap_or_else(|| "the top-up did not arrive in time".into());
    Err(Failure::new(Exit::Money, format!("{why}; nothing was placed: run it again, nothing is paid twice")))
}

/// Says what is missing, and how to get it, before anything is uploaded.
async fn too_little(session: &Session, needed: Msat, available: Msat) -> Result<Failure, ClientError> {
    let missing = needed.0.saturating_sub(available.0).div_ceil(1_000);
    let pay = if session.market.info().await?.has_faucet { " --pay" } else { "" };
    Ok(Failure::new(
        Exit::Money,
        format!(
            "the job may cost {needed} and you have {available}: `grist wallet topup {missing}sat{pay}`, or lower --max-price"
        ),
    ))
}

/// Fills a wallet of play money, which costs nobody anything.
async fn stock(session: &Session, job: &PreparedJob, output: &Output) -> Result<(), Failure> {
    let wallet = lightning_node::dev_wallet(session).await?;
    let all = Msat(job.terms.budget_msat.0.saturating_add(job.holds_max_msat.0));
    let spare = Msat(all.0 / 100 * PLAY_MONEY_SPARE_PERCENT + 100_000);
    let has = pay::LightningNode::balance(&wallet).await.map_err(|e| Failure::of(Exit::Unreachable, e))?;
    let missing = Msat(all.0.saturating_add(spare.0)).saturating_sub(has.spendable);
    if missing > Msat::ZERO {
        wallet.fund(missing).await.map_err(|e| Failure::of(Exit::Refused, e))?;
        output.note(&format!("the market gave your wallet {missing} of play money"));
    }
    Ok(())
}

/// Tells what became of a payment.
pub(super) fn told_payment(what: Payable, tried: &Tried, output: &Output) {
    let name = match what {
        Payable::Hold(lease) => format!("the hold of {lease}"),
        Payable::Session => "the session".to_owned(),
        Payable::Key(attempt) => format!("the key of {attempt}"),
    };
    let lease = match what {
        Payable::Hold(lease) => Some(lease),
        Payable::Session | Payable::Key(_) => None,
    };
    let attempt = match what {
        Payable::Key(attempt) => Some(attempt),
        Payable::Session | Payable::Hold(_) => None,
    };
    let (state, why, invoices) = match tried {
        Tried::OnItsWay { amount_msat } => {
            output.note(&format!("{name}: {amount_msat} are on their way"));
            ("on_its_way", None, None)
        }
        Tried::ByHand { invoices, amount_msat } => {
            let all = if invoices.len() > 1 { "all of these invoices" } else { "this invoice" };
            output.warn(&format!(
                "{name} waits for {amount_msat}: pay {all} from your wallet, or name a node with --lightning"
            ));
            for invoice in invoices {
                // A job is followed on when nobody reads what is said about it.
                let _ = output.text(invoice);
            }
            ("by_hand", None, Some(invoices))
        }
        Tried::Bought { amount_msat } => {
            output.note(&format!("{name}: bought for {amount_msat}, and it opens what replicas vouched for"));
            ("bought", None, None)
        }
        Tried::Disputed { amount_msat } => {
            output.warn(&format!(
                "{name}: paid {amount_msat}, and it opens something else; the market is told, and the provider's bond has to pay"
            ));
            ("disputed", None, None)
        }
        Tried::NotYet { why } => {
            output.warn(&format!("{name} is not paid yet: {why}"));
            ("not_yet", Some(why), None)
        }
        Tried::Refused { why } => {
            output.warn(&format!("{name} is not paid: {why}"));
            ("refused", Some(why), None)
        }
    };
    let _ = output.json_line(
        &json!({ "paying": { "lease": lease, "attempt": attempt, "state": state, "why": why, "invoices": invoices } }),
    );
}
