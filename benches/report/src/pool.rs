//! A market and two providers as processes of their own, and a buyer: the installed program, as people run it.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long the pool may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// `(module (memory (export "memory") 1) (func (export "_start")))`.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Processes that are ended when this is dropped.
#[derive(Debug)]
pub struct Pool {
    grist: PathBuf,
    folder: TempDir,
    address: String,
    market: Child,
    providers: Vec<Child>,
}

impl Pool {
    /// Starts a market and as many providers, with one core each, and waits until their offers stand.
    pub fn start(providers: usize) -> anyhow::Result<Pool> {
        let grist = PathBuf::from(std::env::var_os("GRIST").context("GRIST must name the grist program")?);
        let folder = tempfile::Builder::new().prefix("grist-bench-").tempdir_in("/var/tmp")?;
        let log = File::create(folder.path().join("market.log"))?;
        let mut market = Command::new(&grist)
            .args(["--json", "market", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("market"))
            .env("GRIST_HOME", folder.path().join("operator"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start", grist.display()))?;
        let mut line = String::new();
        BufReader::new(market.stdout.take().context("no output")?).read_line(&mut line)?;
        let started: Value =
            serde_json::from_str(&line).with_context(|| format!("the market said: {line}"))?;
        let address = started["address"].as_str().context("no address")?.to_owned();
        let mut pool = Pool { grist, folder, address, market, providers: vec![] };
        for nth in 0..providers {
            let log = File::create(pool.folder.path().join(format!("provider-{nth}.log")))?;
            let mut provider = pool.command(&format!("provider-{nth}"));
            provider.args(["provide", "--price-per-task", "1sat", "--max-cpus", "1"]);
            pool.providers.push(provider.stdout(Stdio::null()).stderr(log).spawn()?);
        }
        let deadline = Instant::now() + PATIENCE;
        while pool.offers()? < providers {
            ensure!(Instant::now() < deadline, "the providers post no offers; see {}", pool.keep().display());
            thread::sleep(Duration::from_millis(100));
        }
        Ok(pool)
    }

    /// A command of somebody with keys of their own.
    pub fn command(&self, who: &str) -> Command {
        let mut command = Command::new(&self.grist);
        command.args(["--json", "--market", &self.address]).env("GRIST_HOME", self.folder.path().join(who));
        command
    }

    /// Runs a command and says what it printed: one JSON value a line.
    pub fn output(command: &mut Command) -> anyhow::Result<Vec<Value>> {
        let output = command.stderr(Stdio::piped()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {errors}{}", String::from_utf8_lossy(&output.stdout));
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }

    fn offers(&self) -> anyhow::Result<usize> {
        let printed = Pool::output(self.command("buyer").arg("offers"))?;
        match printed.as_slice() {
            [Value::Array(offers)] => Ok(offers.len()),
            [Value::Object(fields)] => Ok(fields.values().filter_map(Value::as_array).map(Vec::len).sum()),
            lines => Ok(lines.len()),
        }
    }

    /// Makes the buyer, with as much play money.
    pub fn fund(&self, amount: &str) -> anyhow::Result<()> {
        Pool::output(self.command("buyer").args(["party", "new"]))?;
        Pool::output(self.command("buyer").args(["wallet", "topup", amount, "--pay"]))?;
        Ok(())
    }

    /// Writes a job of so many empty tasks.
    pub fn empty_job(&self, name: &str, tasks: u32, slots: u32) -> anyhow::Result<PathBuf> {
        fs::write(self.folder.path().join("empty.wasm"), EMPTY_MODULE)?;
        let job = format!(
            "name = \"{name}\"\nmodule = \"empty.wasm\"\ntasks = {tasks}\nslots = {slots}\n\
             max_price = \"{} sat\"\nmax_price_per_task = \"1 sat\"\n\
             [limits]\nmemory = \"1MiB\"\noutput = \"4KiB\"\nfuel = \"1M\"\ntimeout = \"1m\"\n\
             [verify]\nmethod = \"none\"\n",
            tasks + 10
        );
        let path = self.folder.path().join(format!("{name}.toml"));
        fs::write(&path, job)?;
        Ok(path)
    }

    /// Runs a job to its end, results fetched, and says how long that took.
    pub fn run(&self, job: &Path) -> anyhow::Result<Duration> {
        let out = self.folder.path().join("results");
        let started = Instant::now();
        Pool::output(self.command("buyer").arg("run").arg(job).args(["--yes", "--out"]).arg(&out))?;
        let took = started.elapsed();
        fs::remove_dir_all(out)?;
        Ok(took)
    }

    /// The market's journal so far: one statement a line.
    pub fn journal(&self) -> anyhow::Result<Vec<Value>> {
        Pool::output(
            self.command("operator").args(["journal", "dump"]).arg(self.folder.path().join("market")),
        )
    }

    /// Resident memory of each provider's agent, in bytes.
    pub fn providers_memory(&self) -> anyhow::Result<Vec<u64>> {
        self.providers.iter().map(|provider| crate::machine::resident_bytes(provider.id())).collect()
    }

    /// Where the processes wrote what they had to say.
    fn keep(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for child in self.providers.iter_mut().chain([&mut self.market]) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a peer's program that prints one number; `None` when it is not installed.
pub fn peer_number(program: &mut Command) -> anyhow::Result<Option<f64>> {
    let output = match program.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !output.status.success() {
        bail!("{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    Ok(Some(last.trim().parse().with_context(|| format!("not a number: {last}"))?))
}
