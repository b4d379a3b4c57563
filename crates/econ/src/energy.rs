//! Work per joule and per satoshi: what a kilowatt-hour does on different machines, where a benchmark says how fast
//! they are. A joule is a watt for a second, so work per joule is the rate divided by the draw.

use crate::{
    answer::{Answer, Cell, Figures, Table},
    catalogue::{Benchmark, Catalogue, Hardware, unknown},
    cost::{amortized_usd_per_hour, electricity_usd_per_hour},
    money::{BtcRate, SATS_PER_BTC, Usd},
    question::{QuestionError, Tariff, WATTS, bitcoin},
};
use rust_decimal::{Decimal, dec};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Seconds of an hour.
const SECONDS_PER_HOUR: Decimal = dec!(3600);

/// Which machines are compared, and what power costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// Ids of machines; all that have a benchmark where it is empty.
    pub hardware: Vec<String>,
    /// Only workloads whose name has these words in it.
    pub workload: Option<String>,
    /// What a kilowatt-hour costs.
    pub tariff: Tariff,
    /// The price of a bitcoin; the catalogue's where it is not given.
    pub bitcoin: Option<BtcRate>,
    /// The person's own benchmarks, such as the giga-fuel a second that a provider measures.
    pub own: Vec<Benchmark>,
}

/// What one machine does of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Efficiency {
    /// The machine, by its id or in the source's words.
    pub hardware: String,
    /// `nvidia`, `apple`, …
    pub kind: String,
    /// What it did.
    pub workload: String,
    /// What is counted: `token`, `sample`, `frame`, `giga-fuel`.
    pub unit: String,
    /// Work in a second.
    pub per_second: Decimal,
    /// What it drew, or is planned to draw.
    pub watts: Decimal,
    /// Whether the draw was measured with the rate; else it is the planning figure of the hardware table.
    pub is_measured: bool,
    /// Work for a joule at that draw.
    pub per_joule: Decimal,
    /// Work for a joule at the highest and the lowest planning figure; absent where the draw was measured.
    pub per_joule_range: Option<(Decimal, Decimal)>,
    /// Work for a satoshi of electricity; absent where electricity is free.
    pub per_sat_of_power: Option<Decimal>,
    /// Work for a satoshi of electricity and purchase; absent where the price of the machine is not known.
    pub per_sat_owned: Option<Decimal>,
    /// Who measured it, and when.
    pub origin: String,
}

/// The best Apple machine beside the best NVIDIA machine at a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What both did.
    pub workload: String,
    /// The Apple machine that does most for a joule.
    pub apple: String,
    /// The NVIDIA machine that does most for a joule.
    pub nvidia: String,
    /// Work per joule of the first ÷ of the second.
    pub per_joule_ratio: Decimal,
    /// Work per second of the first ÷ of the second.
    pub speed_ratio: Decimal,
    /// Whether the draw of both was measured; else the ratio stands on planning figures.
    pub is_measured: bool,
}

/// Work per joule and per satoshi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Energy {
    /// Each benchmark, by workload, the most work per joule first.
    pub rows: Vec<Efficiency>,
    /// Apple against NVIDIA, workload by workload.
    pub comparisons: Vec<Comparison>,
    /// Benchmarks that could not be used, with the reason.
    pub left_out: Vec<String>,
    /// Machines whose vendor states a higher draw than the one planned with, a sentence each.
    pub underrated: Vec<String>,
    figures: Figures,
}

/// What money is worth in this question.
struct Costs {
    usd_per_kwh: Usd,
    usd_per_sat: Usd,
    life_years: Decimal,
    utilization: Decimal,
}

