//! Sizes on the command line.

/// Bytes from `1048576`, `512KiB`, `64MiB`, `2GiB` (also `k`, `m`, `g`, in any case).
///
/// # Errors
/// Words for the person who typed it.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err("expected a number of bytes, such as 1048576, 512KiB or 64MiB".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number of bytes, such as 1048576, 512KiB or 64MiB".to_owned())?;
    let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok()).ok_or("that is too large")?;
    if bytes == 0 { Err("it must be at least 1 byte".into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("1", 1), ("512KiB", 512 << 10), ("64m", 64 << 20), ("2GiB", 2 << 30), ("7B", 7)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "KiB", "-1", "1.5MiB", "1TB", "99999999999999999999", "18446744073709551615g"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
