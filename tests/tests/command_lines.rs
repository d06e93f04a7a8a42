//! What every program says of itself and of wrong values: `--help`, `--version`, one sentence.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use workspace_tests::process::{Ended, PATIENCE, Program};

/// All programs and their roles, with the arguments that they need.
const PROGRAMS: [&[&str]; 13] = [
    &["hsdump", "127.0.0.1"],
    &["rspregistrar"],
    &["rspserver"],
    &["rspterminal"],
    &["pingpongclient"],
    &["rspdemo"],
    &["rspload", "--registrar=127.0.0.1:1"],
    &["sctp-perf"],
    &["sctp-perf", "server"],
    &["sctp-perf", "client", "127.0.0.1"],
    &["sctp-perf", "scale", "127.0.0.1"],
    &["sctp-perf", "compare"],
    &["sctp-perf", "alone", "bulk"],
];

#[test]
fn help_is_for_people() {
    for program in PROGRAMS {
        for flag in ["--help", "-h"] {
            let text = help(program, flag);
            // Of the sources: links to other items, code in backticks, paths.
            for markup in ["`", "](", "[`", "crate::", "rserpool::", "sctp_user::", "AssocConfig"] {
                assert!(!text.contains(markup), "{program:?} {flag} shows '{markup}':\n{text}");
            }
            assert!(text.contains("Usage: "), "{program:?} {flag}:\n{text}");
        }
    }
}

#[test]
fn version_commit_and_features_everywhere() {
    for program in PROGRAMS {
        let ended = run(program, &["--version"]);
        assert!(ended.status.success(), "{}", ended.text());
        let [line] = &ended.lines[..] else { panic!("{}", ended.text()) };
        let (name, build) = line.split_once(" (").unwrap_or_else(|| panic!("{line}"));
        assert!(name.starts_with(program[0]), "{line}");
        assert!(name.ends_with(env!("CARGO_PKG_VERSION")), "{line}");
        let (commit, features) = build.split_once(", features: ").unwrap();
        let known = commit.strip_prefix("commit ");
        let is_commit =
            |text: &str| text.len() == 12 && text.bytes().all(|c| c.is_ascii_hexdigit());
        assert!(known.is_some_and(is_commit) || commit == "no commit known", "{line}");
        assert!(features.ends_with(')'), "{line}");
    }
}

/// Each option is given values that cannot be right. The complaint is one sentence that names the
/// option and what would be right, numbers with their range.
#[test]
fn wrong_values_are_told_what_is_right() {
    let mut cases = Vec::new();
    for program in PROGRAMS {
        for (option, value_name) in options(&help(program, "--help")) {
            for (value, hint) in wrong_values(&value_name) {
                cases.push((program, format!("--{option}={value}"), option.clone(), hint));
            }
        }
    }
    // Every program has options about logging; most have dozens.
    assert!(cases.len() > 200, "{}", cases.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((program, word, option, hint)) =
                    cases.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let ended = run(program, &[word]);
                    let text = ended.text();
                    assert_eq!(ended.status.code(), Some(2), "{program:?} {word}: {text}");
                    let complaints = ended.complaints();
                    assert_eq!(complaints.len(), 1, "{program:?} {word}: {text}");
                    assert!(complaints[0].contains(&format!("--{option} ")), "{word}: {text}");
                    for hint in hint.split(" .. ") {
                        assert!(complaints[0].contains(hint), "no '{hint}' for {word}: {text}");
                    }
                    no_repetition(complaints[0]);
                }
            });
        }
    });
}

/// Wrong values for an option whose value is called so in the help, and what the complaint has to
/// contain, in parts between " .. ".
fn wrong_values(value_name: &str) -> Vec<(&'static str, String)> {
    let all = |values: &[&'static str], hint: &str| -> Vec<(&'static str, String)> {
        values.iter().map(|value| (*value, hint.to_owned())).collect()
    };
    match value_name {
        "N" | "MS" | "S" | "PORT" | "BYTES" | "ID" => {
            all(&["nonsense", "-5", "99999999999999999999"], " from ..  to ")
        }
        "X,X,X,X" => all(&["nonsense", "-5,1,1,1", "1,2"], "four numbers above 0 .. -1"),
        "X" => all(&["nonsense", "-5"], "above 0 .. -1"),
        "auto|off|ADDR:PORT" => all(&["nonsense", "10.0.0.1:3863"], "right are auto, off"),
        "ENDPOINT" | "auto|ENDPOINT" | "auto|off|ENDPOINT" => [
            all(&["::1:3863"], "[::1]:3863"),
            all(&["127.0.0.1:65536", "localhost:http"], "0 to 65535"),
            all(&["10.0.0.256:1", "a b", ""], "right are"),
        ]
        .concat(),
        "ADDR" | "ADDRS" => all(&["10.0.0.256", "a b", "127.0.0.1:1"], "right are"),
        "NAME" => all(&[""], "pool handle"),
        "POLICY" => all(&["nonsense"], "nonsense"),
        "SCOPE" => all(&["nonsense"], "loopback .. sitelocal .. global"),
        "ROW,..." => all(&["nonsense"], "the rows are bulk16k, "),
        // Files are opened later; options of children are theirs to judge.
        "FILE" | "DIR" | "OPTION,..." => Vec::new(),
        words
            if words.split('|').all(|word| word.chars().all(|c| c.is_lowercase() || c == '-')) =>
        {
            vec![("nonsense", words.replace('|', " .. "))]
        }
        other => panic!("what is wrong for <{other}>?"),
    }
}

/// The options in a help text that take a value: name and what the value is called.
fn options(help: &str) -> Vec<(String, String)> {
    let option = |line: &str| {
        let (name, value) = line.trim_start().strip_prefix("--")?.split_once(" <")?;
        Some((name.to_owned(), value.split_once('>')?.0.to_owned()))
    };
    help.lines().filter_map(option).collect()
}

/// No part of a sentence stands in it twice.
fn no_repetition(sentence: &str) {
    let parts: Vec<&str> = sentence.split([':', ';']).map(str::trim).collect();
    for (i, part) in parts.iter().enumerate() {
        let again = parts[i + 1..].contains(part);
        assert!(part.len() < 8 || !again, "'{part}' stands twice in: {sentence}");
    }
}

fn help(program: &[&str], flag: &str) -> String {
    let ended = run(program, &[flag]);
    assert!(ended.status.success() && ended.complaints().is_empty(), "{}", ended.text());
    ended.text()
}

fn run(program: &[&str], more: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_programs"));
    command.args(program).args(more);
    Program::start(program[0], &mut command).ended(PATIENCE)
}
