//! What an hour of a machine has to bring: its electricity, and its price spread over the hours that earn.

use crate::{
    answer::{Answer, Cell, Figures, Table},
    catalogue::{Catalogue, Hardware, Row},
    cost::{self, Hourly},
    money::{BtcRate, HOURS_PER_MONTH, Usd},
    question::{self, QuestionError, Tariff},
};
use rust_decimal::Decimal;
use serde::Serialize;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Ids or names of the catalogue; none means all of them, or a machine of your own if `watts` or `price_usd` is given.
    pub hardware: Vec<String>,
    /// What electricity costs.
    pub tariff: Tariff,
    /// Draw under load instead of the catalogue's, from 0.1 to 1,000,000 W.
    pub watts: Option<Decimal>,
    /// Draw without work, from 0 W; the catalogue does not know it.
    pub idle_watts: Option<Decimal>,
    /// Purchase price instead of the catalogue's.
    pub price_usd: Option<Usd>,
    /// What it can be sold for at the end of its life; nothing where nothing is given.
    pub residual: Option<Residual>,
    /// How many years it is used, from 0.01 to 100, instead of the catalogue's assumption.
    pub life_years: Option<Decimal>,
    /// The share of its hours that earn, from 0.001 to 1, instead of the catalogue's assumption.
    pub utilization: Option<Decimal>,
    /// What a bitcoin costs, instead of the catalogue's assumption.
    pub bitcoin: Option<BtcRate>,
    /// What an hour of work is paid: then the answer says at which tariff that breaks even.
    pub pay: Option<Pay>,
}

/// What a machine can be sold for at the end of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// Dollars, at most the price.
    Usd(Usd),
    /// A share of the price, from 0 to 1.
    Share(Decimal),
}

impl Residual {
    fn of(self, price: Usd) -> Result<Usd, QuestionError> {
        match self {
            Residual::Usd(usd) if usd > price => Err(QuestionError::OutOfRange {
                what: "the residual value".to_owned(),
                given: usd.0,
                accepted: format!("from 0 to the price, {}", price.0.normalize()),
            }),
            Residual::Usd(usd) => question::PRICE.check_in(usd.0, "the residual value").map(Usd),
            Residual::Share(share) => Ok(price * question::RESIDUAL.check(share)?),
        }
    }
}

/// What an hour of work is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pay {
    /// Dollars.
    UsdPerHour(Usd),
    /// Satoshi.
    SatsPerHour(Decimal),
}

/// What machines have to bring.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakEven {
    /// What electricity costs.
    pub usd_per_kwh: Usd,
    /// How many years a machine is used.
    pub life_years: Decimal,
    /// The share of its hours that earn.
    pub utilization: Decimal,
    /// What a bitcoin costs.
    pub bitcoin: BtcRate,
    /// What an hour of work is paid, if that was asked about.
    pub pay_usd_per_hour: Option<Usd>,
    /// A machine each.
    pub machines: Vec<Machine>,
    /// What all this stands on.
    pub figures: Figures,
}

/// What one machine has to bring. All amounts but `electricity` are for an hour that earns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Its id in the catalogue, or `your machine`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Draw under load, the figure reckoned with.
    pub watts: Decimal,
    /// The range that was seen; absent where the draw was given.
    pub watts_seen: Option<(Decimal, Decimal)>,
    /// Purchase price; absent where nobody gave it.
    pub price_usd: Option<Usd>,
    /// What it can be sold for in the end.
    pub residual_usd: Option<Usd>,
    /// Electricity of an hour under load.
    pub electricity: Hourly,
    /// Electricity of an hour without work; absent where the draw is not known.
    pub idle: Option<Hourly>,
    /// Electricity of the idle hours, laid on those that earn.
    pub idle_share: Option<Usd>,
    /// The price, laid on the hours that earn.
    pub wear: Option<Usd>,
    /// What an hour must bring for somebody who has the machine already: electricity, idle hours included.
    pub owned: Hourly,
    /// What it must bring to pay the machine as well; absent where its price is not known.
    pub full: Option<Hourly>,
    /// The tariff at which the pay covers `owned`.
    pub owned_breaks_even: Option<Threshold>,
    /// The tariff at which the pay covers `full`.
    pub full_breaks_even: Option<Threshold>,
}

