//! `grist wallet`: money in, money out, the bond.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output::{Output, facts},
    session::{Party, Session, strange},
    text,
};
use clap::{Args, Subcommand};
use market::{
    command::Command,
    id::{TopupId, WithdrawalId},
    reply::Reply,
    units::Msat,
};
use node::{
    api::{TopupPhase, TopupView, WithdrawalPhase},
    config_file::Money,
};
use std::time::Duration;

/// How often the market is asked how far a payment is.
const POLL: Duration = Duration::from_millis(200);
/// How long a withdrawal is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// `grist wallet …`.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Show what there is
    Balance,
    /// Get an invoice; paying it raises the balance
    Topup(TopupArgs),
    /// Pay an invoice out of the balance
    Withdraw(WithdrawArgs),
    /// Show or change the bond: money that is lost when the party is proven to cheat
    Bond(BondArgs),
    /// Give money to the market's operator: it backs the market's audit links, and does not come back
    FundMarket {
        /// How much
        amount: Money,
    },
}

/// `grist wallet topup`.
#[derive(Debug, Args)]
pub(crate) struct TopupArgs {
    /// How much: `5000sat`, `0.5 sat`, `1500msat`
    amount: Money,
    /// Pay it from the play-money faucet of a development market, and wait until it is there
    #[arg(long)]
    pay: bool,
    /// Wait until the invoice is paid
    #[arg(long)]
    wait: bool,
}

/// `grist wallet withdraw`.
#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// The invoice to pay, with an amount in it
    #[arg(value_name = "BOLT11")]
    invoice: String,
    /// The most that routing may cost on top [default: 1 % of the amount, at least 5 sat]
    #[arg(long, value_name = "AMOUNT")]
    max_fee: Option<Money>,
}

/// `grist wallet bond`.
#[derive(Debug, Args)]
pub(crate) struct BondArgs {
    #[command(subcommand)]
    change: Option<BondCommand>,
}

/// What to do with the bond.
#[derive(Debug, Subcommand)]
pub(crate) enum BondCommand {
    /// Move balance into the bond
    Lock {
        /// How much
        amount: Money,
    },
    /// Move bond back into the balance; refused while there are open leases
    Unlock {
        /// How much
        amount: Money,
    },
}

/// Runs the command.
pub(crate) async fn run(command: &WalletCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    match command {
        WalletCommand::Balance => balance(&session, &session.party().await?, output).await,
        WalletCommand::Topup(args) => {
            let party = session.party_or_new(output).await?;
            topup(args, &session, &party, output).await
        }
        WalletCommand::Withdraw(args) => withdraw(args, &session, &session.party().await?, output).await,
        WalletCommand::Bond(args) => {
            let party = session.party().await?;
            let command = match args.change {
                Some(BondCommand::Lock { amount }) => Some(Command::LockBond { amount_msat: amount.0 }),
                Some(BondCommand::Unlock { amount }) => Some(Command::UnlockBond { amount_msat: amount.0 }),
                None => None,
            };
            if let Some(command) = command {
                session.submit(&party.secret, command).await?;
            }
            balance(&session, &party, output).await
        }
        WalletCommand::FundMarket { amount } => {
            let party = session.party().await?;
            session.submit(&party.secret, Command::FundVenue { amount_msat: amount.0 }).await?;
            balance(&session, &party, output).await
        }
    }
}

async fn balance(session: &Session, party: &Party, output: &Output) -> Result<(), Failure> {
    let account = session.market.account(&party.secret).await?;
    output.result(&account, || {
        facts([
            ("party", format!("{} ({})", account.party, account.label)),
            ("available", account.available_msat.to_string()),
            ("in jobs", account.escrow_msat.to_string()),
            ("withheld", account.withheld_msat.to_string()),
            ("on its way", account.pending_msat.to_string()),
            ("bond", account.bond_msat.to_string()),
        ])
    })
}

