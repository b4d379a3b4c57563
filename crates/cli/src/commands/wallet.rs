//! `grist wallet`: money in, money out, the bond.

mod payout;
mod topup;
mod withdraw;

use crate::{
    args::Global,
    exit::Failure,
    output::{Output, facts},
    session::{Party, Session},
};
use clap::{Args, Subcommand};
use market::command::Command;
use node::config_file::Money;
use payout::PayoutArgs;
use topup::TopupArgs;
use withdraw::WithdrawArgs;

/// `grist wallet …`.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Show what there is
    Balance,
    /// Get an invoice, and wait until it is paid: that raises the balance
    Topup(TopupArgs),
    /// Pay an invoice, or to a Lightning address, out of the balance
    Withdraw(WithdrawArgs),
    /// Show or change what is paid out by itself
    Payout(PayoutArgs),
    /// Show or change the bond: money that is lost when the party is proven to cheat
    Bond(BondArgs),
    /// Give money to the market's operator: it backs the market's audit links, and does not come back
    FundMarket {
        /// How much
        amount: Money,
    },
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
            topup::run(args, &session, &party, output).await
        }
        WalletCommand::Withdraw(args) => withdraw::run(args, &session, &session.party().await?, output).await,
        WalletCommand::Payout(args) => payout::run(args, &session, &session.party().await?, output).await,
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
            ("available", output.money(account.available_msat)),
            ("in jobs", output.money(account.escrow_msat)),
            ("withheld", output.money(account.withheld_msat)),
            ("on its way", output.money(account.pending_msat)),
            ("bond", output.money(account.bond_msat)),
        ])
    })
}
