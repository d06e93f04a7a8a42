//! Checks that the documentation is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sctp_user_core::AssocConfig;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The README shows the examples exactly as they are compiled.
#[test]
fn the_readme_shows_the_examples() {
    let readme = read("README.md");
    for example in ["echo_server", "echo_client"] {
        let source = read(&format!("sctp-user/examples/{example}.rs"));
        let (_, code) = source.split_once("\n\n").expect("a comment, an empty line, the code");
        assert!(readme.contains(code.trim()), "the README differs from the example {example}");
    }
}

/// So does the tutorial.
#[test]
fn the_tutorial_shows_the_examples() {
    let tutorial = read("docs/tutorial.md");
    for example in ["counter_element", "counter_user"] {
        let source = read(&format!("rserpool/examples/{example}.rs"));
        let (_, code) = source.split_once("\n\n").expect("a comment, an empty line, the code");
        assert!(tutorial.contains(code.trim()), "the tutorial differs from the example {example}");
    }
}

/// The names in `docs/api.md` exist: each part of each name is a word in the sources of these
/// crates.
#[test]
fn the_table_of_the_api_names_what_exists() {
    fn collect(dir: &Path, into: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let hidden = ["tests", "sim", "fuzz", "target"].map(|name| dir.join(name));
            if path.is_dir() && !hidden.contains(&path) {
                collect(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                into.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut sources = String::new();
    collect(&root().join("sctp-user/core/src"), &mut sources);
    collect(&root().join("sctp-user/src"), &mut sources);
    collect(&root().join("sctp-user/link/src"), &mut sources);
    collect(&root().join("rserpool/core/src"), &mut sources);
    collect(&root().join("rserpool/src"), &mut sources);
    let public: BTreeSet<&str> = sources
        .lines()
        .map(|line| line.trim().trim_start_matches("pub "))
        .flat_map(|line| {
            let line = line.trim_start_matches("async ");
            let named = ["fn ", "struct ", "enum ", "mod ", "trait ", "type "]
                .iter()
                .find_map(|k| line.strip_prefix(k));
            named.unwrap_or(line).split(|c: char| !c.is_alphanumeric() && c != '_').next()
        })
        .collect();
    let text = read("docs/api.md");
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    assert!(names.len() > 150, "only {} names", names.len());
    let others = ["cargo doc", "futures", "rserpool", "sctp-user", "sctp-user-core"];
    for name in names.into_iter().filter(|name| !others.contains(name)) {
        for part in name.split("::") {
            assert!(public.contains(part), "docs/api.md names {name}, and there is no {part}");
        }
    }
}

/// Every piece of Rust in the documents about set-ups is part of an example or a test, so that it
/// is compiled and run.
#[test]
fn code_in_the_documents_is_code_of_the_examples() {
    for (document, test) in [("multihoming", "cut_network"), ("nat", "nat_box")] {
        let source = read(&format!("sctp-user/examples/{document}.rs"))
            + &read(&format!("sctp-user/tests/{test}.rs"));
        let source: BTreeSet<&str> = source.lines().map(str::trim).collect();
        let text = read(&format!("docs/{document}.md"));
        let blocks: Vec<&str> =
            text.split("```rust\n").skip(1).filter_map(|b| b.split("```").next()).collect();
        assert!(!blocks.is_empty(), "docs/{document}.md shows code");
        for line in blocks.iter().flat_map(|b| b.lines()).map(str::trim).filter(|l| !l.is_empty()) {
            assert!(
                source.contains(line),
                "docs/{document}.md has a line that neither example nor test has: {line}"
            );
        }
    }
}

/// docs/multihoming.md shows the whole example, without its test.
#[test]
fn the_example_of_multihoming_is_shown_whole() {
    let source = read("sctp-user/examples/multihoming.rs");
    let (_, code) = source.split_once("\n\n").expect("a comment, an empty line, the code");
    let code = code.split("\n#[test]").next().unwrap_or_default().trim();
    assert!(read("docs/multihoming.md").contains(code), "docs/multihoming.md differs from it");
}

/// The defaults and the realtime profile have the values that docs/multihoming.md gives.
#[test]
fn the_settings_of_multihoming_are_true() {
    let text = read("docs/multihoming.md");
    let (default, realtime) = (AssocConfig::default(), AssocConfig::realtime());
    let row = |name: &str, value: &dyn Fn(&AssocConfig) -> String| {
        let wanted = format!("| {name} | {} | {} |", value(&default), value(&realtime));
        assert!(text.contains(&wanted), "docs/multihoming.md lacks: {wanted}");
    };
    let time = |time: Duration| match time.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    };
    row("`rto_initial`, `rto_min`, `rto_max`", &|c| {
        [c.rto_initial, c.rto_min, c.rto_max].map(time).join(", ")
    });
    row("`sack_delay`", &|c| time(c.sack_delay));
    row("`hb_interval`, `hb_interval_udp`", &|c| {
        [c.hb_interval, c.hb_interval_udp].map(time).join(", ")
    });
    row("`path_max_retrans`", &|c| c.path_max_retrans.to_string());
    row("`assoc_max_retrans`", &|c| c.assoc_max_retrans.to_string());
    row("`pf_max_retrans`", &|c| format!("`{:?}`", c.pf_max_retrans));
    row("`primary_switchover_max_retrans`", &|c| {
        format!("`{:?}`", c.primary_switchover_max_retrans)
    });
    row("`expose_potentially_failed`", &|c| {
        (if c.expose_potentially_failed { "on" } else { "off" }).to_owned()
    });
    row("`max_peer_addresses`", &|c| c.max_peer_addresses.to_string());
    let nat = read("docs/nat.md");
    assert!(
        nat.contains(&format!("`hb_interval_udp` ({} by default)", time(default.hb_interval_udp)))
    );
    assert!(nat.contains(&format!("IP MTU of {} bytes", default.ip_mtu_udp)));
}

/// docs/testing.md has all rules and exceptions of the lint, as `sctp-lint --rules` prints them.
#[test]
fn the_rules_of_the_lint_are_listed() {
    let text = read("docs/testing.md");
    for table in workspace_tests::lint::table().split("\n\n") {
        let missing = table.lines().find(|line| !text.contains(line));
        assert!(text.contains(table.trim_end()), "docs/testing.md lacks or misplaces: {missing:?}");
    }
}

/// The anchor that a heading gets when Markdown is shown as a page; `None` for other lines.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

/// Links between the documents lead to files and headings that exist.
#[test]
fn no_link_is_dead() {
    let mut files =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned).to_vec();
    for entry in std::fs::read_dir(root().join("docs")).expect("there are documents") {
        let name =
            entry.expect("a readable directory").file_name().into_string().expect("a plain name");
        if name.ends_with(".md") {
            files.push(format!("docs/{name}"));
        }
    }
    assert!(files.len() > 8);
    let readme = read("README.md");
    for file in &files {
        let base = Path::new(file).parent().unwrap();
        for link in read(file).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { file.clone() } else { base.join(path).display().to_string() };
            let text = read(&target);
            assert!(
                anchor.is_empty() || text.lines().filter_map(anchor_of).any(|a| a == anchor),
                "{file}: {target} has no heading for #{anchor}"
            );
        }
        assert!(
            !file.starts_with("docs/") || readme.contains(file.as_str()),
            "the README does not name {file}"
        );
    }
}

