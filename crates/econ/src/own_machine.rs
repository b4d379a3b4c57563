//! This machine: what it draws, what it earned in this market, what is left after power.
//!
//! The caller takes the readings; what the counters and programs mean is known here.

mod powermetrics;
mod rapl;

use crate::{
    answer::{Answer, Cell, Figures, Table},
    catalogue::Catalogue,
    cost,
    money::{BtcRate, Usd},
    question::{self, Quantity, QuestionError, Tariff},
};
use market::units::Msat;
pub use powermetrics::{PowermetricsError, read_powermetrics};
pub use rapl::{Domain, RaplError, rapl_watts};
use rust_decimal::{Decimal, dec};
use serde::Serialize;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What the machine draws while it works: one reading for each part of it. At least one.
    pub readings: Vec<Reading>,
    /// What no reading covers: fans, disks, losses in the power supply; from 0 to 1,000,000 W.
    pub other_watts: Decimal,
    /// What the machine draws when it has nothing to do, from 0 W. It is counted for the hours without work; 0 where the
    /// machine would be on anyway.
    pub idle_watts: Decimal,
    /// Hours in which it worked, from 0.
    pub working_hours: Decimal,
    /// Hours in which it waited, from 0.
    pub waiting_hours: Decimal,
    /// What it earned over these hours.
    pub earned: Msat,
    /// What electricity costs.
    pub tariff: Tariff,
    /// What a bitcoin costs, instead of the catalogue's assumption.
    pub bitcoin: Option<BtcRate>,
}

/// A reading of power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// What it is about: `package 0`, `NVIDIA RTX 4090`.
    pub part: String,
    /// How it was taken.
    pub meter: Meter,
    /// The power.
    pub watts: Decimal,
}

impl Reading {
    /// What a person says that the whole machine draws.
    pub fn given(watts: Decimal) -> Reading {
        Reading { part: "the machine".to_owned(), meter: Meter::Asked, watts }
    }
}

/// How a reading was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// The energy counters of the processor, `/sys/class/powercap`.
    Rapl,
    /// The driver of an NVIDIA card.
    Nvml,
    /// `powermetrics` on a Mac.
    Powermetrics,
    /// A person, from a meter at the wall or a data sheet.
    Asked,
}

impl Meter {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Meter::Rapl => "RAPL",
            Meter::Nvml => "NVML",
            Meter::Powermetrics => "powermetrics",
            Meter::Asked => "given",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnMachine {
    /// The readings.
    pub readings: Vec<Reading>,
    /// Draw at work: the readings and what they do not cover.
    pub working_watts: Decimal,
    /// Hours in which it worked.
    pub working_hours: Decimal,
    /// Energy of all hours.
    pub kwh: Decimal,
    /// What a kilowatt-hour costs.
    pub usd_per_kwh: Usd,
    /// What the energy cost.
    pub power_usd: Usd,
    /// What it earned.
    pub earned_sats: Decimal,
    /// The same in dollars.
    pub earned_usd: Usd,
    /// What is left.
    pub net_usd: Usd,
    /// The same in satoshi; `None` where it does not fit.
    pub net_sats: Option<i64>,
    /// What is left of an hour of work; `None` where it has not worked.
    pub net_usd_per_working_hour: Option<Usd>,
    /// The tariff at which nothing would be left; `None` where no energy was used.
    pub break_even_usd_per_kwh: Option<Usd>,
    figures: Figures,
}

const SPAN: Quantity =
    Quantity { name: "the time", unit: " h", least: Decimal::ZERO, most: dec!(10_000_000) };

/// What the machine drew, earned and kept.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<OwnMachine, QuestionError> {
    let mut figures = Figures::default();
    if question.readings.is_empty() {
        return Err(QuestionError::Missing {
            missing: "what the machine draws",
            because: "because nothing of it could be measured",
        });
    }
    let mut working_watts =
        question::IDLE_WATTS.check_in(question.other_watts, "the power that no meter sees")?;
    for reading in &question.readings {
        let watts = question::IDLE_WATTS.check_in(reading.watts, format!("the power of {}", reading.part))?;
        figures.given(format!("{} ({})", reading.part, reading.meter.as_str()), format!("{watts} W"));
        working_watts += watts;
    }
    let idle_watts = question::IDLE_WATTS.check(question.idle_watts)?;
    let working_hours = SPAN.check_in(question.working_hours, "the time at work")?;
    let waiting_hours = SPAN.check_in(question.waiting_hours, "the time without work")?;
    let usd_per_kwh = question.tariff.resolve(catalogue, &mut figures)?;
    let bitcoin = question::bitcoin(question.bitcoin.as_ref(), catalogue, &mut figures)?;

    let kwh = (working_watts * working_hours + idle_watts * waiting_hours) / dec!(1000);
    let power_usd = cost::electricity_usd_per_hour(working_watts, usd_per_kwh) * working_hours
        + cost::electricity_usd_per_hour(idle_watts, usd_per_kwh) * waiting_hours;
    let earned_sats = Decimal::from(question.earned.0) / dec!(1000);
    let earned_usd = bitcoin.usd_of(question.earned);
    let net_usd = earned_usd - power_usd;
    figures.given("earned in this market", format!("{earned_sats} sat"));
    Ok(OwnMachine {
        readings: question.readings.clone(),
        working_watts,
        working_hours,
        kwh,
        usd_per_kwh,
        power_usd,
        earned_sats,
        earned_usd,
        net_usd,
        net_sats: bitcoin.sats(net_usd),
        net_usd_per_working_hour: net_usd.per(working_hours),
        break_even_usd_per_kwh: earned_usd.per(kwh),
        figures,
    })
}

