//! The same card mining or rented out, for three kinds of owner. What a day leaves is
//! `gross − watts ÷ 1000 × 24 × utilization × tariff`, by `worked-examples.json`.

mod tables;

use crate::{
    answer::Figures,
    breakeven::Threshold,
    catalogue::{Catalogue, Mining, Rental, Row, is_gpu},
    cost,
    money::{BtcRate, HOURS_PER_DAY, Usd},
    question::{self, QuestionError, Tariff},
};
use rust_decimal::{Decimal, dec};
use serde::Serialize;

/// Blocks of Bitcoin in a day, one each ten minutes.
const BLOCKS_PER_DAY: Decimal = dec!(144);
/// Terahashes of an exahash.
const TH_PER_EH: Decimal = dec!(1_000_000);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// What electricity costs at home.
    pub home_tariff: Tariff,
    /// How many cards the owner of many has, from 10.
    pub cards: u32,
    /// What a card with its machine costs, instead of what the sources say.
    pub build_usd: Option<Usd>,
    /// What the Bitcoin miner costs; the catalogue does not know it.
    pub asic_usd: Option<Usd>,
    /// What a card draws between rentals; the catalogue does not know it.
    pub idle_watts: Option<Decimal>,
    /// What a terahash a second earns in a day, instead of the catalogue's figure.
    pub hashprice_usd: Option<Decimal>,
    /// What a bitcoin costs, to check the hashprice by; instead of the catalogue's assumption.
    pub bitcoin: Option<BtcRate>,
}

impl Default for Question {
    /// A household by the study that measured the rentals, and ten cards.
    fn default() -> Question {
        Question {
            home_tariff: Tariff::Region("US residential (May 2026 study)".to_owned()),
            cards: 10,
            build_usd: None,
            asic_usd: None,
            idle_watts: None,
            hashprice_usd: None,
            bitcoin: None,
        }
    }
}

/// What mining and renting leave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RentOrMine {
    /// What can be done with the hardware.
    pub paths: Vec<Path>,
    /// Who owns it.
    pub owners: Vec<Owner>,
    /// An owner and a path each.
    pub nets: Vec<Net>,
    /// What moving from mining to renting brings the owner of many.
    pub moves: Vec<Move>,
    /// What a terahash a second earns in a day by the block reward and the hash rate, without fees of transactions.
    pub hashprice_by_reward: Option<Usd>,
    /// Whether idle draw is counted.
    pub counts_idle: bool,
    /// What all this stands on.
    pub figures: Figures,
}

/// Something to do with hardware.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Path {
    /// The coin, or the network.
    pub name: String,
    /// Mined or rented out.
    pub kind: Kind,
    /// The hardware, in the source's words.
    pub hardware: String,
    /// Its draw.
    pub watts: Decimal,
    /// Its draw when nobody rents it.
    pub idle_watts: Decimal,
    /// The share of the day that it works, as measured; all of it where it mines.
    pub utilization: Decimal,
    /// What a day brings.
    pub gross_usd_per_day: Usd,
    /// What it costs to buy, low and high by source; absent where nobody says.
    pub price_usd: Option<(Usd, Usd)>,
    /// The tariff at which it turns negative.
    pub breaks_even: Threshold,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Hashes.
    Mined,
    /// Work of others.
    Rented,
}

/// Who owns the hardware.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Owner {
    /// What to call them.
    pub name: String,
    /// How many cards they have.
    pub cards: u32,
    /// What they pay for electricity.
    pub usd_per_kwh: Usd,
    /// What it costs them, once, to move all cards from mining to renting, low and high.
    pub migration_usd: Option<(Usd, Usd)>,
}

/// What a card leaves its owner.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Net {
    /// Whose.
    pub owner: String,
    /// What electricity costs.
    pub usd_per_kwh: Usd,
    /// Doing what.
    pub path: String,
    /// What a day brings.
    pub gross_usd_per_day: Usd,
    /// What its electricity costs.
    pub power_usd_per_day: Usd,
    /// What is left.
    pub net_usd_per_day: Usd,
    /// When it has paid for itself, and its part of the move.
    pub payback: Payback,
}

