//! `grist demo`: the whole market on this machine.
//!
//! A market in this process, four providers in processes of their own, a buyer that orders the example job. One provider
//! lies and one is killed; in the end the frames are checked against a run of the buyer's own, and the books to the
//! millisatoshi.

mod books;
mod cast;
mod crew;
mod film;
mod provider;
mod recheck;
mod stage;
mod story;

pub(crate) use provider::{DemoProviderArgs, run as run_provider};

use crate::{
    exit::{Exit, Failure},
    output::{Output, Tone, table},
};
use books::Books;
use cast::{BUYER, CAST, Part};
use clap::Args;
use crew::Crew;
use film::FilmError;
use indicatif::{ProgressBar, ProgressStyle};
use market::{
    event::{JobOutcome, TaskOutcome},
    id::{Digest, JobId, PartyId},
    matching::PriceText,
    receipt::Receipt,
    units::Msat,
};
use node::{
    api::{PlacedEvent, TaskView},
    buyer::{Buyer, JobFile, News, PreparedJob},
};
use runner::OutputBundle;
use serde::Serialize;
use stage::Stage;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use story::{Cue, Story};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The example job, in the program itself, so that the demo needs no files.
const JOB_FILES: [(&str, &[u8]); 4] = [
    ("job.toml", include_bytes!("../../../examples/pathtrace/job.toml")),
    ("pathtrace.wasm", include_bytes!("../../../examples/pathtrace/pathtrace.wasm")),
    ("scene/mill.obj", include_bytes!("../../../examples/pathtrace/scene/mill.obj")),
    ("scene/mill.mtl", include_bytes!("../../../examples/pathtrace/scene/mill.mtl")),
];
/// The largest output bundle of a frame, in bytes.
const BUNDLE_MAX_BYTES: usize = 64 << 20;
/// When nothing at all has happened at the market for so long, nothing will: a task of the example has two minutes.
const QUIET_MAX: Duration = Duration::from_secs(180);

/// `grist demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the market running at the end, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where the frames and the film go
    #[arg(long, value_name = "DIR", default_value = "grist-demo")]
    pub(crate) out: PathBuf,
    /// How many frames to render
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=360))]
    pub(crate) frames: u32,
}

/// What the demo prints with `--json`.
#[derive(Serialize)]
struct Summary {
    job: JobId,
    outcome: JobOutcome,
    frames: usize,
    frames_checked: usize,
    seconds: u64,
    books: Books,
    receipt: PathBuf,
    apng: PathBuf,
    gif: PathBuf,
}

/// Runs the demo. What its processes wrote is kept only when it goes wrong.
pub(crate) async fn run(args: &DemoArgs, output: &Output) -> Result<(), Failure> {
    let unexpected = |e: std::io::Error| Failure::of(Exit::Unexpected, e).during("the demo's folder");
    std::fs::create_dir_all(&args.out).map_err(unexpected)?;
    let scratch = tempfile::tempdir().map_err(unexpected)?;
    let played = play(args, scratch.path(), output).await;
    if played.is_err() {
        output.note(&format!("\nThe logs of the demo's processes are in {}", scratch.keep().display()));
    }
    played
}

async fn play(args: &DemoArgs, scratch: &Path, output: &Output) -> Result<(), Failure> {
    let started = Instant::now();
    heading(output, "The market");
    let mut stage = Stage::set(scratch, output).await?;
    show_offers(&stage, output).await?;
    let prepared = prepare(args, &args.out.join("job"))?;
    let buyer = Buyer::new(stage.market().clone(), stage.buyer()?.clone(), &scratch.join("orders"))?;
    heading(output, "The job");
    let placed = order(&buyer, &prepared, output).await?;
    let bundles = args.out.join("bundles");
    let (outcome, insured) = watch(&mut stage, &buyer, placed, &prepared, &bundles, output).await?;

    heading(output, "The settlement");
    let tasks = stage.market().tasks(stage.buyer()?, placed).await?;
    let receipt_file = args.out.join("receipt.json");
    let receipt = take_receipt(&stage, placed, &receipt_file).await?;
    let books = Books::draw_up(&stage, &receipt, insured).await?;
    books.print(output, &receipt)?;
    books.check()?;
    if outcome != JobOutcome::Completed {
        return Err(Failure::new(
            Exit::Incomplete,
            format!("the job ended as {outcome:?}, not every frame is there"),
        ));
    }

    heading(output, "The film");
    let pictures = collect_frames(args, &bundles, &tasks)?;
    let checked = check_frames(&prepared, &tasks, output).await?;
    let (apng, gif) = (args.out.join("turntable.png"), args.out.join("turntable.gif"));
    write_film(&pictures, &apng, &gif)?;
    output.text(&format!("  {} frames, each run again by the buyer: every byte is right", checked))?;
    output.text(&format!("  {}  (animated PNG)\n  {}  (animated GIF)", apng.display(), gif.display()))?;
    output.text(&format!(
        "  {}  (the receipt: `grist receipt verify` checks it offline)",
        receipt_file.display()
    ))?;
    let seconds = started.elapsed().as_secs();
    output.text(&format!("\nDone in {seconds} s, with play money."))?;
    let frames = tasks.len();
    output.json_line(&Summary {
        job: placed,
        outcome,
        frames,
        frames_checked: checked,
        seconds,
        books,
        receipt: receipt_file,
        apng,
        gif,
    })?;
    if args.keep {
        output
            .note(&format!("\nThe market stays at {} until Ctrl-C: open it in a browser.", stage.address()));
        tokio::signal::ctrl_c().await.map_err(|e| Failure::of(Exit::Unexpected, e))?;
    }
    stage.strike().await
}

