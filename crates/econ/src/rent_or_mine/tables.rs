//! Mining and renting, as tables and notes.

use super::{Kind, Payback, RentOrMine};
use crate::{
    answer::{Answer, Cell, Figures, Table},
    breakeven::Threshold,
    money::DAYS_PER_MONTH,
};
use rust_decimal::{Decimal, dec};

/// Days of a year of 8760 hours.
const DAYS_PER_YEAR: Decimal = dec!(365);

impl Answer for RentOrMine {
    fn title(&self) -> String {
        "The same card, mining or rented out".to_owned()
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.paths(), self.nets(), self.moves()]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "A day leaves gross − watts ÷ 1000 × 24 × busy × tariff. What mines is always busy; rented cards were as busy as measured.".to_owned(),
            "The rentals are one card in one week; sources do not say whether their gross is after the network's fee.".to_owned(),
            "Paid back: the price of the hardware, and for cards that were moved from mining their part of the move, ÷ what a day leaves. Two prices where sources differ.".to_owned(),
        ];
        if !self.counts_idle {
            notes.push("What a card draws between rentals is not known and not counted.".to_owned());
        }
        notes.extend(
            self.hashprice_by_reward
                .map(|usd| format!("By block reward and hash rate alone a TH/s earns {usd:.4} a day.")),
        );
        let never = self.paths.iter().filter(|path| path.breaks_even == Threshold::Never);
        notes.extend(never.map(|path| format!("{} leaves nothing at any tariff.", path.name)));
        notes
    }
}

impl RentOrMine {
    fn paths(&self) -> Table {
        let mut table = Table::new(
            "paths",
            "What can be done, and the tariff at which it turns negative",
            &[
                ("path", "path"),
                ("kind", "how"),
                ("hardware", "hardware"),
                ("watts", "W"),
                ("utilization", "busy"),
                ("gross_usd_per_day", "gross $/day"),
                ("tariff_usd_per_kwh", "pays below $/kWh"),
            ],
        );
        for path in &self.paths {
            let kind = match path.kind {
                Kind::Mined => "mined",
                Kind::Rented => "rented",
            };
            table.row([
                Cell::text(&path.name),
                Cell::text(kind),
                Cell::text(&path.hardware),
                Cell::Number(path.watts, 0),
                Cell::Percent(path.utilization, 0),
                Cell::Usd(path.gross_usd_per_day, 2),
                path.breaks_even.cell(),
            ]);
        }
        table
    }

    fn nets(&self) -> Table {
        let mut table = Table::new(
            "nets",
            "What a card leaves",
            &[
                ("owner", "owner"),
                ("usd_per_kwh", "$/kWh"),
                ("path", "path"),
                ("gross_usd_per_day", "gross $/day"),
                ("power_usd_per_day", "power $/day"),
                ("net_usd_per_day", "net $/day"),
                ("net_usd_per_month", "net $/month"),
                ("payback_years_low", "paid back, years"),
                ("payback_years_high", "to"),
            ],
        );
        for net in &self.nets {
            let [low, high] = payback(net.payback, DAYS_PER_YEAR, 1);
            table.row([
                Cell::text(&net.owner),
                Cell::Usd(net.usd_per_kwh, 2),
                Cell::text(&net.path),
                Cell::Usd(net.gross_usd_per_day, 2),
                Cell::Usd(net.power_usd_per_day, 2),
                Cell::Usd(net.net_usd_per_day, 2),
                Cell::Usd(net.net_usd_per_day * DAYS_PER_MONTH, 2),
                low,
                high,
            ]);
        }
        table
    }

    fn moves(&self) -> Table {
        let mut table = Table::new(
            "moves",
            "Moving many cards from mining to renting",
            &[
                ("owner", "owner"),
                ("usd_per_kwh", "$/kWh"),
                ("from", "from"),
                ("to", "to"),
                ("gain_usd_per_day", "more for each $/day"),
                ("payback_days_low", "move paid back, days"),
                ("payback_days_high", "to"),
            ],
        );
        for step in &self.moves {
            let [low, high] = payback(step.payback, Decimal::ONE, 0);
            table.row([
                Cell::text(&step.owner),
                Cell::Usd(step.usd_per_kwh, 2),
                Cell::text(&step.from),
                Cell::text(&step.to),
                Cell::Usd(step.gain_usd_per_day, 2),
                low,
                high,
            ]);
        }
        table
    }
}

fn payback(payback: Payback, days: Decimal, digits: u32) -> [Cell; 2] {
    match payback {
        Payback::Days(low, high) if low == high => [Cell::Number(low / days, digits), Cell::Missing],
        Payback::Days(low, high) => [Cell::Number(low / days, digits), Cell::Number(high / days, digits)],
        Payback::Never => [Cell::text("never"), Cell::Missing],
        Payback::NoPrice => [Cell::text("price not known"), Cell::Missing],
    }
}
