//! The job file: what a buyer writes to order work.
//!
//! [`JobFile::parse`] reads the text and nothing else; [`JobFile::load`] also reads the files that it names and gives
//! everything that is needed to place the order.
//!
//! ```toml
//! name = "turntable"
//! module = "pathtrace.wasm"           # relative to the job file
//! args = ["--frame", "{task}", "--frames", "{tasks}"]
//! tasks = 24
//! input_folder = "scene"              # tasks see its files below /in
//! inputs = ["*.obj", "*.mtl"]
//! max_price = "1000 sat"              # the whole job, never exceeded
//! max_price_per_task = "12 sat"       # or max_price_per_hour, max_price_per_giga_fuel
//! slots = 4                           # how many machines at once
//!
//! [limits]                            # of each task
//! memory = "256MiB"
//! output = "16MiB"
//! fuel = "100G"
//! timeout = "10m"
//!
//! [verify]
//! method = "replicas"                 # or "audit" with share = "10%", or "none"
//! agree = 2
//! of = 3
//!
//! [auction]                           # without it: the best standing offers, at once
//! price = "second"
//! window = "2s"
//! reveal = "2s"
//!
//! [funding]                           # without it: max_price is locked at the market, all at once
//! session = "5000 sat"                # or "15m" of max_price_per_hour
//! # hold = { slice = "100000 sat", slices = 4 }
//! # decrypt = true                    # each result is paid for when replicas agree on it
//! ```

mod funding;

pub use funding::{BadPrepayment, BadSlices, FundingTable, Prepayment, Slices};

use super::input_files::{self, FoundFile, InputFileError};
use crate::config_file::{self, ByteSize, Cores, Count, FileError, Money, Share, Span};
use market::{
    funding::Funding,
    id::{Digest, PartyId},
    job::{InputFile, JobSpec, TaskLimits, Verification},
    name::Name,
    order::{AuctionPrice, Needs, OrderKind, OrderTerms},
    resources::{Attributes, Gpus, Isolation, Resources},
    units::{Msat, Overflow, Rate, Unit},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A job file, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// For people.
    pub name: String,
    /// The WebAssembly module, relative to the job file.
    pub module: PathBuf,
    /// Name of the execution profile.
    #[serde(default = "default_profile")]
    pub profile: String,
    /// Arguments; `{task}` and `{tasks}` are filled in.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A file in the job file's folder that every task reads from standard input.
    pub stdin: Option<String>,
    /// The folder of the input files, relative to the job file; its own folder if not given.
    pub input_folder: Option<PathBuf>,
    /// Files in that folder, with `*`, `?` and `**`. Tasks see them below `/in` under the same names.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// How many tasks.
    pub tasks: u32,
    /// How many attempts at once; all of them if not given.
    pub max_parallel: Option<u32>,
    /// How many failed attempts of a task are followed by another.
    #[serde(default = "default_retries")]
    pub retries: u8,
    /// Whether tasks that take far longer than the others are run a second time elsewhere.
    #[serde(default = "default_stragglers")]
    pub duplicate_stragglers: bool,
    /// The most that the whole job may cost.
    pub max_price: Money,
    /// The most that a task may cost: one of the three.
    pub max_price_per_task: Option<Money>,
    /// The most that an hour of a lease may cost.
    pub max_price_per_hour: Option<Money>,
    /// The most that 10⁹ fuel may cost.
    pub max_price_per_giga_fuel: Option<Money>,
    /// How many leases at once.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// The longest that a lease may run.
    #[serde(default = "default_lease_max")]
    pub lease_max: Span,
    /// Limits of each task.
    #[serde(default)]
    pub limits: Limits,
    /// How results are verified.
    pub verify: Verify,
    /// A sealed auction instead of the standing offers.
    pub auction: Option<Auction>,
    /// What machines must have.
    #[serde(default)]
    pub needs: NeedsTable,
    /// How its money gets to where it waits.
    #[serde(default)]
    pub funding: FundingTable,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of the module.
    pub memory: ByteSize,
    /// Everything that it writes.
    pub output: ByteSize,
    /// Instructions.
    pub fuel: Count,
    /// From claim to result.
    pub timeout: Span,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: ByteSize(256 << 20),
            output: ByteSize(16 << 20),
            fuel: Count(100_000_000_000),
            timeout: Span(600_000),
        }
    }
}