/// One row of a table in docs/hard-cases.md: its first cell, and the tests in its last cell.
struct Row {
    what: String,
    tests: Vec<(String, String)>,
}

/// The rows of the tables below a heading.
fn rows(text: &str, heading: &str) -> Vec<Row> {
    let section =
        text.split("\n## ").find(|s| s.starts_with(heading)).expect("a section of this name");
    let cells = |line: &str| {
        line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>()
    };
    let rows: Vec<Row> = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
        .map(|cells| Row {
            what: cells[0].clone(),
            tests: cells
                .last()
                .into_iter()
                .flat_map(|cell| cell.split('`'))
                .filter_map(|piece| piece.split_once("::"))
                .map(|(file, name)| (file.to_owned(), name.to_owned()))
                .collect(),
        })
        .collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

/// The file of a test whose name docs/hard-cases.md shortens.
fn test_file(short: &str) -> String {
    let prefix = if short.starts_with("stack/") || short.starts_with("assoc/") {
        "sctp-user/core/src/"
    } else if short.contains('/') {
        ""
    } else {
        "tests/tests/"
    };
    format!("{prefix}{short}")
}

/// The names of the test functions in a source file.
fn test_functions(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
            if is_test && let Some((name, _)) = rest.split_once('(') {
                names.insert(name.to_owned());
            }
            is_test = false;
        }
    }
    names
}

