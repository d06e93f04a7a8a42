//! What the documentation promises.

use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The README shows the examples as they are compiled.
#[test]
fn the_readme_shows_the_examples() {
    let readme = read("README.md");
    for example in ["echo_server", "echo_client"] {
        let source = read(&format!("sctp-udp-encap/examples/{example}.rs"));
        let (_, code) = source.split_once("\n\n").expect("a comment, an empty line, the code");
        assert!(readme.contains(code.trim()), "the README differs from the example {example}");
    }
}

/// Links between the documents lead somewhere.
#[test]
fn no_link_is_dead() {
    let docs = ["architecture", "performance", "rsplib-differences", "testing", "wireshark"];
    let docs = docs.map(|name| format!("docs/{name}.md"));
    for file in ["README.md", "CONTRIBUTING.md"].iter().copied().chain(docs.iter().map(String::as_str)) {
        let base = Path::new(file).parent().unwrap();
        for link in read(file).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") {
                read(base.join(link.split('#').next().unwrap_or(link)).to_str().unwrap());
            }
        }
    }
}
