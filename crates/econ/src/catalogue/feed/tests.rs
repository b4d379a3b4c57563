//! Feeds read, and refused.

use super::*;
use jiff::civil::date;
use proptest::prelude::*;

const TODAY: Date = date(2026, 11, 20);
const FEED: &str = "\
kind,name,seller,price,low,high,currency,fee_rate,as_of
market,RTX-4090,Vast.ai,0.18,0.14,0.41,usd,0.15,2026-11-19
market,A100,Bee,900,,,sat,,2026-11-19
cloud,H100-SXM-80,Hill Cloud,0.02,,,TAO,,2026-11-19
tariff,Vermont,,0.22,,,USDC,,2026-11
token,BTC,,90000,,,usd,,2026-11-20
token,TAO,,300,,,usd,,2026-11-20
";

fn read(text: &str) -> Result<Refresh, TableError> {
    refresh(text, "my feed", &Catalogue::embedded().unwrap(), &Overlay::default(), TODAY)
}

#[test]
fn prices_become_dollars_by_the_feeds_own_rates() {
    let refreshed = read(FEED).unwrap();
    let rows = &refreshed.stored.rows;
    assert_eq!(rows.market_prices[0].usd_median.map(|usd| usd.to_string()), Some("$0.18".into()));
    assert_eq!(rows.market_prices[1].usd_low.to_string(), "$0.81");
    assert_eq!(rows.cloud_prices[0].gpu_usd_per_hour.to_string(), "$6.00");
    assert_eq!(rows.tariffs[0].usd_per_kwh.to_string(), "$0.22");
    insta::assert_snapshot!(refreshed.notes().join("\n"), @"6 rows: 6 added, 0 updated, 0 unchanged, 0 older.");
}

#[test]
fn the_same_feed_again_changes_nothing_and_an_older_one_is_left_out() {
    let catalogue = Catalogue::embedded().unwrap();
    let first = read(FEED).unwrap();
    let again = refresh(FEED, "my feed", &catalogue, &first.stored, TODAY).unwrap();
    assert_eq!(again.count(ChangeKind::Unchanged), 6);
    assert_eq!(again.stored, first.stored);
    let older = FEED.replace("2026-11-19", "2026-11-18").replace("0.18", "0.16");
    let older = refresh(&older, "my feed", &catalogue, &first.stored, TODAY).unwrap();
    assert_eq!(older.count(ChangeKind::Older), 3);
    assert_eq!(older.stored, first.stored);
    let newer = FEED.replace("2026-11-19", "2026-11-20").replace("0.18", "0.20");
    let newer = refresh(&newer, "my feed", &catalogue, &first.stored, TODAY).unwrap();
    assert_eq!(newer.count(ChangeKind::Updated), 3);
}

#[test]
fn a_json_feed_says_the_same_as_a_csv_feed() {
    let json = r#"{"source": "my feed", "as_of": "2026-11-19", "currency": "usd", "prices": [
        {"kind": "market", "name": "RTX-4090", "seller": "Vast.ai", "price": 0.18, "low": 0.14, "high": 0.41,
         "fee_rate": 0.15},
        {"kind": "market", "name": "A100", "seller": "Bee", "price": 900, "currency": "sat"},
        {"kind": "cloud", "name": "H100-SXM-80", "seller": "Hill Cloud", "price": "0.02", "currency": "TAO"},
        {"kind": "tariff", "name": "Vermont", "price": 0.22, "currency": "USDC", "as_of": "2026-11"},
        {"kind": "token", "name": "BTC", "price": 90000, "as_of": "2026-11-20"},
        {"kind": "token", "name": "TAO", "price": 300, "as_of": "2026-11-20"}]}"#;
    assert_eq!(read(json).unwrap().stored, read(FEED).unwrap().stored);
}

