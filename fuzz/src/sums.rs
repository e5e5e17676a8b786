//! Right checksums under whatever a mutation made of a log, so that more than the checksum is tried.

const OPEN: &[u8] = b",\"crc\":\"";

/// Puts the right sum on every line that has a place for one; `chosen` says on which, by their number.
pub fn right(bytes: &mut [u8], mut chosen: impl FnMut(usize) -> bool) {
    for (number, line) in bytes.split_mut(|&byte| byte == b'\n').enumerate() {
        if !chosen(number) {
            continue;
        }
        let Some(at) = line.windows(OPEN.len()).position(|window| window == OPEN) else { continue };
        let (digits, body) = (at + OPEN.len(), at + OPEN.len() + 9);
        if body > line.len() {
            continue;
        }
        let sum = crc32c::crc32c_append(crc32c::crc32c(&line[..at]), &line[body..]);
        line[digits..body - 1].copy_from_slice(format!("{sum:08x}").as_bytes());
        line[body - 1] = b'"';
    }
}

/// A line with its sum: `head` is what stands before it, without the brace at its end, `tail` what follows.
pub fn line(head: &str, tail: &str) -> String {
    let sum = crc32c::crc32c_append(crc32c::crc32c(head.as_bytes()), tail.as_bytes());
    format!("{head},\"crc\":\"{sum:08x}\"{tail}")
}

/// The mutator of targets that read logs: what libFuzzer does, then, mostly, right sums.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = seed;
    let mut roll = move || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        dice >> 16
    };
    let size = match roll() % 8 {
        0 => lines(data, size, max_size, roll()),
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    };
    match roll() % 8 {
        // Damage stays damage.
        0 => {}
        1 | 2 => right(&mut data[..size], |_| roll().is_multiple_of(2)),
        _ => right(&mut data[..size], |_| true),
    }
    size
}

/// Moves, doubles or drops a whole line.
fn lines(data: &mut [u8], size: usize, max_size: usize, dice: u32) -> usize {
    let mut parts: Vec<Vec<u8>> = data[..size].split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if parts.is_empty() {
        return size;
    }
    let (from, to) = (dice as usize % parts.len(), (dice / 7) as usize % parts.len());
    match dice % 4 {
        0 => parts.swap(from, to),
        1 => drop(parts.remove(from)),
        // A lost newline.
        2 => drop(parts[from].pop()),
        _ => parts.insert(to, parts[from].clone()),
    }
    let whole = parts.concat();
    let size = whole.len().min(max_size).min(data.len());
    data[..size].copy_from_slice(&whole[..size]);
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of `docs/design.md`.
    #[test]
    fn the_sum_is_the_documented_one() {
        let documented = r#"{"seq":1,"ts":1763900000123,"crc":"e5e8f62d","data":{"kind":"tweak"}}"#;
        assert_eq!(line(r#"{"seq":1,"ts":1763900000123"#, r#","data":{"kind":"tweak"}}"#), documented);
        let mut zeroed = documented.replace("e5e8f62d", "00000000").into_bytes();
        right(&mut zeroed, |_| true);
        assert_eq!(zeroed, documented.as_bytes());
    }
}