fn heading(output: &Output, text: &str) {
    output.note(&format!("\n{}", output.tone(Tone::Strong, text)));
}

async fn show_offers(stage: &Stage, output: &Output) -> Result<(), Failure> {
    let mut offers = stage.wait_for_offers().await?;
    offers.sort_by_key(|offer| offer.terms.rate.msat);
    let rows = offers.iter().map(|offer| {
        vec![
            format!("  {}", offer.party_label),
            offer.terms.class.to_string(),
            PriceText(&offer.terms.rate).to_string(),
            offer.bond_msat.to_string(),
            if offer.is_unvetted { "new".into() } else { format!("{} ppm", offer.reputation_ppm) },
        ]
    });
    output.note(
        table(["  provider", "declares", "asks", "bond", "reputation"], rows.collect::<Vec<_>>()).trim_end(),
    );
    output.note("  (all four run on this computer; classes are what they say of themselves)");
    Ok(())
}

/// Writes the example job into a folder and reads it as any buyer's job is read.
fn prepare(args: &DemoArgs, folder: &Path) -> Result<PreparedJob, Failure> {
    let failed = |e: std::io::Error| Failure::of(Exit::Unexpected, e).during(folder.display());
    for (name, content) in JOB_FILES {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap_or(folder)).map_err(failed)?;
        std::fs::write(&file, content).map_err(failed)?;
    }
    let text = std::str::from_utf8(JOB_FILES[0].1).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    let mut job = JobFile::parse(text).map_err(|e| Failure::of(Exit::BadInput, e))?;
    let before = job.tasks.max(1);
    job.tasks = args.frames;
    // The budget grows with the film.
    job.max_price.0 = job.max_price.0.times(args.frames.div_ceil(before).into()).unwrap_or(job.max_price.0);
    job.prepare(folder).map_err(|e| Failure::of(Exit::BadInput, e))
}

async fn order(buyer: &Buyer, prepared: &PreparedJob, output: &Output) -> Result<JobId, Failure> {
    buyer.upload(prepared, |_, _| {}).await?;
    let placed = buyer.place(prepared).await?;
    output.note(&format!(
        "  {BUYER} orders {} frames as {}: at most {}, {} in all, two parties have to agree on each",
        prepared.spec.tasks,
        placed.job,
        PriceText(&prepared.terms.ceiling),
        prepared.terms.budget_msat
    ));
    Ok(placed.job)
}

/// Follows the job, tells its story, and kills the provider that is to die once the liar is caught.
async fn watch(
    stage: &mut Stage,
    buyer: &Buyer,
    job: JobId,
    prepared: &PreparedJob,
    bundles: &Path,
    output: &Output,
) -> Result<(JobOutcome, Msat), Failure> {
    let (send, news) = unbounded_channel();
    let following = {
        let (buyer, bundles) = (buyer.clone(), bundles.to_owned());
        // When nobody listens any more the demo has ended already.
        tokio::spawn(
            async move { buyer.follow(job, Some(&bundles), move |item| drop(send.send(item))).await },
        )
    };
    let script = Arc::new(stage.script());
    let mut story = Story::new(output, &script, prepared.spec.tasks);
    let told = tell(stage, &mut story, news).await;
    story.end();
    if told.is_err() {
        following.abort();
    }
    told?;
    let outcome = following.await.map_err(|e| Failure::of(Exit::Unexpected, e))??;
    Ok((outcome, story.insured))
}

/// Tells the story to its end: the job is over, or nobody is left to go on with it.
async fn tell(
    stage: &mut Stage,
    story: &mut Story<'_>,
    mut news: UnboundedReceiver<News>,
) -> Result<(), Failure> {
    let of = |part: Part| {
        CAST.iter().find(|player| player.part == part).map(|player| player.name).unwrap_or_default()
    };
    let (liar, victim) = (stage.party_of(of(Part::WrongResults))?, stage.party_of(of(Part::Dies))?);
    let mut fate = Fate { liar, victim, is_liar_caught: false, is_victim_dead: false };
    let mut crew = Crew::new(stage.script().machines());
    loop {
        let quiet = |_| stuck("nothing has happened at the market for three minutes");
        let heard = tokio::time::timeout(QUIET_MAX, next_event(&mut news)).await.map_err(quiet)?;
        let Some(event) = heard else { return Ok(()) };
        crew.hear(&event.event);
        let cue = story.tell(&event.event);
        if crew.has_left() {
            return Err(stuck("every lease has ended and no provider is left that could take the rest"));
        }
        if cue.is_some_and(|cue| fate.strikes(cue)) {
            story.tell_of_kill(victim);
            stage.kill(victim).await?;
        }
    }
}

