//! The peer: a PostgreSQL cluster of its own, with the settings that it comes with.

use super::{BATCH, clients::Client};
use anyhow::{Context, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tokio_postgres::{Config, NoTls, Statement};

/// Accounts and transfers as ours have them: two accounts for each client, and an idempotency key for each command.
const SCHEMA: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
    CREATE TABLE transfers (id bigserial PRIMARY KEY, digest bytea NOT NULL UNIQUE,
        debit bigint NOT NULL, credit bigint NOT NULL, amount bigint NOT NULL);
    CREATE TABLE results (attempt bigint PRIMARY KEY, transfer bigint NOT NULL, seal bytea NOT NULL);
    INSERT INTO accounts SELECT id, 1000000000000 FROM generate_series(0, 999) AS id;
";

/// One round trip, one transaction: both balances and the transfer.
const SINGLE: &str = "
    WITH debited AS (UPDATE accounts SET balance = balance - $3 WHERE id = $1 RETURNING id),
        credited AS (UPDATE accounts SET balance = balance + $3 WHERE id = $2 RETURNING id)
    INSERT INTO transfers (digest, debit, credit, amount)
    SELECT $4, debited.id, credited.id, $3 FROM debited, credited";

/// The same with 1,000 rows more.
const BATCHED: &str = "
    WITH debited AS (UPDATE accounts SET balance = balance - $3 WHERE id = $1 RETURNING id),
        credited AS (UPDATE accounts SET balance = balance + $3 WHERE id = $2 RETURNING id),
        made AS (INSERT INTO transfers (digest, debit, credit, amount)
            SELECT $4, debited.id, credited.id, $3 FROM debited, credited RETURNING id)
    INSERT INTO results (attempt, transfer, seal)
    SELECT item.attempt, made.id, item.seal FROM made, unnest($5::bigint[], $6::bytea[]) AS item (attempt, seal)";

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
        client.batch_execute("DROP TABLE IF EXISTS accounts, transfers, results").await?;
        client.batch_execute(SCHEMA).await?;
        // One by one: several statements in a text are one transaction, in which there is no VACUUM.
        client.batch_execute("VACUUM ANALYZE").await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    async fn clients(&self, count: usize, sql: &str, items: usize) -> anyhow::Result<Vec<Teller>> {
        self.reset().await?;
        let mut tellers = Vec::new();
        for nth in 0..count as i64 {
            let client = self.connect().await?;
            let statement = client.prepare(sql).await?;
            let random = fastrand::Rng::with_seed(nth.unsigned_abs());
            tellers.push(Teller { client, statement, random, nth, next_item: nth << 40, items });
        }
        Ok(tellers)
    }

    /// Clients that move money.
    pub(crate) async fn single_clients(&self, count: usize) -> anyhow::Result<Vec<Teller>> {
        self.clients(count, SINGLE, 0).await
    }

    /// Clients that hand in batches.
    pub(crate) async fn batch_clients(&self, count: usize) -> anyhow::Result<Vec<Teller>> {
        self.clients(count, BATCHED, BATCH).await
    }
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
    next_item: i64,
    items: usize,
}

impl Teller {
    fn digest(&mut self) -> Vec<u8> {
        (0..32).map(|_| self.random.u8(..)).collect()
    }
}

impl Client for Teller {
    async fn command(&mut self) -> anyhow::Result<()> {
        let (debit, credit, digest) = (2 * self.nth, 2 * self.nth + 1, self.digest());
        let rows = if self.items == 0 {
            self.client.execute(&self.statement, &[&debit, &credit, &1i64, &digest]).await?
        } else {
            let attempts: Vec<i64> = (self.next_item..).take(self.items).collect();
            self.next_item += self.items as i64;
            let seals = vec![digest.clone(); self.items];
            self.client
                .execute(&self.statement, &[&debit, &credit, &1i64, &digest, &attempts, &seals])
                .await?
        };
        ensure!(rows == self.items.max(1) as u64, "{rows} rows");
        Ok(())
    }
}
