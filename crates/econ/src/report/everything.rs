//! The report of all questions: what is asked, and which charts are drawn of the answers.

use super::{
    ChartError, Section,
    charts::{Axis, Bar, Bars, Chart, Drawing, Fan, Form, Lines, Range, Ranges, Series},
};
use crate::{
    answer::Answer,
    breakeven::{self, BreakEven},
    catalogue::Catalogue,
    compare::{self, Comparison, Terms},
    energy::{self, Energy},
    mechanism::scenario::{self, Metric, Scenario},
    miner::{self, Mined},
    money::{Usd, float},
    network::{self, Activity},
    own_machine::{self, OwnMachine},
    question::QuestionError,
    rates::{self, Rates, Tier},
    rent_or_mine::{self, RentOrMine},
    simulate::{self, Simulation},
    swarm::{self, Swarm},
};
use jiff::civil::Date;
use rust_decimal::{Decimal, dec};
use std::collections::BTreeMap;

/// What goes into the report.
#[derive(Debug, Clone)]
pub struct Contents {
    /// What machines must bring.
    pub break_even: breakeven::Question,
    /// What networks must pay.
    pub rates: rates::Question,
    /// Work to be priced everywhere; none, one or more.
    pub compare: Vec<compare::Question>,
    /// The same card mining or rented.
    pub rent_or_mine: rent_or_mine::Question,
    /// A token network's miner.
    pub miner: miner::Question,
    /// What a training coordinator pays, if that is asked.
    pub swarm: Option<swarm::Question>,
    /// Work for a joule and for a satoshi.
    pub energy: energy::Question,
    /// A provider's next months.
    pub simulate: simulate::Question,
    /// The mechanisms on a scenario, if there is one.
    pub scenario: Option<Scenario>,
    /// What networks did; may be empty.
    pub networks: Vec<Activity>,
    /// This machine, if its draw is known.
    pub own_machine: Option<own_machine::Question>,
}