/// A tariff at which something stops to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// It pays below this many dollars for a kilowatt-hour.
    Below(Usd),
    /// It does not pay, even with free electricity.
    Never,
}

impl Threshold {
    /// Where `surplus_usd_per_hour`, what is left before electricity, is eaten up by a draw of `watts`.
    pub fn new(surplus_usd_per_hour: Usd, watts: Decimal) -> Threshold {
        let tariff = surplus_usd_per_hour.per(watts / Decimal::ONE_THOUSAND);
        match tariff.filter(|tariff| *tariff >= Usd::ZERO) {
            Some(tariff) => Threshold::Below(tariff),
            None => Threshold::Never,
        }
    }

    /// As a cell of a table.
    pub fn cell(self) -> Cell {
        match self {
            Threshold::Below(tariff) => Cell::Usd(tariff, 3),
            Threshold::Never => Cell::text("none"),
        }
    }
}

/// Answers `question` from `catalogue`.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<BreakEven, QuestionError> {
    let mut figures = Figures::default();
    let usd_per_kwh = question.tariff.resolve(catalogue, &mut figures)?;
    let assumed = |quantity, value, key, figures: &mut Figures| {
        question::given_or_assumed(quantity, value, key, catalogue, figures)
    };
    let life_years = assumed(question::LIFE_YEARS, question.life_years, "hardware_life", &mut figures)?;
    let utilization =
        assumed(question::UTILIZATION, question.utilization, "utilization_for_amortization", &mut figures)?;
    let residual = question.residual.unwrap_or(Residual::Usd(Usd::ZERO));
    match question.residual {
        Some(Residual::Usd(usd)) => figures.given("residual value", format!("{} usd", usd.0)),
        Some(Residual::Share(share)) => figures.given("residual value", format!("{share} of the price")),
        None => {}
    }
    let bitcoin = question::bitcoin(question.bitcoin.as_ref(), catalogue, &mut figures)?;
    let pay_usd_per_hour = pay(question.pay, &bitcoin, &mut figures)?;
    let terms = Terms { usd_per_kwh, life_years, utilization, residual, pay_usd_per_hour };
    let idle_watts = question::given(question::IDLE_WATTS, question.idle_watts, &mut figures)?;
    let machines = draws(question, catalogue, &mut figures)?
        .into_iter()
        .map(|draw| machine(draw, idle_watts, &terms, &bitcoin))
        .collect::<Result<_, _>>()?;
    Ok(BreakEven { usd_per_kwh, life_years, utilization, bitcoin, pay_usd_per_hour, machines, figures })
}

struct Terms {
    usd_per_kwh: Usd,
    life_years: Decimal,
    utilization: Decimal,
    residual: Residual,
    pay_usd_per_hour: Option<Usd>,
}

struct Draw {
    id: String,
    name: String,
    watts: Decimal,
    watts_seen: Option<(Decimal, Decimal)>,
    price_usd: Option<Usd>,
}

fn pay(pay: Option<Pay>, bitcoin: &BtcRate, figures: &mut Figures) -> Result<Option<Usd>, QuestionError> {
    match pay {
        None => Ok(None),
        Some(Pay::UsdPerHour(usd)) => {
            Ok(question::given(question::USD_PER_HOUR, Some(usd.0), figures)?.map(Usd))
        }
        Some(Pay::SatsPerHour(sats)) => {
            let sats = question::given(question::SATS_PER_HOUR, Some(sats), figures)?;
            Ok(sats.map(|sats| bitcoin.usd(sats)))
        }
    }
}

