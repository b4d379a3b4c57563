use super::*;
use jiff::civil::date;
use market::{
    event::{Event, JobOutcome, PlacedEvent},
    id::{Digest, JobId, LeaseId, MachineId, OrderId, PartyId},
    key::SecretKey,
    lease::{CloseReason, Settlement},
    units::{Msat, Rate, TimeMs, Unit},
};

const HOUR_MS: u64 = 3_600_000;

fn provenance() -> Provenance {
    Provenance { as_of: "2026-11".parse().unwrap(), source: "test".into() }
}

fn payments(amounts: &[(i64, bool)]) -> Vec<Payment> {
    let payment = |(place, (amount, is_own)): (usize, &(i64, bool))| {
        let usd = Usd(Decimal::from(*amount));
        let own_account_usd = Some(if *is_own { usd } else { Usd::ZERO });
        Payment { buyer: format!("buyer-{place}"), usd, own_account_usd }
    };
    amounts.iter().enumerate().map(payment).collect()
}

#[test]
fn concentration_follows_from_what_buyers_paid() {
    let payments = payments(&[(20, false), (50, true), (30, false)]);
    let measured = concentration(&payments, Usd(dec!(100))).unwrap();
    let expected = Concentration {
        buyers: 3,
        top_1: dec!(0.5),
        top_10: dec!(1.0),
        herfindahl: dec!(3800),
        own_account: Some(dec!(0.5)),
    };
    assert_eq!(measured, expected);
    assert_eq!(concentration(&[], Usd::ZERO), None);
}

#[test]
fn the_ten_largest_of_fewer_buyers_are_all_of_them() {
    let payments = payments(&[(1, false), (1, false), (1, true)]);
    assert_eq!(concentration(&payments, Usd(dec!(3))).unwrap().top_10, Decimal::ONE);
}

proptest::proptest! {
    #[test]
    fn shares_are_ordered_and_the_index_lies_between_equal_buyers_and_one(
        amounts in proptest::collection::vec((0..1_000_000i64, proptest::bool::ANY), 0..40)
    ) {
        let payments = payments(&amounts);
        let revenue = sum(payments.iter().map(|payment| payment.usd));
        let Some(found) = concentration(&payments, revenue) else {
            proptest::prop_assert!(revenue == Usd::ZERO);
            return Ok(());
        };
        let near = dec!(0.000001);
        proptest::prop_assert!(found.top_1 <= found.top_10 + near && found.top_10 <= Decimal::ONE + near);
        proptest::prop_assert!(found.herfindahl <= dec!(10_000) + near);
        proptest::prop_assert!(found.herfindahl + near >= dec!(10_000) / Decimal::from(found.buyers));
    }
}

/// Two machines for 10 hours. party-1 owns machine-1, party-2 is the operator's. Two leases of machine-1 overlap, one of
/// machine-2 is not paid.
fn history() -> History {
    let key = SecretKey::from_bytes([1; 32]).public();
    let granted = |lease, job, machine, party| Event::LeaseGranted {
        lease: LeaseId(lease),
        order: OrderId(job),
        job: JobId(job),
        machine: MachineId(machine),
        party: PartyId(party),
        rate: Rate { msat: Msat(1), per: 1, unit: Unit::Task },
        claim_by_ms: TimeMs(0),
    };
    let certified = |machine, party| Event::MachineCertified {
        machine: MachineId(machine),
        party: PartyId(party),
        key,
        label: String::new(),
    };
    let placed = |job, buyer, name: &str| Event::OrderPlaced {
        order: OrderId(job),
        job: JobId(job),
        buyer: PartyId(buyer),
        name: name.into(),
        tasks: 1,
        terms: Box::new(terms()),
    };
    let started = |lease| Event::LeaseStarted { lease: LeaseId(lease), job: JobId(1) };
    let closed = |lease, party, msat| Event::LeaseClosed {
        lease: LeaseId(lease),
        job: JobId(1),
        party: PartyId(party),
        class: "a100".parse().unwrap(),
        reason: CloseReason::Finished,
        settlement: Settlement { paid_msat: Msat(msat), ..Settlement::default() },
    };
    let story = [
        (0, Event::DeclaredOwn { party: PartyId(2) }),
        (0, certified(1, 1)),
        (0, certified(2, 2)),
        (0, placed(1, 3, "render")),
        (0, placed(2, 2, "self test")),
        (1, granted(1, 1, 1, 1)),
        (1, granted(2, 2, 1, 1)),
        (1, granted(3, 1, 2, 2)),
        (1, started(1)),
        (2, started(2)),
        (2, started(3)),
        (4, closed(1, 1, 3_000_000)),
        (5, closed(2, 1, 1_000_000)),
        (6, closed(3, 2, 0)),
        (10, settled()),
    ];
    let mut history = History::default();
    for (position, (hour, event)) in story.into_iter().enumerate() {
        let (position, at_ms) = (position as u64, TimeMs(hour * HOUR_MS));
        history.see(&PlacedEvent { position, index: 0, at_ms, event });
    }
    history
}

