//! `grist wallet withdraw`: an invoice is paid out of the balance.

use crate::{
    exit::{Exit, Failure},
    output::Output,
    session::{Party, Session, strange},
};
use clap::Args;
use market::{
    command::Command,
    id::{PaymentHash, WithdrawalId},
    reply::Reply,
    units::Msat,
};
use node::{
    api::WithdrawalPhase,
    config_file::Money,
    payout::{AddressError, LightningAddress},
};
use std::time::Duration;

/// How long a withdrawal is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// `grist wallet withdraw`.
#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// Where to: an invoice (BOLT11), or a Lightning address like me@example.org
    #[arg(long, value_name = "INVOICE|ADDRESS")]
    to: String,
    /// How much; an invoice says so itself
    amount: Option<Money>,
    /// The most that routing may cost on top [default: 1 % of the amount, at least 5 sat]
    #[arg(long, value_name = "AMOUNT")]
    max_fee: Option<Money>,
}

/// What is paid.
struct Target {
    bolt11: String,
    payment_hash: PaymentHash,
    amount_msat: Msat,
}

/// Pays, and waits for what becomes of it.
pub(super) async fn run(
    args: &WithdrawArgs,
    session: &Session,
    party: &Party,
    output: &Output,
) -> Result<(), Failure> {
    let Target { bolt11, payment_hash, amount_msat } = target(args, output).await?;
    let max_fee_msat = args.max_fee.map_or_else(|| Msat((amount_msat.0 / 100).max(5_000)), |money| money.0);
    let command = Command::Withdraw { bolt11, payment_hash, amount_msat, max_fee_msat };
    let id: WithdrawalId = match session.submit(&party.secret, command).await? {
        Reply::Withdrawal(id) => id,
        other => return Err(strange(&other)),
    };
    let settled = session.market.until_settled(&party.secret, id);
    let view = match tokio::time::timeout(PATIENCE, settled).await {
        Ok(view) => view?,
        Err(_) => session.market.withdrawal(&party.secret, id).await?,
    };
    session.keep_head()?;
    let amount = output.money(amount_msat);
    match &view.phase {
        WithdrawalPhase::Sent { fee_msat } => {
            output.result(&view, || format!("{amount} sent, routing cost {}", output.money(*fee_msat)))
        }
        WithdrawalPhase::Failed { reason } => Err(Failure::new(
            Exit::Refused,
            format!("{id} failed ({reason}): the money is back in the balance"),
        )),
        WithdrawalPhase::Unknown => output.result(&view, || {
            format!("{id}: nobody can say yet whether it arrived; {amount} stay locked until somebody can. Do not pay it twice.")
        }),
        WithdrawalPhase::Pending => {
            output.result(&view, || format!("{id} is still on its way: see `grist wallet balance`"))
        }
    }
}

async fn target(args: &WithdrawArgs, output: &Output) -> Result<Target, Failure> {
    if args.to.contains('@') {
        let address: LightningAddress = args.to.parse().map_err(refused)?;
        let amount = args.amount.ok_or_else(|| {
            let text = format!("how much? For example `grist wallet withdraw 1000sat --to {address}`");
            Failure::new(Exit::Usage, text)
        })?;
        output.note(&format!("asking {address} for an invoice"));
        let invoice = address.ask().await.map_err(refused)?.invoice(amount.0).await.map_err(refused)?;
        return Ok(Target {
            bolt11: invoice.bolt11,
            payment_hash: invoice.payment_hash,
            amount_msat: amount.0,
        });
    }
    let invoice = pay::bolt11::decode(&args.to).map_err(|e| Failure::of(Exit::BadInput, e))?;
    let wrong = |text: String| Err(Failure::new(Exit::BadInput, text));
    match (invoice.amount, args.amount.map(|money| money.0)) {
        (None, _) => wrong("the invoice has no amount: ask the payee for one that has".into()),
        (Some(asked), Some(given)) if asked != given => {
            wrong(format!("the invoice is over {asked}, not {given}"))
        }
        (Some(amount_msat), _) => {
            Ok(Target { bolt11: args.to.clone(), payment_hash: invoice.payment_hash, amount_msat })
        }
    }
}

/// An address that cannot be paid.
pub(super) fn refused(error: AddressError) -> Failure {
    let exit = match &error {
        AddressError::Form(_) => Exit::Usage,
        AddressError::Ask { .. } => Exit::Unreachable,
        AddressError::Amount { .. } => Exit::Money,
        AddressError::Refused { .. } => Exit::Refused,
        AddressError::Answer { .. } | AddressError::Invoice { .. } => Exit::NotVerified,
    };
    Failure::of(exit, error)
}
