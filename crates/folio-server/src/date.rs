//! Times as HTTP writes them.

/// The time of an answer.
pub(crate) fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    http_date(since.as_secs().saturating_mul(1_000))
}

/// Unix milliseconds as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(unix_ms: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // The format has four digits for the year.
    const LAST: u64 = 253_402_300_799;
    let seconds = (unix_ms / 1_000).min(LAST);
    let days = seconds / 86_400;
    let (year, month, day) = folio::clock::civil(days);
    let of = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity("Sun, 06 Nov 1994 08:49:37 GMT".len());
    let digits = |text: &mut String, number: u64| {
        for digit in [number / 10, number] {
            text.push(char::from_digit((digit % 10) as u32, 10).unwrap_or_default());
        }
    };
    text.extend([of(&DAYS, days % 7), ", "]);
    digits(&mut text, day);
    text.extend([" ", of(&MONTHS, month - 1), " "]);
    digits(&mut text, year / 100);
    digits(&mut text, year);
    for (before, number) in [(' ', hour), (':', minute), (':', second)] {
        text.push(before);
        digits(&mut text, number);
    }
    text.push_str(" GMT");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_763_900_000, "Sun, 23 Nov 2025 12:13:20 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX / 1_000, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(seconds * 1_000), text);
        }
    }
}
