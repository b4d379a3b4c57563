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
    /// Draw without work, from 0 W. If it is given, the idle hours are counted: the machine is on for this alone.
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
    /// Who states its figures; `you` for a machine of your own.
    pub source: String,
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
    /// Electricity of the idle hours, laid on those that earn; absent where the idle draw was not given.
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
    source: String,
    watts: Decimal,
    watts_seen: Option<(Decimal, Decimal)>,
    /// What its vendor says that it draws without work.
    idle_watts: Option<Decimal>,
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
        let (id, source) = (name.clone(), "you".to_owned());
        return Ok(vec![Draw { id, name, source, watts, watts_seen: None, idle_watts: None, price_usd }]);
    }
    let mut rows: Vec<&Hardware> = Vec::new();
    for id in &question.hardware {
        let known = catalogue.hardware(id)?;
        rows.extend(catalogue.hardware.iter().filter(|row| row.id == known.id));
    }
    if question.hardware.is_empty() {
        rows.extend(&catalogue.hardware);
    }
    rows.into_iter().map(|row| draw(row, watts, price_usd, catalogue, figures)).collect()
}

fn draw(
    row: &Hardware,
    watts: Option<Decimal>,
    price_usd: Option<Usd>,
    catalogue: &Catalogue,
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
    let idle = catalogue.idle_power(&row.id);
    if let Some(idle) = idle {
        question::IDLE_WATTS.check_in(idle.idle_watts, format!("the idle power of {}", row.id))?;
        figures.cite(
            format!("{} idle draw ({})", row.id, idle.configuration),
            format!("{} W", idle.idle_watts),
            &idle.provenance(),
        );
    }
    Ok(Draw {
        id: row.id.clone(),
        name: row.name.clone(),
        source: row.source.clone(),
        idle_watts: idle.map(|idle| idle.idle_watts),
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
    let Draw { id, name, source, watts, watts_seen, idle_watts: stated, price_usd } = draw;
    let electricity = cost::electricity_usd_per_hour(watts, terms.usd_per_kwh);
    let idle = |watts: Decimal| cost::electricity_usd_per_hour(watts, terms.usd_per_kwh);
    let idle_hours = cost::idle_hours_per_earning_hour(terms.utilization).unwrap_or_default();
    let idle_share = idle_watts.map(|watts| idle(watts) * idle_hours);
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
        source,
        watts,
        watts_seen,
        price_usd,
        residual_usd,
        electricity: Hourly::new(electricity, bitcoin),
        idle: idle_watts.or(stated).map(|watts| Hourly::new(idle(watts), bitcoin)),
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
        if self.machines.iter().any(|machine| machine.idle_share.is_none()) {
            notes.push("Idle hours are not counted: the machine is taken to be on anyway. Where it is on for this alone, give its idle draw.".to_owned());
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
    /// The name of a machine, with the source where several state figures of it.
    pub fn label(&self, machine: &Machine) -> String {
        let is_other = |other: &&Machine| other.id == machine.id;
        match self.machines.iter().filter(is_other).count() {
            0 | 1 => machine.name.clone(),
            _ => format!("{} ({})", machine.name, machine.source),
        }
    }

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
                Cell::text(self.label(machine)),
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
                Cell::text(self.label(machine)),
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
                Cell::text(self.label(machine)),
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
                Cell::text(self.label(machine)),
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
mod tests;
