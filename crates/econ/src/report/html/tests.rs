use super::*;
use crate::{
    answer::{Answer, Provenance},
    catalogue::Catalogue,
    report::charts::{Axis, Bar, Bars, Drawing, Form},
    simulate::{self, Question},
};
use jiff::civil::date;

/// The elements of a page that are not closed in order, or nothing.
fn first_unclosed(page: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>").unwrap();
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("`<{tag}` has no end"));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}>"));
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.pop().map(|name| format!("<{name}>"))
}

fn bars(label: &str) -> Chart {
    let bars = vec![Bar { label: label.into(), values: vec![1.0, 2.0] }];
    let parts = vec!["power".to_owned(), "hardware".to_owned()];
    let axis = Axis::new("$ an hour", Form::Dollars);
    Chart {
        title: label.into(),
        description: label.into(),
        drawing: Drawing::Bars(Bars { axis, parts, bars }),
    }
}

fn sample() -> Section {
    let question = Question { paths: 100, months: 3, ..Question::default() };
    let answer = simulate::ask(&question, &Catalogue::embedded().unwrap()).unwrap();
    let section = Section::of("Next months", &answer);
    assert_eq!(section.title, answer.title());
    section.with_chart(bars("cost"))
}

#[test]
fn every_element_is_closed() {
    assert_eq!(first_unclosed(&page(&[sample(), sample()], date(2026, 11, 20)).unwrap()), None);
    assert_eq!(first_unclosed("<!DOCTYPE html><p><b></p>"), Some("</p>".into()));
    assert_eq!(first_unclosed("<!DOCTYPE html><p><br/>"), Some("<p>".into()));
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let page = page(&[sample()], date(2026, 11, 20)).unwrap();
    let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for forbidden in ["http:", "https:", "//", "<script", "url(", "@import", "<link", "src="] {
        assert!(!without_namespace.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn text_from_anywhere_is_escaped() {
    let evil = "<script>alert('x')</script>&\"";
    let mut section = sample().with_chart(bars(evil));
    section.title = evil.into();
    section.notes.push(evil.into());
    let mut table = Table::new("evil", evil, &[("what", "what")]);
    table.row([Cell::text(evil)]);
    section.tables.push(table);
    let provenance = Provenance { source: evil.into(), as_of: "2026-11".parse().unwrap() };
    section.figures.cite(evil, evil, &provenance);
    let page = page(&[section], date(2026, 11, 20)).unwrap();
    assert!(!page.contains("<script"));
    assert_eq!(first_unclosed(&page), None);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
}

#[test]
fn figures_are_listed_with_their_age_and_old_ones_are_warned_of() {
    let old = page(&[sample()], date(2026, 11, 20)).unwrap();
    assert!(old.contains("figures of 2026-03-12 (economics) are 253 days old"));
    assert!(old.contains("<td class=\"n stale\">253</td>"));
    let fresh = page(&[sample()], date(2026, 3, 20)).unwrap();
    assert!(fresh.contains("<td class=\"n\">8</td>"));
    assert!(!fresh.contains("class=\"warning\""));
}

#[test]
fn a_negative_amount_has_a_minus_sign_and_its_color() {
    let mut section = sample();
    let mut table = Table::new("net", "Net", &[("net_usd", "net $")]);
    let amount = rust_decimal::Decimal::new(-125, 2);
    table.row([Cell::Usd(crate::money::Usd(amount), 2)]);
    section.tables = vec![table];
    let page = page(&[section], date(2026, 11, 20)).unwrap();
    assert!(page.contains("<td class=\"n minus\">\u{2212}$1.25</td>"));
}
