//! The real binary, with folders of its own.

#![allow(dead_code, reason = "each test file uses another part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use futures_util::StreamExt;
use market::{event::Event, id::MachineId};
use node::{api::EventCursor, client::Market};
use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    pin::pin,
    process::{Child, ChildStdout, Command, Stdio},
};

/// `grist` with a home of its own.
pub(crate) struct Grist {
    pub(crate) home: tempfile::TempDir,
    market: Option<String>,
}

/// What a run of the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// That it worked.
    pub(crate) fn ok(self) -> Said {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl Grist {
    pub(crate) fn new() -> Grist {
        Grist { home: tempfile::tempdir().unwrap(), market: None }
    }

    /// The same program at this market.
    pub(crate) fn at(market: &Service) -> Grist {
        Grist { market: Some(market.address.clone()), ..Grist::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grist"));
        command.args(args).env("GRIST_HOME", self.home.path()).env("COLUMNS", "100").env_remove("RUST_LOG");
        command.env_remove("GRIST_PROFILE");
        match &self.market {
            Some(address) => command.env("GRIST_MARKET", address),
            None => command.env_remove("GRIST_MARKET"),
        };
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    /// Runs it to its end with something on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The program may end without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts something that goes on running, and waits for the first line that it prints (JSON). Nobody reads the rest.
    pub(crate) fn start(&self, args: &[&str]) -> Service {
        self.launch(args).0
    }

    /// As [`Grist::start`], and sends Ctrl-C as soon as the first line is there; with what it said until it ended.
    #[cfg(unix)]
    pub(crate) fn interrupted(&self, args: &[&str]) -> (Service, Said) {
        let (mut service, mut lines) = self.launch(args);
        let sent = Command::new("kill").args(["-INT", &service.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        lines.read_to_string(&mut stdout).unwrap();
        service.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = service.child.wait().unwrap().code().unwrap_or(-1);
        (service, Said { code, stdout, stderr })
    }

    fn launch(&self, args: &[&str]) -> (Service, BufReader<ChildStdout>) {
        let mut command = self.command(args);
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let first: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| {
            let mut stderr = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut stderr);
            panic!("{args:?} did not start ({e}): {line}{stderr}")
        });
        let address = first["address"].as_str().unwrap_or_default().to_owned();
        (Service { child, first, address }, lines)
    }
}

/// A process that is killed when the test is over.
pub(crate) struct Service {
    child: Child,
    pub(crate) first: serde_json::Value,
    pub(crate) address: String,
}

impl Service {
    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A market on loopback with play money, on a free port.
pub(crate) fn market(grist: &Grist, data: &Path) -> Service {
    grist.start(&["market", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
}

/// The same market again, after it was killed.
pub(crate) fn reopened(grist: &Grist, data: &Path, killed: &Service) -> Service {
    let listen = killed.first["listen"].as_str().unwrap();
    grist.start(&["market", "--listen", listen, "--data", data.to_str().unwrap()])
}

/// Waits until a machine sells something: it takes work once its offer stands.
pub(crate) fn wait_for_offer(market: &Service, machine: &str) {
    let wanted: MachineId = machine.parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let market = Market::connect(&market.address).await.unwrap();
        let mut events = pin!(market.events(Some(EventCursor::default()), None));
        while let Some(placed) = events.next().await {
            match placed.unwrap().event {
                Event::OfferPosted { machine, .. } if machine == wanted => return,
                _ => {}
            }
        }
    });
}

/// The examples that come with the project.
pub(crate) fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}
