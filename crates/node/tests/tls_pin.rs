//! TLS: a market proves its key, another market cannot take its place, and nothing leaves the machine unencrypted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use node::{
    client::{ClientError, Market},
    http::{MarketConfig, ServeError, Tls, TlsError, serve},
};
use std::{net::SocketAddr, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn the_address_pins_the_venues_key() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let config = |n: usize| MarketConfig { tls: Tls::VenueKey, ..MarketConfig::new(folders[n].path()) };
    let (one, other) = (serve(config(0)).await.unwrap(), serve(config(1)).await.unwrap());
    assert_eq!(one.address(), format!("grist://{}@{}", one.venue(), one.listen()));

    let market = Market::connect(one.address()).await.unwrap();
    assert_eq!(market.info().await.unwrap().key, one.venue());
    let swapped = format!("grist://{}@{}", one.venue(), other.listen()).parse().unwrap();
    let refused = Market::connect_to(swapped, Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().to_lowercase().contains("certificate"), "{refused}");
    let plain = reqwest::get(format!("http://{}/v1/venue", one.listen())).await;
    assert!(plain.is_err(), "a TLS port answered without TLS");
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_off_loopback_does_not_start_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let open = MarketConfig { listen, tls: Tls::Off, ..MarketConfig::new(folder.path()) };
    let refused = serve(open).await.unwrap_err();
    assert!(matches!(refused, ServeError::Tls(TlsError::Unencrypted(_))), "{refused}");
    let secured =
        MarketConfig { listen, public_host: Some("127.0.0.1".into()), ..MarketConfig::new(folder.path()) };
    let running = serve(secured).await.unwrap();
    assert!(running.address().starts_with("grist://"), "{}", running.address());
    assert!(Market::connect(running.address()).await.is_ok());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_certificate_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::Files { certificates: "/nowhere/chain.pem".into(), key: "/nowhere/key.pem".into() };
    let refused = serve(MarketConfig { tls, ..MarketConfig::new(folder.path()) }).await.unwrap_err();
    assert!(refused.to_string().contains("/nowhere/chain.pem"), "{refused}");
}