fn settled() -> Event {
    Event::JobSettled {
        job: JobId(1),
        buyer: PartyId(3),
        outcome: JobOutcome::Completed,
        paid_msat: Msat(3_000_000),
        refunded_msat: Msat::ZERO,
        receipt: Digest::of(b""),
    }
}

fn terms() -> market::order::OrderTerms {
    serde_json::from_str(
        r#"{"kind":"ask","slots":1,"ceiling":{"msat":1,"per":1,"unit":"task"},"budget_msat":1,"needs":{"resources":{"cpu_milli":1000,"memory_mib":64},"isolation":"wasm"},"lease_max_ms":1}"#,
    )
    .unwrap()
}

#[test]
fn a_history_tells_who_paid_whom_and_how_long_machines_earned() {
    let btc = crate::money::BtcRate {
        usd_per_btc: dec!(100_000),
        as_of: "2026-11".parse().unwrap(),
        source: "test".into(),
    };
    let activity = history().activity("ours", &btc, provenance());
    assert_eq!(activity.registered_hours, Some(dec!(20)));
    // Hours 1 to 5 of machine-1; the unpaid lease does not count.
    assert_eq!(activity.earning_hours, Some(dec!(4)));
    let answer = ask(vec![activity], &Catalogue::embedded().unwrap());
    insta::assert_snapshot!(answer.tables().iter().map(|table| table.to_csv().unwrap()).collect::<String>(), @r"
    network,utilization,revenue_usd,revenue_per_emitted_usd,buyers,top_1,top_10,herfindahl,own_account,as_of
    ours,0.2,4,,2,0.75,1,6250,0.25,2026-11
    network,hardware,usd_per_hour,cloud_low_usd_per_hour,cloud_high_usd_per_hour,ratio_to_cheapest_cloud
    ours,a100,1,1.5,4.5,0.6666666666666666666666666667
    network,workload,kind,paid_usd
    ours,render,real,3
    ours,self test,own account,1
    ");
}

#[test]
fn figures_of_another_network_are_read_and_measured() {
    let text = "network,figure,name,value,unit,kind,as_of,source\n\
        Other,registered_hours,,1000,h,,2026-10,their dashboard\n\
        Other,earning_hours,,350,h,,2026-10,their dashboard\n\
        Other,payment,Acme,60,usd,outside,2026-10,their chain\n\
        Other,payment,Acme,20,usd,outside,2026-10,their chain\n\
        Other,payment,Foundation,20,usd,own,2026-10,their chain\n\
        Other,emission,,500,usd,,2026-10,their chain\n\
        Other,price,A100,1.20,usd/h,,2026-10,their site\n\
        Other,workload,renders,80,usd,real,2026-10,their blog\n\
        Other,workload,proof of work,,,benchmark,2026-10,their blog\n";
    let activities = read_csv(text, date(2026, 11, 20)).unwrap();
    let answer = ask(activities, &Catalogue::embedded().unwrap());
    insta::assert_snapshot!(answer.tables().iter().map(|table| table.to_csv().unwrap()).collect::<String>(), @r"
    network,utilization,revenue_usd,revenue_per_emitted_usd,buyers,top_1,top_10,herfindahl,own_account,as_of
    Other,0.35,100,0.2,2,0.8,1,6800,0.2,2026-10
    network,hardware,usd_per_hour,cloud_low_usd_per_hour,cloud_high_usd_per_hour,ratio_to_cheapest_cloud
    Other,A100,1.2,1.5,4.5,0.8
    network,workload,kind,paid_usd
    Other,renders,real,80
    Other,proof of work,benchmark,
    ");
}

#[test]
fn rows_that_make_no_sense_are_refused_with_their_line() {
    let header = "network,figure,name,value,unit,kind,as_of,source\n";
    let rows = [
        "X,payment,Acme,60,,outside,2026-10,s",
        "X,payment,Acme,60,eur,outside,2026-10,s",
        "X,payment,,60,usd,outside,2026-10,s",
        "X,payment,Acme,-1,usd,outside,2026-10,s",
        "X,payment,Acme,60,usd,friend,2026-10,s",
        "X,paiment,Acme,60,usd,own,2026-10,s",
        "X,emission,,60,usd,,2027-10,s",
        "X,registered_hours,,,h,,2026-10,s",
        "X,registered_hours,,NaN,h,,2026-10,s",
        "X\u{1b}[2J,emission,,60,usd,,2026-10,s",
        "X,payment,A\u{7}cme,60,usd,own,2026-10,s",
        "X,workload,a\u{9b}31m,,,real,2026-10,s",
        "X,emission,,60,usd,,2026-10\u{1b}[2J,s",
        "X,emission,,60,usd,,2026-10,\"two\nlines\"",
        "X,registered_hours,,10,h,,2026-10,s\nX,earning_hours,,11,h,,2026-10,s",
    ];
    let mut errors: Vec<String> = rows
        .iter()
        .map(|row| read_csv(&format!("{header}{row}\n"), date(2026, 11, 20)).unwrap_err().to_string())
        .collect();
    errors.push(read_csv("network,figure\n", date(2026, 11, 20)).unwrap_err().to_string());
    for extra in ["sorce", "remark", "\u{1b}[2J"] {
        let header = header.replace('\n', &format!(",{extra}\n"));
        errors.push(read_csv(&header, date(2026, 11, 20)).unwrap_err().to_string());
    }
    errors.push(read_csv(header, date(2026, 11, 20)).unwrap_err().to_string());
    insta::assert_snapshot!(errors.join("\n"), @r"
    line 2: the unit of payment has to be `usd`; none is given
    line 2: the unit of payment has to be `usd`; not `eur`
    line 2: a payment needs a name: the buyer, the accelerator, or what was run
    line 2: the value `-1` has to be a number from 0 to 1000000000000000
    line 2: the kind of a payment is `own`, `outside` or empty, not `friend`
    line 2: there is no figure `paiment`; did you mean `payment`?
    line 2: 2027-10 lies in the future; a figure is at the newest of 2026-11-21
    line 2: registered_hours has no value
    line 2: the value `NaN` has to be a number from 0 to 1000000000000000
    line 2: network has a control character; write it as plain words
    line 2: name has a control character; write it as plain words
    line 2: name has a control character; write it as plain words
    line 2: as_of has a control character; write it as plain words
    line 2: source has a control character; write it as plain words
    line 3: 11 h that earned are more than the 10 h registered; list the latter first
    the column `name` is missing; the columns are network, figure, name, value, unit, kind, as_of, source
    there is no column `sorce`; did you mean `source`?
    there is no column `remark`; there are network, figure, name, value, unit, kind, as_of, source
    there is no column `�[2J`; there are network, figure, name, value, unit, kind, as_of, source
    the file has no rows below its header
    ");
}
