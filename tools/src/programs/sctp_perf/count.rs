//! Sizes with suffixes, and numbers that people can read.

/// Reads a number of bytes: `1400`, `64k` (1024), `2M`, `1G`.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn bytes(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1), 1 << 10),
        Some(b'M') => (text.get(..text.len() - 1), 1 << 20),
        Some(b'G') => (text.get(..text.len() - 1), 1 << 30),
        _ => (Some(text), 1),
    };
    let value = number.and_then(|n| n.parse::<usize>().ok()).and_then(|n| n.checked_mul(factor));
    match value {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        _ => {
            Err(format!("a number of bytes from {min} to {max} is wanted, such as 1400, 64k or 4M"))
        }
    }
}

/// A number with a metric prefix and three or four digits: `12.3 G`.
pub(crate) fn metric(value: f64) -> String {
    let (scaled, prefix) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = if scaled >= 100.0 || prefix.is_empty() { 0 } else { 2 };
    format!("{scaled:.digits$} {prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let read = |text| bytes(text, 1, 1 << 30);
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("64k"), Ok(65536));
        assert_eq!(read("2M"), Ok(2 << 20));
        assert_eq!(read("1G"), Ok(1 << 30));
        for bad in
            ["", "k", "0", "-1", "2G", "1.5k", "64kB", "99999999999999999999", "18014398509481984k"]
        {
            assert!(read(bad).unwrap_err().contains("such as"), "{bad}");
        }
    }

    #[test]
    fn prefixes() {
        assert_eq!(metric(0.0), "0 ");
        assert_eq!(metric(999.0), "999 ");
        assert_eq!(metric(1234.0), "1.23 k");
        assert_eq!(metric(12_345_678_900.0), "12.35 G");
        assert_eq!(metric(123_456_789.0), "123 M");
    }
}
