//! What a network must pay those who own machines, beside what the rental markets pay them.

use crate::{
    answer::{Answer, Cell, Figures, Table},
    breakeven::{self, BreakEven, Machine},
    catalogue::{Catalogue, MarketPrice, Row, is_gpu},
    cost::Hourly,
    money::{BtcRate, Usd},
    question::{self, QuestionError},
};
use rust_decimal::Decimal;
use serde::Serialize;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The machines, and what they cost to run and own; its `pay` is not looked at.
    pub costs: breakeven::Question,
    /// The share of hours that a market keeps a machine busy, lowest and highest, from 0.001 to 1 each; instead of the
    /// catalogue's assumptions.
    pub realistic: Option<(Decimal, Decimal)>,
    /// What markets keep whose fee nobody states, from 0 to 1; without it their prices stay as buyers pay them.
    pub unknown_fee: Option<Decimal>,
    /// What makes it worth the trouble, in satoshi for an hour, instead of what the catalogue's sources feel.
    pub worth_sats_per_hour: Option<Decimal>,
}

/// What must be paid, and what is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// What a kilowatt-hour costs.
    pub usd_per_kwh: Usd,
    /// The share of hours by which the competitive tier spreads the price of a machine.
    pub utilization: Decimal,
    /// The share of hours that markets keep a machine busy, lowest and highest.
    pub realistic: (Decimal, Decimal),
    /// What a bitcoin costs.
    pub bitcoin: BtcRate,
    /// A machine and a tier each.
    pub tiers: Vec<Rate>,
    /// A machine, a price on a market and a utilization each.
    pub markets: Vec<Income>,
    /// What all this stands on.
    pub figures: Figures,
}

/// How well a machine is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Its electricity is paid.
    Minimum,
    /// Its electricity and its price are paid.
    Competitive,
    /// Its owner finds it worth the trouble; a matter of taste.
    WorthMyTime,
}

impl Tier {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Minimum => "minimum (power)",
            Tier::Competitive => "competitive (power + hardware)",
            Tier::WorthMyTime => "worth my time",
        }
    }
}

/// What a tier asks for an hour that is paid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// The machine.
    pub hardware: String,
    /// The tier.
    pub tier: Tier,
    /// What is asked; absent where nobody knows.
    pub pay: Option<Hourly>,
    /// The same for a machine that is as busy as the busiest realistic one.
    pub busiest: Option<Hourly>,
    /// The same for a machine that is as idle as the idlest realistic one.
    pub idlest: Option<Hourly>,
}

/// What a market pays the host of a machine, all hours of the clock counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Income {
    /// The machine.
    pub hardware: String,
    /// The market.
    pub market: String,
    /// Which of its prices: `low`, `median`, `high`, or `only`.
    pub point: &'static str,
    /// What a buyer pays for an hour.
    pub gross_usd_per_hour: Usd,
    /// What the market keeps of it; absent where nobody states it.
    pub fee_rate: Option<Decimal>,
    /// The share of hours that are paid.
    pub utilization: Decimal,
    /// What the host gets; where the fee is not known, it is not taken off.
    pub income: Hourly,
    /// The best tier that the paid hours reach at this utilization; absent where none is, or the fee is not known.
    pub reaches: Option<Tier>,
}

