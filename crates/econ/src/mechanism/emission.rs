//! Posted emission: a schedule mints, whatever anybody bought.
//!
//! | network | rule | source |
//! |---|---|---|
//! | Bittensor | 1 TAO a block of 12 s, halved each time issuance has come half the way that was left to 21 million | subtensor, `get_block_emission_for_issuance` |
//! | Bitcoin | 50 BTC a block, halved every 210,000 blocks, cut off to whole satoshis | Bitcoin Core, `GetBlockSubsidy` |
//! | io.net | 8 % of 500 million in the first year, hour by hour a little less, to 800 million | io.net, token emission schedule |

/// Rao in a TAO.
pub const RAO: u64 = 1_000_000_000;

/// All TAO that will ever be, in rao.
pub const TAO_SUPPLY_RAO: u64 = 21_000_000 * RAO;

/// Seconds of a Bittensor block.
pub const BITTENSOR_BLOCK_S: u64 = 12;

/// Satoshis in a bitcoin.
pub const SATOSHIS: u64 = 100_000_000;

/// How many halvings there have been when `issuance_rao` is out: `⌊log₂ 1/(1 − issuance/21 M)⌋`.
///
/// Counted in integers: the first halving comes when half of all is out, the next at three quarters, and so on.
/// `None` once all is out.
pub fn halvings(issuance_rao: u64) -> Option<u32> {
    let left = TAO_SUPPLY_RAO.checked_sub(issuance_rao).filter(|left| *left > 0)?;
    Some((TAO_SUPPLY_RAO / left).ilog2())
}

/// What a Bittensor block mints when `issuance_rao` is out, in rao.
pub fn block_emission_rao(issuance_rao: u64) -> u64 {
    halvings(issuance_rao).map_or(0, |halvings| RAO.checked_shr(halvings).unwrap_or(0))
}

/// What `blocks` Bittensor blocks mint from `issuance_rao` on, in rao, halvings on the way included.
pub fn emission_over_blocks_rao(issuance_rao: u64, blocks: u64) -> u64 {
    let (mut issued, mut left) = (issuance_rao, blocks);
    while left > 0 {
        let per_block = block_emission_rao(issued);
        let Some(halvings) = halvings(issued).filter(|_| per_block > 0) else { break };
        // The next halving comes in the first block that finds at least this much out.
        let threshold = TAO_SUPPLY_RAO - (TAO_SUPPLY_RAO >> (halvings + 1));
        let until = (threshold.saturating_sub(issued)).div_ceil(per_block).clamp(1, left);
        issued += per_block * until;
        left -= until;
    }
    issued.min(TAO_SUPPLY_RAO) - issuance_rao
}

/// Who gets a subnet's emission, as parts of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubnetSplit {
    /// Those who do the work.
    pub miners: f64,
    /// Those who weigh it, with their stakers.
    pub validators: f64,
    /// Who owns the subnet.
    pub owner: f64,
}

impl SubnetSplit {
    /// 41 % miners, 41 % validators, 18 % the owner.
    pub const STANDARD: Self = Self { miners: 0.41, validators: 0.41, owner: 0.18 };
}

/// What a Bitcoin block mints, in satoshis, fees aside.
pub fn bitcoin_subsidy_sat(height: u64) -> u64 {
    let halvings = u32::try_from(height / 210_000).unwrap_or(u32::MAX);
    (50 * SATOSHIS).checked_shr(halvings).unwrap_or(0)
}

/// What Bitcoin has minted by the end of a block, in satoshis.
pub fn bitcoin_issuance_sat(height: u64) -> u64 {
    let full_eras = height / 210_000;
    let full: u64 = (0..full_eras.min(64)).map(|era| 210_000 * bitcoin_subsidy_sat(era * 210_000)).sum();
    full + (height % 210_000 + 1) * bitcoin_subsidy_sat(height)
}

