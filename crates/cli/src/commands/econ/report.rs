//! `grist econ report`: all answers on one page.

use super::{
    inputs::{RateArgs, TariffArgs, catalogue},
    mechanism, outlook,
};
use crate::{
    answer::today,
    args::Global,
    exit::{Exit, Failure},
    output::Output,
};
use clap::Args;
use econ::{
    breakeven, energy,
    own_machine::{self, Reading},
    rates, rent_or_mine,
    report::{Contents, all},
    simulate, swarm,
};
use node::config_file::Money;
use rust_decimal::Decimal;
use serde_json::json;
use std::path::PathBuf;

/// `grist econ report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Where to write the page: one file that needs nothing else
    #[arg(long, short, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    #[command(flatten)]
    tariff: TariffArgs,
    #[command(flatten)]
    rate: RateArgs,
    /// Machines of `grist econ catalog show hardware` [default: all of them]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    hardware: Vec<String>,
    /// The scenario for the mechanisms [default: the one that `grist econ mechanism scenario` prints]
    #[arg(long, value_name = "SCENARIO.toml")]
    scenario: Option<PathBuf>,
    /// Figures of networks, as for `grist econ network`; may be repeated
    #[arg(long, value_name = "FILE")]
    figures: Vec<PathBuf>,
    /// What a machine of yours draws at work: the report then says what it kept of what it earned
    #[arg(long, requires = "earned", allow_negative_numbers = true)]
    watts: Option<Decimal>,
    /// What that machine earned
    #[arg(long, value_name = "AMOUNT", requires = "hours")]
    earned: Option<Money>,
    /// In how many hours of work it earned that
    #[arg(long, value_name = "HOURS", requires = "watts", allow_negative_numbers = true)]
    hours: Option<Decimal>,
}

impl ReportArgs {
    /// A machine of the reader's, where all three of its figures are given; clap asks for all or none.
    fn own_machine(&self) -> Option<own_machine::Question> {
        let (watts, working_hours) = self.watts.zip(self.hours)?;
        Some(own_machine::Question {
            readings: vec![Reading::given(watts)],
            other_watts: Decimal::ZERO,
            idle_watts: Decimal::ZERO,
            working_hours,
            waiting_hours: Decimal::ZERO,
            earned: self.earned.as_ref()?.0,
            tariff: self.tariff.given().unwrap_or_default(),
            bitcoin: self.rate.rate(),
        })
    }
}

/// Writes the page.
pub(super) fn report(args: &ReportArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let usual = Contents::default();
    let break_even = breakeven::Question {
        hardware: args.hardware.clone(),
        tariff: args.tariff.given().unwrap_or_default(),
        bitcoin: args.rate.rate(),
        ..usual.break_even
    };
    let compare = usual.compare.into_iter();
    let contents = Contents {
        rates: rates::Question { costs: break_even.clone(), ..usual.rates },
        compare: compare
            .map(|question| econ::compare::Question { bitcoin: args.rate.rate(), ..question })
            .collect(),
        rent_or_mine: rent_or_mine::Question {
            home_tariff: args.tariff.given().unwrap_or(usual.rent_or_mine.home_tariff),
            bitcoin: args.rate.rate(),
            ..usual.rent_or_mine
        },
        energy: energy::Question {
            tariff: break_even.tariff.clone(),
            bitcoin: args.rate.rate(),
            ..usual.energy
        },
        simulate: simulate::Question { tariff: break_even.tariff.clone(), ..usual.simulate },
        swarm: usual.swarm.map(|swarm| swarm::Question { bitcoin: args.rate.rate(), ..swarm }),
        scenario: Some(mechanism::scenario(args.scenario.as_deref())?),
        networks: outlook::figures(&args.figures)?,
        own_machine: args.own_machine(),
        break_even,
        ..usual
    };
    output.note("answering every question");
    let page = all(&contents, &catalogue(global)?, today()).map_err(|e| Failure::of(Exit::Usage, e))?;
    let wrong = |e: std::io::Error| Failure::of(Exit::BadInput, e).during(args.output.display());
    std::fs::write(&args.output, &page).map_err(wrong)?;
    let name = args.output.display().to_string();
    output.result(&json!({ "file": name, "bytes": page.len() }), || format!("{name}: open it in a browser\n"))
}