/// `[verify]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "method")]
pub enum Verify {
    /// Not at all.
    None,
    /// Several parties run each task.
    Replicas {
        /// How many must agree.
        agree: u8,
        /// How many may be asked.
        of: u8,
        /// Parties among whom replicas are drawn; all, if not given.
        #[serde(default)]
        parties: Vec<PartyId>,
    },
    /// Some tasks are run again by others.
    Audit {
        /// Which share at least.
        share: Share,
    },
}

/// `[auction]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auction {
    /// What winners are paid: `first` or `second`.
    pub price: AuctionPrice,
    /// How long bids are taken.
    pub window: Span,
    /// How long bids are revealed after that.
    pub reveal: Span,
}

/// `[needs]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeedsTable {
    /// CPU cores of each lease.
    pub cpus: Cores,
    /// Memory of each lease; `limits.memory` if not given.
    pub memory: Option<ByteSize>,
    /// Disk space.
    pub disk: ByteSize,
    /// Upload bandwidth, in Mbit/s.
    pub upload_mbps: u64,
    /// GPUs of one model.
    pub gpus: Option<GpusTable>,
    /// The weakest isolation that will do.
    pub isolation: Isolation,
    /// The region.
    pub region: Option<Name>,
    /// Attributes that must have these values.
    pub attributes: Attributes,
    /// The lowest reputation.
    pub min_reputation: Share,
    /// The smallest bond.
    pub min_bond: Money,
}

/// `needs.gpus`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpusTable {
    /// Model.
    pub model: Name,
    /// How many.
    pub count: u32,
    /// Memory of each.
    pub memory: ByteSize,
}

impl Default for NeedsTable {
    fn default() -> NeedsTable {
        NeedsTable {
            cpus: Cores(1_000),
            memory: None,
            disk: ByteSize(0),
            upload_mbps: 0,
            gpus: None,
            isolation: Isolation::Wasm,
            region: None,
            attributes: Attributes::new(),
            min_reputation: Share(0),
            min_bond: Money(Msat::ZERO),
        }
    }
}

fn default_profile() -> String {
    runner::Profile::newest().name.to_owned()
}

fn default_retries() -> u8 {
    3
}

fn default_stragglers() -> bool {
    true
}

fn default_slots() -> u32 {
    1
}

fn default_lease_max() -> Span {
    Span(6 * 3_600_000)
}

/// Why a job file is no job.
#[derive(Debug, thiserror::Error)]
pub enum JobFileError {
    /// The file itself cannot be read.
    #[error("cannot read the job file `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not TOML, or not a job.
    #[error(transparent)]
    Text(#[from] FileError),
    /// No ceiling, or several.
    #[error(
        "say the highest price in one way: max_price_per_task, max_price_per_hour or max_price_per_giga_fuel ({given} given)"
    )]
    Ceiling {
        /// How many were given.
        given: usize,
    },
    /// A value that makes no sense.
    #[error("{0}")]
    Flaw(String),
    /// The budget cannot pay for every task.
    #[error(
        "max_price is {given}, but the job may cost {needed} at the highest price that it allows: raise max_price, or lower \
         the other"
    )]
    Budget {
        /// What the file says.
        given: Msat,
        /// What is needed at least.
        needed: Msat,
    },
    /// The most that the job may cost does not cover what holds need.
    #[error(
        "max_price is {given}, but the slots may hold {held} at once, and the market needs {kept} in reserve: raise max_price to \
         {needed}, or take fewer slots or smaller slices"
    )]
    HoldBudget {
        /// What the file says.
        given: Msat,
        /// What is needed at least.
        needed: Msat,
        /// What is held at once.
        held: Msat,
        /// What the market keeps.
        kept: Msat,
    },
    /// The most that the job may cost does not cover keys, deposits and replicas.
    #[error(
        "max_price is {given}, but the keys of all results may cost {keys}, and the market needs {kept} for deposits and replicas: \
         raise max_price to {needed}, or take fewer tasks"
    )]
    DecryptBudget {
        /// What the file says.
        given: Msat,
        /// What is needed at least.
        needed: Msat,
        /// What the keys may cost.
        keys: Msat,
        /// What the market keeps.
        kept: Msat,
    },
    /// A file that it names.
    #[error(transparent)]
    File(#[from] InputFileError),
}

