//! Turns RSPLIB's notation of options (`-name=value`, `-name`) into that of clap (`--name=value`,
//! `--name`).

use std::ffi::{OsStr, OsString};

use clap::Command;

/// An option of RSPLIB that has no function here, and why.
pub(crate) type Unsupported = (&'static str, &'static str);

/// Options of RSPLIB's clients that have no function here.
pub(crate) const CLIENT_UNSUPPORTED: &[Unsupported] =
    &[("cspserver", NO_CSP), ("cspinterval", NO_CSP), ("cspidentifier", NO_CSP)];

/// Why the options for status reports have no function.
pub(crate) const NO_CSP: &str = "no status reports are sent yet";

/// Rewrites long options with a single dash, and leaves everything else as it is.
///
/// A word is an option in RSPLIB's notation if it is a dash, a letter, and at least one more
/// letter, digit or dash, and if it names a long option of `command` or does not begin with one of
/// its short flags. So `-h` and `-V`, negative numbers, a single `-`, and everything after `--`
/// stay as they are.
///
/// # Errors
/// A sentence when the option is one of `unsupported`.
pub(crate) fn normalize(
    command: &Command,
    unsupported: &[Unsupported],
    args: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, String> {
    let mut out = Vec::new();
    let mut args = args.into_iter();
    out.extend(args.next()); // the program's own name
    while let Some(arg) = args.next() {
        if arg == "--" {
            out.push(arg);
            out.extend(args);
            break;
        }
        out.push(match arg.to_str().and_then(|text| long_name(command, text)) {
            None => arg,
            Some((dashes, name)) => {
                if let Some((_, why)) = unsupported.iter().find(|(option, _)| *option == name) {
                    return Err(format!("option -{name} is not supported (yet): {why}"));
                }
                if dashes == 2 { arg } else { double_dash(&arg) }
            }
        });
    }
    Ok(out)
}

/// The number of dashes and the name, if the word is a long option in either notation.
fn long_name<'a>(command: &Command, text: &'a str) -> Option<(usize, &'a str)> {
    let (dashes, body) = match text.strip_prefix("--") {
        Some(body) => (2, body),
        None => (1, text.strip_prefix('-')?),
    };
    let name = body.split('=').next().unwrap_or(body);
    let first = name.chars().next()?;
    let plausible = first.is_ascii_alphabetic()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !plausible {
        return None;
    }
    if dashes == 2 || knows_long(command, name) {
        return Some((dashes, name));
    }
    let short = |c: char| {
        matches!(c, 'h' | 'V')
            || command
                .get_arguments()
                .any(|arg| arg.get_short_and_visible_aliases().is_some_and(|s| s.contains(&c)))
    };
    (name.len() >= 2 && !short(first)).then_some((dashes, name))
}

fn knows_long(command: &Command, name: &str) -> bool {
    name == "help"
        || name == "version"
        || command.get_arguments().any(|arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        })
}

fn double_dash(arg: &OsStr) -> OsString {
    let mut long = OsString::from("-");
    long.push(arg);
    long
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Options {
        #[arg(long)]
        poolhandle: Option<String>,
        #[arg(long, allow_hyphen_values = true)]
        maxhrrate: Option<f64>,
        #[arg(short, long)]
        time: Option<u32>,
        #[arg(long = "disable-ipv6")]
        disable_ipv6: bool,
        rest: Vec<String>,
    }

    fn run(args: &[&str]) -> Result<Vec<String>, String> {
        use clap::CommandFactory;
        let args = std::iter::once("program").chain(args.iter().copied()).map(OsString::from);
        let unsupported: &[Unsupported] = &[("daemonpidfile", "a service manager does it")];
        let out = normalize(&Options::command(), unsupported, args)?;
        Ok(out.into_iter().skip(1).map(|arg| arg.into_string().unwrap()).collect())
    }

    #[test]
    fn single_dash_long_options_get_a_second_dash() {
        assert_eq!(
            run(&["-poolhandle=Echo=1", "-disable-ipv6"]).unwrap(),
            ["--poolhandle=Echo=1", "--disable-ipv6"]
        );
        assert_eq!(run(&["-help", "-version"]).unwrap(), ["--help", "--version"]);
        // RSPLIB has no values in words of their own, but they do no harm.
        assert_eq!(run(&["-poolhandle", "Echo"]).unwrap(), ["--poolhandle", "Echo"]);
        // Unknown names as well, so that the complaint shows the whole name.
        assert_eq!(run(&["-nonsense=1"]).unwrap(), ["--nonsense=1"]);
    }

    #[test]
    fn other_words_pass_unchanged() {
        for word in
            ["-h", "-V", "-", "-1", "-1.5", "--poolhandle=x", "text", "a=-b", "-t5", "-t", ""]
        {
            assert_eq!(run(&[word]).unwrap(), [word]);
        }
        assert_eq!(run(&["--", "-poolhandle=x"]).unwrap(), ["--", "-poolhandle=x"]);
    }

    #[test]
    fn the_result_suits_clap() {
        let args = run(&["-maxhrrate", "-1", "-t5", "-poolhandle=", "--", "-x"]).unwrap();
        let options =
            Options::try_parse_from(std::iter::once("program".into()).chain(args)).unwrap();
        assert_eq!(options.maxhrrate, Some(-1.0));
        assert_eq!(options.time, Some(5));
        assert_eq!(options.poolhandle.as_deref(), Some(""));
        assert_eq!(options.rest, ["-x"]);
        assert!(!options.disable_ipv6);
    }

    #[test]
    fn options_without_function_are_refused_by_name() {
        for word in ["-daemonpidfile=/run/x", "--daemonpidfile=/run/x", "--daemonpidfile"] {
            let complaint = run(&[word]).unwrap_err();
            assert_eq!(
                complaint,
                "option -daemonpidfile is not supported (yet): a service manager does it"
            );
        }
    }
}
