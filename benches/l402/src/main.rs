//! Tokens checked a second, beside `pymacaroons` on the same tokens; and what the layer adds to a route, beside the same
//! route without it.
//!
//! A check begins with the text of the header: it is decoded, its signature is computed, its caveats are read in order. The
//! peer decodes the same texts and verifies them with a predicate that accepts every caveat, so it does less.
//!
//! The routes answer with four bytes over one connection on loopback, which sends the next request when it has the answer to
//! the last one. Requests to the two routes alternate, so that whatever else the machine does hits both; both carry the same
//! headers. `PYMACAROONS_PYTHON` names a Python that has the peer.

mod routes;
mod tokens;

use report::{
    machine,
    table::{Table, per_second, span, verdict},
};
use std::{path::Path, time::Duration};

/// What the layer may add to p50 and to p99.
const AIM: Duration = Duration::from_micros(50);

fn main() -> anyhow::Result<()> {
    println!("l402: {}", machine::line(Path::new("/var/tmp")));
    let texts = tokens::made()?;
    let (ours, theirs) = (tokens::ours(&texts)?, tokens::theirs(&texts)?);
    let mut table = Table::new(["tokens checked, one thread", "pymacaroons", "grist", "ratio"]);
    let shown = theirs.map_or_else(|| "not here".to_owned(), per_second);
    table.row(["verify".into(), shown, per_second(ours), format!("{:.1}", ours / theirs.unwrap_or(f64::NAN))]);
    println!("{table}");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (free, paid) = runtime.block_on(routes::measured())?;
    let mut table = Table::new(["a request on loopback", "without the layer", "with it", "added", "ratio", "aim"]);
    for (name, per_mille) in [("p50", 500), ("p99", 990)] {
        let (free, paid) = (free.per_mille(per_mille), paid.per_mille(per_mille));
        let added = paid.saturating_sub(free);
        let ratio = format!("{:.2}", paid.as_secs_f64() / free.as_secs_f64());
        let aim = format!("≤ {}: {}", span(AIM), verdict(added <= AIM));
        table.row([name.into(), span(free), span(paid), span(added), ratio, aim]);
    }
    println!("{table}");
    println!("{} requests to each route", free.count());
    Ok(())
}