impl Answer for OwnMachine {
    fn title(&self) -> String {
        let kept = if self.net_usd < Usd::ZERO { "lost" } else { "kept" };
        format!("This machine {kept} {} after power", Usd(self.net_usd.0.abs()))
    }

    fn tables(&self) -> Vec<Table> {
        let mut draw = Table::new(
            "draw",
            "What it draws at work",
            &[("part", "part"), ("meter", "measured by"), ("watts", "W")],
        );
        for reading in &self.readings {
            let meter = Cell::text(reading.meter.as_str());
            draw.row([Cell::text(&reading.part), meter, Cell::Number(reading.watts, 1)]);
        }
        draw.row([
            Cell::text("all, with what no meter sees"),
            Cell::Missing,
            Cell::Number(self.working_watts, 1),
        ]);

        let mut result = Table::new(
            "result",
            "What it earned and kept",
            &[("what", "what"), ("value", "value"), ("unit", "unit")],
        );
        let dollars =
            |amount: Option<Usd>, digits| amount.map_or(Cell::Missing, |usd| Cell::Usd(usd, digits));
        for (what, cell, unit) in [
            ("time at work", Cell::Number(self.working_hours, 2), "h"),
            ("energy", Cell::Number(self.kwh, 3), "kWh"),
            ("earned", Cell::Number(self.earned_sats, 3), "sat"),
            ("earned", Cell::Usd(self.earned_usd, 4), "$"),
            ("power", Cell::Usd(-self.power_usd, 4), "$"),
            ("net", Cell::Usd(self.net_usd, 4), "$"),
            ("net", Cell::sats(self.net_sats), "sat"),
            ("net of an hour of work", dollars(self.net_usd_per_working_hour, 4), "$/h"),
            ("tariff at which nothing is left", dollars(self.break_even_usd_per_kwh, 4), "$/kWh"),
        ] {
            result.row([Cell::text(what), cell, Cell::text(unit)]);
        }
        vec![draw, result]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "The hardware's price is not counted: the machine is there already.".to_owned(),
            "The draw at work is taken for all hours at work; it was measured once.".to_owned(),
        ];
        let meters: std::collections::BTreeSet<Meter> =
            self.readings.iter().map(|reading| reading.meter).collect();
        for meter in meters {
            notes.push(match meter {
                Meter::Rapl => {
                    "RAPL sees the processor and its memory, not the board, disks, fans or the power supply."
                        .to_owned()
                }
                Meter::Nvml => "NVML sees the card alone.".to_owned(),
                Meter::Powermetrics => {
                    "powermetrics estimates the chip; Apple says not to compare machines by it.".to_owned()
                }
                Meter::Asked => "A draw that was given counts as given.".to_owned(),
            });
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        let reading = |part: &str, meter, watts| Reading { part: part.into(), meter, watts };
        Question {
            readings: vec![
                reading("package-0", Meter::Rapl, dec!(65)),
                reading("RTX 4090", Meter::Nvml, dec!(350)),
            ],
            other_watts: dec!(35),
            idle_watts: dec!(60),
            working_hours: dec!(10),
            waiting_hours: dec!(14),
            earned: Msat(2_500_500),
            tariff: Tariff::default(),
            bitcoin: None,
        }
    }

    #[test]
    fn power_is_taken_off_what_was_earned() {
        let answer = ask(&question(), &Catalogue::embedded().unwrap()).unwrap();
        assert_eq!(answer.kwh, dec!(5.34));
        assert_eq!(answer.power_usd, Usd(dec!(0.8544)));
        assert_eq!(answer.title(), "This machine kept $0.90 after power");
        insta::assert_snapshot!(answer.tables()[1].to_csv().unwrap(), @r"
    what,value,unit
    time at work,10,h
    energy,5.34,kWh
    earned,2500.5,sat
    earned,1.75035,$
    power,-0.8544,$
    net,0.89595,$
    net,1280,sat
    net of an hour of work,0.089595,$/h
    tariff at which nothing is left,0.3277808988764044943820224719,$/kWh
    ");
    }

    #[test]
    fn a_machine_without_readings_or_with_impossible_ones_is_refused() {
        let catalogue = Catalogue::embedded().unwrap();
        let mut none = question();
        none.readings.clear();
        let mut negative = question();
        negative.readings[1].watts = dec!(-1);
        let errors = [none, negative].map(|question| ask(&question, &catalogue).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
    what the machine draws is not given; it is needed because nothing of it could be measured
    the power of RTX 4090 is -1; it has to be from 0 to 1000000 W
    ");
    }

    #[test]
    fn an_hour_never_worked_has_no_net() {
        let idle = Question { working_hours: Decimal::ZERO, waiting_hours: Decimal::ZERO, ..question() };
        let answer = ask(&idle, &Catalogue::embedded().unwrap()).unwrap();
        assert_eq!((answer.net_usd_per_working_hour, answer.break_even_usd_per_kwh), (None, None));
    }
}
