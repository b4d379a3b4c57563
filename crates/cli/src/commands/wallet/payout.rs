//! `grist wallet payout`: what is above a threshold leaves the market by itself.

use super::withdraw::refused;
use crate::{
    exit::{Exit, Failure},
    output::{Output, facts},
    session::{Party, Session},
};
use clap::Args;
use node::{
    config_file::{Money, Share},
    payout::{LightningAddress, PayoutError, Payouts, Plan, RecordError, Told},
};
use serde_json::json;
use std::time::Duration;

/// How long a market that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// `grist wallet payout`.
///
/// Machines hold no key that can take money, so `grist provide` does not pay out: `--watch` does, wherever the party's key
/// is kept.
#[derive(Debug, Args)]
pub(crate) struct PayoutArgs {
    /// Pay to this Lightning address
    #[arg(long, value_name = "ADDRESS", requires = "above")]
    to: Option<LightningAddress>,
    /// As soon as the balance is above this, all of it
    #[arg(long, value_name = "AMOUNT", requires = "to")]
    above: Option<Money>,
    /// The most that routing may cost on top, as a share of the amount
    #[arg(long, value_name = "SHARE", default_value = "1%", requires = "to")]
    max_fee: Share,
    /// Pay out nothing any more
    #[arg(long, conflicts_with_all = ["to", "watch"])]
    off: bool,
    /// Pay out now and whenever there is enough, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// Shows or changes the plan; with `--watch` follows it.
pub(super) async fn run(
    args: &PayoutArgs,
    session: &Session,
    party: &Party,
    output: &Output,
) -> Result<(), Failure> {
    let folder = session.home.data("payouts").join(session.market.venue().to_string());
    let folder = folder.join(party.id.to_string());
    let market = session.market.with_patience(PATIENCE);
    let payouts = Payouts::new(market, party.secret.clone(), &folder).map_err(unusable)?;
    let new = args.to.clone().zip(args.above);
    if args.off {
        payouts.set_plan(None).map_err(unusable)?;
    } else if let Some((to, above)) = new {
        // An address with a typo is found now, not when there is money to send.
        to.ask().await.map_err(refused)?;
        let plan = Plan { to, above_msat: above.0, max_fee_ppm: args.max_fee.0 };
        payouts.set_plan(Some(&plan)).map_err(unusable)?;
    }
    let plan = payouts.plan().map_err(unusable)?;
    output.result(&json!({ "payout": plan }), || told_plan(plan.as_ref(), output))?;
    if !args.watch {
        return Ok(());
    }
    if plan.is_none() {
        return Err(Failure::new(Exit::Usage, "nothing is to be paid out: give --to and --above"));
    }
    tokio::select! {
        ended = payouts.run(|told| tell(&told, output)) => ended.map_err(failed),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|e| Failure::of(Exit::Unexpected, e)),
    }
}

fn told_plan(plan: Option<&Plan>, output: &Output) -> String {
    let Some(Plan { to, above_msat, max_fee_ppm }) = plan else {
        return "nothing is paid out by itself; give --to ADDRESS --above AMOUNT".into();
    };
    facts([
        ("to", to.to_string()),
        ("above", output.money(*above_msat)),
        ("fee at most", format!("{} % of the amount", f64::from(*max_fee_ppm) / 1e4)),
        ("runs", "while `grist wallet payout --watch` does".into()),
    ])
}

fn tell(told: &Told, output: &Output) {
    let (json, text) = match told {
        Told::Paying { amount_msat } => (
            json!({ "paying": { "amount_msat": amount_msat } }),
            format!("paying out {}", output.money(*amount_msat)),
        ),
        Told::Paid { amount_msat, fee_msat } => (
            json!({ "paid": { "amount_msat": amount_msat, "fee_msat": fee_msat } }),
            format!("{} arrived, routing cost {}", output.money(*amount_msat), output.money(*fee_msat)),
        ),
        Told::Over { amount_msat } => (
            json!({ "over": { "amount_msat": amount_msat } }),
            format!(
                "a payout of {} that an earlier run began is no longer on its way: the payee, or your balance, has it",
                output.money(*amount_msat)
            ),
        ),
        Told::Again { why, pause } => (
            json!({ "again": { "why": why, "pause_s": pause.as_secs() } }),
            format!("{why}; tried again in {} s", pause.as_secs()),
        ),
    };
    // Money is paid out also when nobody reads what is said about it.
    let _ = output.json_line(&json);
    output.note(&text);
}

fn unusable(error: RecordError) -> Failure {
    Failure::of(Exit::Unexpected, error)
}

fn failed(error: PayoutError) -> Failure {
    match error {
        PayoutError::Market(error) => error.into(),
        PayoutError::Address(error) => refused(error),
        PayoutError::Record(error) => unusable(error),
        other @ (PayoutError::Failed { .. } | PayoutError::Strange) => Failure::of(Exit::Refused, other),
    }
}
