//! Text of strangers in messages for people.

use std::fmt;

/// Shows text that came from the network, in logs, events and errors.
///
/// What it prints is at most [`ShownText::MAX_CHARS`] characters long; three dots stand for the
/// rest. Nothing in it steers a terminal, breaks a line, or hides: everything that is not printable
/// is escaped as in a Rust literal, and so are quotation marks and backslashes. Bytes that are not
/// UTF-8 are shown as `\xff`.
///
/// ```
/// # use sctp_user_core::ShownText;
/// assert_eq!(ShownText(b"gr\xc3\xbcn \x1b[2J\xff").to_string(), r"grün \u{1b}[2J\xff");
/// assert_eq!(ShownText(&[b'x'; 60_000]).to_string(), "x".repeat(97) + "...");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownText<'a>(pub &'a [u8]);

const LEFT_OUT: &str = "...";

impl ShownText<'_> {
    /// The greatest length, in characters.
    pub const MAX_CHARS: usize = 100;
}

impl fmt::Display for ShownText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A character has at most four bytes, so this is always more than can be shown.
        let beginning = &self.0[..self.0.len().min(4 * (Self::MAX_CHARS + 1))];
        let mut line = Line::default();
        for chunk in beginning.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\'' => line.add("'"),
                    c => line.add(&c.escape_debug().to_string()),
                }
            }
            for byte in chunk.invalid() {
                line.add(&format!("\\x{byte:02x}"));
            }
            if line.full {
                break;
            }
        }
        f.write_str(&line.text)
    }
}

/// A line of limited length.
#[derive(Default)]
struct Line {
    text: String,
    chars: usize,
    /// Up to here, in bytes, there is room for the dots.
    with_dots: usize,
    /// The dots stand there.
    full: bool,
}

impl Line {
    /// Adds a character as it is shown, whole or not at all.
    fn add(&mut self, shown: &str) {
        if self.full {
            return;
        }
        self.chars += shown.chars().count();
        if self.chars > ShownText::MAX_CHARS {
            self.text.truncate(self.with_dots);
            self.text.push_str(LEFT_OUT);
            self.full = true;
            return;
        }
        self.text.push_str(shown);
        if self.chars + LEFT_OUT.len() <= ShownText::MAX_CHARS {
            self.with_dots = self.text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: impl AsRef<[u8]>) -> String {
        ShownText(bytes.as_ref()).to_string()
    }

    #[test]
    fn printable_text_stays_as_it_is() {
        for text in ["", "no reply", "it's über", "一二三 🦀"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn nothing_steers_a_terminal_or_hides() {
        assert_eq!(shown("\x1b]0;title\x07\r\n\t\0"), r"\u{1b}]0;title\u{7}\r\n\t\0");
        // An 8-bit control sequence, text that runs backwards, and text of no width.
        assert_eq!(shown("\u{9b}2J\u{202e}a\u{200b}"), r"\u{9b}2J\u{202e}a\u{200b}");
        assert_eq!(shown("x\" = \\"), r#"x\" = \\"#);
        assert_eq!(shown(b"\xff\xe2\x82"), r"\xff\xe2\x82");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shown("x".repeat(100)), "x".repeat(100));
        assert_eq!(shown("x".repeat(101)), "x".repeat(97) + "...");
        assert_eq!(shown("🦀".repeat(101)), "🦀".repeat(97) + "...");
        for cut in 0..8 {
            let text = [&b"x".repeat(90 + cut)[..], &[0x1b; 60_000]].concat();
            let shown = shown(text);
            assert!(shown.len() <= 100 && shown.ends_with("..."), "{shown}");
            let escapes = shown.trim_start_matches('x').trim_end_matches("...");
            assert_eq!(escapes, r"\u{1b}".repeat(escapes.len() / 6), "{shown}");
        }
        // Never longer, whatever the bytes are.
        for byte in 0..=255u8 {
            let shown = shown(vec![byte; 60_000]);
            assert!((95..=100).contains(&shown.chars().count()), "{shown}");
        }
    }
}