/// Everything that is needed to place an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedJob {
    /// The job.
    pub spec: JobSpec,
    /// The terms.
    pub terms: OrderTerms,
    /// The most that may hang in holds of the job, be taken from them, or be paid for keys: what it may cost, less the budget of the terms.
    pub holds_max_msat: Msat,
    /// The files that have to be at the market before tasks run.
    pub blobs: BTreeMap<Digest, PathBuf>,
}

impl JobFile {
    /// Reads the text of a job file.
    pub fn parse(text: &str) -> Result<JobFile, JobFileError> {
        Ok(config_file::parse(text)?)
    }

    /// Reads a job file, and none of the files that it names.
    pub fn read(path: &Path) -> Result<JobFile, JobFileError> {
        let read = |source| JobFileError::Read { path: path.to_owned(), source };
        JobFile::parse(&config_file::read_text(path, config_file::TEXT_BYTES_MAX).map_err(read)?)
    }

    /// Reads a job file and the files that it names.
    pub fn load(path: &Path) -> Result<PreparedJob, JobFileError> {
        JobFile::read(path)?.prepare(path.parent().unwrap_or(Path::new("")))
    }

    /// Reads the files that it names, relative to `folder`.
    pub fn prepare(&self, folder: &Path) -> Result<PreparedJob, JobFileError> {
        let module = input_files::module(&folder.join(&self.module))?;
        let stdin = self.stdin.as_ref().map(|name| input_files::inside(folder, name)).transpose()?;
        let inputs = match &self.input_folder {
            Some(inner) => input_files::matching(&folder.join(inner), &self.inputs)?,
            None => input_files::matching(folder, &self.inputs)?,
        };
        let found = [&module].into_iter().chain(&stdin).chain(inputs.values());
        let blobs = found.map(|file| (file.digest, file.path.clone())).collect();
        let spec = self.spec(module.digest, stdin.map(|file| file.digest), inputs)?;
        let (terms, holds_max_msat) = self.terms(&spec)?;
        Ok(PreparedJob { spec, terms, holds_max_msat, blobs })
    }

    /// The job, once its files are known.
    fn spec(
        &self,
        module: Digest,
        stdin: Option<Digest>,
        inputs: BTreeMap<String, FoundFile>,
    ) -> Result<JobSpec, JobFileError> {
        if runner::Profile::find(&self.profile).is_none() {
            let known: Vec<&str> = runner::Profile::all().iter().map(|profile| profile.name).collect();
            let known = known.join(", ");
            let flaw = format!("the execution profile `{}` is not known here; known: {known}", self.profile);
            return Err(JobFileError::Flaw(flaw));
        }
        let inputs = inputs.into_iter();
        let spec = JobSpec {
            name: self.name.clone(),
            profile: self.profile.clone(),
            module,
            args: self.args.clone(),
            env: self.env.clone(),
            stdin,
            inputs: inputs
                .map(|(path, file)| InputFile { path, blob: file.digest, bytes: file.bytes })
                .collect(),
            tasks: self.tasks,
            max_parallel: self.max_parallel.unwrap_or(self.tasks),
            retries: self.retries,
            duplicate_stragglers: self.duplicate_stragglers,
            limits: TaskLimits {
                memory_mib: self.limits.memory.0.div_ceil(1 << 20),
                output_bytes: self.limits.output.0,
                fuel: self.limits.fuel.0,
                timeout_ms: self.limits.timeout.0,
            },
            verification: match &self.verify {
                Verify::None => Verification::None,
                Verify::Replicas { agree, of, parties } => {
                    Verification::Replicas { k: *agree, n: *of, named: parties.clone() }
                }
                Verify::Audit { share } => Verification::Audit { floor_ppm: share.0 },
            },
        };
        match spec.flaw() {
            Some(flaw) => Err(JobFileError::Flaw(flaw.to_owned())),
            None => Ok(spec),
        }
    }