/// The machines that are meant, each with its draw and price.
fn draws(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Vec<Draw>, QuestionError> {
    let watts = question::given(question::WATTS, question.watts, figures)?;
    let price_usd = question::given(question::PRICE, question.price_usd.map(|usd| usd.0), figures)?.map(Usd);
    let is_own = question.hardware.is_empty() && (watts.is_some() || price_usd.is_some());
    if is_own {
        let watts = watts.ok_or(QuestionError::Missing {
            missing: "the power (watts)",
            because: "for a machine that the catalogue does not have",
        })?;
        let name = "your machine".to_owned();
        return Ok(vec![Draw { id: name.clone(), name, watts, watts_seen: None, price_usd }]);
    }
    let rows: Vec<&Hardware> = if question.hardware.is_empty() {
        catalogue.hardware.iter().collect()
    } else {
        question.hardware.iter().map(|id| catalogue.hardware(id)).collect::<Result<_, _>>()?
    };
    rows.into_iter().map(|row| draw(row, watts, price_usd, figures)).collect()
}

fn draw(
    row: &Hardware,
    watts: Option<Decimal>,
    price_usd: Option<Usd>,
    figures: &mut Figures,
) -> Result<Draw, QuestionError> {
    if watts.is_none() {
        let value = format!("{} W ({}-{} W)", row.train_watts, row.train_watts_low, row.train_watts_high);
        figures.cite(format!("{} draw", row.id), value, &row.provenance());
    }
    if price_usd.is_none() {
        figures.cite(format!("{} price", row.id), format!("{} usd", row.price_usd.0), &row.provenance());
    }
    let check_watts = |value| question::WATTS.check_in(value, format!("the power of {}", row.id));
    let seen = (check_watts(row.train_watts_low)?, check_watts(row.train_watts_high)?);
    let price = question::PRICE.check_in(row.price_usd.0, format!("the price of {}", row.id))?;
    Ok(Draw {
        id: row.id.clone(),
        name: row.name.clone(),
        watts: watts.map_or_else(|| check_watts(row.train_watts), Ok)?,
        watts_seen: watts.is_none().then_some(seen),
        price_usd: Some(price_usd.unwrap_or(Usd(price))),
    })
}

fn machine(
    draw: Draw,
    idle_watts: Option<Decimal>,
    terms: &Terms,
    bitcoin: &BtcRate,
) -> Result<Machine, QuestionError> {
    let Draw { id, name, watts, watts_seen, price_usd } = draw;
    let electricity = cost::electricity_usd_per_hour(watts, terms.usd_per_kwh);
    let idle = idle_watts.map(|watts| cost::electricity_usd_per_hour(watts, terms.usd_per_kwh));
    let idle_hours = cost::idle_hours_per_earning_hour(terms.utilization).unwrap_or_default();
    let idle_share = idle.map(|idle| idle * idle_hours);
    let residual_usd = price_usd.map(|price| terms.residual.of(price)).transpose()?;
    let wear = price_usd.zip(residual_usd).and_then(|(price, residual)| {
        cost::amortized_usd_per_hour(price, residual, terms.life_years, terms.utilization)
    });
    let owned = electricity + idle_share.unwrap_or_default();
    // The draw behind an hour that earns: its own, and that of the idle hours laid on it.
    let draw_watts = watts + idle_watts.unwrap_or_default() * idle_hours;
    let breaks_even = |pay: Usd, wear: Usd| Threshold::new(pay - wear, draw_watts);
    let pay = terms.pay_usd_per_hour;
    Ok(Machine {
        id,
        name,
        watts,
        watts_seen,
        price_usd,
        residual_usd,
        electricity: Hourly::new(electricity, bitcoin),
        idle: idle.map(|usd| Hourly::new(usd, bitcoin)),
        idle_share,
        wear,
        owned: Hourly::new(owned, bitcoin),
        full: wear.map(|wear| Hourly::new(owned + wear, bitcoin)),
        owned_breaks_even: pay.map(|pay| breaks_even(pay, Usd::ZERO)),
        full_breaks_even: pay.zip(wear).map(|(pay, wear)| breaks_even(pay, wear)),
    })
}

impl Answer for BreakEven {
    fn title(&self) -> String {
        format!("What an hour has to bring at {:.3} a kilowatt-hour", self.usd_per_kwh)
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.totals(), self.electricity(), self.electricity_sats()];
        tables.extend(self.pay_usd_per_hour.map(|pay| self.at_pay(pay)));
        tables
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let percent = |fraction: Decimal| (fraction * Decimal::ONE_HUNDRED).normalize();
        let mut notes = vec![
            "Electricity is watts ÷ 1000 × tariff, around the clock under load; a month is 30 days, a year 8760 hours. The full cost of a month is that of its hours that earn.".to_owned(),
            format!(
                "Wear is (price − residual value) ÷ ({} years × 8760 h × {} % of the hours earn).",
                self.life_years.normalize(),
                percent(self.utilization)
            ),
        ];
        if self.machines.iter().any(|machine| machine.idle.is_none()) {
            notes.push("What the machines draw without work is not known and not counted.".to_owned());
        }
        if self.machines.iter().any(|machine| machine.price_usd.is_none()) {
            notes.push("Without a price there is no wear: only what it costs to run is shown.".to_owned());
        }
        let never = |machine: &&Machine| machine.full_breaks_even == Some(Threshold::Never);
        notes.extend(self.machines.iter().filter(never).map(|machine| {
            format!("{}: the pay is less than the wear, free electricity does not help.", machine.name)
        }));
        notes
    }
}

