//! `grist wallet topup`: an invoice to pay, and the wait for it.

use crate::{
    exit::{Exit, Failure},
    output::Output,
    qr,
    session::{Party, Session, strange},
    text,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use market::{command::Command, id::TopupId, reply::Reply};
use node::{
    api::{TopupPhase, TopupView},
    config_file::Money,
};
use std::time::Duration;

/// How often the bar moves while somebody pays.
const TICK: Duration = Duration::from_millis(200);

/// `grist wallet topup`.
#[derive(Debug, Args)]
pub(crate) struct TopupArgs {
    /// How much: `50000sat`, `0.5 sat`, `1500msat`
    amount: Money,
    /// Pay it from the play-money faucet of a development market
    #[arg(long)]
    pay: bool,
    /// Print the invoice and do not wait until it is paid
    #[arg(long, conflicts_with = "pay")]
    no_wait: bool,
}

/// Asks for an invoice, shows it, and waits until it is paid.
pub(super) async fn run(
    args: &TopupArgs,
    session: &Session,
    party: &Party,
    output: &Output,
) -> Result<(), Failure> {
    let info = session.market.info().await?;
    if args.pay && !info.has_faucet {
        return Err(Failure::new(
            Exit::Usage,
            "--pay is for markets that give play money away: leave it out, and pay the invoice from your own wallet",
        ));
    }
    let id = match session.submit(&party.secret, Command::TopUp { amount_msat: args.amount.0 }).await? {
        Reply::TopUp(id) => id,
        other => return Err(strange(&other)),
    };
    let view = session.market.until_invoiced(&party.secret, id).await?;
    let Some(bolt11) = view.bolt11.as_deref().filter(|_| view.phase != TopupPhase::Expired) else {
        return Err(Failure::new(
            Exit::Refused,
            format!("the market could not make an invoice for {id}: try again"),
        ));
    };
    if args.pay {
        session.market.dev_pay(bolt11).await?;
    } else {
        show(&view, bolt11, info.has_faucet, output)?;
        output.json_line(&view)?;
    }
    if args.no_wait {
        return Ok(());
    }
    let view = paid(&view, session, party, output).await?;
    match view.phase {
        TopupPhase::Received => {
            output.result(&view, || format!("{} received", output.money(view.amount_msat)))
        }
        TopupPhase::Requested | TopupPhase::Invoiced | TopupPhase::Expired => {
            Err(Failure::new(Exit::Money, format!("{id} was not paid in time: ask for a new invoice")))
        }
    }
}

fn show(view: &TopupView, bolt11: &str, has_faucet: bool, output: &Output) -> Result<(), Failure> {
    let money = if has_faucet { "; play money, so --pay pays it" } else { "" };
    let until = view.expires_at_ms.map_or_else(String::new, |at| format!(" until {}", text::time(at)));
    output.note(&format!(
        "{}: pay this invoice over {}{until}{money}",
        view.topup,
        output.money(view.amount_msat)
    ));
    if output.has_terminal()
        && let Some(code) = qr::invoice(bolt11, output.has_color())
    {
        output.note(&code);
    }
    output.text(bolt11)
}

/// Waits, and shows that it does.
async fn paid(
    view: &TopupView,
    session: &Session,
    party: &Party,
    output: &Output,
) -> Result<TopupView, Failure> {
    let id: TopupId = view.topup;
    let bar = output.bars().add(ProgressBar::new_spinner());
    let style = ProgressStyle::with_template("{spinner} waiting for the payment, {elapsed}");
    bar.set_style(style.map_err(|e| Failure::of(Exit::Unexpected, e))?);
    bar.enable_steady_tick(TICK);
    let waited = tokio::select! {
        view = session.market.until_paid(&party.secret, id) => view.map_err(Failure::from),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(|e| Failure::of(Exit::Unexpected, e))?;
            let text = format!("{id} can still be paid until its invoice expires: `grist wallet balance` shows it then");
            Err(Failure::new(Exit::Interrupted, text))
        }
    };
    bar.finish_and_clear();
    session.keep_head()?;
    waited
}
