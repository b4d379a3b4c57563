//! A bitcoind of the test's own, on regtest: blocks come when the test asks for them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test uses a part of it, and may panic"
)]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Names the bitcoind to run; `scripts/regtest` builds one and sets it.
pub(crate) const BITCOIND: &str = "GRIST_BITCOIND";
/// Nobody's address: blocks that nobody is to earn from.
const NOBODY: &str = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202";
/// How long anything that a test waits for may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A running bitcoind; it ends with this value.
pub(crate) struct Chain {
    bitcoind: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) rpc_port: u16,
    process: Child,
}

impl Chain {
    /// Starts a new chain. Without [`BITCOIND`] it says so loudly, and the test that asked is none.
    pub(crate) fn start() -> Option<Chain> {
        let Some(bitcoind) = std::env::var_os(BITCOIND).map(PathBuf::from) else {
            eprintln!(
                "NOT RUN: {BITCOIND} names no bitcoind. Run scripts/regtest, which builds one and runs this."
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let rpc_port = free_port();
        let process = Command::new(&bitcoind)
            .arg(format!("-datadir={}", folder.path().display()))
            .arg(format!("-rpcport={rpc_port}"))
            .args(["-regtest", "-server", "-listen=0", "-fallbackfee=0.0001", "-dbcache=4"])
            .stdout(Stdio::null())
            .spawn()
            .expect("GRIST_BITCOIND runs");
        let chain = Chain { bitcoind, folder, rpc_port, process };
        wait_for("bitcoind answers", || chain.ask(&["getblockcount"]).status.success());
        // Marks that a test really ran, for scripts/regtest.
        if let Some(marks) = std::env::var_os("GRIST_REGTEST_RAN") {
            std::fs::create_dir_all(&marks).unwrap();
            std::fs::write(Path::new(&marks).join(rpc_port.to_string()), "").unwrap();
        }
        Some(chain)
    }

    /// bitcoind's secret for callers on this machine.
    pub(crate) fn cookie(&self) -> PathBuf {
        self.folder.path().join("regtest/.cookie")
    }

    /// Mines blocks that nobody earns from.
    pub(crate) fn mine(&self, blocks: u32) {
        self.mine_to(NOBODY, blocks);
    }

    /// Mines blocks; each gives its miner 50 bitcoin, a hundred blocks later.
    pub(crate) fn mine_to(&self, address: &str, blocks: u32) {
        self.call(&["generatetoaddress", &blocks.to_string(), address]);
    }

    /// The height of the tip.
    pub(crate) fn height(&self) -> u32 {
        self.call(&["getblockcount"]).trim().parse().unwrap()
    }

    /// Transactions that wait for a block.
    pub(crate) fn mempool(&self) -> usize {
        let list: Vec<String> = serde_json::from_str(&self.call(&["getrawmempool"])).unwrap();
        list.len()
    }

    fn call(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        Command::new(self.bitcoind.with_file_name("bitcoin-cli"))
            .arg(format!("-datadir={}", self.folder.path().display()))
            .arg(format!("-rpcport={}", self.rpc_port))
            .arg("-regtest")
            .args(arguments)
            .output()
            .expect("bitcoin-cli stands beside bitcoind")
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Looks again and again until something holds; fails when it does not in time.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
