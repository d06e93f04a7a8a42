//! Logging options of RSPLIB mapped onto `tracing`.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Mutex;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use super::common::LogOptions;
use super::value::OnOff;

impl LogOptions {
    /// Starts logging as asked. Only the first call in a process has an effect.
    ///
    /// # Errors
    /// When the log file cannot be written.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        if self.logquiet || self.loglevel == Some(0) {
            return Ok(());
        }
        let builder = tracing_subscriber::fmt()
            .with_env_filter(self.filter())
            .with_timer(SystemTime)
            // They would be written to stderr, which may be what cannot be written.
            .log_internal_errors(false);
        let file = match (&self.logfile, &self.logappend) {
            (Some(path), _) => {
                Some((path, OpenOptions::new().write(true).create(true).truncate(true).open(path)))
            }
            (None, Some(path)) => {
                Some((path, OpenOptions::new().append(true).create(true).open(path)))
            }
            (None, None) => None,
        };
        // An error here means that logging runs already, which is as good.
        let _ = match file {
            Some((path, file)) => {
                let file = file.with_context(|| {
                    format!("the log file {} cannot be written", path.display())
                })?;
                builder.with_ansi(false).with_writer(Mutex::new(file)).try_init()
            }
            None => {
                let colour = self.logcolor == OnOff::On && std::io::stderr().is_terminal();
                builder.with_ansi(colour).with_writer(std::io::stderr).try_init()
            }
        };
        Ok(())
    }

    /// `-loglevel=` where given, otherwise the environment variable RUST_LOG, otherwise level 1.
    fn filter(&self) -> EnvFilter {
        match (self.loglevel, std::env::var("RUST_LOG")) {
            (None, Ok(filter)) if !filter.is_empty() => EnvFilter::new(filter),
            (level, _) => EnvFilter::new(level_name(level.unwrap_or(1))),
        }
    }
}

/// RSPLIB knows 0 off, 1 error, 2 warning, 3 note, 4 action, 5 to 9 verbose.
fn level_name(level: u8) -> &'static str {
    match level {
        0 => "off",
        1 => "error",
        2 => "warn",
        3 | 4 => "info",
        5..=7 => "debug",
        _ => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::level_name;

    #[test]
    fn levels_grow() {
        let order = ["off", "error", "warn", "info", "debug", "trace"];
        let rank = |level| order.iter().position(|name| *name == level_name(level)).unwrap();
        assert!((0..9).all(|level| rank(level) <= rank(level + 1)));
        assert_eq!((rank(0), rank(9)), (0, 5));
    }
}