    /// The terms, and what may hang in holds.
    fn terms(&self, spec: &JobSpec) -> Result<(OrderTerms, Msat), JobFileError> {
        let needs = &self.needs;
        let memory_mib = needs.memory.map_or(spec.limits.memory_mib, |size| size.0.div_ceil(1 << 20));
        if memory_mib < spec.limits.memory_mib {
            return Err(JobFileError::Flaw("needs.memory is less than limits.memory".into()));
        }
        let gpus = needs.gpus.as_ref();
        let resources = Resources {
            cpu_milli: needs.cpus.0,
            memory_mib,
            disk_mib: needs.disk.0.div_ceil(1 << 20),
            upload_mbps: needs.upload_mbps,
            gpus: gpus.map(|gpus| Gpus {
                model: gpus.model.clone(),
                count: gpus.count,
                memory_mib: gpus.memory.0.div_ceil(1 << 20),
            }),
        };
        let mut terms = OrderTerms {
            kind: self.auction.as_ref().map_or(OrderKind::Ask, |auction| OrderKind::Auction {
                price: auction.price,
                window_ms: auction.window.0,
                reveal_ms: auction.reveal.0,
            }),
            slots: self.slots,
            ceiling: self.ceiling()?,
            budget_msat: self.max_price.0,
            needs: Needs {
                resources,
                isolation: needs.isolation,
                region: needs.region.clone(),
                attributes: needs.attributes.clone(),
                min_reputation_ppm: needs.min_reputation.0,
                min_bond_msat: needs.min_bond.0,
            },
            lease_max_ms: self.lease_max.0,
            funding: None,
        };
        let resolved = self.funding.resolve(&terms, spec)?;
        (terms.funding, terms.budget_msat) = (resolved.funding, resolved.budget_msat);
        terms.needs.min_bond_msat = terms.needs.min_bond_msat.max(resolved.min_bond_msat);
        if let Some(flaw) = terms.flaw() {
            return Err(JobFileError::Flaw(flaw.to_owned()));
        }
        let needed =
            least_budget(&terms, spec).map_err(|overflow| JobFileError::Flaw(overflow.to_string()))?;
        if terms.budget_msat < needed {
            return Err(JobFileError::Budget { given: terms.budget_msat, needed });
        }
        Ok((terms, resolved.holds_max_msat))
    }

    fn ceiling(&self) -> Result<Rate, JobFileError> {
        let given = [
            self.max_price_per_task.map(|money| Rate::per_task(money.0)),
            self.max_price_per_hour.map(|money| Rate::per_hour(money.0)),
            self.max_price_per_giga_fuel.map(|money| Rate::per_giga_fuel(money.0)),
        ];
        let given: Vec<Rate> = given.into_iter().flatten().collect();
        match &given[..] {
            [rate] => Ok(*rate),
            other => Err(JobFileError::Ceiling { given: other.len() }),
        }
    }
}

/// What has to be in the budget so that the market takes the order: every task once (with its replicas) at the highest
/// price; for leases by the hour, every lease for its longest. Where holds or keys are paid for, the budget is a reserve.
fn least_budget(terms: &OrderTerms, spec: &JobSpec) -> Result<Msat, Overflow> {
    if let Some(Funding::Hold { .. } | Funding::Decrypt { .. }) = terms.funding {
        return Ok(Msat::ZERO);
    }
    let copies = match &spec.verification {
        Verification::None | Verification::Audit { .. } => 1,
        Verification::Replicas { k, .. } => u64::from(*k),
    };
    match terms.ceiling.unit {
        Unit::Task => terms.ceiling.ceiling(u64::from(spec.tasks))?.times(copies),
        // One task's worth: fuel is a limit, and most tasks use far less.
        Unit::Fuel => terms.ceiling.ceiling(spec.limits.fuel)?.times(copies),
        Unit::Ms => terms.ceiling.ceiling(terms.lease_max_ms)?.times(terms.slots.into()),
    }
}
