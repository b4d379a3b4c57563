//! The peer: a PostgreSQL cluster of its own, with the settings that it comes with.

use super::{
    BATCH, BATCHES,
    clients::{BatchClient, Client},
};
use anyhow::{Context, ensure};
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tokio_postgres::{Config, NoTls, Statement, types::ToSql};

/// Accounts, transfers and attempts as ours have them: two accounts for each client, and an idempotency key for each
/// command. A row of attempts is changed twice: it is left the room in which that is cheapest.
const SCHEMA: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
    CREATE TABLE transfers (id bigserial PRIMARY KEY, digest bytea NOT NULL UNIQUE,
        debit bigint NOT NULL, credit bigint NOT NULL, amount bigint NOT NULL);
    CREATE TABLE results (attempt bigint PRIMARY KEY, transfer bigint NOT NULL, seal bytea NOT NULL);
    CREATE TABLE statements (id bigserial PRIMARY KEY, digest bytea NOT NULL UNIQUE);
    CREATE TABLE attempts (id bigint PRIMARY KEY, claimed bigint NOT NULL, committed bigint, seal bytea,
        revealed bigint, salt bytea, exit integer, output bytea, fuel bigint) WITH (fillfactor = 10);
    INSERT INTO accounts SELECT id, 1000000000000 FROM generate_series(0, 999) AS id;
";

/// One round trip, one transaction: both balances and the transfer.
const SINGLE: &str = "
    WITH debited AS (UPDATE accounts SET balance = balance - $3 WHERE id = $1 RETURNING id),
        credited AS (UPDATE accounts SET balance = balance + $3 WHERE id = $2 RETURNING id)
    INSERT INTO transfers (digest, debit, credit, amount)
    SELECT $4, debited.id, credited.id, $3 FROM debited, credited";

/// Money moves once for a whole batch: what an application would do that knows how.
const MOVED: &str = "
    WITH debited AS (UPDATE accounts SET balance = balance - $3 WHERE id = $1 RETURNING id),
        credited AS (UPDATE accounts SET balance = balance + $3 WHERE id = $2 RETURNING id),
        made AS (INSERT INTO transfers (digest, debit, credit, amount)
            SELECT $4, debited.id, credited.id, $3 FROM debited, credited RETURNING id)";

/// The least that a batch can be: the transfer and 1,000 rows.
const INSERTED: &str = "
    INSERT INTO results (attempt, transfer, seal)
    SELECT item.attempt, made.id, item.seal FROM made, unnest($5::bigint[], $6::bytea[]) AS item (attempt, seal)";

/// Tasks are handed out, and what they can cost is set aside.
const CLAIMED: &str = "
    INSERT INTO attempts (id, claimed) SELECT item.attempt, made.id FROM made, unnest($5::bigint[]) AS item (attempt)";

/// Sealed results come in. No money moves.
const COMMITTED: &str = "
    WITH made AS (INSERT INTO statements (digest) VALUES ($1) RETURNING id)
    UPDATE attempts SET committed = made.id, seal = item.seal
    FROM made, unnest($2::bigint[], $3::bytea[]) AS item (attempt, seal)
    WHERE attempts.id = item.attempt AND attempts.committed IS NULL";

/// Results are opened and paid.
const REVEALED: &str = "
    UPDATE attempts
    SET revealed = made.id, salt = item.salt, exit = item.exit, output = item.output, fuel = item.fuel
    FROM made, unnest($5::bigint[], $6::bytea[], $7::integer[], $8::bytea[], $9::bigint[])
        AS item (attempt, salt, exit, output, fuel)
    WHERE attempts.id = item.attempt AND attempts.committed IS NOT NULL AND attempts.revealed IS NULL";

/// A running cluster, stopped when it is dropped.
pub(crate) struct Cluster {
    programs: PathBuf,
    data: PathBuf,
    folder: PathBuf,
}