/// io.net's hourly emission.
pub mod io_net {
    /// IO in existence at launch.
    pub const INITIAL_SUPPLY_IO: f64 = 500e6;
    /// The most IO there will be.
    pub const MAX_SUPPLY_IO: f64 = 800e6;
    /// Inflation of the first year.
    pub const FIRST_YEAR_INFLATION: f64 = 0.08;
    /// The part by which each hour's emission is less than the hour's before.
    pub const HOURLY_DISINFLATION: f64 = 0.000_013_886_952_395_979_3;
    /// How many hours it goes on: 20 years.
    pub const HOURS: u32 = 175_319;

    /// What an hour (the first is 1) emits, in IO: `500 M · 8 %/8760 · (1 − d)^(hour−1)`.
    pub fn hourly_emission_io(hour: u32) -> f64 {
        if !(1..=HOURS).contains(&hour) {
            return 0.0;
        }
        let first = INITIAL_SUPPLY_IO * FIRST_YEAR_INFLATION / 8_760.0;
        first * (1.0 - HOURLY_DISINFLATION).powf(f64::from(hour - 1))
    }

    /// What the hours from `after_hour` to `through_hour` emit together, in IO.
    pub fn emission_between_io(after_hour: u32, through_hour: u32) -> f64 {
        let through = through_hour.min(HOURS);
        if after_hour >= through {
            return 0.0;
        }
        let kept = 1.0 - HOURLY_DISINFLATION;
        let hours = i32::try_from(through - after_hour).unwrap_or(i32::MAX);
        hourly_emission_io(after_hour + 1) * (1.0 - kept.powi(hours)) / HOURLY_DISINFLATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bittensor_halves_when_half_of_what_was_left_is_out() {
        let million = 1_000_000 * RAO;
        assert_eq!(block_emission_rao(0), RAO);
        assert_eq!(block_emission_rao(10_500_000 * RAO - 1), RAO);
        assert_eq!(block_emission_rao(10_500_000 * RAO), RAO / 2);
        assert_eq!(block_emission_rao(15_750_000 * RAO), RAO / 4);
        assert_eq!(block_emission_rao(18_375_000 * RAO), RAO / 8);
        assert_eq!(block_emission_rao(21 * million), 0);
        assert_eq!(block_emission_rao(22 * million), 0);
    }

    #[test]
    fn a_day_of_bittensor_now_is_3600_tao() {
        let blocks = 86_400 / BITTENSOR_BLOCK_S;
        assert_eq!(emission_over_blocks_rao(10_760_000 * RAO, blocks), 3_600 * RAO);
    }

    #[test]
    fn a_span_over_a_halving_mints_what_its_blocks_mint() {
        let mut issued = 10_500_000 * RAO - 5 * RAO - 1;
        let span = emission_over_blocks_rao(issued, 20);
        let before = issued;
        (0..20).for_each(|_| issued += block_emission_rao(issued));
        assert_eq!(span, issued - before);
        assert_eq!(span, 6 * RAO + 14 * RAO / 2);
    }

    #[test]
    fn bitcoin_pays_3_125_now_and_never_reaches_21_million() {
        assert_eq!(bitcoin_subsidy_sat(840_000), 312_500_000);
        assert_eq!(bitcoin_subsidy_sat(839_999), 625_000_000);
        assert_eq!(bitcoin_subsidy_sat(u64::MAX), 0);
        assert_eq!(bitcoin_issuance_sat(0), 50 * SATOSHIS);
        assert_eq!(bitcoin_issuance_sat(20_000_000), 2_099_999_997_690_000);
    }

    #[test]
    fn io_net_starts_at_4566_an_hour_and_ends_at_800_million() {
        use io_net::*;
        assert!((hourly_emission_io(1) - 4_566.21).abs() < 0.01);
        assert!((hourly_emission_io(2) - 4_566.15).abs() < 0.01);
        assert!((hourly_emission_io(6) - 4_565.89).abs() < 0.01);
        let all = emission_between_io(0, HOURS);
        assert!((all - (MAX_SUPPLY_IO - INITIAL_SUPPLY_IO)).abs() < 10_000.0, "{all}");
        assert_eq!(hourly_emission_io(HOURS + 1), 0.0);
    }
}