async fn topup(args: &TopupArgs, session: &Session, party: &Party, output: &Output) -> Result<(), Failure> {
    let info = session.market.info().await?;
    if args.pay && !info.is_play_money {
        return Err(Failure::new(
            Exit::Usage,
            "--pay is for markets with play money: pay the invoice from your own wallet, and give --wait to see it arrive",
        ));
    }
    let id = match session.submit(&party.secret, Command::TopUp { amount_msat: args.amount.0 }).await? {
        Reply::TopUp(id) => id,
        other => return Err(strange(&other)),
    };
    let view = watch(session, party, id, |phase| phase != TopupPhase::Requested).await?;
    let Some(bolt11) = view.bolt11.as_deref().filter(|_| view.phase != TopupPhase::Expired) else {
        return Err(Failure::new(
            Exit::Refused,
            format!("the market could not make an invoice for {id}: try again"),
        ));
    };
    if args.pay {
        session.market.dev_pay(bolt11).await?;
    } else {
        let money = if info.is_play_money { "; play money, so --pay pays it" } else { "" };
        let until = view.expires_at_ms.map_or_else(String::new, |at| format!(" until {}", text::time(at)));
        output.note(&format!("{id}: pay this invoice over {}{until}{money}", view.amount_msat));
        output.text(bolt11)?;
    }
    if !args.pay && !args.wait {
        return output.json_line(&view);
    }
    let view = watch(session, party, id, |phase| matches!(phase, TopupPhase::Received | TopupPhase::Expired))
        .await?;
    match view.phase {
        TopupPhase::Received => output.result(&view, || format!("{} received", view.amount_msat)),
        TopupPhase::Requested | TopupPhase::Invoiced | TopupPhase::Expired => {
            Err(Failure::new(Exit::Money, format!("{id} was not paid in time: ask for a new invoice")))
        }
    }
}

/// Asks until the top-up is as far as it should be.
async fn watch(
    session: &Session,
    party: &Party,
    id: TopupId,
    is_far: impl Fn(TopupPhase) -> bool,
) -> Result<TopupView, Failure> {
    loop {
        let view = session.market.topup(&party.secret, id).await?;
        if is_far(view.phase) {
            return Ok(view);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn withdraw(
    args: &WithdrawArgs,
    session: &Session,
    party: &Party,
    output: &Output,
) -> Result<(), Failure> {
    let invoice = pay::bolt11::decode(&args.invoice).map_err(|e| Failure::of(Exit::BadInput, e))?;
    let Some(amount_msat) = invoice.amount else {
        return Err(Failure::new(
            Exit::BadInput,
            "the invoice has no amount: ask the payee for one that has",
        ));
    };
    let max_fee_msat = args.max_fee.map_or_else(|| Msat((amount_msat.0 / 100).max(5_000)), |money| money.0);
    let command = Command::Withdraw {
        bolt11: args.invoice.clone(),
        payment_hash: invoice.payment_hash,
        amount_msat,
        max_fee_msat,
    };
    let id: WithdrawalId = match session.submit(&party.secret, command).await? {
        Reply::Withdrawal(id) => id,
        other => return Err(strange(&other)),
    };
    let started = std::time::Instant::now();
    loop {
        let view = session.market.withdrawal(&party.secret, id).await?;
        let is_waiting = matches!(view.phase, WithdrawalPhase::Pending);
        if is_waiting && started.elapsed() < PATIENCE {
            tokio::time::sleep(POLL).await;
            continue;
        }
        return match &view.phase {
            WithdrawalPhase::Sent { fee_msat } => {
                output.result(&view, || format!("{amount_msat} sent, routing cost {fee_msat}"))
            }
            WithdrawalPhase::Failed { reason } => Err(Failure::new(
                Exit::Refused,
                format!("{id} failed ({reason}): the money is back in the balance"),
            )),
            WithdrawalPhase::Unknown => output.result(&view, || {
                format!("{id}: nobody can say yet whether it arrived; {amount_msat} stay locked until somebody can. Do not pay it twice.")
            }),
            WithdrawalPhase::Pending => {
                output.result(&view, || format!("{id} is still on its way: see `grist wallet balance`"))
            }
        };
    }
}