impl Cluster {
    /// Makes and starts a cluster; `None` when PostgreSQL is not installed.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Option<Cluster>> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut programs: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
        programs.sort();
        let Some(programs) = programs.pop().filter(|programs| programs.join("initdb").exists()) else {
            return Ok(None);
        };
        let folder = folder.join("postgres");
        fs::create_dir(&folder)?;
        let cluster = Cluster { programs, data: folder.join("data"), folder };
        // It refuses to run as root; its package makes a user for it.
        run(Command::new("chmod").arg("a+rx").arg(cluster.folder.parent().context("no parent")?))?;
        run(Command::new("chown").arg("postgres").arg(&cluster.folder))?;
        cluster.run("initdb", &["--auth=trust", "--username=postgres", "--no-locale", "--encoding=UTF8"])?;
        let options =
            format!("-c listen_addresses='' -c unix_socket_directories='{}'", cluster.folder.display());
        let log = cluster.folder.join("log");
        cluster.run(
            "pg_ctl",
            &["--wait", "--log", &log.display().to_string(), "--options", &options, "start"],
        )?;
        Ok(Some(cluster))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("runuser");
        command
            .args(["-u", "postgres", "--"])
            .arg(self.programs.join(program))
            .arg("--pgdata")
            .arg(&self.data);
        run(command.args(arguments).current_dir(&self.folder))
    }

    async fn connect(&self) -> anyhow::Result<tokio_postgres::Client> {
        let config = Config::new().host_path(&self.folder).user("postgres").dbname("postgres").clone();
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// An empty database.
    async fn reset(&self) -> anyhow::Result<()> {
        let client = self.connect().await?;
        client
            .batch_execute("DROP TABLE IF EXISTS accounts, transfers, statements, attempts, results")
            .await?;
        client.batch_execute(SCHEMA).await?;
        // One by one: several statements in a text are one transaction, in which there is no VACUUM.
        client.batch_execute("VACUUM ANALYZE").await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Clients that move money.
    pub(crate) async fn single_clients(&self, count: usize) -> anyhow::Result<Vec<Teller>> {
        self.reset().await?;
        let mut tellers = Vec::new();
        for nth in 0..count as i64 {
            let client = self.connect().await?;
            let statement = client.prepare(SINGLE).await?;
            tellers.push(Teller { client, statement, random: seeded(nth), nth });
        }
        Ok(tellers)
    }

    /// Clients that go through these steps again and again, batch by batch.
    pub(crate) async fn batch_clients(
        &self,
        count: usize,
        steps: &'static [Step],
    ) -> anyhow::Result<Vec<Batcher>> {
        self.reset().await?;
        let mut batchers = Vec::new();
        for nth in 0..count as i64 {
            let client = self.connect().await?;
            let mut prepared = Vec::new();
            for step in steps {
                prepared.push((*step, client.prepare(&step.sql()).await?));
            }
            let (ready, random) = (VecDeque::new(), seeded(nth));
            batchers.push(Batcher {
                client,
                steps: prepared,
                turn: 0,
                first_item: nth << 40,
                ready,
                random,
                nth,
            });
        }
        Ok(batchers)
    }
}

fn seeded(nth: i64) -> fastrand::Rng {
    fastrand::Rng::with_seed(nth.unsigned_abs())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.run("pg_ctl", &["--wait", "--mode=immediate", "stop"]) {
            eprintln!("{error:#}");
        }
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A connection with its own two accounts.
pub(crate) struct Teller {
    client: tokio_postgres::Client,
    statement: Statement,
    random: fastrand::Rng,
    nth: i64,
}

fn digest(random: &mut fastrand::Rng) -> Vec<u8> {
    (0..32).map(|_| random.u8(..)).collect()
}

impl Client for Teller {
    async fn command(&mut self) -> anyhow::Result<()> {
        let (debit, credit, digest) = (2 * self.nth, 2 * self.nth + 1, digest(&mut self.random));
        let rows = self.client.execute(&self.statement, &[&debit, &credit, &1i64, &digest]).await?;
        ensure!(rows == 1, "{rows} rows");
        Ok(())
    }
}

/// What a batch does with its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Insert,
    Claim,
    Commit,
    Reveal,
}

impl Step {
    fn sql(self) -> String {
        match self {
            Step::Insert => [MOVED, INSERTED].concat(),
            Step::Claim => [MOVED, CLAIMED].concat(),
            Step::Commit => COMMITTED.to_owned(),
            Step::Reveal => [MOVED, REVEALED].concat(),
        }
    }
}

/// A connection that goes through steps, with all that the next one says made beforehand.
pub(crate) struct Batcher {
    client: tokio_postgres::Client,
    steps: Vec<(Step, Statement)>,
    /// How many steps were prepared.
    turn: usize,
    /// The first item that the steps under way are about.
    first_item: i64,
    ready: VecDeque<Batch>,
    random: fastrand::Rng,
    nth: i64,
}

/// The values of a batch; those of each item are the same, as in ours.
struct Batch {
    digest: Vec<u8>,
    attempts: Vec<i64>,
    digests: Vec<Vec<u8>>,
    exits: Vec<i32>,
    fuels: Vec<i64>,
}

impl BatchClient for Batcher {
    fn prepare(&mut self) -> anyhow::Result<()> {
        if self.turn > 0 && self.turn.is_multiple_of(self.steps.len()) {
            self.first_item += (BATCHES * BATCH) as i64;
        }
        self.turn += 1;
        for batch in 0..BATCHES {
            let first = self.first_item + (batch * BATCH) as i64;
            let digest = digest(&mut self.random);
            let digests = vec![digest.clone(); BATCH];
            let attempts = (first..).take(BATCH).collect();
            let (exits, fuels) = (vec![0; BATCH], vec![500_000; BATCH]);
            self.ready.push_back(Batch { digest, attempts, digests, exits, fuels });
        }
        Ok(())
    }
}

impl Client for Batcher {
    async fn command(&mut self) -> anyhow::Result<()> {
        let Batch { digest, attempts, digests, exits, fuels } =
            self.ready.pop_front().context("nothing is prepared")?;
        let (step, statement) = &self.steps[(self.turn - 1) % self.steps.len()];
        let (first, second, amount) = (2 * self.nth, 2 * self.nth + 1, BATCH as i64);
        let client = &self.client;
        let rows = match step {
            Step::Insert => {
                client.execute(statement, &[&first, &second, &amount, &digest, &attempts, &digests]).await?
            }
            Step::Claim => client.execute(statement, &[&first, &second, &amount, &digest, &attempts]).await?,
            Step::Commit => client.execute(statement, &[&digest, &attempts, &digests]).await?,
            Step::Reveal => {
                let items: [&(dyn ToSql + Sync); 9] =
                    [&second, &first, &amount, &digest, &attempts, &digests, &exits, &digests, &fuels];
                client.execute(statement, &items).await?
            }
        };
        ensure!(rows == BATCH as u64, "{rows} rows");
        Ok(())
    }
}
