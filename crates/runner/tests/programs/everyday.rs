// Uses the system the way Rust programs do, and says what it saw.
use std::{collections::HashMap, fs, io::Read, time::{Duration, Instant, SystemTime}};

fn main() {
    println!("args {:?}, NAME {:?}", std::env::args().collect::<Vec<_>>(), std::env::var("NAME"));
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    println!("stdin: {text}");
    for entry in fs::read_dir("/in").unwrap() {
        let entry = entry.unwrap();
        println!("{} {:?}", entry.path().display(), entry.metadata().unwrap().len());
    }
    println!("input: {}", fs::read_to_string("/in/meshes/cube.obj").unwrap());
    fs::create_dir_all("/out/a/b/c").unwrap();
    fs::write("/out/a/b/c/file", "content").unwrap();
    fs::copy("/out/a/b/c/file", "/out/copy").unwrap();
    fs::rename("/out/copy", "/out/moved").unwrap();
    fs::write("/out/gone", "x").unwrap();
    fs::remove_file("/out/gone").unwrap();
    println!("exists: {}", fs::exists("/out/moved").unwrap());
    println!("host: {:?}", fs::read("/etc/passwd").map_err(|error| error.kind()));
    println!("input: {:?}", fs::write("/in/apple", "x").map_err(|error| error.kind()));
    println!("network: {:?}", std::net::TcpStream::connect("127.0.0.1:80").map(drop).map_err(|error| error.kind()));
    println!("thread: {:?}", std::thread::Builder::new().spawn(|| ()).map(drop).map_err(|error| error.kind()));
    let mut map = HashMap::new();
    map.extend((0..5).map(|number| (number, ())));
    println!("hash order {:?}", map.keys().collect::<Vec<_>>());
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(60));
    println!("slept {}", start.elapsed().as_secs());
    println!("since 1970: {}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
    std::process::exit(3);
}