/// When something has paid for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payback {
    /// After so many days, at the low and at the high price.
    Days(Decimal, Decimal),
    /// Never: it leaves nothing.
    Never,
    /// Nobody states what it costs.
    NoPrice,
}

impl Payback {
    fn new(price: Option<(Usd, Usd)>, usd_per_day: Usd) -> Payback {
        if usd_per_day <= Usd::ZERO {
            return Payback::Never;
        }
        let Some((low, high)) = price else { return Payback::NoPrice };
        match (low.ratio(usd_per_day), high.ratio(usd_per_day)) {
            (Some(low), Some(high)) => Payback::Days(low, high),
            // The quotient does not fit: longer than the world is old.
            _ => Payback::Never,
        }
    }
}

/// What moving the cards of one owner from the best coin to a network brings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Move {
    /// Whose.
    pub owner: String,
    /// What electricity costs.
    pub usd_per_kwh: Usd,
    /// The coin that leaves most, or least is lost with.
    pub from: String,
    /// The network.
    pub to: String,
    /// What a card leaves more, a day.
    pub gain_usd_per_day: Usd,
    /// When the move has paid for itself.
    pub payback: Payback,
}

/// Answers `question` from `catalogue`.
pub fn ask(question: &Question, catalogue: &Catalogue) -> Result<RentOrMine, QuestionError> {
    let mut figures = Figures::default();
    let idle_watts = question::given(question::IDLE_WATTS, question.idle_watts, &mut figures)?;
    let owners = owners(question, catalogue, &mut figures)?;
    let mut paths = Vec::new();
    for row in &catalogue.mining {
        paths.push(mined(row, question, catalogue, &mut figures)?);
    }
    if let Some(path) = by_hashprice(question, catalogue, &mut figures)? {
        paths.push(path);
    }
    for row in &catalogue.rentals {
        let idle_watts = idle_watts.unwrap_or_default();
        paths.push(rented(row, idle_watts, question, catalogue, &mut figures)?);
    }
    let hashprice_by_reward = by_reward(question, catalogue, &mut figures)?;
    let nets = owners.iter().flat_map(|owner| paths.iter().map(|path| net(owner, path))).collect();
    let moves = owners.iter().flat_map(|owner| moves(owner, &paths)).collect();
    let counts_idle = idle_watts.is_some();
    Ok(RentOrMine { paths, owners, nets, moves, hashprice_by_reward, counts_idle, figures })
}