/// How much work machines do for a joule, and for a satoshi.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<Energy, QuestionError> {
    let mut figures = Figures::default();
    let usd_per_kwh = question.tariff.resolve(catalogue, &mut figures)?;
    let rate = bitcoin(question.bitcoin.as_ref(), catalogue, &mut figures)?;
    let costs = Costs {
        usd_per_kwh,
        usd_per_sat: Usd(rate.usd_per_btc / SATS_PER_BTC),
        life_years: catalogue.assumption("hardware_life", &mut figures)?,
        utilization: catalogue.assumption("utilization_for_amortization", &mut figures)?,
    };
    let mut rows = Vec::new();
    let mut left_out = Vec::new();
    for benchmark in chosen(question, catalogue)? {
        let hardware = catalogue.hardware(&benchmark.hardware).ok();
        match efficiency(benchmark, hardware, &costs)? {
            Ok(row) => {
                figures.cite_row(
                    benchmark,
                    format!("{} {}/s", row.per_second.round_dp(2).normalize(), row.unit),
                );
                cite_hardware(&row, hardware, &mut figures);
                rows.push(row);
            }
            Err(reason) => left_out.push(format!("{}, {}: {reason}", benchmark.hardware, benchmark.workload)),
        }
    }
    rows.sort_by(|a, b| (&a.workload, b.per_joule).cmp(&(&b.workload, a.per_joule)));
    let comparisons = compare(&rows);
    let underrated = underrated(&rows, catalogue, &mut figures);
    Ok(Energy { rows, comparisons, left_out, underrated, figures })
}

/// Where the vendor's highest draw lies above the planned one, the work per joule may be less than it says here.
fn underrated(rows: &[Efficiency], catalogue: &Catalogue, figures: &mut Figures) -> Vec<String> {
    let planned = rows.iter().filter(|row| !row.is_measured).map(|row| row.hardware.as_str());
    let machines: BTreeSet<&str> = planned.collect();
    let mut sentences = Vec::new();
    for machine in machines.into_iter().filter_map(|id| catalogue.hardware(id).ok()) {
        let Some(power) = catalogue.idle_power(&machine.id) else { continue };
        let Some(most) = power.max_watts.filter(|most| *most > machine.train_watts_high) else { continue };
        figures.cite_row(power, format!("up to {most} W"));
        sentences.push(format!(
            "{} is planned with {} W ({} to {}); {} says up to {most} W for {}.",
            machine.name,
            machine.train_watts,
            machine.train_watts_low,
            machine.train_watts_high,
            power.source,
            power.configuration
        ));
    }
    sentences
}

fn chosen<'a>(question: &'a Question, catalogue: &'a Catalogue) -> Result<Vec<&'a Benchmark>, QuestionError> {
    let all = || question.own.iter().chain(&catalogue.benchmarks);
    for id in &question.hardware {
        if !all().any(|row| row.hardware.eq_ignore_ascii_case(id)) {
            let names: BTreeSet<String> = all().map(|row| row.hardware.clone()).collect();
            return Err(unknown("benchmark of the hardware", id, names.into_iter()).into());
        }
    }
    let words = question.workload.as_deref().unwrap_or_default().to_lowercase();
    if !all().any(|row| row.workload.to_lowercase().contains(&words)) {
        let names: BTreeSet<String> = all().map(|row| row.workload.clone()).collect();
        return Err(unknown("benchmark of the workload", &words, names.into_iter()).into());
    }
    let is_asked = |row: &&Benchmark| {
        let is_machine = question.hardware.iter().any(|id| row.hardware.eq_ignore_ascii_case(id));
        (question.hardware.is_empty() || is_machine) && row.workload.to_lowercase().contains(&words)
    };
    Ok(all().filter(is_asked).collect())
}

/// The efficiency, or why there is none: the draw is not known, or a result does not fit.
fn efficiency(
    benchmark: &Benchmark,
    hardware: Option<&Hardware>,
    costs: &Costs,
) -> Result<Result<Efficiency, &'static str>, QuestionError> {
    let planned = hardware.map(|row| row.train_watts);
    let Some(watts) = benchmark.watts.or(planned) else {
        return Ok(Err("nobody says what it draws"));
    };
    WATTS.check_in(watts, format!("the power of {}", benchmark.hardware))?;
    Ok(reckon(benchmark, hardware, watts, costs)
        .ok_or("its figures are too large or too small to reckon with"))
}

