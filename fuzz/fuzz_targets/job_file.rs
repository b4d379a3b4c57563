//! Any text as a job file: it is refused with words, or it becomes a job and terms without a flaw.
#![no_main]

use libfuzzer_sys::fuzz_target;
use node::buyer::JobFile;
use std::{path::PathBuf, sync::LazyLock};

/// A folder with a module, instead of the files that the text names: those could be any on this machine.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join("grist-fuzz-job-file");
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    std::fs::write(folder.join("module.wasm"), b"\0asm\x01\0\0\0").expect("it was just made");
    folder
});

fuzz_target!(|text: &str| {
    let mut job = match JobFile::parse(text) {
        Ok(job) => job,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    job.module = "module.wasm".into();
    (job.stdin, job.input_folder, job.inputs) = (None, None, Vec::new());
    match job.prepare(&FOLDER) {
        Ok(prepared) => {
            assert_eq!((prepared.spec.flaw(), prepared.terms.flaw()), (None, None));
            assert_eq!(prepared.terms.budget_msat, job.max_price.0);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