/// What happens next at the market; `None` when the job is no longer followed.
async fn next_event(news: &mut UnboundedReceiver<News>) -> Option<Box<PlacedEvent>> {
    loop {
        if let News::Event(event) = news.recv().await? {
            return Some(event);
        }
    }
}

/// The demo cannot go on.
fn stuck(why: &str) -> Failure {
    Failure::new(
        Exit::Incomplete,
        format!(
            "the demo cannot finish: {why}. A computer that is too busy to start them in time is the usual reason: end other \
             programs and try again"
        ),
    )
}

/// When the victim is killed: in the middle of a task, after the liar was caught.
struct Fate {
    liar: PartyId,
    victim: PartyId,
    is_liar_caught: bool,
    is_victim_dead: bool,
}

impl Fate {
    fn strikes(&mut self, cue: Cue) -> bool {
        match cue {
            Cue::Convicted(party) => {
                self.is_liar_caught |= party == self.liar;
                false
            }
            Cue::Working(party) => {
                let strikes = party == self.victim && self.is_liar_caught && !self.is_victim_dead;
                self.is_victim_dead |= strikes;
                strikes
            }
            Cue::Settled => false,
        }
    }
}

/// Fetches the receipt, keeps it, and checks it.
async fn take_receipt(stage: &Stage, job: JobId, file: &Path) -> Result<Receipt, Failure> {
    let receipt = stage.market().receipt(stage.buyer()?, job).await?;
    let receipt = receipt.ok_or_else(|| Failure::new(Exit::Unexpected, "the market gives no receipt"))?;
    let text = serde_json::to_string_pretty(&receipt).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    std::fs::write(file, text).map_err(|e| Failure::of(Exit::Unexpected, e).during(file.display()))?;
    receipt.verify(Some(&stage.market().venue())).map_err(|e| Failure::of(Exit::NotVerified, e))?;
    Ok(receipt)
}

/// Takes the frames out of their bundles, writes them down, and reads them.
fn collect_frames(
    args: &DemoArgs,
    bundles: &Path,
    tasks: &[TaskView],
) -> Result<Vec<film::Picture>, Failure> {
    let folder = args.out.join("frames");
    let failed = |e: std::io::Error| Failure::of(Exit::Unexpected, e).during(folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let mut pictures = Vec::new();
    for task in tasks {
        let Some(TaskOutcome::Done { result, .. }) = task.outcome else {
            return Err(Failure::new(Exit::Incomplete, format!("frame {} is missing", task.task)));
        };
        let bytes = std::fs::read(bundles.join(format!("task-{:06}.bundle", task.task))).map_err(failed)?;
        let not_verified = |text: String| Failure::new(Exit::NotVerified, text);
        if Digest::of(&bytes) != result.output {
            return Err(not_verified(format!("frame {} is not what its digest says", task.task)));
        }
        let bundle =
            OutputBundle::decode(&bytes, BUNDLE_MAX_BYTES).map_err(|e| not_verified(e.to_string()))?;
        for (name, content) in &bundle.files {
            pictures.push(film::decode(name, content).map_err(|e: FilmError| not_verified(e.to_string()))?);
        }
        bundle.extract(&folder).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    }
    Ok(pictures)
}

/// Runs every frame again.
async fn check_frames(prepared: &PreparedJob, tasks: &[TaskView], output: &Output) -> Result<usize, Failure> {
    let mut blobs: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
    for (digest, file) in &prepared.blobs {
        let bytes =
            std::fs::read(file).map_err(|e| Failure::of(Exit::Unexpected, e).during(file.display()))?;
        blobs.insert(*digest, bytes.into());
    }
    let bar = output.bars().add(ProgressBar::new(tasks.len() as u64));
    let style = ProgressStyle::with_template(
        "  checking {bar:32.green} {pos:>3}/{len} run again by the buyer  {elapsed}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌"));
    let (spec, tasks) = (prepared.spec.clone(), tasks.to_vec());
    let shown = bar.clone();
    let count = tasks.len();
    let checked = tokio::task::spawn_blocking(move || recheck::recheck(&spec, &blobs, &tasks, &shown)).await;
    bar.finish_and_clear();
    checked.map_err(|e| Failure::of(Exit::Unexpected, e))??;
    Ok(count)
}

fn write_film(pictures: &[film::Picture], apng: &Path, gif: &Path) -> Result<(), Failure> {
    film::write_apng(apng, pictures)
        .and_then(|()| film::write_gif(gif, pictures))
        .map_err(|e| Failure::of(Exit::Unexpected, e))
}