fn owners(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Vec<Owner>, QuestionError> {
    if !(10..=10_000_000).contains(&question.cards) {
        return Err(QuestionError::OutOfRange {
            what: "the number of cards".to_owned(),
            given: question.cards.into(),
            accepted: "from 10 to 10000000: the home owner with one card is shown anyway".to_owned(),
        });
    }
    let (low, high) = question::claimed_range("Migration of ten-plus cards", catalogue, figures)?;
    let check = |usd| question::PRICE.check_in(usd, "the cost of the move");
    let migration_usd = Some((Usd(check(low)?), Usd(check(high)?)));
    let region = |name: &str| Tariff::Region(name.to_owned());
    let many = format!("{} cards", question.cards);
    let kinds = [
        ("home, one card".to_owned(), 1, question.home_tariff.clone(), None),
        (many.clone(), question.cards, region("Small operator low"), migration_usd),
        (many, question.cards, region("Small operator high"), migration_usd),
        ("data center".to_owned(), 1, region("Data center"), None),
    ];
    let owner = |(name, cards, tariff, migration_usd): (String, u32, Tariff, _)| {
        let usd_per_kwh = tariff.resolve(catalogue, figures)?;
        Ok(Owner { name, cards, usd_per_kwh, migration_usd })
    };
    kinds.into_iter().map(owner).collect()
}

fn mined(
    row: &Mining,
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Path, QuestionError> {
    let value = format!("{} usd/day at {} W", row.gross_usd_per_day.0, row.watts);
    figures.cite(row.key(), value, &row.provenance());
    let price_usd = price(&row.hardware, row.coin == "Bitcoin", question, catalogue, figures)?;
    path(&row.coin, Kind::Mined, &row.hardware, row.watts, row.gross_usd_per_day, price_usd)
}

fn rented(
    row: &Rental,
    idle_watts: Decimal,
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Path, QuestionError> {
    let value = format!("{} usd/day at {} W, {} busy", row.gross_usd_per_day.0, row.watts, row.utilization);
    figures.cite(row.key(), value, &row.provenance());
    let utilization =
        question::UTILIZATION.check_in(row.utilization, format!("the utilization of {}", row.key()))?;
    let price_usd = price(&row.hardware, false, question, catalogue, figures)?;
    let path = path(&row.network, Kind::Rented, &row.hardware, row.watts, row.gross_usd_per_day, price_usd)?;
    Ok(Path { utilization, idle_watts, ..path }.with_threshold())
}

fn path(
    name: &str,
    kind: Kind,
    hardware: &str,
    watts: Decimal,
    gross_usd_per_day: Usd,
    price_usd: Option<(Usd, Usd)>,
) -> Result<Path, QuestionError> {
    question::WATTS.check_in(watts, format!("the power of {hardware}"))?;
    question::USD_PER_DAY.check_in(gross_usd_per_day.0, format!("what {name} brings in a day"))?;
    let path = Path {
        name: name.to_owned(),
        kind,
        hardware: hardware.to_owned(),
        watts,
        idle_watts: Decimal::ZERO,
        utilization: Decimal::ONE,
        gross_usd_per_day,
        price_usd,
        breaks_even: Threshold::Never,
    };
    Ok(path.with_threshold())
}

impl Path {
    /// The draw of an hour of the day, idle or not.
    fn average_watts(&self) -> Decimal {
        self.watts * self.utilization + self.idle_watts * (Decimal::ONE - self.utilization)
    }

    fn with_threshold(self) -> Path {
        let gross_usd_per_hour = self.gross_usd_per_day.per(HOURS_PER_DAY).unwrap_or_default();
        Path { breaks_even: Threshold::new(gross_usd_per_hour, self.average_watts()), ..self }
    }
}

/// The Bitcoin miner once more, by the hashprice: what a source lists need not be what it says elsewhere.
fn by_hashprice(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Option<Path>, QuestionError> {
    let rated = catalogue.mining.iter().find_map(|row| Some((row, terahashes(&row.hardware)?)));
    let Some((row, terahashes)) = rated else { return Ok(None) };
    let hashprice = match question.hashprice_usd {
        Some(given) => {
            figures.given("hashprice", format!("{given} usd for a TH/s and day"));
            given
        }
        None => catalogue.network("Bitcoin", "hashprice", figures)?,
    };
    question::USD_PER_DAY.check_in(hashprice, "the hashprice")?;
    question::COUNT.check_in(terahashes, format!("the hash rate of {}", row.hardware))?;
    let price_usd = price(&row.hardware, true, question, catalogue, figures)?;
    let name = format!("{} by hashprice", row.coin);
    path(&name, Kind::Mined, &row.hardware, row.watts, Usd(hashprice * terahashes), price_usd).map(Some)
}

/// The hash rate in a name such as `Antminer S21 Pro (234 TH/s)`.
fn terahashes(hardware: &str) -> Option<Decimal> {
    let (before, _) = hardware.split_once(" TH/s")?;
    before.rsplit(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
}

/// What a terahash a second earns in a day: `reward × 144 × price ÷ hash rate of the network`.
fn by_reward(
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Option<Usd>, QuestionError> {
    let bitcoin = question::bitcoin(question.bitcoin.as_ref(), catalogue, figures)?;
    let reward = catalogue.network("Bitcoin", "block_reward", figures)?;
    question::TOKENS.check_in(reward, "the block reward")?;
    let exahashes = catalogue.network("Bitcoin", "network_hashrate", figures)?;
    let day = Usd(reward * BLOCKS_PER_DAY * bitcoin.usd_per_btc);
    Ok(exahashes.checked_mul(TH_PER_EH).and_then(|terahashes| day.per(terahashes)))
}

/// What hardware costs, low and high: what was given, else what the catalogue and its claims say.
fn price(
    hardware: &str,
    is_asic: bool,
    question: &Question,
    catalogue: &Catalogue,
    figures: &mut Figures,
) -> Result<Option<(Usd, Usd)>, QuestionError> {
    let given = if is_asic { question.asic_usd } else { question.build_usd };
    if let Some(usd) = given {
        question::PRICE.check_usd(usd)?;
        figures.given(format!("price of {hardware}"), format!("{} usd", usd.0));
        return Ok(Some((usd, usd)));
    }
    let model = hardware.split(" (").next().unwrap_or(hardware);
    let mut prices = Vec::new();
    for row in catalogue.hardware.iter().filter(|row| is_gpu(&row.id, model)) {
        figures.cite(format!("{} price", row.id), format!("{} usd", row.price_usd.0), &row.provenance());
        prices.push(row.price_usd);
    }
    // The study that measured the card names its price in the claim about it: `Build of 2000 dollars pays off`.
    for row in catalogue.claims.iter().filter(|_| !is_asic) {
        let Some(claimed) = row.claim.strip_prefix("Build of ") else { continue };
        let Some(usd) = claimed.split(' ').next().and_then(|number| number.parse().ok()) else { continue };
        figures.cite(format!("claim: {}", row.claim), format!("{usd} usd"), &row.provenance());
        prices.push(Usd(usd));
    }
    for usd in &prices {
        question::PRICE.check_in(usd.0, format!("the price of {hardware}"))?;
    }
    Ok(prices.iter().min().copied().zip(prices.iter().max().copied()))
}

fn net(owner: &Owner, path: &Path) -> Net {
    let power = cost::electricity_usd_per_hour(path.average_watts(), owner.usd_per_kwh) * HOURS_PER_DAY;
    let net_usd_per_day = path.gross_usd_per_day - power;
    // Only what is rented out had to be moved; each card carries its part.
    let (low, high) = match path.kind {
        Kind::Rented => owner.migration_usd.unwrap_or_default(),
        Kind::Mined => (Usd::ZERO, Usd::ZERO),
    };
    let each = |usd: Usd| usd.per(owner.cards.into()).unwrap_or_default();
    let price = path.price_usd.map(|price| (price.0 + each(low), price.1 + each(high)));
    Net {
        owner: owner.name.clone(),
        usd_per_kwh: owner.usd_per_kwh,
        path: path.name.clone(),
        gross_usd_per_day: path.gross_usd_per_day,
        power_usd_per_day: power,
        net_usd_per_day,
        payback: Payback::new(price, net_usd_per_day),
    }
}

fn moves(owner: &Owner, paths: &[Path]) -> Vec<Move> {
    let Some((low, high)) = owner.migration_usd else { return Vec::new() };
    let left = |path: &Path| net(owner, path).net_usd_per_day;
    let of_rented = |rented: &Path| {
        let same = paths.iter().filter(|path| path.kind == Kind::Mined && path.hardware == rented.hardware);
        let best = same.max_by_key(|path| left(path))?;
        let gain = left(rented) - left(best);
        let all = gain * owner.cards.into();
        Some(Move {
            owner: owner.name.clone(),
            usd_per_kwh: owner.usd_per_kwh,
            from: best.name.clone(),
            to: rented.name.clone(),
            gain_usd_per_day: gain,
            payback: Payback::new(Some((low, high)), all),
        })
    };
    paths.iter().filter(|path| path.kind == Kind::Rented).filter_map(of_rented).collect()
}

#[cfg(test)]
mod tests;
