//! The command as a task runs it.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn shipped_scene() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scene/mill.obj")
}

fn pathtrace(scene: &Path, frame: &str, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pathtrace"))
        .args(["--frame", frame, "--frames", "24", "--width", "60", "--height", "44"])
        .arg("--scene")
        .arg(scene)
        .arg("--out")
        .arg(out)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_same_frame_twice_is_the_same_to_the_byte_and_another_frame_is_not() {
    let folder = folder("twice");
    let [first, second, other] =
        [("7", "a-###.png"), ("7", "b-###.png"), ("8", "a-###.png")].map(|(frame, name)| {
            let output = pathtrace(&shipped_scene(), frame, &folder.join(name));
            assert!(output.status.success(), "{}", text(&output.stderr));
            let path = folder.join(name.replace("###", &format!("00{frame}")));
            std::fs::read(path).expect("the frame is written")
        });
    assert!(first == second);
    assert!(first != other);
}

#[test]
fn the_frame_is_a_picture_of_the_asked_size_that_is_neither_black_nor_white() {
    let out = folder("size").join("frame-0003.png");
    let output = pathtrace(&shipped_scene(), "3", &out);
    let summary = text(&output.stdout);
    assert!(summary.starts_with("frame 3 of 24: ") && summary.contains(" triangles, "), "{summary}");
    assert_eq!(summary.lines().count(), 1);
    let file = std::io::BufReader::new(std::fs::File::open(out).expect("the frame is written"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    assert_eq!(reader.info().size(), (60, 44));
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    reader.next_frame(&mut pixels).expect("a whole picture");
    let mean = pixels.iter().map(|&byte| u32::from(byte)).sum::<u32>() / pixels.len() as u32;
    assert!((60..200).contains(&mean), "mean level {mean}");
}

#[test]
fn a_bad_mesh_ends_with_code_2_and_its_line() {
    let folder = folder("bad");
    let scene = folder.join("bad.obj");
    std::fs::write(&scene, "v 0 0 0\nv 1 0 0\nf 1 2 7\n").expect("a file for the test");
    let output = pathtrace(&scene, "0", &folder.join("out.png"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bad.obj:3: vertex 7 does not exist: 2 are defined so far"));
}

#[test]
fn a_missing_mesh_and_wrong_arguments_end_with_code_2() {
    let folder = folder("arguments");
    let output = pathtrace(&folder.join("absent.obj"), "0", &folder.join("out.png"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("absent.obj"));
    let output = pathtrace(&shipped_scene(), "24", &folder.join("out.png"));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "pathtrace: --frame 24 must be less than --frames 24; see --help\n");
    let output = pathtrace(&shipped_scene(), "x", &folder.join("out.png"));
    assert!(text(&output.stderr).contains("--frame must be a whole number from 0 to 4294967295, not `x`"));
}

#[test]
fn a_frame_that_cannot_be_written_ends_with_code_1() {
    let output = pathtrace(&shipped_scene(), "0", &folder("write").join("no/such/folder.png"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write "));
}