impl Default for Contents {
    /// Every question that needs nothing from outside, as it stands by default.
    fn default() -> Contents {
        Contents {
            break_even: breakeven::Question::default(),
            rates: rates::Question::default(),
            compare: vec![
                compare::Question::new("A100", 8, dec!(100)),
                compare::Question::new("RTX-4090", 1, dec!(100)),
            ],
            rent_or_mine: rent_or_mine::Question::default(),
            miner: miner::Question::default(),
            swarm: Some(swarm::Question::new(100, dec!(200))),
            energy: energy::Question::default(),
            simulate: simulate::Question::default(),
            scenario: None,
            networks: Vec::new(),
            own_machine: None,
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// One of its questions has no answer.
    #[error("{section}: {source}")]
    Question {
        /// Which part of the report.
        section: &'static str,
        /// Why not.
        source: QuestionError,
    },
    /// A chart could not be drawn.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// The page with all that, as it was on that day.
pub fn all(contents: &Contents, catalogue: &Catalogue, today: Date) -> Result<String, ReportError> {
    Ok(super::page(&sections(contents, catalogue)?, today)?)
}

/// The parts of the page.
pub fn sections(contents: &Contents, catalogue: &Catalogue) -> Result<Vec<Section>, ReportError> {
    let mut sections = Vec::new();
    let refused = |section| move |source| ReportError::Question { section, source };

    let name = "Break-even";
    let break_even = breakeven::ask(&contents.break_even, catalogue).map_err(refused(name))?;
    sections.push(Section::of(name, &break_even).with_chart(hour_by_machine(&break_even)));

    let name = "Rates";
    let rates = rates::ask(&contents.rates, catalogue).map_err(refused(name))?;
    sections.push(Section::of(name, &rates).with_chart(asked_and_paid(&rates)));

    for (question, name) in
        contents.compare.iter().zip(["Prices", "More prices", "Further prices", "Other prices"])
    {
        let comparison = compare::ask(question, catalogue).map_err(refused(name))?;
        sections.push(Section::of(name, &comparison).with_chart(price_ranges(&comparison)));
    }

    let name = "Rent or mine";
    let rent_or_mine = rent_or_mine::ask(&contents.rent_or_mine, catalogue).map_err(refused(name))?;
    let section = Section::of(name, &rent_or_mine);
    sections.push(net_by_tariff(&rent_or_mine).into_iter().fold(section, Section::with_chart));

    let name = "Energy";
    let energy = energy::ask(&contents.energy, catalogue).map_err(refused(name))?;
    sections.push(Section::of(name, &energy).with_chart(apple_against_nvidia(&energy)));

    let name = "Next months";
    let simulation = simulate::ask(&contents.simulate, catalogue).map_err(refused(name))?;
    sections.push(Section::of(name, &simulation).with_chart(fan(&simulation)));

    let name = "Token miner";
    let mined = miner::ask(&contents.miner, catalogue).map_err(refused(name))?;
    sections.push(Section::of(name, &mined).with_chart(pay_by_token_price(&mined)));

    if let Some(question) = &contents.swarm {
        let name = "Swarm";
        let swarm = swarm::ask(question, catalogue).map_err(refused(name))?;
        sections.push(Section::of(name, &swarm).with_chart(work_that_pays(&swarm)));
    }
    if let Some(scenario) = &contents.scenario {
        let comparison = scenario.run();
        let section = Section::of("Mechanisms", &comparison);
        sections.push(mechanism_charts(&comparison).into_iter().fold(section, Section::with_chart));
    }
    if !contents.networks.is_empty() {
        let networks = network::ask(contents.networks.clone(), catalogue);
        let section = Section::of("Networks", &networks);
        sections.push(paid_by_whom(&contents.networks).into_iter().fold(section, Section::with_chart));
    }
    if let Some(question) = &contents.own_machine {
        let name = "This machine";
        let machine: OwnMachine = own_machine::ask(question, catalogue).map_err(refused(name))?;
        sections.push(Section::of(name, &machine).with_chart(where_it_went(&machine)));
    }
    Ok(sections)
}

fn hour_by_machine(answer: &BreakEven) -> Chart {
    let dollars = |usd: Usd| float(usd.0);
    let bars = answer.machines.iter().map(|machine| Bar {
        label: machine.name.clone(),
        values: vec![dollars(machine.owned.usd_per_hour), machine.wear.map_or(0.0, dollars)],
    });
    Chart {
        title: "What an hour that earns must bring".into(),
        description: format!(
            "Bars by machine: electricity at {} $/kWh, and the price of the machine spread over the hours that earn.",
            answer.usd_per_kwh.0.normalize()
        ),
        drawing: Drawing::Bars(Bars {
            axis: Axis::new("$ an hour", Form::Dollars),
            parts: vec!["electricity".into(), "price of the machine".into()],
            bars: bars.collect(),
        }),
    }
}

/// What an hour must bring, and what markets leave of a paid one, machine by machine.
fn asked_and_paid(answer: &Rates) -> Chart {
    const TIERS: [Tier; 3] = [Tier::Minimum, Tier::Competitive, Tier::WorthMyTime];
    let mut ranges: Vec<Range> = Vec::new();
    for (place, rate) in answer.tiers.iter().enumerate() {
        let asked = [rate.busiest, rate.pay, rate.idlest].into_iter().flatten();
        let prices: Vec<Usd> = asked.map(|hourly| hourly.usd_per_hour).collect();
        let kind = TIERS.iter().position(|tier| *tier == rate.tier).unwrap_or_default();
        let short = rate.tier.name().split(" (").next().unwrap_or_default();
        ranges.extend(range(format!("{}: {short}", rate.hardware), kind, &prices));
        let is_last = answer.tiers.get(place + 1).is_none_or(|next| next.hardware != rate.hardware);
        if is_last {
            ranges.extend(paid_by_markets(answer, &rate.hardware, TIERS.len()));
        }
    }
    let mut kinds: Vec<String> = TIERS.map(|tier| tier.name().to_owned()).to_vec();
    kinds.extend(
        ["what a market leaves to a host", "what buyers pay, the fee is not known"].map(str::to_owned),
    );
    Chart {
        title: "What an hour that is paid must bring, and what markets pay for it".into(),
        description: "Ranges of dollars for a paid hour by machine: what its tiers ask, from busy to idle machines, and \
                      what hosts get from each market, from its lowest price to its highest."
            .into(),
        drawing: Drawing::Ranges(Ranges {
            axis: Axis::new("$ a paid hour", Form::Dollars),
            kinds,
            ranges,
        }),
    }
}

/// A range for each market that rents out the machine: of the first kind where its fee is known, else of the next.
fn paid_by_markets(answer: &Rates, hardware: &str, first_kind: usize) -> Vec<Range> {
    let mut paid: BTreeMap<(String, usize), Vec<Usd>> = BTreeMap::new();
    for income in answer.markets.iter().filter(|income| income.hardware == hardware) {
        let kind = first_kind + usize::from(income.fee_rate.is_none());
        let left = Decimal::ONE - income.fee_rate.unwrap_or_default();
        let label = format!("{hardware} at {}", income.market);
        paid.entry((label, kind)).or_default().push(income.gross_usd_per_hour * left);
    }
    paid.into_iter().filter_map(|((label, kind), prices)| range(label, kind, &prices)).collect()
}

/// From the lowest price to the highest; nothing where there is none.
fn range(label: String, kind: usize, prices: &[Usd]) -> Option<Range> {
    let (low, high) = (prices.iter().min()?, prices.iter().max()?);
    Some(Range { label, kind, low: float(low.0), middle: None, high: float(high.0) })
}

fn price_ranges(answer: &Comparison) -> Chart {
    let kinds = [Terms::OnDemand, Terms::Reserved, Terms::Spot, Terms::Network, Terms::Live];
    let used: Vec<Terms> =
        kinds.into_iter().filter(|kind| answer.offers.iter().any(|offer| offer.terms == *kind)).collect();
    let mut ranges: Vec<Range> = answer
        .offers
        .iter()
        .map(|offer| {
            let (low, high) = offer.gpu_usd_per_hour;
            Range {
                label: format!("{}, {} ({})", offer.provider, offer.gpu, offer.source),
                kind: used.iter().position(|kind| *kind == offer.terms).unwrap_or_default(),
                low: float(low.0),
                middle: None,
                high: float(high.0),
            }
        })
        .collect();
    ranges.sort_by(|a, b| a.low.total_cmp(&b.low).then(a.high.total_cmp(&b.high)));
    Chart {
        title: format!("What one {} costs, by whom and who says so", answer.gpu),
        description: "Ranges of dollars an hour by provider, the cheapest first, with the source of each."
            .into(),
        drawing: Drawing::Ranges(Ranges {
            axis: Axis::new("$ an hour for one", Form::Dollars),
            kinds: used.iter().map(|kind| kind.name().to_owned()).collect(),
            ranges,
        }),
    }
}

/// Tariffs to look at: from free power to what the dearest households pay.
const TARIFFS_USD: [f64; 2] = [0.0, 0.4];

/// A chart for each kind of hardware: a Bitcoin miner draws six times as much as a card.
fn net_by_tariff(answer: &RentOrMine) -> Vec<Chart> {
    let mut hardware: Vec<&str> = Vec::new();
    for path in &answer.paths {
        if !hardware.contains(&path.hardware.as_str()) {
            hardware.push(&path.hardware);
        }
    }
    hardware.into_iter().map(|hardware| net_of_hardware(answer, hardware)).collect()
}

fn net_of_hardware(answer: &RentOrMine, hardware: &str) -> Chart {
    let series = answer.paths.iter().filter(|path| path.hardware == hardware).map(|path| {
        let mean_watts = path.watts * path.utilization + path.idle_watts * (Decimal::ONE - path.utilization);
        let kwh_per_day = float(mean_watts) * 24.0 / 1000.0;
        let gross = float(path.gross_usd_per_day.0);
        Series {
            name: path.name.clone(),
            points: TARIFFS_USD.map(|tariff| (tariff, gross - kwh_per_day * tariff)).to_vec(),
        }
    });
    Chart {
        title: format!("What is left of a day by the price of power: {hardware}"),
        description: "Falling lines, one for each way to use the hardware; each crosses zero at the tariff where it stops \
                      to pay."
            .into(),
        drawing: Drawing::Lines(Lines {
            x: Axis::new("price of power, $ a kWh", Form::Dollars),
            y: Axis::new("net, $ a day", Form::Dollars),
            series: series.collect(),
        }),
    }
}

/// Workloads differ in their units, so that only the ratio of two machines can stand on one axis.
fn apple_against_nvidia(answer: &Energy) -> Chart {
    let bars = answer.comparisons.iter().map(|row| {
        let ratio = float(row.per_joule_ratio);
        Bar {
            label: row.workload.clone(),
            values: if row.is_measured { vec![ratio, 0.0] } else { vec![0.0, ratio] },
        }
    });
    Chart {
        title: "Work per joule, Apple ÷ NVIDIA".into(),
        description: "Bars by workload: how many times the work of the best NVIDIA machine the best Apple machine does for \
                      a joule. At 1 they are even. A color tells whether the draw of both was measured."
            .into(),
        drawing: Drawing::Bars(Bars {
            axis: Axis::new("work per joule, Apple ÷ NVIDIA", Form::Number),
            parts: vec!["draw of both measured".into(), "draw planned".into()],
            bars: bars.collect(),
        }),
    }
}

fn fan(answer: &Simulation) -> Chart {
    let points = answer
        .outcome
        .fan
        .iter()
        .zip(0u32..)
        .map(|(at, month)| (f64::from(month), [at.p5, at.p25, at.p50, at.p75, at.p95]));
    Chart {
        title: "Net since the start, after the machine's loss of value".into(),
        description: format!(
            "A fan over {} months. Below zero lies a loss; {:.1} % of the paths end there.",
            answer.model.months,
            answer.outcome.loss_probability * 100.0
        ),
        drawing: Drawing::Fan(Fan {
            x: Axis::new("month", Form::Number),
            y: Axis::new("net, $", Form::Dollars),
            names: ["90 % of the paths".into(), "half of the paths".into(), "median".into()],
            points: points.collect(),
        }),
    }
}

fn pay_by_token_price(answer: &Mined) -> Chart {
    let token_usd = |place: usize| answer.falling.get(place).map_or(0.0, |fall| float(fall.token_usd));
    let ends = [token_usd(0), token_usd(answer.falling.len().saturating_sub(1))];
    let pay = |name: &str, of: fn(&miner::Fall) -> Usd| Series {
        name: name.to_owned(),
        points: answer.falling.iter().map(|fall| (float(fall.token_usd), float(of(fall).0))).collect(),
    };
    let mut series = vec![
        pay("a slot, on average", |fall| fall.average_usd),
        pay("the median slot", |fall| fall.median_usd),
    ];
    // Costs far above what a slot brings would press the lines of pay to the ground.
    let highest = answer.falling.iter().map(|fall| fall.average_usd).max().unwrap_or_default();
    let near = answer.costs.iter().filter(|cost| cost.usd_per_day <= highest * Decimal::TWO);
    series.extend(near.map(|cost| Series {
        name: format!("cost: {}, {} a day", cost.machine, cost.usd_per_day),
        points: ends.map(|usd| (usd, float(cost.usd_per_day.0))).to_vec(),
    }));
    for series in &mut series {
        series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Chart {
        title: "What a slot brings as the token falls".into(),
        description:
            "Rising lines of pay by the price of the token, and level lines of what a machine costs.".into(),
        drawing: Drawing::Lines(Lines {
            x: Axis::new("price of the token, $", Form::Dollars),
            y: Axis::new("$ a day", Form::Dollars),
            series,
        }),
    }
}

/// How much of an accelerator's work a peer has to do, so that the swarm is the cheaper.
fn work_that_pays(answer: &Swarm) -> Chart {
    let mut ranges: Vec<Range> = Vec::new();
    for rival in &answer.rivals {
        let label = format!("{} at {} ({})", rival.gpu, rival.provider, rival.terms);
        if let Some((at_low, at_high)) = rival.needed {
            let (low, high) = (float(at_low.min(at_high)), float(at_low.max(at_high)));
            ranges.push(Range { label: label.clone(), kind: 0, low, middle: None, high });
        }
        if let Some(done) = rival.done.map(float) {
            ranges.push(Range { label, kind: 1, low: done, middle: None, high: done });
        }
    }
    let kinds = ["a peer has to do this much", "a peer does this much, by what was given"];
    let used = 1 + usize::from(ranges.iter().any(|range| range.kind == 1));
    Chart {
        title: "How much of an accelerator's work a peer has to do for its pay".into(),
        description: "Ranges by accelerator and where it is rented: the share of its work at which the swarm costs the same, \
                      from its highest price to its lowest. A peer that does more makes the swarm the cheaper."
            .into(),
        drawing: Drawing::Ranges(Ranges {
            axis: Axis::new("share of the accelerator's work", Form::Percent),
            kinds: kinds.into_iter().take(used).map(str::to_owned).collect(),
            ranges,
        }),
    }
}

/// Whose money the revenue of networks is; nothing where nobody paid.
fn paid_by_whom(networks: &[Activity]) -> Option<Chart> {
    let paying = networks.iter().filter(|network| !network.payments.is_empty());
    let bars: Vec<Bar> = paying
        .map(|network| {
            let mut parts = [Usd::ZERO; 3];
            for payment in &network.payments {
                match payment.own_account_usd {
                    Some(own) => {
                        parts[0] = parts[0] + payment.usd - own;
                        parts[1] = parts[1] + own;
                    }
                    None => parts[2] = parts[2] + payment.usd,
                }
            }
            Bar { label: network.network.clone(), values: parts.map(|usd| float(usd.0)).to_vec() }
        })
        .collect();
    let parts = ["by buyers from outside", "on the network's own account", "nobody says by whom"];
    (!bars.is_empty()).then(|| Chart {
        title: "What was paid, and by whom".into(),
        description: "Bars by network: revenue from buyers outside, what the operator and providers paid themselves, and what \
                      nobody tells apart."
            .into(),
        drawing: Drawing::Bars(Bars {
            axis: Axis::new("paid, $", Form::Dollars),
            parts: parts.map(str::to_owned).to_vec(),
            bars,
        }),
    })
}

/// What electricity took of the earnings, and what was kept; or what the earnings did not cover.
fn where_it_went(answer: &OwnMachine) -> Chart {
    let covered = answer.power_usd.min(answer.earned_usd);
    let parts = [
        (covered, "electricity"),
        (answer.net_usd, "kept"),
        (-answer.net_usd, "electricity, not earned back"),
    ];
    Chart {
        title: "Where the earnings went".into(),
        description: format!(
            "One bar: of {} that were earned, electricity took {}, and {} were left.",
            answer.earned_usd, answer.power_usd, answer.net_usd
        ),
        drawing: Drawing::Bars(Bars {
            axis: Axis::new(
                format!("$ in {} hours of work", answer.working_hours.normalize()),
                Form::Dollars,
            ),
            parts: parts.iter().map(|(_, name)| (*name).to_owned()).collect(),
            bars: vec![Bar {
                label: "this machine".into(),
                values: parts.iter().map(|(usd, _)| float(usd.max(&Usd::ZERO).0)).collect(),
            }],
        }),
    }
}

fn mechanism_charts(answer: &scenario::Comparison) -> Vec<Chart> {
    let chart = |metric: Metric, form| {
        let series = answer.series(metric).into_iter().map(|series| Series {
            name: series.name.to_owned(),
            points: series.points.into_iter().map(|(month, value)| (f64::from(month), value)).collect(),
        });
        let (title, unit) = metric.heading().split_once(", ").unwrap_or((metric.heading(), ""));
        Chart {
            title: with_capital(title),
            description: format!("A line for each mechanism over {}: {}.", answer.title(), metric.heading()),
            drawing: Drawing::Lines(Lines {
                x: Axis::new("month", Form::Number),
                y: Axis::new(unit, form),
                series: series.collect(),
            }),
        }
    };
    vec![
        chart(Metric::IncomePerGpuHour, Form::Dollars),
        chart(Metric::ActiveGpus, Form::Number),
        chart(Metric::RevenuePerEmitted, Form::Number),
        chart(Metric::PaidForNothing, Form::Percent),
    ]
}

fn with_capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{answer::Provenance, own_machine::Reading};
    use market::units::Msat;

    #[test]
    fn every_question_has_its_place_and_the_promised_charts_are_drawn() {
        let scenario = include_str!("../../../../examples/econ/scenario.toml");
        let provenance = Provenance { as_of: "2026-03".parse().unwrap(), source: "test".into() };
        let payment = network::Payment { buyer: "b".into(), usd: Usd(dec!(3)), own_account_usd: None };
        let activity = Activity { payments: vec![payment], ..Activity::new("Other", provenance) };
        let own_machine = own_machine::Question {
            readings: vec![Reading::given(dec!(20))],
            other_watts: Decimal::ZERO,
            idle_watts: Decimal::ZERO,
            working_hours: dec!(10),
            waiting_hours: Decimal::ZERO,
            earned: Msat(1_000_000),
            tariff: crate::question::Tariff::default(),
            bitcoin: None,
        };
        let contents = Contents {
            scenario: Some(Scenario::parse(scenario).unwrap()),
            networks: vec![activity],
            own_machine: Some(own_machine),
            ..Contents::default()
        };
        let catalogue = Catalogue::embedded().unwrap();
        let sections = sections(&contents, &catalogue).unwrap();
        let shape: Vec<String> = sections
            .iter()
            .map(|section| {
                format!("{}: {} charts, {} tables", section.name, section.charts.len(), section.tables.len())
            })
            .collect();
        insta::assert_snapshot!(shape.join("\n"), @r"
        Break-even: 1 charts, 3 tables
        Rates: 1 charts, 2 tables
        Prices: 1 charts, 3 tables
        More prices: 1 charts, 3 tables
        Rent or mine: 2 charts, 3 tables
        Energy: 1 charts, 2 tables
        Next months: 1 charts, 3 tables
        Token miner: 1 charts, 4 tables
        Swarm: 1 charts, 3 tables
        Mechanisms: 4 charts, 2 tables
        Networks: 1 charts, 1 tables
        This machine: 1 charts, 2 tables
        ");
        let page = super::super::page(&sections, jiff::civil::date(2026, 11, 20)).unwrap();
        let charts: usize = sections.iter().map(|section| section.charts.len()).sum();
        assert_eq!(page.matches("<svg class=\"chart ").count(), 2 * charts);
        assert!(!page.contains("NaN") && !page.contains("inf\""));
    }

    #[test]
    fn money_from_outside_is_told_apart_from_a_networks_own() {
        let provenance = Provenance { as_of: "2026-03".parse().unwrap(), source: "test".into() };
        let paid = |usd: i64, own: Option<i64>| network::Payment {
            buyer: "b".into(),
            usd: Usd(usd.into()),
            own_account_usd: own.map(|own| Usd(own.into())),
        };
        let payments = vec![paid(10, Some(4)), paid(5, Some(0)), paid(7, None)];
        let chart = paid_by_whom(&[Activity { payments, ..Activity::new("N", provenance.clone()) }]);
        assert_eq!(paid_by_whom(&[Activity::new("nobody paid", provenance)]), None);
        let Drawing::Bars(bars) = chart.unwrap().drawing else { panic!("no bars") };
        assert_eq!(bars.bars[0].values, [11.0, 4.0, 7.0]);
    }

    #[test]
    fn a_machine_that_loses_money_shows_what_its_earnings_did_not_cover() {
        let values = |sat: u64| {
            let question = own_machine::Question {
                readings: vec![Reading::given(dec!(1000))],
                other_watts: Decimal::ZERO,
                idle_watts: Decimal::ZERO,
                working_hours: dec!(10),
                waiting_hours: Decimal::ZERO,
                earned: Msat(sat * 1_000),
                tariff: crate::question::Tariff::UsdPerKwh(Usd(dec!(0.1))),
                bitcoin: None,
            };
            let answer = own_machine::ask(&question, &Catalogue::embedded().unwrap()).unwrap();
            let Drawing::Bars(bars) = where_it_went(&answer).drawing else { panic!("no bars") };
            bars.bars[0].values.clone()
        };
        // A dollar of electricity; a bitcoin costs 70,000 dollars.
        assert_eq!(values(10_000), [1.0, 6.0, 0.0]);
        assert_eq!(values(1_000), [0.7, 0.0, 0.3]);
    }

    #[test]
    fn a_question_without_an_answer_is_named() {
        let mut contents = Contents::default();
        contents.simulate.months = 0;
        let error =
            all(&contents, &Catalogue::embedded().unwrap(), jiff::civil::date(2026, 11, 20)).unwrap_err();
        assert_eq!(error.to_string(), "Next months: the number of months is 0; it has to be from 1 to 120");
    }
}