/// Answers `question` from `catalogue`.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<Rates, QuestionError> {
    let costs_at = |utilization: Option<Decimal>| {
        let utilization = utilization.or(question.costs.utilization);
        let costs = breakeven::Question { pay: None, utilization, ..question.costs.clone() };
        breakeven::ask(&costs, catalogue)
    };
    let asked = costs_at(None)?;
    let mut figures = asked.figures.clone();
    let realistic = realistic(question, catalogue, &mut figures)?;
    let (idlest, busiest) = (costs_at(Some(realistic.0))?, costs_at(Some(realistic.1))?);
    let always = costs_at(Some(Decimal::ONE))?;
    let worth = worth(question, &asked, catalogue, &mut figures)?;
    let mut tiers = Vec::new();
    for (index, machine) in asked.machines.iter().enumerate() {
        for tier in [Tier::Minimum, Tier::Competitive, Tier::WorthMyTime] {
            let of = |costs: &BreakEven| tier.asks(costs.machines.get(index)?, *worth.get(index)?);
            let (pay, busiest, idlest) = (of(&asked), of(&busiest), of(&idlest));
            tiers.push(Rate { hardware: asked.label(machine), tier, pay, busiest, idlest });
        }
    }
    let unknown_fee = question::given_as(
        question::FRACTION,
        "the fee that nobody states",
        question.unknown_fee,
        &mut figures,
    )?;
    let mut markets = Vec::new();
    for costs in [&always, &busiest, &idlest] {
        for (machine, worth) in costs.machines.iter().zip(&worth) {
            for row in catalogue.market_prices.iter().filter(|row| is_gpu(&machine.id, &row.gpu)) {
                markets.extend(incomes(row, unknown_fee, costs, machine, *worth)?);
                figures.cite(row.key(), row.range_text(), &row.provenance());
            }
        }
    }
    let BreakEven { usd_per_kwh, utilization, bitcoin, .. } = asked;
    Ok(Rates { usd_per_kwh, utilization, realistic, bitcoin, tiers, markets, figures })
}

impl Tier {
    fn asks(self, machine: &Machine, worth: Option<Hourly>) -> Option<Hourly> {
        match self {
            Tier::Minimum => Some(machine.owned),
            Tier::Competitive => machine.full,
            Tier::WorthMyTime => worth,
        }
    }
}