fn reckon(
    benchmark: &Benchmark,
    hardware: Option<&Hardware>,
    watts: Decimal,
    costs: &Costs,
) -> Option<Efficiency> {
    let per_second = benchmark.amount.checked_div(benchmark.seconds)?;
    let per_joule = per_second.checked_div(watts)?;
    let range = hardware.filter(|_| benchmark.watts.is_none());
    let per_joule_range = match range {
        Some(row) => Some((
            per_second.checked_div(row.train_watts_high)?,
            per_second.checked_div(row.train_watts_low)?,
        )),
        None => None,
    };
    let per_hour = per_second.checked_mul(SECONDS_PER_HOUR)?;
    let power = electricity_usd_per_hour(watts, costs.usd_per_kwh);
    let per_sat = |usd_per_hour: Usd| {
        let sats = usd_per_hour.ratio(costs.usd_per_sat)?;
        per_hour.checked_div(sats)
    };
    let wear = hardware.and_then(|row| {
        amortized_usd_per_hour(row.price_usd, Usd::ZERO, costs.life_years, costs.utilization)
    });
    Some(Efficiency {
        hardware: benchmark.hardware.clone(),
        kind: benchmark.kind.clone(),
        workload: benchmark.workload.clone(),
        unit: benchmark.unit.clone(),
        per_second,
        watts,
        is_measured: benchmark.watts.is_some(),
        per_joule,
        per_joule_range,
        per_sat_of_power: per_sat(power),
        per_sat_owned: wear.and_then(|wear| per_sat(power + wear)),
        origin: format!("{}, {}", benchmark.source, benchmark.as_of),
    })
}

fn cite_hardware(row: &Efficiency, hardware: Option<&Hardware>, figures: &mut Figures) {
    if let Some(machine) = hardware {
        let price = format!("{} usd", machine.price_usd.0.normalize());
        let value = if row.is_measured { price } else { format!("{} W, {price}", machine.train_watts) };
        figures.cite_row(machine, value);
    }
}

/// The rows come with the most work per joule first in each workload.
fn compare(rows: &[Efficiency]) -> Vec<Comparison> {
    let mut best: BTreeMap<(&str, &str), &Efficiency> = BTreeMap::new();
    for row in rows {
        best.entry((&row.workload, &row.kind)).or_insert(row);
    }
    let workloads: BTreeSet<&str> = rows.iter().map(|row| row.workload.as_str()).collect();
    let comparison = |workload: &str| {
        let (apple, nvidia) = (best.get(&(workload, "apple"))?, best.get(&(workload, "nvidia"))?);
        Some(Comparison {
            workload: workload.to_owned(),
            apple: apple.hardware.clone(),
            nvidia: nvidia.hardware.clone(),
            per_joule_ratio: apple.per_joule.checked_div(nvidia.per_joule)?,
            speed_ratio: apple.per_second.checked_div(nvidia.per_second)?,
            is_measured: apple.is_measured && nvidia.is_measured,
        })
    };
    workloads.into_iter().filter_map(comparison).collect()
}

fn draw(is_measured: bool) -> Cell {
    Cell::text(if is_measured { "measured" } else { "planned" })
}

impl Answer for Energy {
    fn title(&self) -> String {
        "Work per joule and per satoshi".to_owned()
    }

