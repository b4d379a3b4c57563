use super::*;

fn dollars(label: &str) -> Axis {
    Axis::new(label, Form::Dollars)
}

#[test]
fn values_are_written_as_finely_as_their_steps() {
    let axis = dollars("net");
    let texts = [(-1500.0, 500.0), (0.05, 0.05), (-0.0, 1.0), (2.5, 0.5)].map(|(v, step)| axis.tick(v, step));
    assert_eq!(texts, ["\u{2212}$1,500", "$0.05", "$0", "$2.50"]);
    assert_eq!(Axis::new("share", Form::Percent).tick(0.125, 0.025), "12.5 %");
}

#[test]
fn ticks_are_round_and_cover_what_is_drawn() {
    let ticks = Ticks::of([-312.0, 977.0].into_iter(), 5, true);
    assert_eq!(ticks.places, [-500.0, 0.0, 500.0, 1000.0]);
    let inside = Ticks::of([0.03, 0.41].into_iter(), 5, false);
    assert_eq!((inside.low, inside.high, inside.places.len()), (0.03, 0.41, 4));
}

#[test]
fn nothing_one_point_and_the_infinite_can_be_drawn() {
    for points in [vec![], vec![(1.0, 2.0)], vec![(0.0, f64::NAN), (1.0, f64::INFINITY), (2.0, 3.0)]] {
        let series = vec![Series { name: "a".into(), points }];
        let drawing = Drawing::Lines(Lines { x: dollars("x"), y: dollars("y"), series });
        let chart = Chart { title: String::new(), description: String::new(), drawing };
        for width in [Width::Wide, Width::Narrow] {
            let svg = chart.svg(width).unwrap();
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}

#[test]
fn words_in_a_picture_are_escaped() {
    let bars = vec![Bar { label: "<b> & \"c\"".into(), values: vec![1.0] }];
    let drawing = Drawing::Bars(Bars { axis: dollars("cost"), parts: vec![], bars });
    let chart = Chart { title: String::new(), description: String::new(), drawing };
    let svg = chart.svg(Width::Wide).unwrap();
    assert!(svg.contains("&lt;b&gt; &amp; &quot;c&quot;"), "{svg}");
}

#[test]
fn a_long_label_is_cut_to_its_room() {
    let label = "a very long name of a very long thing";
    assert!(canvas::room_for(&canvas::fitted(label, 200)) <= 200);
    assert_eq!(canvas::fitted("short", 200), "short");
}