impl BreakEven {
    fn totals(&self) -> Table {
        let mut table = Table::new(
            "breakeven",
            "Break-even for an hour that earns",
            &[
                ("hardware", "machine"),
                ("electricity_usd_per_hour", "power $/h"),
                ("idle_usd_per_hour", "idle $/h"),
                ("wear_usd_per_hour", "wear $/h"),
                ("owned_usd_per_hour", "own it $/h"),
                ("owned_sats_per_hour", "own it sats/h"),
                ("full_usd_per_hour", "full cost $/h"),
                ("full_sats_per_hour", "full cost sats/h"),
                ("full_usd_per_month", "full cost $/month"),
            ],
        );
        let usd = |amount: Option<Usd>| amount.map_or(Cell::Missing, |usd| Cell::Usd(usd, 4));
        for machine in &self.machines {
            let full = machine.full.map(|full| full.usd_per_hour);
            let month = full.map(|full| full * HOURS_PER_MONTH * self.utilization);
            table.row([
                Cell::text(&machine.name),
                Cell::Usd(machine.electricity.usd_per_hour, 4),
                usd(machine.idle_share),
                usd(machine.wear),
                Cell::Usd(machine.owned.usd_per_hour, 4),
                Cell::sats(machine.owned.sats_per_hour),
                usd(full),
                Cell::sats(machine.full.and_then(|full| full.sats_per_hour)),
                month.map_or(Cell::Missing, |month| Cell::Usd(month, 2)),
            ]);
        }
        table
    }

    fn electricity(&self) -> Table {
        let mut table = Table::new(
            "electricity",
            "Electricity under load",
            &[
                ("hardware", "machine"),
                ("watts", "W"),
                ("watts_low", "low W"),
                ("watts_high", "high W"),
                ("usd_per_hour", "$/h"),
                ("usd_per_day", "$/day"),
                ("usd_per_month", "$/month"),
                ("usd_per_year", "$/year"),
                ("idle_usd_per_hour", "idle $/h"),
            ],
        );
        for machine in &self.machines {
            let watts = |watts: Option<Decimal>| watts.map_or(Cell::Missing, |watts| Cell::Number(watts, 0));
            let electricity = machine.electricity;
            table.row([
                Cell::text(&machine.name),
                watts(Some(machine.watts)),
                watts(machine.watts_seen.map(|seen| seen.0)),
                watts(machine.watts_seen.map(|seen| seen.1)),
                Cell::Usd(electricity.usd_per_hour, 4),
                Cell::Usd(electricity.usd_per_day, 2),
                Cell::Usd(electricity.usd_per_month, 2),
                Cell::Usd(electricity.usd_per_year, 2),
                machine.idle.map_or(Cell::Missing, |idle| Cell::Usd(idle.usd_per_hour, 4)),
            ]);
        }
        table
    }