const SCENARIOS: [&str; 6] = ["Setup", "Shutdown", "Data and SACK", "Loss", "Paths", "Other"];

/// Every test that docs/hard-cases.md names exists.
#[test]
fn the_tests_of_the_hard_cases_exist() {
    let text = read("docs/hard-cases.md");
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    for heading in ["The numbered cases"].into_iter().chain(SCENARIOS) {
        for row in rows(&text, heading) {
            assert!(!row.tests.is_empty(), "\"{}\" below \"{heading}\" has no test", row.what);
            for (short, name) in row.tests {
                let file = test_file(&short);
                let names =
                    files.entry(file.clone()).or_insert_with(|| test_functions(&read(&file)));
                assert!(names.contains(&name), "there is no test {name} in {file}");
                count += 1;
            }
        }
    }
    // No `file.rs::test` stands outside of the tables, where it would not have been checked.
    assert_eq!(count, text.matches(".rs::").count());
    let scenarios: usize = SCENARIOS.iter().map(|heading| rows(&text, heading).len()).sum();
    assert!(scenarios >= 48, "only {scenarios} scenarios were read");
}

/// Each of the forty cases is listed once. Those in the first table have tests with their number,
/// and each numbered test is listed.
#[test]
fn the_hard_cases_are_complete() {
    let text = read("docs/hard-cases.md");
    let (tested, waiting) = (rows(&text, "The numbered cases"), rows(&text, "Cases that wait"));
    let mut numbers: Vec<u32> =
        tested.iter().chain(&waiting).map(|row| row.what.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());

    let mut listed = BTreeSet::new();
    for row in &tested {
        let prefix = format!("hard_case_{:0>2}_", row.what);
        for (file, name) in &row.tests {
            assert!(name.starts_with(&prefix), "case {} lists {name}", row.what);
            listed.insert((test_file(file), name.clone()));
        }
    }
    let mut found = BTreeSet::new();
    for dir in ["sctp-user/core/src", "sctp-user/tests", "tests/tests"] {
        numbered_tests(&root().join(dir), dir, &mut found);
    }
    assert_eq!(found, listed);
}

/// `cargo test --workspace` needs no namespaces: it ignores tests that do, and they say how to run
/// them.
#[test]
fn tests_with_namespaces_have_a_command_of_their_own() {
    let command = "cargo test -p netns-tests -- --ignored";
    let due = format!("#[test]\n#[ignore = \"needs namespaces: {command}\"]\n");
    let dir = root().join("netns-tests/tests");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("there are tests") {
        let path = entry.expect("a readable directory").path();
        // The test in this file only compares files.
        if path.extension().is_none_or(|end| end != "rs") || path.ends_with("interop_matrix.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let tests = source.matches("#[test]").count();
        assert_eq!(source.matches(&due).count(), tests, "{}: each needs {due}", path.display());
        count += tests;
    }
    assert!(count > 50, "{count} tests");
    for place in ["README.md", "CONTRIBUTING.md", "docs/testing.md", ".ci/run"] {
        let text = read(place).replace("--locked ", "");
        for command in ["cargo test --workspace", command] {
            assert!(text.contains(command), "{place} does not name: {command}");
        }
    }
}

/// Collects the numbered tests in a directory and the directories below it.
fn numbered_tests(dir: &Path, name: &str, found: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("a directory of the repository") {
        let entry = entry.expect("a readable directory");
        let path = format!("{name}/{}", entry.file_name().to_str().expect("a plain name"));
        if entry.path().is_dir() {
            numbered_tests(&entry.path(), &path, found);
        } else if path.ends_with(".rs") {
            let tests = test_functions(&read(&path));
            found.extend(
                tests
                    .into_iter()
                    .filter(|t| t.starts_with("hard_case_"))
                    .map(|t| (path.clone(), t)),
            );
        }
    }
}
