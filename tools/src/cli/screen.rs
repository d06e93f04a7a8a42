//! Text for people: banners, time stamps, and text from the network.

use std::net::IpAddr;
use std::time::SystemTime;

use sctp_user::ShownAddress;

use super::lossy;

/// Prints a banner: an underlined title, and labelled values below it.
pub(crate) fn banner(title: &str, rows: &[(&str, String)]) {
    banner_lines(title, rows).iter().for_each(|line| say(line));
}

/// The lines of a banner.
pub(crate) fn banner_lines(title: &str, rows: &[(&str, String)]) -> Vec<String> {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let head = [title.to_owned(), "=".repeat(title.chars().count())];
    let rows = rows.iter().map(|(label, value)| format!("   {label:<width$}   {value}"));
    head.into_iter().chain(rows).chain([String::new()]).collect()
}

/// The own addresses in words. No addresses means all of the host.
pub(crate) fn all_or_listed(addrs: &[IpAddr]) -> String {
    match addrs {
        [] => "all addresses".to_owned(),
        addrs => {
            addrs.iter().map(|addr| ShownAddress(*addr).to_string()).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Prints a line without waiting for the reader. If the reader stalls, the line may be dropped, and
/// a note counts it. A reader that has gone away is ignored: SIGPIPE ends the program.
pub(crate) fn say(line: &str) {
    lossy::stdout().push(format!("{line}\n").as_bytes());
}

/// Prints a line on stderr, as [`say`] does on stdout.
pub(crate) fn complain(line: &str) {
    lossy::stderr().push(format!("{line}\n").as_bytes());
}

/// Prints a line with the time of day (UTC) before it.
pub(crate) fn say_with_time(line: &str) {
    say(&with_time(line));
}

/// A line with the time of day (UTC) before it.
pub(crate) fn with_time(line: &str) -> String {
    format!("{}: {line}", time_of_day(SystemTime::now()))
}

/// `hh:mm:ss.mmm`, UTC.
pub(crate) fn time_of_day(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (secs, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", secs / 3600, secs / 60 % 60, secs % 60)
}

/// Text from the network, without the line end. Whatever could steer a terminal is escaped.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end_matches(['\r', '\n']).chars() {
        match c {
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_of_day_wraps_at_midnight() {
        let at = |ms| time_of_day(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(0), "00:00:00.000");
        assert_eq!(at(86_400_000 + 3_723_004), "01:02:03.004");
    }

    #[test]
    fn terminals_are_not_steered_from_afar() {
        assert_eq!(harmless(b"a\tb\r\n"), "a\tb");
        assert_eq!(harmless(b"\x1b[2Jx\x07"), "\\u{1b}[2Jx\\u{7}");
        assert_eq!(harmless("gr\u{fc}n \u{9b}".as_bytes()), "gr\u{fc}n \\u{9b}");
        assert_eq!(harmless(b"\xff"), "\u{fffd}");
    }
}
