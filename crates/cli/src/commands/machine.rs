//! `grist machine`: the computers of a party.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    keys::{self, KeyError},
    output::{Output, table},
    session::{Party, Session, machine_label, strange},
    text,
};
use clap::{Args, Subcommand};
use market::{
    command::{CERTIFICATE_DOMAIN, Command, certificate_message},
    id::{MachineId, PartyId},
    key::SecretKey,
    name::Name,
    reply::Reply,
    resources::Resources,
};
use node::{
    api::KeyView,
    config_file::{ByteSize, Cores},
    provider::hardware::Hardware,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// `grist machine …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// Make a machine's key here and certify it; `grist provide` does this by itself for the machine that it runs on
    Add(AddArgs),
    /// List your machines
    List,
    /// Take a machine away: its offers end, its leases are closed
    Revoke {
        /// The machine
        machine: MachineId,
    },
}

/// `grist machine add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// How it is called [default: this computer's name]
    label: Option<Name>,
    /// Where its key goes, to be carried to the machine [default: in the configuration folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// CPU cores that it has to sell [default: what this computer has]
    #[arg(long, value_name = "CORES")]
    cpus: Option<Cores>,
    /// Memory that it has to sell [default: three quarters of what this computer has]
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Disk space that it has to sell
    #[arg(long, value_name = "SIZE", default_value = "0")]
    disk: ByteSize,
}

impl AddArgs {
    fn capacity(&self, hardware: &Hardware) -> Resources {
        let cores_milli = hardware.cores.saturating_mul(1_000);
        Resources {
            cpu_milli: self.cpus.map_or(cores_milli, |cores| cores.0),
            memory_mib: self.memory.map_or(hardware.memory_mib / 4 * 3, |size| size.0 >> 20),
            disk_mib: self.disk.0 >> 20,
            upload_mbps: 0,
            // GPUs of another computer cannot be seen from here.
            gpus: hardware.gpus.clone().filter(|_| self.cpus.is_none() && self.memory.is_none()),
        }
    }
}

/// Runs the command.
pub(crate) async fn run(command: &MachineCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    match command {
        MachineCommand::Add(args) => add(args, &session, output).await,
        MachineCommand::List => list(&session, output).await,
        MachineCommand::Revoke { machine } => {
            let party = session.party().await?;
            session.submit(&party.secret, Command::RevokeMachine { machine: *machine }).await?;
            output.result(&json!({ "machine": machine }), || {
                format!("{machine} is revoked; its key is worth nothing")
            })
        }
    }
}

async fn add(args: &AddArgs, session: &Session, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let label = match &args.label {
        Some(label) => label.clone(),
        None => machine_label().parse().map_err(|e| Failure::of(Exit::Usage, e))?,
    };
    let file = args.out.clone().unwrap_or_else(|| session.home.machine_key(&label));
    let capacity = args.capacity(&Hardware::find(&session.home.data("providers")));
    let secret = read_or_make(&file)?;
    let machine = certify(session, &party, &secret, label.as_str(), capacity).await?;
    let json = json!({ "machine": machine, "key": secret.public(), "file": file });
    output.result(&json, || {
        let start = match &args.out {
            Some(file) => {
                format!("carry {0} to the machine, then: grist provide --machine-key {0}", file.display())
            }
            None => "start it with `grist provide`".to_owned(),
        };
        format!("{machine} is certified; {start}")
    })
}

/// A machine's key that was made earlier and is not certified yet is as good as a new one.
pub(crate) fn read_or_make(file: &Path) -> Result<SecretKey, KeyError> {
    match keys::read(file) {
        Err(KeyError::Missing(_)) => {
            let secret = keys::generate()?;
            keys::create(file, &secret)?;
            Ok(secret)
        }
        read => read,
    }
}

async fn list(session: &Session, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let machines = session.market.machines(party.id).await?;
    output.result(&machines, || {
        if machines.is_empty() {
            return "no machines: `grist provide` adds the one that it runs on".to_owned();
        }
        let rows = machines.iter().map(|machine| {
            vec![
                machine.machine.to_string(),
                machine.label.clone(),
                machine.presence.clone(),
                text::resources(&machine.capacity),
                text::resources(&machine.free),
                machine.offers.len().to_string(),
                machine.leases.len().to_string(),
            ]
        });
        table(["MACHINE", "LABEL", "STATE", "CAPACITY", "FREE", "OFFERS", "LEASES"], rows)
    })
}

/// Adds a machine to a party, both keys being here.
pub(crate) async fn certify(
    session: &Session,
    party: &Party,
    machine: &SecretKey,
    label: &str,
    capacity: Resources,
) -> Result<MachineId, Failure> {
    let message = certificate_message(&session.market.venue(), &party.secret.public());
    let command = Command::CertifyMachine {
        machine_key: machine.public(),
        consent: machine.sign(CERTIFICATE_DOMAIN, &message),
        label: label.to_owned(),
        capacity,
    };
    match session.submit(&party.secret, command).await? {
        Reply::Machine(id) => Ok(id),
        other => Err(strange(&other)),
    }
}

/// A machine whose key is here.
pub(crate) struct ThisMachine {
    /// Its key.
    pub(crate) secret: SecretKey,
    /// Its id at the market.
    pub(crate) machine: MachineId,
    /// Its owner.
    pub(crate) party: PartyId,
}

/// The machine that this computer is. A key that is not here is made and certified, for which the party has to be here.
pub(crate) async fn this_machine(
    session: &Session,
    key_file: Option<&PathBuf>,
    label: &Name,
    capacity: &Resources,
    output: &Output,
) -> Result<ThisMachine, Failure> {
    let file = key_file.cloned().unwrap_or_else(|| session.home.machine_key(label));
    let found = match keys::read(&file) {
        Ok(secret) => Some(secret),
        Err(KeyError::Missing(_)) if key_file.is_none() => None,
        Err(e) => return Err(e.into()),
    };
    if let Some(secret) = &found {
        match session.market.key(&secret.public()).await? {
            Some(KeyView::Machine { machine, party }) => {
                return Ok(ThisMachine { secret: secret.clone(), machine, party });
            }
            Some(KeyView::Party(_)) => {
                return Err(Failure::new(
                    Exit::Key,
                    format!("{} is a party's key: name a machine's", file.display()),
                ));
            }
            Some(KeyView::Retired) => {
                let why = format!(
                    "the machine of {} was revoked: move the file away to make another",
                    file.display()
                );
                return Err(Failure::new(Exit::Key, why));
            }
            None => {}
        }
    }
    let party = session.party_or_new(output).await?;
    let secret = match found {
        Some(secret) => secret,
        None => read_or_make(&file)?,
    };
    let machine = certify(session, &party, &secret, label.as_str(), capacity.clone()).await?;
    output.note(&format!(
        "certified this computer as {machine} ({label}) of {}; its key is in {}",
        party.id,
        file.display()
    ));
    Ok(ThisMachine { secret, machine, party: party.id })
}
