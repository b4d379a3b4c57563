//! QR codes on a terminal.

use qrcode::{Color, EcLevel, QrCode};

/// The empty border that readers need, in modules (ISO/IEC 18004 asks for four).
const BORDER: usize = 4;

/// A code for a wallet that pays this invoice; `None` when it is too long for one. Two rows of the code share a line of text.
/// With colors it is black on white on every terminal; without, it counts on a dark one.
pub(crate) fn invoice(bolt11: &str, has_color: bool) -> Option<String> {
    // Capitals need fewer modules, and an invoice means the same in them.
    let text = format!("LIGHTNING:{}", bolt11.to_uppercase());
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(drawn(&modules(&code), has_color))
}

/// Rows of modules, dark ones true, with the border.
fn modules(code: &QrCode) -> Vec<Vec<bool>> {
    let (width, colors) = (code.width(), code.to_colors());
    let all = width + 2 * BORDER;
    let inside = |at: usize| at.checked_sub(BORDER).filter(|at| *at < width);
    let dark = |y: usize, x: usize| {
        let at = inside(y).zip(inside(x)).map(|(y, x)| y * width + x);
        at.and_then(|at| colors.get(at)) == Some(&Color::Dark)
    };
    (0..all).map(|y| (0..all).map(|x| dark(y, x)).collect()).collect()
}

fn drawn(rows: &[Vec<bool>], has_color: bool) -> String {
    let mut text = String::new();
    for pair in rows.chunks(2) {
        let lower = pair.get(1);
        if has_color {
            text.push_str("\u{1b}[30;107m");
        }
        for (x, upper) in pair[0].iter().enumerate() {
            // Below the last row the terminal's own ground goes on, which is light here.
            let lower = lower.is_some_and(|row| row[x]);
            let filled = if has_color { (*upper, lower) } else { (!upper, !lower) };
            text.push(match filled {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push_str(if has_color { "\u{1b}[0m\n" } else { "\n" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader sees: dark modules true.
    fn seen(text: &str, is_ink_dark: bool) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            let line = line.trim_start_matches("\u{1b}[30;107m").trim_end_matches("\u{1b}[0m");
            for half in [['█', '▀'], ['█', '▄']] {
                rows.push(line.chars().map(|c| half.contains(&c) == is_ink_dark).collect());
            }
        }
        rows
    }

    #[test]
    fn every_module_of_the_code_is_drawn_within_a_light_border() {
        let bolt11 = "lnbcrt10u1p".to_owned() + &"qpzry9x8gf2tvdw0s3jn54khce6mua7l".repeat(8);
        let code =
            QrCode::with_error_correction_level(format!("LIGHTNING:{}", bolt11.to_uppercase()), EcLevel::L);
        let expected = modules(&code.unwrap());
        for has_color in [true, false] {
            let mut rows = seen(&invoice(&bolt11, has_color).unwrap(), has_color);
            let below = rows.split_off(expected.len());
            assert_eq!(rows, expected);
            assert!(below.iter().flatten().all(|dark| !dark), "the half line below is light");
        }
        let is_light = |row: &Vec<bool>| row.iter().all(|dark| !dark);
        assert!(expected[..BORDER].iter().all(is_light) && !is_light(&expected[BORDER]));
    }

    #[test]
    fn what_is_too_long_for_a_code_has_none() {
        assert_eq!(invoice(&"q".repeat(5_000), false), None);
    }
}
