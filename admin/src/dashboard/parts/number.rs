//! Numbers and durations as people read them.

use std::time::Duration;

/// From here on durations are in years, of 365 days.
const TWO_YEARS_S: u64 = 2 * 365 * 86_400;

/// Writes a number with thin spaces between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Writes a count with its noun, such as `1 key` or `3 keys`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// Writes a duration in its largest whole unit, rounded down, such as `3 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        86_400..TWO_YEARS_S => format!("{} d", seconds / 86_400),
        _ => format!("{} y", seconds / (TWO_YEARS_S / 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number).replace('\u{202f}', " "), text);
        }
    }

    #[test]
    fn durations_have_one_unit() {
        for (ms, text) in [
            (41, "41 ms"),
            (59_999, "59 s"),
            (3_599_000, "59 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
            (63_071_999_000, "729 d"),
            (63_072_000_000, "2 y"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }
}
