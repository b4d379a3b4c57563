//! One route twice, with the layer and without.

use anyhow::{Context, ensure};
use axum::{Router, http::request::Parts, routing::get};
use market::units::{Msat, TimeMs};
use pay::{
    LightningNode, PayRequest, PaymentState,
    dev::DevNetwork,
    l402::{
        Credential, Token,
        server::{Charge, Gate, GateSettings, KeyFile, L402Layer, NodeTill, Product, UseLog},
    },
};
use report::samples::{Samples, Sorted};
use std::{sync::Arc, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const REQUESTS: usize = 40_000;
const WARM_UP: usize = 4_000;
const PRICE: Msat = Msat(5_000);
const NOW: TimeMs = TimeMs(1_750_000_000_000);

fn film() -> Product {
    Product {
        price: PRICE,
        capability: "watch".into(),
        path: Some("/paid".into()),
        lasts_ms: 3_600_000,
        max_uses: None,
        about: "a film".into(),
    }
}

/// Times of requests without the layer, and with it.
pub(crate) async fn measured() -> anyhow::Result<(Sorted, Sorted)> {
    let network = DevNetwork::new([4; 32], || NOW);
    let (seller, buyer) = (network.node("seller"), network.node("buyer"));
    network.issue(&buyer, Msat(1_000_000))?;
    let folder = tempfile::tempdir()?;
    let keys = KeyFile::open(&folder.path().join("keys.json"), NOW)?;
    let settings = GateSettings::new("films", "films.example");
    let gate = Gate::new(settings, NodeTill(Arc::new(seller)), keys, UseLog::in_memory(100), || NOW);
    let gate = Arc::new(gate);
    let authorization = bought(&gate, &buyer).await?;

    let price = |_: &Parts| Charge::Due { client: "bench".into(), product: film() };
    let router = Router::new()
        .route("/paid", get(|| async { "film" }))
        .route_layer(L402Layer::new(gate, price))
        .route("/free", get(|| async { "film" }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: {authorization}\r\n\r\n").into_bytes()
    };
    let (free_request, paid_request) = (request("/free"), request("/paid"));
    let (mut free, mut paid) = (Samples::default(), Samples::default());
    for turn in 0..WARM_UP + REQUESTS {
        for (request, samples) in [(&free_request, &mut free), (&paid_request, &mut paid)] {
            let started = Instant::now();
            ask(&mut connection, request).await?;
            if turn >= WARM_UP {
                samples.push(started.elapsed());
            }
        }
    }
    Ok((free.sorted(), paid.sorted()))
}

async fn bought(gate: &Gate, buyer: &pay::dev::DevNode) -> anyhow::Result<String> {
    let challenge = gate.challenge("bench", &film()).await?;
    let request = PayRequest { bolt11: challenge.invoice, amount: PRICE, max_fee: Msat(5_000) };
    let PaymentState::Succeeded { preimage, .. } = buyer.pay(request).await? else {
        anyhow::bail!("play money does not arrive");
    };
    let credential = Credential { token: Token::from_base64(&challenge.token)?, preimage: Some(preimage) };
    credential.authorization().context("it was paid")
}

/// Sends a request and reads the whole answer: it ends with the body, which is known.
async fn ask(connection: &mut TcpStream, request: &[u8]) -> anyhow::Result<()> {
    connection.write_all(request).await?;
    let (mut answer, mut length) = ([0; 1_024], 0);
    while !answer[..length].ends_with(b"\r\n\r\nfilm") {
        let read = connection.read(&mut answer[length..]).await?;
        ensure!(read > 0, "the server hung up after {}", String::from_utf8_lossy(&answer[..length]));
        length += read;
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    Ok(())
}
