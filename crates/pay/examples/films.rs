//! A film behind L402, in an axum router of one's own, sold for play money.
//!
//! ```text
//! cargo run -p pay --features l402-server --example films -- [HOST:PORT]
//! curl -i http://127.0.0.1:…/films/a          402, a token and an invoice
//! curl -d INVOICE http://127.0.0.1:…/pay      what a wallet would do: pays, and prints the preimage
//! curl -H 'Authorization: L402 TOKEN:PREIMAGE' http://127.0.0.1:…/films/a
//! ```
//!
//! `/films` is the list, and free. The first line printed says, in JSON, where it listens and where its root keys are.

use axum::{
    Router,
    extract::{ConnectInfo, Path, State},
    http::{StatusCode, request::Parts},
    routing::{get, post},
};
use data_encoding::HEXLOWER;
use market::units::{Msat, TimeMs};
use pay::{
    LightningNode, PayRequest, PaymentState,
    dev::{DevNetwork, DevNode},
    l402::server::{Charge, Gate, GateSettings, KeyFile, L402Layer, NodeTill, Product, UseLog},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

const PRICE: Msat = Msat(5_000);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let network = DevNetwork::new([4; 32], now);
    let (seller, wallet) = (network.node("cinema"), network.node("viewer"));
    network.issue(&wallet, Msat(1_000_000_000))?;

    let folder = tempfile::tempdir()?;
    let keys = folder.path().join("keys.json");
    let gate = Gate::new(
        GateSettings::new("films", "films.example"),
        NodeTill(Arc::new(seller)),
        KeyFile::open(&keys, now())?,
        UseLog::open(&folder.path().join("uses.log"), 10_000, now())?,
        now,
    );
    let films = Router::new()
        .route("/films/{name}", get(watch).post(watch))
        .route_layer(L402Layer::new(Arc::new(gate), price));
    let router = films
        .route("/films", get(|| async { "a\nb\nonce\n" }))
        .route("/pay", post(pay))
        .with_state(wallet)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!(
        "{}",
        serde_json::json!({ "address": format!("http://{}", listener.local_addr()?), "keys": keys })
    );
    Ok(axum::serve(listener, router).await?)
}

fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Every film costs the same. The one that is called `once` can be seen once.
fn price(request: &Parts) -> Charge {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    let name = request.uri.path().rsplit('/').next().unwrap_or_default();
    Charge::Due {
        client: peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_string()),
        product: Product {
            price: PRICE,
            capability: "watch".to_owned(),
            path: Some(request.uri.path().to_owned()),
            lasts_ms: 3_600_000,
            max_uses: (name == "once").then_some(1),
            about: format!("the film {name}"),
        },
    }
}

async fn watch(Path(name): Path<String>) -> String {
    format!("the film {name}\n")
}

/// The viewer's wallet.
async fn pay(State(wallet): State<DevNode>, bolt11: String) -> (StatusCode, String) {
    let request = PayRequest { bolt11: bolt11.trim().to_owned(), amount: PRICE, max_fee: Msat(5_000) };
    match wallet.pay(request).await {
        Ok(PaymentState::Succeeded { preimage, .. }) => (StatusCode::OK, HEXLOWER.encode(&preimage.0)),
        other => (StatusCode::BAD_REQUEST, format!("{other:?}")),
    }
}
