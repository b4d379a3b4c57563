//! The demo's books: where every millisatoshi went.

use super::stage::Stage;
use crate::{
    exit::{Exit, Failure},
    output::{Output, table},
};
use market::{id::PartyId, lease::CloseReason, receipt::Receipt, units::Msat};
use node::api::AccountView;
use serde::Serialize;

/// What became of one party's money.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    name: String,
    party: PartyId,
    topped_up_msat: Msat,
    earned_msat: Msat,
    fee_msat: Msat,
    clawed_back_msat: Msat,
    bond_before_msat: Msat,
    bond_after_msat: Msat,
    has_msat: Msat,
}

/// Everything that came in, and where it is now.
#[derive(Debug, Serialize)]
pub(super) struct Books {
    lines: Vec<Line>,
    budget_msat: Msat,
    paid_msat: Msat,
    refunded_msat: Msat,
    operator_fees_msat: Msat,
    insurance_msat: Msat,
    topped_up_msat: Msat,
    accounted_for_msat: Msat,
    liabilities_msat: Msat,
    node_balance_msat: Msat,
}

impl Books {
    /// Draws up the books from the receipt and what every party sees of its own account.
    pub(super) async fn draw_up(stage: &Stage, receipt: &Receipt, insured: Msat) -> Result<Books, Failure> {
        let body = &receipt.body;
        let mut lines = Vec::new();
        let mut accounts = 0;
        for member in stage.members() {
            let account = stage.market().account(member.secret()).await?;
            accounts += everything(&account);
            let leases = body.leases.iter().filter(|lease| lease.party == member.party);
            let sum =
                |amount: fn(&market::receipt::LeaseReceipt) -> u64| Msat(leases.clone().map(amount).sum());
            lines.push(Line {
                name: member.name.clone(),
                party: member.party,
                topped_up_msat: member.topped_up,
                earned_msat: sum(|lease| lease.books.paid_msat.0 + lease.books.compensation_msat.0),
                fee_msat: sum(|lease| lease.books.fee_msat.0),
                clawed_back_msat: sum(|lease| lease.books.clawed_back_msat.0),
                bond_before_msat: member.bond,
                bond_after_msat: account.bond_msat,
                has_msat: Msat(everything(&account)),
            });
        }
        let info = stage.market().info().await?;
        let fees: u64 = body.leases.iter().map(|lease| lease.books.fee_msat.0).sum();
        Ok(Books {
            budget_msat: body.budget_msat,
            paid_msat: body.paid_msat,
            refunded_msat: body.refunded_msat,
            operator_fees_msat: Msat(fees),
            insurance_msat: insured,
            topped_up_msat: Msat(lines.iter().map(|line| line.topped_up_msat.0).sum()),
            accounted_for_msat: Msat(accounts + fees + insured.0),
            liabilities_msat: info.liabilities_msat,
            node_balance_msat: info.node_balance_msat,
            lines,
        })
    }

    /// Prints the settlement table.
    pub(super) fn print(&self, output: &Output, receipt: &Receipt) -> Result<(), Failure> {
        let rows = self.lines.iter().map(|line| {
            let leases: Vec<_> =
                receipt.body.leases.iter().filter(|lease| lease.party == line.party).collect();
            let accepted: u32 = leases.iter().map(|lease| lease.books.accepted).sum();
            let wrong: u32 = leases.iter().map(|lease| lease.books.wrong).sum();
            let reasons: Vec<&str> = leases.iter().map(|lease| reason(lease.reason)).collect();
            vec![
                line.name.clone(),
                if leases.is_empty() { String::new() } else { format!("{accepted} paid, {wrong} wrong") },
                reasons.join(", "),
                line.earned_msat.to_string(),
                line.fee_msat.to_string(),
                line.bond_before_msat.saturating_sub(line.bond_after_msat).to_string(),
                line.topped_up_msat.to_string(),
                line.has_msat.to_string(),
            ]
        });
        let head = ["", "frames", "lease ended", "earned", "fee", "bond lost", "brought", "has now"];
        output.text(&table(head, rows.collect::<Vec<_>>()))?;
        output.text(&format!(
            "\nThe buyer locked {}, paid {}, and got {} back. Operator's fees: {}. Insurance: {}.",
            self.budget_msat,
            self.paid_msat,
            self.refunded_msat,
            self.operator_fees_msat,
            self.insurance_msat
        ))?;
        output.text(&format!(
            "Came in: {}. Accounted for: {}. The market owes {}, its node holds {}.",
            self.topped_up_msat, self.accounted_for_msat, self.liabilities_msat, self.node_balance_msat
        ))
    }

    /// Fails when a single millisatoshi is missing.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let came_in = self.topped_up_msat;
        let places = [self.accounted_for_msat, self.liabilities_msat, self.node_balance_msat];
        if places.iter().any(|place| *place != came_in)
            || self.budget_msat.0 != self.paid_msat.0 + self.refunded_msat.0
        {
            return Err(Failure::new(
                Exit::NotVerified,
                "the books do not add up: this is a bug, please report it",
            ));
        }
        Ok(())
    }
}

fn everything(account: &AccountView) -> u64 {
    let parts = [
        account.available_msat,
        account.pending_msat,
        account.withheld_msat,
        account.bond_msat,
        account.escrow_msat,
    ];
    parts.iter().map(|part| part.0).sum()
}

fn reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Finished => "finished",
        CloseReason::NeverStarted => "never started",
        CloseReason::Dismissed => "dismissed",
        CloseReason::Quit => "quit",
        CloseReason::Lost => "machine lost",
        CloseReason::Cheated => "cheated",
        CloseReason::Expired => "expired",
        CloseReason::OutOfFunds => "out of funds",
    }
}