    fn electricity_sats(&self) -> Table {
        let mut table = Table::new(
            "electricity_sats",
            "Electricity under load, in satoshi",
            &[
                ("hardware", "machine"),
                ("sats_per_hour", "sats/h"),
                ("sats_per_day", "sats/day"),
                ("sats_per_month", "sats/month"),
                ("sats_per_year", "sats/year"),
            ],
        );
        for machine in &self.machines {
            let electricity = machine.electricity;
            table.row([
                Cell::text(&machine.name),
                Cell::sats(electricity.sats_per_hour),
                Cell::sats(electricity.sats_per_day),
                Cell::sats(electricity.sats_per_month),
                Cell::sats(electricity.sats_per_year),
            ]);
        }
        table
    }

    fn at_pay(&self, pay: Usd) -> Table {
        let mut table = Table::new(
            "pay",
            format!("Paid {pay:.4} an hour"),
            &[
                ("hardware", "machine"),
                ("owned_net_usd_per_hour", "own it: net $/h"),
                ("owned_tariff_usd_per_kwh", "own it: pays below $/kWh"),
                ("full_net_usd_per_hour", "full cost: net $/h"),
                ("full_tariff_usd_per_kwh", "full cost: pays below $/kWh"),
            ],
        );
        for machine in &self.machines {
            let net = |cost: Hourly| Cell::Usd(pay - cost.usd_per_hour, 4);
            table.row([
                Cell::text(&machine.name),
                net(machine.owned),
                machine.owned_breaks_even.map_or(Cell::Missing, Threshold::cell),
                machine.full.map_or(Cell::Missing, net),
                machine.full_breaks_even.map_or(Cell::Missing, Threshold::cell),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{drawn::drawn, wild};
    use proptest::{array, option, prelude::*};
    use rust_decimal::dec;

    fn ask_embedded(question: &Question) -> Result<BreakEven, QuestionError> {
        ask(question, &Catalogue::embedded().unwrap())
    }

    fn of(hardware: &str) -> Question {
        Question { hardware: vec![hardware.to_owned()], ..Question::default() }
    }

    fn at(usd_per_btc: Decimal) -> Option<BtcRate> {
        Some(BtcRate { usd_per_btc, as_of: "2026-11-20".parse().unwrap(), source: "you".to_owned() })
    }

    #[test]
    fn the_worked_examples_hold_to_the_cent() {
        let examples: serde_json::Value =
            serde_json::from_str(include_str!("../tests/worked-examples.json")).unwrap();
        for example in examples["electricity_at_0.16"].as_array().unwrap() {
            let answer = ask_embedded(&of(example["hardware"].as_str().unwrap())).unwrap();
            let electricity = answer.machines[0].electricity;
            let usd = |key: &str| Usd(example[key].to_string().parse().unwrap());
            assert_eq!(electricity.usd_per_hour, usd("usd_per_hour"));
            assert_eq!(electricity.usd_per_day.rounded(2), usd("usd_per_day"));
            assert_eq!(electricity.usd_per_month.rounded(2), usd("usd_per_month"));
            assert_eq!(electricity.sats_per_hour, example["sats_per_hour"].as_i64());
        }
    }

    #[test]
    fn several_machines_stand_in_one_answer() {
        let question = Question {
            hardware: vec!["rtx4090-system".into(), "Mac Mini M4 Pro".into()],
            pay: Some(Pay::SatsPerHour(dec!(200))),
            ..Question::default()
        };
        insta::assert_snapshot!(drawn(&ask_embedded(&question).unwrap()), @r"
        What an hour has to bring at $0.160 a kilowatt-hour

        [breakeven] Break-even for an hour that earns
        machine         | power $/h | idle $/h | wear $/h | own it $/h | own it sats/h | full cost $/h | full cost sats/h | full cost $/month
        RTX 4090 system | $0.0720   |          | $0.1903  | $0.0720    | 103           | $0.2623       | 375              | $94.41
        Mac Mini M4 Pro | $0.0064   |          | $0.0609  | $0.0064    | 9             | $0.0673       | 96               | $24.22

        [electricity] Electricity under load
        machine         | W   | low W | high W | $/h     | $/day | $/month | $/year  | idle $/h
        RTX 4090 system | 450 | 350   | 450    | $0.0720 | $1.73 | $51.84  | $630.72 |
        Mac Mini M4 Pro | 40  | 30    | 50     | $0.0064 | $0.15 | $4.61   | $56.06  |

        [electricity_sats] Electricity under load, in satoshi
        machine         | sats/h | sats/day | sats/month | sats/year
        RTX 4090 system | 103    | 2469     | 74057      | 901029
        Mac Mini M4 Pro | 9      | 219      | 6583       | 80091

        [pay] Paid $0.1400 an hour
        machine         | own it: net $/h | own it: pays below $/kWh | full cost: net $/h | full cost: pays below $/kWh
        RTX 4090 system | $0.0680         | $0.311                   | -$0.1223           | none
        Mac Mini M4 Pro | $0.1336         | $3.500                   | $0.0727            | $1.978

        * Electricity is watts ÷ 1000 × tariff, around the clock under load; a month is 30 days, a year 8760 hours. The full cost of a month is that of its hours that earn.
        * Wear is (price − residual value) ÷ (3 years × 8760 h × 50 % of the hours earn).
        * What the machines draw without work is not known and not counted.
        * RTX 4090 system: the pay is less than the wear, free electricity does not help.
        ");
    }

    #[test]
    fn a_machine_of_your_own_needs_no_catalogue() {
        let question = Question {
            tariff: Tariff::UsdPerKwh(Usd(dec!(0.20))),
            watts: Some(dec!(500)),
            idle_watts: Some(dec!(100)),
            price_usd: Some(Usd(dec!(1752))),
            residual: Some(Residual::Share(dec!(0.25))),
            life_years: Some(dec!(2)),
            utilization: Some(dec!(0.5)),
            ..Question::default()
        };
        let answer = ask_embedded(&question).unwrap();
        let machine = &answer.machines[0];
        assert_eq!(machine.electricity.usd_per_hour, Usd(dec!(0.1)));
        assert_eq!(machine.idle_share, Some(Usd(dec!(0.02))));
        assert_eq!(machine.wear, Some(Usd(dec!(0.15))));
        assert_eq!(machine.full.unwrap().usd_per_hour, Usd(dec!(0.27)));
    }

    #[test]
    fn bad_inputs_are_answered_with_what_is_accepted() {
        let questions = [
            Question { watts: Some(dec!(0)), ..of("rtx4090-system") },
            Question { watts: Some(dec!(-450)), ..of("rtx4090-system") },
            Question { utilization: Some(dec!(0)), ..Question::default() },
            Question { utilization: Some(dec!(1.3)), ..Question::default() },
            Question { tariff: Tariff::Region("Califronia".into()), ..Question::default() },
            of("rtx4090-sistem"),
            Question { price_usd: Some(Usd(dec!(2500))), ..Question::default() },
            Question { residual: Some(Residual::Usd(Usd(dec!(3000)))), ..of("rtx4090-system") },
            Question { bitcoin: at(dec!(0)), ..Question::default() },
            Question { life_years: Some(Decimal::MAX), ..Question::default() },
        ];
        let texts = questions.map(|question| ask_embedded(&question).unwrap_err().to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        the power is 0; it has to be from 0.1 to 1000000 W
        the power is -450; it has to be from 0.1 to 1000000 W
        the utilization is 0; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
        the utilization is 1.3; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
        the catalogue has no region `Califronia`; did you mean `California`?
        the catalogue has no hardware `rtx4090-sistem`; did you mean `rtx4090-system`?
        the power (watts) is not given; it is needed for a machine that the catalogue does not have
        the residual value is 3000; it has to be from 0 to the price, 2500
        the price of a bitcoin is 0; it has to be from 1 to 1000000000 $
        the life is 79228162514264337593543950335; it has to be from 0.01 to 100 years
        ");
    }

    proptest! {
        #[test]
        fn costs_rise_with_the_tariff_and_add_up(low in 0_u32..5000, more in 1_u32..5000, watts in 1_u32..10_000) {
            let at = |mills: u32| {
                let tariff = Tariff::UsdPerKwh(Usd(Decimal::new(mills.into(), 4)));
                let question = Question { tariff, watts: Some(watts.into()), idle_watts: Some(dec!(7)), ..of("rtx3090-system") };
                ask_embedded(&question).unwrap().machines.remove(0)
            };
            let (cheap, dear) = (at(low), at(low + more));
            prop_assert!(cheap.owned.usd_per_hour < dear.owned.usd_per_hour);
            prop_assert!(cheap.full.unwrap().usd_per_hour < dear.full.unwrap().usd_per_hour);
            let parts = dear.electricity.usd_per_hour + dear.idle_share.unwrap() + dear.wear.unwrap();
            prop_assert_eq!(parts, dear.full.unwrap().usd_per_hour);
        }

        #[test]
        fn a_dearer_bitcoin_changes_satoshi_alone(usd_per_btc in 1_000_u32..1_000_000, watts in 1_u32..10_000) {
            let with = |usd_per_btc: u32| {
                let question = Question { watts: Some(watts.into()), bitcoin: at(usd_per_btc.into()), ..of("rtx3090-system") };
                ask_embedded(&question).unwrap().machines.remove(0).full.unwrap()
            };
            let (once, twice) = (with(usd_per_btc), with(2 * usd_per_btc));
            prop_assert_eq!(once.usd_per_year, twice.usd_per_year);
            let off = once.sats_per_year.unwrap() - 2 * twice.sats_per_year.unwrap();
            prop_assert!(off.abs() <= 1, "{}", off);
        }

        #[test]
        fn at_the_tariff_where_it_breaks_even_the_pay_is_the_cost(pay_mills in 1_u32..100_000, idle in 0_u32..100) {
            let question = Question {
                idle_watts: Some(idle.into()),
                pay: Some(Pay::UsdPerHour(Usd(Decimal::new(pay_mills.into(), 3)))),
                ..of("rtx3080-system")
            };
            let machine = ask_embedded(&question).unwrap().machines.remove(0);
            match machine.full_breaks_even.unwrap() {
                Threshold::Below(tariff) => {
                    let again = Question { tariff: Tariff::UsdPerKwh(tariff), ..question };
                    prop_assume!(tariff.0 <= dec!(100));
                    let cost = ask_embedded(&again).unwrap().machines.remove(0).full.unwrap().usd_per_hour;
                    let pay = Usd(Decimal::new(pay_mills.into(), 3));
                    prop_assert_eq!(cost.rounded(9), pay.rounded(9));
                }
                Threshold::Never => prop_assert!(machine.wear.unwrap().0 > Decimal::new(pay_mills.into(), 3)),
            }
        }

        #[test]
        fn no_number_makes_it_panic(numbers in array::uniform8(option::of(wild::number()))) {
            let [watts, idle_watts, price, residual, life_years, utilization, pay, tariff] = numbers;
            let question = Question {
                hardware: Vec::new(),
                tariff: tariff.map_or_else(Tariff::default, |usd| Tariff::UsdPerKwh(Usd(usd))),
                watts,
                idle_watts,
                price_usd: price.map(Usd),
                residual: residual.map(Residual::Share),
                life_years,
                utilization,
                bitcoin: life_years.and_then(at),
                pay: pay.map(Pay::SatsPerHour),
            };
            if let Ok(answer) = ask_embedded(&question) {
                answer.tables().iter().for_each(|table| drop(table.to_csv()));
            }
        }
    }
}