    fn tables(&self) -> Vec<Table> {
        let mut work = Table::new(
            "efficiency",
            self.title(),
            &[
                ("workload", "workload"),
                ("hardware", "machine"),
                ("unit", "unit"),
                ("per_second", "per s"),
                ("watts", "W"),
                ("is_measured", "draw"),
                ("per_joule", "per joule"),
                ("per_joule_low", "at high W"),
                ("per_joule_high", "at low W"),
                ("per_sat_of_power", "per sat of power"),
                ("per_sat_owned", "per sat, owned"),
                ("origin", "by"),
            ],
        );
        for row in &self.rows {
            let number =
                |number: Option<Decimal>, digits| number.map_or(Cell::Missing, |n| Cell::Number(n, digits));
            work.row([
                Cell::text(&row.workload),
                Cell::text(&row.hardware),
                Cell::text(&row.unit),
                Cell::Number(row.per_second, 2),
                Cell::Number(row.watts, 1),
                draw(row.is_measured),
                Cell::Number(row.per_joule, 3),
                number(row.per_joule_range.map(|range| range.0), 3),
                number(row.per_joule_range.map(|range| range.1), 3),
                number(row.per_sat_of_power, 0),
                number(row.per_sat_owned, 0),
                Cell::text(&row.origin),
            ]);
        }
        let mut against = Table::new(
            "apple-nvidia",
            "Apple against NVIDIA",
            &[
                ("workload", "workload"),
                ("apple", "Apple"),
                ("nvidia", "NVIDIA"),
                ("per_joule_ratio", "work per joule, Apple ÷ NVIDIA"),
                ("speed_ratio", "speed, Apple ÷ NVIDIA"),
                ("is_measured", "draw"),
            ],
        );
        for row in &self.comparisons {
            let texts = [&row.workload, &row.apple, &row.nvidia].map(Cell::text);
            let ratios = [row.per_joule_ratio, row.speed_ratio].map(|ratio| Cell::Number(ratio, 2));
            against.row(texts.into_iter().chain(ratios).chain([draw(row.is_measured)]));
        }
        vec![work, against]
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "Work per joule is the rate divided by the draw; a satoshi of power buys its share of a kilowatt-hour."
                .to_owned(),
            "`owned` adds the purchase price over the assumed life and utilization.".to_owned(),
        ];
        if self.rows.iter().any(|row| !row.is_measured) {
            notes.push(
                "Where the draw is `planned` it is the machine's figure for training, not measured with the rate; a \
                 ratio on planned draws is a guess, one on measured draws is not."
                    .to_owned(),
            );
        }
        if self.rows.iter().any(|row| row.is_measured) {
            notes.push("A `measured` draw is the peak at the wall while the benchmark ran.".to_owned());
        }
        notes.push(
            "Only the same workload compares; a machine that serves many at once does more per joule."
                .to_owned(),
        );
        notes.extend(self.underrated.iter().cloned());
        notes.extend(self.left_out.iter().map(|reason| format!("Left out: {reason}.")));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn catalogue() -> Catalogue {
        Catalogue::embedded().unwrap()
    }

    fn own(amount: Decimal, seconds: Decimal, watts: Option<Decimal>) -> Benchmark {
        Benchmark {
            hardware: "my laptop".into(),
            kind: "x86".into(),
            workload: "wasm".into(),
            amount,
            unit: "giga-fuel".into(),
            seconds,
            watts,
            as_of: "2026-11-20".parse().unwrap(),
            source: "you".into(),
        }
    }

    #[test]
    fn a_joule_is_a_watt_for_a_second_and_a_satoshi_buys_its_share_of_a_kilowatt_hour() {
        let question = Question {
            workload: Some("wasm".into()),
            own: vec![own(dec!(20), dec!(10), Some(dec!(40)))],
            tariff: Tariff::UsdPerKwh(Usd(dec!(0.14))),
            ..Question::default()
        };
        let answer = ask(&question, &catalogue()).unwrap();
        let row = &answer.rows[0];
        assert_eq!((row.per_second, row.per_joule), (dec!(2), dec!(0.05)));
        // A satoshi is 0.0007 dollars, 0.005 kWh at 0.14, 18,000 joules.
        assert_eq!(row.per_sat_of_power, Some(dec!(900)));
        assert_eq!(row.per_sat_owned, None, "its price is not known");
    }

    #[test]
    fn a_measured_draw_goes_before_a_planned_one() {
        let question = Question { hardware: vec!["rtx4090-system".into()], ..Question::default() };
        let answer = ask(&question, &catalogue()).unwrap();
        let row = |words: &str| answer.rows.iter().find(|row| row.workload.starts_with(words)).unwrap();
        assert_eq!((row("Llama 3.2 3B").watts, row("Llama 3.2 3B").is_measured), (dec!(261.9), true));
        assert_eq!((row("Llama 2 7B").watts, row("Llama 2 7B").is_measured), (dec!(450), false));
    }