fn realistic(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<(Decimal, Decimal), QuestionError> {
    let (low, high) = question.realistic.unzip();
    let assumed = |value, key, figures: &mut Figures| {
        question::given_or_assumed(question::UTILIZATION, value, key, catalogue, figures)
    };
    let low = assumed(low, "marketplace_utilization_low", figures)?;
    let high = assumed(high, "marketplace_utilization_high", figures)?;
    Ok((low.min(high), low.max(high)))
}

/// What makes each machine worth the trouble, where somebody said so.
fn worth(
    question: &Question,
    costs: &BreakEven,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Vec<Option<Hourly>>, QuestionError> {
    let given = question::given_as(
        question::SATS_PER_HOUR,
        "what is worth the time",
        question.worth_sats_per_hour,
        figures,
    )?;
    let hourly = |sats| Hourly::new(costs.bitcoin.usd(sats), &costs.bitcoin);
    let mut worth = Vec::new();
    for machine in &costs.machines {
        let starts = format!("Worth my time {}", machine.name);
        let is_claimed = catalogue.claims.iter().any(|row| row.claim.starts_with(&starts));
        worth.push(match given {
            Some(sats) => Some(hourly(sats)),
            None if is_claimed => {
                let (sats, _) = question::claimed_range(&starts, catalogue, figures)?;
                Some(hourly(question::SATS_PER_HOUR.check_in(sats, starts)?))
            }
            None => None,
        });
    }
    Ok(worth)
}

/// What the prices of a market leave to the host of a machine at the utilization of `costs`.
fn incomes(
    row: &MarketPrice,
    unknown_fee: Option<Decimal>,
    costs: &BreakEven,
    machine: &Machine,
    worth: Option<Hourly>,
) -> Result<Vec<Income>, QuestionError> {
    let fee_rate = row.fee_rate.or(unknown_fee);
    if let Some(fee_rate) = fee_rate {
        question::FRACTION.check_in(fee_rate, format!("the fee of {}", row.network))?;
    }
    let point = |(point, gross): (&'static str, Usd)| {
        question::USD_PER_HOUR.check_in(gross.0, format!("the price of {}", row.key()))?;
        let net = gross * (Decimal::ONE - fee_rate.unwrap_or_default());
        let is_reached = |tier: &Tier| {
            tier.asks(machine, worth).is_some_and(|asked| net >= asked.usd_per_hour) && fee_rate.is_some()
        };
        Ok(Income {
            hardware: costs.label(machine),
            market: row.network.clone(),
            point,
            gross_usd_per_hour: gross,
            fee_rate,
            utilization: costs.utilization,
            income: Hourly::new(net * costs.utilization, &costs.bitcoin),
            reaches: [Tier::WorthMyTime, Tier::Competitive, Tier::Minimum].into_iter().find(is_reached),
        })
    };
    let points = match (row.usd_median, row.usd_high) {
        (None, None) => vec![("only", row.usd_low)],
        (median, high) => [("low", Some(row.usd_low)), ("median", median), ("high", high)]
            .into_iter()
            .filter_map(|(name, price)| Some((name, price?)))
            .collect(),
    };
    points.into_iter().map(point).collect()
}

impl Answer for Rates {
    fn title(&self) -> String {
        format!("What a network must pay at {:.3} a kilowatt-hour, and what markets pay", self.usd_per_kwh)
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.asked(), self.paid()]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let percent = |fraction: Decimal| (fraction * Decimal::ONE_HUNDRED).normalize();
        let (low, high) = self.realistic;
        let mut notes = vec![
            format!(
                "A tier is a rate for an hour that is paid; a day has 24, a month 720 of them. The competitive tier spreads the price of the machine over {} % of the hours; the two last columns over {} % and {} %.",
                percent(self.utilization),
                percent(high),
                percent(low)
            ),
            "What a market pays is after its fee, and counts all hours of the clock: at 60 % busy an hour brings 0.6 of the rate. It reaches a tier when the paid hours do, at that utilization.".to_owned(),
            "What is worth somebody's time is a feeling that the source reports, not a cost.".to_owned(),
        ];
        let mut unrented: Vec<&str> = self.tiers.iter().map(|rate| rate.hardware.as_str()).collect();
        unrented.dedup();
        unrented.retain(|name| self.markets.iter().all(|income| income.hardware != *name));
        if !unrented.is_empty() {
            notes.push(format!("No rental market with a price for: {}.", unrented.join(", ")));
        }
        let without_fee = self.markets.iter().filter(|income| income.fee_rate.is_none());
        let mut names: Vec<&str> = without_fee.map(|income| income.market.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        notes.extend(names.iter().map(|name| {
            format!("{name}: nobody states its fee. What is shown is what buyers pay; hosts get less.")
        }));
        notes
    }
}

impl Rates {
    fn asked(&self) -> Table {
        let mut table = Table::new(
            "tiers",
            "What a network must pay for an hour",
            &[
                ("hardware", "machine"),
                ("tier", "tier"),
                ("usd_per_hour", "$/h"),
                ("usd_per_day", "$/day"),
                ("usd_per_month", "$/month"),
                ("sats_per_hour", "sats/h"),
                ("busiest_sats_per_hour", "sats/h, busiest"),
                ("idlest_sats_per_hour", "sats/h, idlest"),
            ],
        );
        for rate in &self.tiers {
            let usd = |amount: fn(&Hourly) -> Usd, digits| {
                rate.pay.as_ref().map_or(Cell::Missing, |pay| Cell::Usd(amount(pay), digits))
            };
            let sats = |pay: Option<Hourly>| Cell::sats(pay.and_then(|pay| pay.sats_per_hour));
            table.row([
                Cell::text(&rate.hardware),
                Cell::text(rate.tier.name()),
                usd(|pay| pay.usd_per_hour, 4),
                usd(|pay| pay.usd_per_day, 2),
                usd(|pay| pay.usd_per_month, 2),
                sats(rate.pay),
                sats(rate.busiest),
                sats(rate.idlest),
            ]);
        }
        table
    }

    fn paid(&self) -> Table {
        let mut table = Table::new(
            "markets",
            "What rental markets pay a host",
            &[
                ("hardware", "machine"),
                ("market", "market"),
                ("point", "price"),
                ("gross_usd_per_hour", "buyer pays $/h"),
                ("fee_rate", "fee"),
                ("utilization", "busy"),
                ("usd_per_hour", "host gets $/h"),
                ("usd_per_day", "$/day"),
                ("usd_per_month", "$/month"),
                ("sats_per_hour", "sats/h"),
                ("reaches", "reaches"),
            ],
        );
        for income in &self.markets {
            let reaches = match (income.fee_rate, income.reaches) {
                (None, _) => "fee not known",
                (Some(_), None) => "no tier",
                (Some(_), Some(tier)) => tier.name(),
            };
            table.row([
                Cell::text(&income.hardware),
                Cell::text(&income.market),
                Cell::text(income.point),
                Cell::Usd(income.gross_usd_per_hour, 4),
                income.fee_rate.map_or_else(|| Cell::text("not known"), |rate| Cell::Percent(rate, 0)),
                Cell::Percent(income.utilization, 0),
                Cell::Usd(income.income.usd_per_hour, 4),
                Cell::Usd(income.income.usd_per_day, 2),
                Cell::Usd(income.income.usd_per_month, 2),
                Cell::sats(income.income.sats_per_hour),
                Cell::text(reaches),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{drawn::drawn, wild};
    use rust_decimal::dec;

    fn of(hardware: &str) -> Question {
        let costs = breakeven::Question { hardware: vec![hardware.to_owned()], ..Default::default() };
        Question { costs, ..Question::default() }
    }

    fn ask_embedded(question: &Question) -> Result<Rates, QuestionError> {
        ask(question, &wild::EMBEDDED)
    }

    #[test]
    fn what_a_host_gets_conforms_to_the_worked_example() {
        let examples: serde_json::Value =
            serde_json::from_str(include_str!("../tests/worked-examples.json")).unwrap();
        let example = &examples["vast_host"][0];
        let usd = |key: &str| Usd(example[key].to_string().parse().unwrap());
        let rates = ask_embedded(&of("rtx4090-system")).unwrap();
        let is_it = |income: &&Income| {
            income.gross_usd_per_hour == usd("gross_usd_per_hour") && income.utilization == dec!(1)
        };
        let income = rates.markets.iter().find(is_it).unwrap();
        assert_eq!(income.fee_rate, Some(usd("fee_rate").0));
        assert_eq!(income.income.usd_per_hour, usd("usd_per_hour"));
        assert_eq!(income.income.usd_per_day.rounded(2), usd("usd_per_day"));
    }

    #[test]
    fn tiers_stand_beside_what_markets_pay() {
        insta::assert_snapshot!(drawn(&ask_embedded(&of("rtx4090-system")).unwrap()), @r"
        What a network must pay at $0.160 a kilowatt-hour, and what markets pay

        [tiers] What a network must pay for an hour
        machine         | tier                           | $/h     | $/day  | $/month | sats/h | sats/h, busiest | sats/h, idlest
        RTX 4090 system | minimum (power)                | $0.0720 | $1.73  | $51.84  | 103    | 103             | 103
        RTX 4090 system | competitive (power + hardware) | $0.2623 | $6.29  | $188.83 | 375    | 329             | 556
        RTX 4090 system | worth my time                  | $0.7000 | $16.80 | $504.00 | 1000   | 1000            | 1000

        [markets] What rental markets pay a host
        machine         | market           | price  | buyer pays $/h | fee       | busy  | host gets $/h | $/day  | $/month | sats/h | reaches
        RTX 4090 system | Vast.ai          | low    | $0.1300        | 15 %      | 100 % | $0.1105       | $2.65  | $79.56  | 158    | minimum (power)
        RTX 4090 system | Vast.ai          | median | $0.1700        | 15 %      | 100 % | $0.1445       | $3.47  | $104.04 | 206    | minimum (power)
        RTX 4090 system | Vast.ai          | high   | $0.4000        | 15 %      | 100 % | $0.3400       | $8.16  | $244.80 | 486    | competitive (power + hardware)
        RTX 4090 system | RunPod Community | low    | $0.3400        | not known | 100 % | $0.3400       | $8.16  | $244.80 | 486    | fee not known
        RTX 4090 system | RunPod Community | high   | $0.4400        | not known | 100 % | $0.4400       | $10.56 | $316.80 | 629    | fee not known
        RTX 4090 system | Vast.ai          | low    | $0.1300        | 15 %      | 60 %  | $0.0663       | $1.59  | $47.74  | 95     | minimum (power)
        RTX 4090 system | Vast.ai          | median | $0.1700        | 15 %      | 60 %  | $0.0867       | $2.08  | $62.42  | 124    | minimum (power)
        RTX 4090 system | Vast.ai          | high   | $0.4000        | 15 %      | 60 %  | $0.2040       | $4.90  | $146.88 | 291    | competitive (power + hardware)
        RTX 4090 system | RunPod Community | low    | $0.3400        | not known | 60 %  | $0.2040       | $4.90  | $146.88 | 291    | fee not known
        RTX 4090 system | RunPod Community | high   | $0.4400        | not known | 60 %  | $0.2640       | $6.34  | $190.08 | 377    | fee not known
        RTX 4090 system | Vast.ai          | low    | $0.1300        | 15 %      | 30 %  | $0.0332       | $0.80  | $23.87  | 47     | minimum (power)
        RTX 4090 system | Vast.ai          | median | $0.1700        | 15 %      | 30 %  | $0.0434       | $1.04  | $31.21  | 62     | minimum (power)
        RTX 4090 system | Vast.ai          | high   | $0.4000        | 15 %      | 30 %  | $0.1020       | $2.45  | $73.44  | 146    | minimum (power)
        RTX 4090 system | RunPod Community | low    | $0.3400        | not known | 30 %  | $0.1020       | $2.45  | $73.44  | 146    | fee not known
        RTX 4090 system | RunPod Community | high   | $0.4400        | not known | 30 %  | $0.1320       | $3.17  | $95.04  | 189    | fee not known

        * A tier is a rate for an hour that is paid; a day has 24, a month 720 of them. The competitive tier spreads the price of the machine over 50 % of the hours; the two last columns over 60 % and 30 %.
        * What a market pays is after its fee, and counts all hours of the clock: at 60 % busy an hour brings 0.6 of the rate. It reaches a tier when the paid hours do, at that utilization.
        * What is worth somebody's time is a feeling that the source reports, not a cost.
        * RunPod Community: nobody states its fee. What is shown is what buyers pay; hosts get less.
        ");
    }

    #[test]
    fn an_unknown_fee_is_taken_off_only_where_the_person_says_how_much() {
        let runpod = |question: &Question| {
            let rates = ask_embedded(question).unwrap();
            let is_it = |income: &Income| income.market == "RunPod Community" && income.point == "low";
            rates.markets.into_iter().find(is_it).unwrap()
        };
        let silent = runpod(&of("rtx4090-system"));
        assert_eq!((silent.fee_rate, silent.reaches), (None, None));
        assert_eq!(silent.income.usd_per_hour, Usd(dec!(0.34)));
        let told = runpod(&Question { unknown_fee: Some(dec!(0.5)), ..of("rtx4090-system") });
        assert_eq!(told.income.usd_per_hour, Usd(dec!(0.17)));
        // 0.17 is more than power (0.072) and wear (2500 / 26,280 h) of a machine that never idles.
        assert_eq!(told.reaches, Some(Tier::Competitive));
    }

    #[test]
    fn every_machine_of_the_catalogue_has_its_three_tiers() {
        let rates = ask_embedded(&Question::default()).unwrap();
        assert_eq!(rates.tiers.len(), 3 * 7);
        let told = "No rental market with a price for: Mac Studio M2 Ultra, MacBook Pro M4 Max, Mac Mini M4 Pro, MacBook Air M3.";
        assert!(rates.notes().iter().any(|note| note == told), "{:?}", rates.notes());
        let felt = rates.tiers.iter().filter(|rate| rate.tier == Tier::WorthMyTime && rate.pay.is_some());
        assert_eq!(felt.count(), 4);
    }

    #[test]
    fn bad_inputs_are_answered_with_what_is_accepted() {
        let questions = [
            Question { realistic: Some((dec!(0), dec!(0.6))), ..of("rtx4090-system") },
            Question { unknown_fee: Some(dec!(15)), ..of("rtx4090-system") },
            Question { worth_sats_per_hour: Some(dec!(-1)), ..of("rtx4090-system") },
            of("rtx5090"),
        ];
        let texts = questions.map(|question| ask_embedded(&question).unwrap_err().to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        the utilization is 0; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
        the fee that nobody states is 15; it has to be from 0 to 1 (a fraction: 0.15 is 15 %)
        what is worth the time is -1; it has to be from 0 to 1000000000000 sats/h
        the catalogue has no hardware `rtx5090`; did you mean `rtx3090-system`?
        ");
    }
}
