//! What miners earn, as tables and notes.

use super::Mined;
use crate::{
    answer::{Answer, Cell, Figures, Table},
    money::Usd,
};
use rust_decimal::Decimal;

impl Answer for Mined {
    fn title(&self) -> String {
        format!("A miner of {} at ${} a token", self.network, self.token_usd.normalize())
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.emission_table(), self.costs_table(), self.ranks_table(), self.falling_table()]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let ((register_low, register_high), (stake, _)) = self.entry_tokens;
        let stake_usd = Usd(stake * self.token_usd);
        vec![
            "All subnets are taken to get the same; in fact a few get most of it. Give the share of yours.".to_owned(),
            format!(
                "The slot of rank r gets r^−{} ÷ Σ k^−{} of what miners get. The exponent is an assumption, not a measurement.",
                self.exponent.normalize(),
                self.exponent.normalize()
            ),
            format!(
                "Not counted: {register_low}-{register_high} tokens to register, burned, and {stake} tokens of stake to compete ({stake_usd} now), as sources claim."
            ),
            "Costs are those of a day of a machine that can compete, as sources claim; what a subnet asks for differs.".to_owned(),
        ]
    }
}

impl Mined {
    fn emission_table(&self) -> Table {
        let mut table = Table::new(
            "emission",
            "Who gets the tokens of a day",
            &[("who", "who"), ("tokens_per_day", "tokens/day"), ("usd_per_day", "$/day")],
        );
        let emission = self.emission;
        let slots = emission.slots;
        let rows = [
            ("the network".to_owned(), emission.total),
            ("a subnet".to_owned(), emission.subnet),
            ("its miners".to_owned(), emission.miners),
            ("its validators".to_owned(), emission.validators),
            ("its owner".to_owned(), emission.owner),
            (format!("a slot, average of {slots}"), self.tokens.average),
            ("the first slot".to_owned(), self.tokens.top),
            ("the median slot".to_owned(), self.tokens.median),
        ];
        for (who, tokens) in rows {
            table.row([Cell::text(who), Cell::Number(tokens, 4), Cell::Usd(Usd(tokens * self.token_usd), 2)]);
        }
        table
    }

    fn costs_table(&self) -> Table {
        let mut table = Table::new(
            "costs",
            "What is left of a day",
            &[
                ("machine", "machine"),
                ("cost_usd_per_day", "cost $/day"),
                ("average_net_usd", "average net $"),
                ("top_net_usd", "first net $"),
                ("median_net_usd", "median net $"),
                ("average_token_usd", "average pays above $/token"),
                ("median_token_usd", "median pays above $/token"),
                ("paying_slots", "slots that pay"),
            ],
        );
        let price = |usd: Option<Usd>| usd.map_or_else(|| Cell::text("never"), |usd| Cell::Usd(usd, 2));
        for cost in &self.costs {
            table.row([
                Cell::text(cost.machine),
                Cell::Usd(cost.usd_per_day, 2),
                Cell::Usd(cost.average_net, 2),
                Cell::Usd(cost.top_net, 2),
                Cell::Usd(cost.median_net, 2),
                price(cost.average_breaks_even_usd),
                price(cost.median_breaks_even_usd),
                count(cost.paying_slots),
            ]);
        }
        table
    }

    fn ranks_table(&self) -> Table {
        let mut table = Table::new(
            "ranks",
            "What a rank gets",
            &[
                ("rank", "rank"),
                ("share", "of all miners get"),
                ("tokens_per_day", "tokens/day"),
                ("usd_per_day", "$/day"),
            ],
        );
        for rank in shown_ranks(self.ranks.len()) {
            let Some(&tokens) = self.ranks.get(rank - 1) else { continue };
            let share = tokens.checked_div(self.emission.miners);
            table.row([
                count(rank),
                share.map_or(Cell::Missing, |share| Cell::Percent(share, 2)),
                Cell::Number(tokens, 4),
                Cell::Usd(Usd(tokens * self.token_usd), 2),
            ]);
        }
        table
    }

    fn falling_table(&self) -> Table {
        let mut table = Table::new(
            "falling",
            "As the token falls",
            &[
                ("token_usd", "$/token"),
                ("average_usd_per_day", "average $/day"),
                ("top_usd_per_day", "first $/day"),
                ("median_usd_per_day", "median $/day"),
                ("paying_own_low", "pay at own, low"),
                ("paying_own_high", "own, high"),
                ("paying_cloud_low", "cloud, low"),
                ("paying_cloud_high", "cloud, high"),
            ],
        );
        for fall in &self.falling {
            let amounts = [Usd(fall.token_usd), fall.average_usd, fall.top_usd, fall.median_usd];
            let paying = fall.paying_slots.iter().map(|slots| count(*slots));
            table.row(amounts.map(|usd| Cell::Usd(usd, 2)).into_iter().chain(paying));
        }
        table
    }
}

fn count(count: usize) -> Cell {
    Cell::Number(Decimal::from(count), 0)
}

/// The first, some in between, the median and the last.
fn shown_ranks(slots: usize) -> Vec<usize> {
    let mut ranks = vec![1, 2, 5, slots / 10, slots / 4, slots / 2, slots];
    ranks.retain(|rank| (1..=slots).contains(rank));
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}