    #[test]
    fn the_best_of_both_makers_stand_side_by_side_at_the_same_work() {
        let answer = ask(&Question::default(), &catalogue()).unwrap();
        let line = |row: &Comparison| {
            let ratios = [row.per_joule_ratio, row.speed_ratio].map(|ratio| ratio.round_dp(2));
            let draw = if row.is_measured { "measured" } else { "planned" };
            format!(
                "{}: {} / {}: {} per joule, {} as fast, {draw}",
                row.workload, row.apple, row.nvidia, ratios[0], ratios[1]
            )
        };
        let lines: Vec<String> = answer.comparisons.iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
Blender Open Data median: macbook-pro-m4-max / rtx4090-system: 4.79 per joule, 0.48 as fast, planned
DeepSeek R1 14B generation: Mac Studio (M3 Ultra 512GB) / rtx4090-system: 1.15 per joule, 0.56 as fast, measured
Llama 2 7B Q4_0 generation: macbook-pro-m4-max / rtx3090-system: 4.32 per joule, 0.53 as fast, planned
Llama 2 7B Q4_0 prompt: macbook-pro-m4-max / rtx4090-system: 0.60 per joule, 0.06 as fast, planned
Llama 3 8B Q4_K_M generation: mac-studio-m2-ultra / rtx3080-system: 2.56 per joule, 0.72 as fast, planned
Llama 3.2 3B generation: Mac mini (M4 32GB) / rtx4090-system: 1.07 per joule, 0.12 as fast, measured
gpt-oss 20B generation: Mac Studio (M3 Ultra 512GB) / rtx4090-system: 0.92 per joule, 0.41 as fast, measured
");
    }

    #[test]
    fn a_vendor_who_states_a_higher_draw_than_planned_is_named() {
        let answer = ask(&Question::default(), &catalogue()).unwrap();
        insta::assert_snapshot!(answer.underrated.join("\n"), @r"
Mac Mini M4 Pro is planned with 40 W (30 to 50); Apple Support 103253 (applech2.com) says up to 140 W for 64 GB 8 TB.
Mac Studio M2 Ultra is planned with 90 W (60 to 120); Apple Support 102027 says up to 295 W for 76-core GPU 192 GB 8 TB.
");
    }

    #[test]
    fn a_machine_without_a_benchmark_is_answered_with_the_nearest() {
        let question = Question { hardware: vec!["rtx4090-sytem".into()], ..Question::default() };
        let error = ask(&question, &catalogue()).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"the catalogue has no benchmark of the hardware `rtx4090-sytem`; did you mean `rtx4090-system`?");
    }

    #[test]
    fn a_benchmark_whose_draw_nobody_knows_is_named() {
        let question = Question { own: vec![own(dec!(2), dec!(1), None)], ..Question::default() };
        let answer = ask(&question, &catalogue()).unwrap();
        assert_eq!(answer.left_out, ["my laptop, wasm: nobody says what it draws"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn work_per_satoshi_falls_as_power_gets_dearer(cents in 1u32..1000, more in 1u32..1000) {
            let at = |cents: u32| {
                let tariff = Tariff::UsdPerKwh(Usd(Decimal::new(cents.into(), 2)));
                ask(&Question { tariff, ..Question::default() }, &catalogue()).unwrap().rows
            };
            for (cheap, dear) in at(cents).iter().zip(&at(cents + more)) {
                prop_assert!(cheap.per_sat_of_power > dear.per_sat_of_power);
                prop_assert_eq!(cheap.per_joule, dear.per_joule);
            }
        }

        #[test]
        fn no_benchmark_makes_it_panic(amount in any::<i64>(), seconds in any::<i64>(), scale in 0u32..28, watts in any::<Option<i32>>()) {
            let row = own(Decimal::new(amount, scale), Decimal::new(seconds, 28 - scale), watts.map(Decimal::from));
            let _ = ask(&Question { own: vec![row], ..Question::default() }, &catalogue());
        }
    }
}
