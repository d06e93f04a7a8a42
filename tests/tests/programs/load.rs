//! `rspload`: what it measures, and what a registrar bears.

use super::pool::Pool;
use workspace_tests::process::PATIENCE;

/// Runs rspload, and gives its result.
fn load(pool: &Pool, args: &[&str]) -> serde_json::Value {
    let registrar = pool.registrar_option();
    let pid = format!("--registrar-pid={}", pool.registrar.id());
    let mut args = [&["--json", &registrar], args].concat();
    if cfg!(target_os = "linux") {
        args.push(&pid);
    }
    let ended = super::pool::program("rspload", &args).ended(PATIENCE);
    assert!(ended.status.success(), "{}", ended.text());
    let text: Vec<&str> = ended.lines.iter().map(String::as_str).collect();
    let json = text.iter().skip_while(|line| **line != "{").copied().collect::<String>();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {}", ended.text()))
}

fn honest(pool: &Pool) {
    let args = ["--elements=20", "--associations=4", "--users=3", "--duration=1"];
    let outcome = load(pool, &args);
    let counts = &outcome["counts"];
    assert!(counts["accepted"].as_u64() > Some(0), "{outcome}");
    assert_eq!(counts["accepted"], outcome["resolutions"]["count"], "{outcome}");
    assert_eq!(counts["refused"], serde_json::json!({}), "{outcome}");
    assert_eq!((&counts["opened"], &counts["ended"]), (&3.into(), &0.into()), "{outcome}");
    assert_eq!(outcome["elements"][0], 20, "{outcome}");
    if cfg!(target_os = "linux") {
        assert!(outcome["memory"]["most"].as_u64() > Some(1 << 20), "{outcome}");
    }
}

#[test]
fn a_registrar_serves_during_and_after_every_flood() {
    let pool = Pool::start();
    honest(&pool);
    let kinds = ["never-read", "idle", "reports", "registrations", "resolutions", "junk"];
    for kind in kinds {
        let hostile = format!("--hostile={kind}");
        let outcome = load(&pool, &[&hostile, "--clients=5", "--duration=0.5"]);
        assert_eq!(outcome["hostile"], kind, "{outcome}");
        assert!(outcome["counts"]["opened"].as_u64() >= Some(5), "{outcome}");
        let sent = outcome["counts"]["sent"].as_u64();
        assert_eq!(sent == Some(0), kind == "idle", "{outcome}");
    }
    honest(&pool);
}

#[test]
fn a_registrar_that_is_not_there_is_told_in_one_sentence() {
    let args = ["--registrar=127.0.0.1:3863/udp:1", "--duration=1"];
    let ended = super::pool::run("rspload", &args);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text());
    let [complaint] = ended.complaints()[..] else { panic!("{}", ended.text()) };
    assert!(complaint.contains("127.0.0.1:3863/udp:1"), "{complaint}");
}