#[test]
fn what_is_wrong_with_a_feed_is_said() {
    let head = "kind,name,seller,price,currency,as_of\n";
    let errors: Vec<String> = [
        &format!("{head}market,A100,Bee,0.9,,2026-11-19"),
        &format!("{head}market,A100,Bee,0.9,GRIST,2026-11-19"),
        &format!("{head}market,A100,Bee,-1,usd,2026-11-19"),
        &format!("{head}market,A100,Bee,0.9,usd,2026-11-22"),
        &format!("{head}market,A100,,0.9,usd,2026-11-19"),
        &format!("{head}gpu,A100,Bee,0.9,usd,2026-11-19"),
        "kind,name,seller,price,as_of\nmarket,A100,Bee,0.9,2026-11-19",
        "kind,name,seler,price,currency,as_of\nmarket,A100,Bee,0.9,usd,2026-11-19",
        "[{\"kind\": \"tariff\", \"name\": \"Vermont\", \"price\": 1e400, \"currency\": \"usd\", \"as_of\": \"2026-11\"}]",
        "{\"rates\": 1}",
        "[{\"kind\": \"tariff\", \"name\": \"Vermont\", \"price\": 1, \"as_of\": \"2026-11-19\"}]",
        "kind,name,price,currency,as_of\nmarket,A100,0.9,usd,2026-11-19",
        "kind,name,seller,currency,as_of\nmarket,A100,Bee,usd,2026-11-19",
    ]
    .iter()
    .map(|text| read(text).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
feed, line 2: currency is ``; it takes the currency of the price: usd, usdc, btc, sat, msat or a token
feed, line 2: the catalogue has no price of the token `GRIST`; it has: TAO; give its price in prices.toml as [token.SYMBOL]
feed, line 2: price is `-1`; it takes a number from 0 to below 10^15
market-prices, line 2: as_of is `2026-11-22`; it takes a day that has come somewhere on earth: up to 2026-11-21
market-prices, line 2: network is ``; it takes words, at least one, up to 400 bytes, without control characters
feed, line 2: kind is `gpu`; it takes cloud, market, tariff or token
feed, line 1: the column `currency` is missing; the table has kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source
feed, line 1: there is no column `seler`; did you mean `seller`?
feed, entry 1: price is `1e400`; it takes a number from 0 to below 10^15
feed: no JSON feed, which is a list of prices or {"prices": [...]}: unknown field `rates`, expected one of `source`, `as_of`, `currency`, `prices` at line 1 column 8
feed, entry 1: the column `currency` is missing; the table has kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source
feed, line 1: the column `seller` is missing; the table has kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source
feed, line 1: the column `price` is missing; the table has kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source
"#);
}

#[test]
fn a_text_without_prices_is_no_refresh() {
    let texts = [
        "<html>login</html>",
        "<!DOCTYPE html>\n<title>Sign in, please</title>\n",
        "null",
        "\"\u{1b}[2J\"",
        "",
        "[]",
        "{\"prices\": []}",
        "kind,name,seller,price,currency,as_of\n",
    ];
    let errors = texts.map(|text| read(text).unwrap_err().to_string());
    insta::assert_snapshot!(errors.join("\n"), @r#"
feed: no feed, which is CSV whose first line names the columns kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source, or JSON: a list of prices or {"prices": [...]}; this begins with `<html>login</html>`
feed: no feed, which is CSV whose first line names the columns kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source, or JSON: a list of prices or {"prices": [...]}; this begins with `<!DOCTYPE html>�<title>Sign in, please</title>�`
feed: no feed, which is CSV whose first line names the columns kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source, or JSON: a list of prices or {"prices": [...]}; this begins with `null`
feed: no feed, which is CSV whose first line names the columns kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source, or JSON: a list of prices or {"prices": [...]}; this begins with `"�[2J"`
feed: no feed, which is CSV whose first line names the columns kind, name, seller, terms, price, low, high, currency, fee_rate, as_of, source, or JSON: a list of prices or {"prices": [...]}; this begins with ``
feed: it has no prices; a feed has at least one row
feed: it has no prices; a feed has at least one row
feed: it has no prices; a feed has at least one row
"#);
}

#[test]
fn a_token_is_not_priced_in_itself() {
    let texts = [
        "token,TAO,2,TAO,2026-11-20",
        "token,tao,2,Tao,2026-11-20",
        "token,BTC,2,btc,2026-11-20",
        "token,BTC,100000,sat,2026-11-20",
        "token,xbt,1,msat,2026-11-20",
        "token,USDC,1,usdc,2026-11-20",
        "token,ONE,2,TWO,2026-11-20\ntoken,TWO,2,ONE,2026-11-20",
        "token,BTC,300,TAO,2026-11-20\ntoken,TAO,300000,sat,2026-11-20",
    ];
    let errors =
        texts.map(|rows| read(&format!("kind,name,price,currency,as_of\n{rows}\n")).unwrap_err().to_string());
    insta::assert_snapshot!(errors.join("\n"), @r#"
feed, line 2: the price of `TAO` is in TAO, which is the token itself; give it in usd or in another token
feed, line 2: the price of `tao` is in TAO, which is the token itself; give it in usd or in another token
feed, line 2: the price of `BTC` is in btc, which is the token itself; give it in usd or in another token
feed, line 2: the price of `BTC` is in sat, which is the token itself; give it in usd or in another token
feed, line 2: the price of `xbt` is in msat, which is the token itself; give it in usd or in another token
feed, line 2: the price of `USDC` is in USDC, which is the token itself; give it in usd or in another token
feed, line 2: ONE, TWO are priced in one another; give one of them in usd
feed, line 2: BTC, TAO are priced in one another; give one of them in usd
"#);
}

#[test]
fn tokens_that_two_feeds_price_in_one_another_are_refused() {
    let head = "kind,name,price,currency,as_of\n";
    let catalogue = Catalogue::embedded().unwrap();
    let then = |stored: &Overlay, rows: &str, source: &str| {
        refresh(&format!("{head}{rows}\n"), source, &catalogue, stored, TODAY)
    };
    let usd = then(&Overlay::default(), "token,ONE,3,usd,2026-11-18", "one").unwrap().stored;
    let first = then(&usd, "token,TWO,2,ONE,2026-11-19", "two").unwrap().stored;
    let circle = then(&first, "token,ONE,0.5,TWO,2026-11-20", "one").unwrap_err().to_string();
    insta::assert_snapshot!(circle, @"feed, line 2: with what other feeds said, ONE is priced in itself (ONE in TWO in ONE); give one of them in usd");
    assert!(then(&first, "token,ONE,4,usd,2026-11-20", "one").is_ok(), "a price in dollars ends it");

    let first = then(&Overlay::default(), "token,TAO,300000,sat,2026-11-19", "tao").unwrap().stored;
    let circle = then(&first, "token,BTC,300,TAO,2026-11-20", "btc").unwrap_err().to_string();
    insta::assert_snapshot!(circle, @"feed, line 2: with what other feeds said, BTC is priced in itself (BTC in TAO in BTC); give one of them in usd");
}

#[test]
fn a_token_priced_in_another_follows_the_feeds_own_rate() {
    let feed = "kind,name,price,currency,as_of\n\
        token,ONE,2,TAO,2026-11-20\n\
        token,TAO,0.005,btc,2026-11-20\n\
        token,BTC,100000,usd,2026-11-20\n";
    let first = read(feed).unwrap();
    let price = |token: &str| {
        let row = first.stored.rows.tokens.iter().find(|row| row.token == token).unwrap();
        row.usd.to_string()
    };
    assert_eq!((price("TAO"), price("ONE")), ("$500.00".to_owned(), "$1000.00".to_owned()));
    let catalogue = Catalogue::embedded().unwrap();
    assert_eq!(refresh(feed, "my feed", &catalogue, &first.stored, TODAY).unwrap().stored, first.stored);
}

#[test]
fn a_token_that_a_feed_prices_twice_is_refused_also_in_two_currencies() {
    let rows = "token,TAO,300,usd,2026-11-20\ntoken,TAO,0.005,btc,2026-11-20\ntoken,BTC,90000,usd,2026-11-20";
    let error = read(&format!("kind,name,price,currency,as_of\n{rows}\n")).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"tokens, line 3: `TAO` by my feed was said before, line 2; a source says a thing once");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*|[\\[{\"a-z:,\\]}0-9 \n]{0,80}") {
        let _ = read(&text);
    }

    #[test]
    fn no_line_makes_it_panic(kind in "market|cloud|tariff|token", price in "[0-9.e-]{0,40}", unit in "usd|sat|TAO|[a-z]{0,5}") {
        let _ = read(&format!("kind,name,seller,price,currency,as_of\n{kind},A100,Bee,{price},{unit},2026-11-19"));
    }
}
