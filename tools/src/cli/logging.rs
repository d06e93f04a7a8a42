//! Maps the logging options of RSPLIB to `tracing`.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::Context;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

use super::common::LogOptions;
use super::lossy::{self, Record};
use super::value::OnOff;

impl LogOptions {
    /// Starts logging as the options say. Only the first call in a process has an effect. Nobody
    /// waits until a record is written.
    ///
    /// # Errors
    /// When the log file cannot be written, or `RUST_LOG` cannot be read.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        if self.logquiet || self.loglevel == Some(0) {
            return Ok(());
        }
        let levels = self.levels(std::env::var("RUST_LOG").ok())?;
        let file = match (&self.logfile, &self.logappend) {
            (Some(path), _) => {
                Some((path, OpenOptions::new().write(true).create(true).truncate(true).open(path)))
            }
            (None, Some(path)) => {
                Some((path, OpenOptions::new().append(true).create(true).open(path)))
            }
            (None, None) => None,
        };
        // An error here means that logging has been started already.
        let _ = match file {
            Some((path, file)) => {
                let file = file.with_context(|| {
                    format!("the log file {} cannot be written", path.display())
                })?;
                let file = lossy::log_file(file);
                let lines = lines().with_ansi(false).with_writer(|| Record(Arc::clone(file)));
                registry().with(levels).with(lines).try_init()
            }
            None => {
                let colour = self.logcolor == OnOff::On && std::io::stderr().is_terminal();
                let stderr = || Record(Arc::clone(lossy::stderr()));
                let lines = lines().with_ansi(colour).with_writer(stderr);
                registry().with(levels).with(lines).try_init()
            }
        };
        Ok(())
    }

    /// The levels of `-loglevel=`, or else those of `RUST_LOG`, or else level 1.
    fn levels(&self, rust_log: Option<String>) -> anyhow::Result<Targets> {
        let text = match (self.loglevel, rust_log) {
            (None, Some(levels)) if !levels.is_empty() => levels,
            (level, _) => level_name(level.unwrap_or(1)).to_owned(),
        };
        text.parse().with_context(|| {
            format!(
                "RUST_LOG={text} cannot be read; right is a level (error, warn, info, debug, \
                 trace), or levels by module, such as info,sctp_user=debug"
            )
        })
    }
}

/// Writes one line for each record. Write errors are not reported: the report would go to stderr,
/// which may be what cannot be written.
fn lines<S>() -> fmt::Layer<S> {
    fmt::layer().log_internal_errors(false)
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
    use tracing::level_filters::LevelFilter;

    use super::{LogOptions, OnOff, level_name};

    #[test]
    fn levels_grow() {
        let order = ["off", "error", "warn", "info", "debug", "trace"];
        let rank = |level| order.iter().position(|name| *name == level_name(level)).unwrap();
        assert!((0..9).all(|level| rank(level) <= rank(level + 1)));
        assert_eq!((rank(0), rank(9)), (0, 5));
    }

    #[test]
    fn rust_log_counts_without_loglevel() {
        let most = |level, rust_log: Option<&str>| {
            let options = LogOptions {
                loglevel: level,
                logfile: None,
                logappend: None,
                logquiet: false,
                logcolor: OnOff::On,
            };
            options.levels(rust_log.map(str::to_owned)).map(|levels| {
                levels.iter().map(|(_, level)| level).chain(levels.default_level()).max()
            })
        };
        assert_eq!(most(None, None).unwrap(), Some(LevelFilter::ERROR));
        assert_eq!(most(None, Some("")).unwrap(), Some(LevelFilter::ERROR));
        assert_eq!(most(None, Some("info,sctp_user=debug")).unwrap(), Some(LevelFilter::DEBUG));
        assert_eq!(most(Some(2), Some("trace")).unwrap(), Some(LevelFilter::WARN));
        let error = most(None, Some("sctp_user=loud")).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG=sctp_user=loud cannot be read"), "{error}");
    }
}
