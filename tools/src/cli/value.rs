//! Small value types of options.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

/// A switch with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    /// Switched on.
    On,
    /// Switched off.
    Off,
}

/// Reads a server or pool element identifier: decimal or 0x-hexadecimal, 32 bits, not 0.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn identifier(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match number {
        Ok(id) if id != 0 => Ok(id),
        _ => Err("an identifier is a number from 1 to 4294967295, decimal or hexadecimal with 0x"
            .to_owned()),
    }
}

/// Reads a time in milliseconds within bounds, both inclusive.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn millis(text: &str, min: u64, max: u64) -> Result<Duration, String> {
    match text.parse() {
        Ok(ms) if (min..=max).contains(&ms) => Ok(Duration::from_millis(ms)),
        _ => Err(format!("a number of milliseconds from {min} to {max} is wanted")),
    }
}

/// Makes a parser for numbers within bounds, both inclusive. Its complaint names what is wanted
/// (`what`, such as "number of seconds") and the bounds.
pub(crate) fn number<T>(
    what: &'static str,
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!("a {what} from {} to {} is wanted", range.start(), range.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_decimal_or_hexadecimal_and_not_zero() {
        assert_eq!(identifier("17"), Ok(17));
        assert_eq!(identifier("0xdeadBEEF"), Ok(0xdead_beef));
        for bad in ["", "0", "0x", "0x0", "4294967296", "-1", "1f", "$1f"] {
            assert!(identifier(bad).unwrap_err().contains("hexadecimal"), "{bad}");
        }
    }

    #[test]
    fn milliseconds_stay_in_bounds() {
        assert_eq!(millis("100", 100, 200), Ok(Duration::from_millis(100)));
        for bad in ["99", "201", "", "1.5", "100ms"] {
            assert!(millis(bad, 100, 200).unwrap_err().contains("100 to 200"), "{bad}");
        }
    }

    #[test]
    fn numbers_say_their_bounds() {
        let read = number("number of runs", 1u16..=100);
        assert_eq!((read("1"), read("100")), (Ok(1), Ok(100)));
        for bad in ["0", "101", "-1", "", "many", "1.5", "99999999999999999999"] {
            assert_eq!(read(bad), Err("a number of runs from 1 to 100 is wanted".to_owned()));
        }
        let seconds = number("number of seconds", 0.0..=1.5);
        assert_eq!(seconds("1.5"), Ok(1.5));
        for bad in ["NaN", "inf", "1.6", "-0.1"] {
            assert!(seconds(bad).unwrap_err().contains("from 0 to 1.5"), "{bad}");
        }
    }
}
